"""oxio's types, as users of mypy meet them: a strict sample program, and the stubs against the running package."""

import os
import re
import subprocess
import sys
from pathlib import Path

import oxio
import pytest

pytest.importorskip("mypy")

HERE = Path(__file__).parent
PACKAGES = Path(oxio.__file__).parents[1]

pytestmark = [
    pytest.mark.slow,  # mypy reads asyncio's types first, for some seconds
    pytest.mark.time_limit(120),
]


def run_python(cache, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=cache,
        env={**os.environ, "MYPYPATH": str(PACKAGES), "MYPY_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        timeout=110,
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("mypy")


def test_strict_program_is_accepted_and_its_mistakes_are_refused(cache):
    sample = HERE / "sample.py"
    done = run_python(cache, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary", str(sample))
    expected = {
        number: line.partition("# E: ")[2]
        for number, line in enumerate(sample.read_text().splitlines(), start=1)
        if "  # E: " in line
    }
    assert expected
    found = dict(re.findall(r"sample\.py:(\d+): error: (.*)", done.stdout))
    assert {int(number) for number in found} == expected.keys(), done.stdout + done.stderr
    for number, message in found.items():
        assert expected[int(number)] in message


def test_package_passes_strict_mypy(cache):
    done = run_python(cache, "-m", "mypy", "--strict", "--config-file=", "-p", "oxio")
    assert done.returncode == 0, done.stdout + done.stderr


def test_stubs_agree_with_the_package(cache):
    allowlist = HERE / "stubtest-allowlist.txt"
    done = run_python(cache, "-m", "mypy.stubtest", "oxio", "--allowlist", str(allowlist))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_allowed_difference_has_a_reason():
    lines = (HERE / "stubtest-allowlist.txt").read_text().splitlines()
    entries = [number for number, line in enumerate(lines) if line and not line.startswith("#")]
    for number in entries:
        assert number and lines[number - 1], f"no reason above: {lines[number]}"


def test_package_says_that_it_is_typed():
    assert (Path(oxio.__file__).parent / "py.typed").exists()
