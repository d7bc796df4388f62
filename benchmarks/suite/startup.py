"""What a short script pays: a fresh interpreter, the import, and a first run of an empty coroutine."""

from __future__ import annotations

from harness.contestants import find
from harness.workload import Launch, add

_PROGRAM = """\
import {module}
async def main():
    import asyncio
    print(type(asyncio.get_running_loop()).__module__.partition('.')[0])
{run}
"""


def _program(label: str) -> str:
    contestant = find(label)
    return _PROGRAM.format(module=contestant.defines, run=contestant.run)


add(
    Launch(
        name="startup.import_and_run",
        program=_program,
        proof=lambda label: find(label).defines,
    )
)
