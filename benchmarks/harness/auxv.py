"""Makes prctl(PR_GET_AUXV) fail, for this process and its children, as it did before Linux 6.4.

valgrind unmaps the vDSO and takes it out of the auxiliary vector that it shows to the program, also in /proc/self/auxv. It
does not know PR_GET_AUXV (3.19). rustix, which oxio uses, asks that first, finds the vDSO's address and crashes on it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

_PRCTL = {"x86_64": 157, "aarch64": 167}
_PR_GET_AUXV = 0x41555856
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 22, 38, 2

# Classic BPF: load a word of seccomp_data, jump if equal, return.
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER, _FIRST_ARGUMENT = 0, 16
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


def hide() -> None:
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in [
            (_LOAD, 0, 0, _NUMBER),
            (_JUMP_EQUAL, 0, 3, _PRCTL[os.uname().machine]),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_JUMP_EQUAL, 0, 1, _PR_GET_AUXV),
            (_RETURN, 0, 0, _ERRNO | errno.EINVAL),
            (_RETURN, 0, 0, _ALLOW),
        ]
    )
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header)


def _prctl(option: int, *arguments: object) -> None:
    padding = [0] * (4 - len(arguments))
    if ctypes.CDLL(None, use_errno=True).prctl(option, *arguments, *padding) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")
