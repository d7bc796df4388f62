"""Under `python -m oxio`, worker processes that the program starts by multiprocessing run on oxio too.

A forked child inherits everything. A spawned one (start methods spawn and forkserver) is a new interpreter, which
unpickles the result of multiprocessing.spawn.get_preparation_data before it imports the program. One more entry in that
dict is enough: unpickling it installs oxio.

multiprocessing.spawn is changed when the program imports it. Importing it here would cost every start some 10 ms.

Not reached: names that the main module takes by `from asyncio import Task` where a forkserver preloads that module.
"""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from oxio.installation import install

_SPAWN = "multiprocessing.spawn"


def install_here_and_in_children() -> None:
    install()
    if _SPAWN in sys.modules:
        _extend(sys.modules[_SPAWN])
    else:
        sys.meta_path.insert(0, _SpawnFinder())


class _SpawnFinder:
    """Finds multiprocessing.spawn as the others do, has it extended, and is gone."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _SPAWN:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _extend(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _extend(spawn: ModuleType) -> None:
    get_preparation_data: Callable[[str], dict[str, Any]] = spawn.get_preparation_data

    def get_preparation_data_with_oxio(name: str) -> dict[str, Any]:
        return {**get_preparation_data(name), "oxio": _InstalledWhenUnpickled()}

    spawn.get_preparation_data = get_preparation_data_with_oxio  # type: ignore[attr-defined]


class _InstalledWhenUnpickled:
    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return install_here_and_in_children, ()
