"""What a debugger in another process sees of a running program: `python -m asyncio ps` and `pstree`, from 3.14 on."""

import asyncio
import importlib.util
import os
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("asyncio.tools") is None, reason="`python -m asyncio ps` came with 3.14"
    ),
    pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="looking needs /proc"),
    pytest.mark.slow,  # starts an interpreter
]


def look(command):
    """`python -m asyncio COMMAND` at this very process."""
    done = subprocess.run(
        [sys.executable, "-m", "asyncio", command, str(os.getpid())],
        capture_output=True,
        text=True,
        timeout=20,
    )
    if "ermission" in done.stdout + done.stderr:
        pytest.skip("this machine does not let a process look into another")
    assert done.returncode == 0, done.stderr
    return done.stdout


async def leaf():
    await asyncio.get_running_loop().create_future()


async def parent():
    async with asyncio.TaskGroup() as group:
        group.create_task(leaf(), name="first leaf")
        group.create_task(leaf(), name="second leaf")


@pytest.mark.parametrize("command", ["ps", "pstree"])
def test_tasks_and_who_awaits_them_are_seen_from_outside(run, command):
    async def main():
        task = asyncio.create_task(parent(), name="the parent")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        seen = await asyncio.to_thread(look, command)
        task.cancel()
        return seen

    seen = run(main())
    for name in ("the parent", "first leaf", "second leaf"):
        assert name in seen
    # The leaves hang on the parent, not beside it.
    if command == "pstree":
        tree = seen[seen.index("the parent") :]
        assert "parent" in tree and "first leaf" in tree and "second leaf" in tree
    else:
        row = next(line for line in seen.splitlines() if "first leaf" in line)
        assert "the parent" in row


def test_a_call_graph_names_the_whole_chain_of_awaits(run):
    async def main():
        task = asyncio.create_task(parent(), name="the parent")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        text = asyncio.format_call_graph(task)
        task.cancel()
        return text

    text = run(main())
    assert "the parent" in text
    assert "parent()" in text
