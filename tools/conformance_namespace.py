"""Level 2 of conformance: the test modules' `asyncio` is a namespace that serves oxio's names first.

asyncio itself stays as it is: nothing is installed. So the tests see oxio as a program does that says
`import oxio as asyncio`, and oxio's objects meet those that asyncio's own code goes on making: stock tasks, futures and
loops. Level 1 is the other half: there asyncio's own code uses what oxio has.

How the names reach the tests. CPython's test modules bind them in every way there is: `import asyncio`,
`from asyncio import tasks`, `from asyncio.staggered import …`, also inside functions. So each module of
`test.test_asyncio`, its utils included, gets an `__import__` of its own, which hands out a `Namespace` wherever asyncio
or a submodule is asked for. A `mock.patch("asyncio.base_events.logger")` resolves its string elsewhere and patches
asyncio itself, which is right: that is where oxio's inherited code looks. `mock.patch.object()` and assignments on a
namespace go to the module that the name came from, and to asyncio's.

Names are looked up anew each time and noted: `served` proves which of oxio's own a test was given.

unittest's IsolatedAsyncioTestCase runs its tests in debug mode, where oxio's objects step back and let asyncio's code
work. Here it runs them without, on oxio's Runner; in debug mode the same tests run at level 1.
"""

import builtins
import importlib
import importlib.machinery
import importlib.util
import sys
import types

TESTS = "test.test_asyncio"

# Which of oxio's own names were handed to a test module since this was cleared, as `locks.Lock` or `Lock`.
served: set[str] = set()
_namespaces: dict[str, "Namespace"] = {}


class Namespace:
    """asyncio or one of its submodules, with oxio's names first.

    A name is oxio's own when the oxio module of that name binds it to something else than asyncio does. A submodule
    also takes what only `oxio` itself defines, where asyncio has one object under both names. `doors` are names by
    which only tests reach the native classes. All else is asyncio's, at the time of asking.
    """

    __slots__ = ("_doors", "_name", "_originals", "_oxio", "_own", "_stock", "_top")

    def __init__(self, name: str, stock, oxio, top: "Namespace | None", doors: dict[str, object]) -> None:
        for slot, value in {
            "_name": name,
            "_stock": stock,
            "_oxio": oxio,
            "_top": top,
            "_doors": doors,
            "_own": _own_names(stock, oxio),
        }.items():
            object.__setattr__(self, slot, value)
        originals = {name: (vars(oxio)[name], vars(stock).get(name)) for name in self._own}
        object.__setattr__(self, "_originals", originals)

    def __getattr__(self, name: str):
        if self._owner(name) is not vars(self._stock):
            served.add(f"{self._name}.{name}".removeprefix("asyncio."))
        return self._look_up(name)

    def _look_up(self, name: str):
        owner = self._owner(name)
        value = owner[name] if name in owner else getattr(self._oxio or self._stock, name)
        if isinstance(value, types.ModuleType) and value.__name__.startswith(("asyncio.", "oxio.")):
            return namespace("asyncio." + value.__name__.partition(".")[2])
        return value

    def __setattr__(self, name: str, value) -> None:
        self._owner(name)[name] = value
        if name in self._own and name in vars(self._stock):
            # test_graph puts the pure-Python classes in place, for asyncio's own code and for the loop, which look there.
            ours, theirs = self._originals[name]
            vars(self._stock)[name] = theirs if value is ours else value

    def __delattr__(self, name: str) -> None:
        try:
            del self._owner(name)[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def __dict__(self):
        """For `from … import *` and for mock, which restores a name as it was only if it finds it here."""
        return {name: self._look_up(name) for name in dir(self)}

    def __dir__(self):
        return sorted({*vars(self._stock), *self._own, *self._doors})

    def __repr__(self) -> str:
        return f"<oxio's names, then those of {self._stock!r}>"

    def _owner(self, name: str) -> dict[str, object]:
        """The dict that has the name or would get it."""
        if name in self._doors:
            return self._doors
        if name in self._own:
            return vars(self._oxio)
        stock = vars(self._stock)
        if self._top is not None and name in self._top._own:
            same = vars(self._top._stock).get(name)
            if same is not None and same is stock.get(name):
                return vars(self._top._oxio)
        return stock

    def own_public_names(self) -> list[str]:
        return sorted(self._own & set(self._stock.__all__))


def _own_names(stock, oxio) -> frozenset[str]:
    if oxio is None:
        return frozenset()
    absent = object()
    return frozenset(
        name
        for name, value in vars(oxio).items()
        if not (name.startswith("__") and name.endswith("__"))
        and not isinstance(value, types.ModuleType)
        and value is not vars(stock).get(name, absent)
    )


def namespace(name: str) -> Namespace:
    """`asyncio`, or a submodule as `asyncio.locks`: oxio's module of that name first, once there is one."""
    known = _namespaces.get(name)
    if known is None:
        stock = importlib.import_module(name)
        ours = "oxio" + name.removeprefix("asyncio")
        oxio = importlib.import_module(ours) if importlib.util.find_spec(ours) else None
        top = None if name == "asyncio" else namespace("asyncio")
        known = _namespaces[name] = Namespace(name, stock, oxio, top, _doors(name))
    return known


def _doors(name: str) -> dict[str, object]:
    """The pure-Python variants (`_PyTask`, `_PyFuture`) stay stock: they check that oxio's loop runs foreign tasks."""
    import oxio

    return {"asyncio.tasks": {"_CTask": oxio.Task}, "asyncio.futures": {"_CFuture": oxio.Future}}.get(
        name, {}
    )


class _Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module) -> None:
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import}
        super().exec_module(module)


def _import(name, globals=None, locals=None, fromlist=(), level=0):
    module = builtins.__import__(name, globals, locals, fromlist, level)
    if level == 0 and name.partition(".")[0] == "asyncio":
        return namespace(name if fromlist else "asyncio")
    return module


class _Finder:
    """Finds CPython's asyncio test modules where they are, and has them loaded with the other `__import__`."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if not name.startswith(TESTS + "."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _CaseAsyncio:
    """unittest's `asyncio`: oxio's Runner, without debug mode."""

    def __init__(self) -> None:
        self._namespace = namespace("asyncio")

    def __getattr__(self, name: str):
        return getattr(self._namespace, name)

    def Runner(self, *, debug=None, loop_factory=None):
        return self._namespace.Runner(loop_factory=loop_factory)


def put_in_place() -> None:
    from unittest import async_case

    imported = [name for name in sys.modules if name.startswith(TESTS + ".")]
    if imported:
        raise SystemExit(f"imported before the namespace was in place: {imported}")
    sys.meta_path.insert(0, _Finder)
    async_case.asyncio = _CaseAsyncio()
    check_in_place()


PROGRAM = """
import asyncio
import asyncio.futures
import unittest
from asyncio import Task, tasks
from asyncio.tasks import Task as ThirdTask

def late():
    from asyncio import futures
    return futures.Future, futures._CFuture

async def kinds():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    future.cancel()
    return type(loop), type(asyncio.current_task()), type(future)

class Case(unittest.IsolatedAsyncioTestCase):
    async def test(self):
        Case.found = await kinds(), asyncio.get_running_loop().get_debug()

Case("test").debug()
found = {
    "asyncio.run": asyncio.run(kinds()),
    "asyncio.new_event_loop": (type(loop := asyncio.new_event_loop()), asyncio.Task, asyncio.Future),
    "submodules": (tasks._CTask, Task, ThirdTask, tasks.Task, asyncio.tasks.Task),
    "futures": (*late(), asyncio.futures.Future),
    "IsolatedAsyncioTestCase": Case.found,
}
loop.close()
"""


def check_in_place() -> None:
    """Fails unless a module that is loaded as the tests are gets oxio's names, and asyncio is untouched."""
    import asyncio

    import oxio

    program = types.ModuleType("program")
    vars(program)["__builtins__"] = {**vars(builtins), "__import__": _import}
    exec(PROGRAM, vars(program))
    kinds = (oxio.EventLoop, oxio.Task, oxio.Future)
    wanted = {
        "asyncio.run": kinds,
        "asyncio.new_event_loop": kinds,
        "submodules": (oxio.Task,) * 5,
        "futures": (oxio.Future,) * 3,
        "IsolatedAsyncioTestCase": (kinds, False),
    }
    for door, found in program.found.items():
        if found != wanted[door]:
            raise SystemExit(f"{door}: the tests would get {found}, not {wanted[door]}")
    if asyncio.Task is oxio.Task or asyncio.Future is oxio.Future:
        raise SystemExit("oxio is installed in asyncio, which this level must not need")
    for name in namespace("asyncio").own_public_names():
        if getattr(program.asyncio, name) is not vars(oxio)[name]:
            raise SystemExit(f"asyncio.{name}: the tests would not get oxio.{name}")
    served.clear()
