"""Who can be measured. A new loop is one line in CONTESTANTS."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
from types import ModuleType


@dataclasses.dataclass(frozen=True)
class Contestant:
    """An event loop, and the module that the workloads take their asyncio names from.

    `module` must be importable, else the contestant is skipped. `defines` is the package that the class of
    its loop comes from: a contestant that falls back to asyncio's loop must not be measured as itself.
    `installs`: `install()` of that package puts its names under asyncio's in the whole process, first of all.
    """

    name: str
    module: str
    defines: str
    names: str = "asyncio"
    installs: bool = False
    run: str = "asyncio.run(main())"

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        package = importlib.import_module(self.defines)
        loop: asyncio.AbstractEventLoop = package.new_event_loop()
        if type(loop).__module__.partition(".")[0] != self.defines:
            raise RuntimeError(f"{self.defines}.new_event_loop() made a loop of {type(loop).__module__}")
        return loop

    def import_names(self) -> ModuleType:
        if self.installs:
            importlib.import_module(self.defines).install()
        return importlib.import_module(self.names)


# What a program meets under `python -m oxio`: gather, sleep, the locks and queues are oxio's too.
_OXIO = Contestant("oxio", "oxio._oxio", "oxio", names="oxio", installs=True, run="oxio.run(main())")

CONTESTANTS = {
    contestant.name: contestant
    for contestant in [
        Contestant("asyncio", "asyncio", "asyncio"),
        Contestant("uvloop", "uvloop", "uvloop", run="uvloop.run(main())"),
        # rloop has no run(); asyncio.run() takes a loop factory only since 3.12.
        Contestant(
            "rloop",
            "rloop",
            "rloop",
            run="import asyncio; asyncio.Runner(loop_factory=rloop.new_event_loop).run(main())",
        ),
        _OXIO,
        # Only the loop, its tasks and futures: a program that took asyncio's other names before install().
        dataclasses.replace(_OXIO, name="oxio-loop", names="asyncio", installs=False),
    ]
}

DEFAULT = ("asyncio", "uvloop", "rloop", "oxio")


def find(label: str) -> Contestant:
    """The contestant of a label. `uvloop#2` is uvloop again, in a process of its own: a control for noise."""
    name = label.partition("#")[0]
    if name not in CONTESTANTS:
        raise ValueError(f"no contestant {name!r}; there are {', '.join(CONTESTANTS)}")
    return CONTESTANTS[name]
