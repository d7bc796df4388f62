"""Stock asyncio is the judge: runs a program on it and on something else, and says where they differ."""

import asyncio
import contextlib
import difflib
import shlex
import types
from dataclasses import dataclass

import world


@dataclass(frozen=True)
class Way:
    """A way to run a program: whose names, whose loop."""

    names: object
    loop_class: type
    debug: bool = False
    around: object = contextlib.nullcontext

    def run(self, program, clock=None):
        with self.around():
            return world.run(program, self.names, self.loop_class, debug=self.debug, clock=clock)


STOCK = Way(asyncio, asyncio.SelectorEventLoop)
STOCK_NAMES = types.SimpleNamespace(**{name: getattr(asyncio, name) for name in dir(asyncio)})


def ways():
    """Every way to run a program with something of oxio's in it."""
    import oxio

    @contextlib.contextmanager
    def installed():
        oxio.install()
        try:
            yield
        finally:
            oxio.uninstall()

    return {
        "oxio": Way(oxio, oxio.EventLoop),
        "oxio in debug mode": Way(oxio, oxio.EventLoop, debug=True),
        "oxio's names on asyncio's loop": Way(oxio, asyncio.SelectorEventLoop),
        "asyncio's names on oxio's loop": Way(STOCK_NAMES, oxio.EventLoop),
        "names of both on oxio's loop": Way(Mixed(oxio, STOCK_NAMES), oxio.EventLoop),
        "oxio installed": Way(asyncio, oxio.EventLoop, around=installed),
    }


class Mixed:
    """A module that gives the names of two in turns, as in a program that took some of asyncio's before install()."""

    def __init__(self, *modules):
        self._modules = modules
        self._asked = 0

    def __getattr__(self, name):
        # Not `name`'s own turn: two locks of one program shall be of different make.
        self._asked += 1
        return getattr(self._modules[self._asked % len(self._modules)], name)


class Different(AssertionError):
    """Two ways of running one program are not the same."""


def compare(program, different_ways, clock=None):
    """Raises `Different` if the program is not seen to do the same in every way as on asyncio."""
    expected = STOCK.run(program, clock).lines()
    for name, way in different_ways.items():
        found = way.run(program, clock).lines()
        if found != expected:
            raise Different(explain(program, name, expected, found, clock))


def explain(program, name, expected, found, clock=None):
    """The difference, and the command that shows it again."""
    difference = difflib.unified_diff(expected, found, "asyncio", name, lineterm="", n=6)
    options = f"--way {shlex.quote(name)}{' --process-clock' if clock is not None else ''}"
    return "\n".join(
        [
            f"{name}: not as asyncio.",
            *difference,
            "",
            f"Again: python tests/differential/replay.py {options} <<'END'",
            str(program),
            "END",
        ]
    )
