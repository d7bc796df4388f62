"""Unmodified libraries on oxio's names under asyncio's: locks, queues, groups, timeouts and streams, not the loop alone.

Each program of `programs/` holds scenarios for one library. It runs in a process of its own, once for each way below,
and every scenario must see what it sees on stock asyncio, and complain of nothing that stock asyncio does not complain of.
"""

import ast
import json
import os
import pathlib
import subprocess
import sys

import pytest
from servers import Missing, postgres_server, redis_server

HERE = pathlib.Path(__file__).parent
PROGRAMS = HERE / "programs"

STOCK = "stock"
WAYS = {
    "python -m oxio": ["-m", "oxio"],
    # What the library took from asyncio stays asyncio's; the program's own names are oxio's.
    "imported before install()": [],
    "debug": ["-m", "oxio"],
    # oxio's locks, queues and groups under loops that are not oxio's.
    "on uvloop": ["-m", "oxio"],
    "on asyncio's loop": ["-m", "oxio"],
}
NEEDS = {
    "with_aiohttp": ["aiohttp"],
    "with_anyio": ["anyio"],
    "with_asyncpg": ["asyncpg"],
    "with_httpx": ["httpx", "aiohttp"],
    "with_redis": ["redis"],
    "with_starlette": ["starlette", "httpx"],
}
SERVERS = {"with_redis": ("redis_port", redis_server), "with_asyncpg": ("postgres_port", postgres_server)}

SECONDS = 50
"""For all scenarios of a program together; on an idle machine they take one or two."""


def scenarios(program):
    """The names in the source: the library may not be there to import."""
    tree = ast.parse((PROGRAMS / f"{program}.py").read_text())
    names = [node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)]
    return [name for name in names if not name.startswith("_")]


@pytest.fixture(scope="module", params=NEEDS)
def outcomes(request):
    """`outcomes(way)` is `{scenario: what the program told}`, with one server for all ways, and each way run once."""
    program = request.param
    for library in NEEDS[program]:
        pytest.importorskip(library, reason=f"needs {library}")
    known = {}

    def outcomes(way):
        if way not in known:
            known[way] = run_program(program, way, servers)
        return known[way]

    if program not in SERVERS:
        servers = {}
        yield outcomes
        return
    name, server = SERVERS[program]
    try:
        started = server()
        port = started.__enter__()
    except Missing as missing:
        pytest.skip(str(missing))
    try:
        servers = {name: port}
        yield outcomes
    finally:
        started.__exit__(None, None, None)


def run_program(program, way, servers):
    done = subprocess.run(
        [
            sys.executable,
            *WAYS.get(way, []),
            str(PROGRAMS / "run_scenarios.py"),
            program,
            way,
            json.dumps(servers),
        ],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"exit code {done.returncode} after {told[-1:]}:\n{done.stderr}"
    outcomes = {each["name"]: each for each in told}
    # A scenario that is not run would pass unseen.
    assert sorted(outcomes) == sorted(scenarios(program))
    return outcomes


@pytest.mark.slow  # starts processes and servers
@pytest.mark.parametrize("way", WAYS)
def test_a_library_sees_on_installed_names_what_it_sees_on_asyncios(way, outcomes):
    if way == "on uvloop":
        pytest.importorskip("uvloop", reason="needs uvloop")
    differences = []
    expected = outcomes(STOCK)
    for name, told in outcomes(way).items():
        assert expected[name]["error"] is None, f"stock asyncio fails in {name}: {expected[name]['error']}"
        if told["error"] is not None:
            differences.append(f"{name}: {told['error']}")
        elif told["saw"] != expected[name]["saw"]:
            differences.append(f"{name}: saw {told['saw']}, on asyncio {expected[name]['saw']}")
        new = set(told["complaints"]) - set(expected[name]["complaints"])
        # Debug mode reports slow steps: they tell of the machine.
        differences += [
            f"{name}: {it}" for it in new if not (way == "debug" and it.startswith("logged: Executing"))
        ]
        loop = {"on uvloop": "uvloop", "on asyncio's loop": "asyncio"}.get(way, "oxio")
        assert told["error"] is not None or told["loop"] == loop
    assert not differences, "\n".join(differences)
