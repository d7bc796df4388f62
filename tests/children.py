"""Programs run in a process of their own: for signals, fork, exit codes and limits."""

import os
import subprocess
import sys
import textwrap

TESTS = os.path.dirname(os.path.abspath(__file__))

PRELUDE = """\
import asyncio, os, signal, sys, time
sys.path.insert(0, {tests!r})
from {loop_name} import new_event_loop
def run(main, **options):
    with asyncio.Runner(loop_factory=new_event_loop, **options) as runner:
        return runner.run(main)
"""


def source(loop_name, program):
    return PRELUDE.format(tests=TESTS, loop_name=loop_name) + textwrap.dedent(program)


def environment(**changes):
    return {**os.environ, "PYTHONUNBUFFERED": "1", **changes}


def run_program(loop_name, program, *, options=(), seconds=15, **changes):
    """Runs a program that has `run` and `new_event_loop`; returns the CompletedProcess with text output."""
    return subprocess.run(
        [sys.executable, *options, "-c", source(loop_name, program)],
        capture_output=True,
        text=True,
        timeout=seconds,
        env=environment(**changes),
    )


def output_of(loop_name, program, **options):
    """The lines a program printed; fails with its stderr if it did not end well."""
    done = run_program(loop_name, program, **options)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.splitlines()


def start_program(loop_name, program):
    """The same in the background, as a Popen with text pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", source(loop_name, program)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
