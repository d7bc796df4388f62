"""asyncio.subprocess with oxio's streams: what is not defined here is asyncio's."""

from asyncio import subprocess as _subprocess
from asyncio.subprocess import *

from oxio import streams
from oxio.streams import FlowControlMixin, _with_names

__all__ = _subprocess.__all__


class SubprocessStreamProtocol(FlowControlMixin, _subprocess.SubprocessStreamProtocol):
    __doc__ = _subprocess.SubprocessStreamProtocol.__doc__

    connection_made = _with_names(
        __name__, _subprocess.SubprocessStreamProtocol.connection_made, {"streams": streams}
    )


_NAMES = {"SubprocessStreamProtocol": SubprocessStreamProtocol, "streams": streams}
create_subprocess_exec = _with_names(__name__, _subprocess.create_subprocess_exec, _NAMES)
create_subprocess_shell = _with_names(__name__, _subprocess.create_subprocess_shell, _NAMES)


def __getattr__(name: str) -> object:
    return getattr(_subprocess, name)
