"""The machine: which CPUs to use, and what a reader must know about it."""

from __future__ import annotations

import contextlib
import os
import platform
import sysconfig
from pathlib import Path


def split_cpus() -> tuple[set[int], set[int]]:
    """The last allowed CPU for the measured process, the others for the load generator.

    Pinned, so that no sample pays for a migration. With a single CPU both share it.
    """
    allowed = sorted(os.sched_getaffinity(0))
    return {allowed[-1]}, set(allowed[:-1]) or {allowed[-1]}


def resident_bytes() -> int:
    """What this process holds of the machine's memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def describe() -> dict[str, str]:
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}{_optimised()}",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": f"{len(os.sched_getaffinity(0))} x {_cpu_model()}",
        "load": f"{os.getloadavg()[0]:.1f} when the run began",
    }


def _optimised() -> str:
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return ", profile-guided" if "--enable-optimizations" in arguments else ", not profile-guided"


def _cpu_model() -> str:
    # A chroot may have no /proc, and aarch64's names no model.
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown CPU"
