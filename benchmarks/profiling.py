"""Shows where one contestant spends its time in one workload.

    python benchmarks/profiling.py oxio combinators.gather_1000                     perf, by samples
    python benchmarks/profiling.py oxio combinators.gather_1000 --with callgrind    valgrind, by instructions

The process is a worker as the driver starts it, warm before the measurement begins. The recording stays in
.build/profile, for perf's and valgrind's other views. Not called profile.py: that is a module of Python's.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import suite  # noqa: F401  (registers the workloads)
from harness import contestants, load, machine, report, rounds
from harness.process import Failure
from harness.rounds import Field, Meter, Plan, Sample
from harness.workload import WORKLOADS, InProcess, Served, Workload

_OUTPUT = Path(__file__).resolve().parent.parent / ".build" / "profile"

# Samples per second, odd so that no timer of the workload keeps step with it.
_FREQUENCY = 4999

_WIDTH = 140

# "76,879,133 (22.20%)  file:function [object]"
_COUNT = re.compile(r"\s*([\d,]+) \([ \d.]+%\)  (.+)")

# Under valgrind a sample takes about fifty times longer; a worker must answer within process.TIME_LIMIT.
_SAMPLE_MS = 200


def main() -> int:
    # `| head` ends it without a word.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    options = _options()
    workload = WORKLOADS[options.workload]
    base = _OUTPUT / f"{options.contestant}-{workload.name}"
    _OUTPUT.mkdir(parents=True, exist_ok=True)
    try:
        with _prepared(options, workload, base) as (field, meter):
            recorder = {"perf": _perf, "callgrind": _callgrind}[options.tool]
            samples = recorder(options, field, meter, base)
    except Failure as failure:
        raise SystemExit(f"{options.contestant}: {failure}") from None
    costs = sorted(sample.cost for sample in samples)
    print(f"\n{report.format_cost(workload, costs[len(costs) // 2])} per operation while it was recorded")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("contestant")
    parser.add_argument("workload", help="a name as driver.py --list has it")
    parser.add_argument("--seconds", type=float, default=5, help="how long to record (5)")
    parser.add_argument("--with", dest="tool", choices=("perf", "callgrind"), default="perf")
    parser.add_argument(
        "--calls", action="store_true", help="also with what each calls; perf: by DWARF, slow and large"
    )
    parser.add_argument("--percent", type=float, default=0.5, help="the smallest share that is shown (0.5)")
    options = parser.parse_args()
    try:
        contestants.find(options.contestant)
    except ValueError as error:
        parser.error(str(error))
    workload = WORKLOADS.get(options.workload)
    if not isinstance(workload, InProcess | Served):
        parser.error(f"no workload {options.workload!r} that can be profiled; driver.py --list has the names")
    if shutil.which(_program(options)) is None:
        parser.error(f"{_program(options)} is missing (Debian: apt install linux-perf valgrind)")
    return options


def _program(options: argparse.Namespace) -> str:
    return "valgrind" if options.tool == "callgrind" else "perf"


@contextmanager
def _prepared(options: argparse.Namespace, workload: Workload, base: Path) -> Iterator[tuple[Field, Meter]]:
    """The contestant, warm and about to be sampled."""
    wrapper = []
    if options.tool == "callgrind":
        wrapper = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no"]
        wrapper += [f"--callgrind-out-file={base}.callgrind"]
    plan = Plan(
        labels=[options.contestant],
        rounds=1,
        passes=1,
        sample_ms=_SAMPLE_MS,
        cpus=machine.split_cpus(),
        loadgen=load.build() if isinstance(workload, Served) else None,
        seed=random.randrange(10**6),
    )
    field = Field(plan, wrapper)
    try:
        meter = rounds.meter_for(workload, field)
        meter.prepare(options.contestant)
        meter.sample(options.contestant)
        yield field, meter
    finally:
        field.close()


def _sample_for(options: argparse.Namespace, meter: Meter) -> list[Sample]:
    deadline = time.monotonic() + options.seconds
    samples: list[Sample] = []
    while not samples or time.monotonic() < deadline:
        samples.append(meter.sample(options.contestant))
    return samples


def _perf(options: argparse.Namespace, field: Field, meter: Meter, base: Path) -> list[Sample]:
    data = f"{base}.perf"
    command = ["perf", "record", "--quiet", f"--freq={_FREQUENCY}", f"--output={data}"]
    command += ["--call-graph=dwarf,16384"] if options.calls else []
    command += [f"--pid={field.worker(options.contestant).pid}"]
    # An interrupt from the terminal is this program's; perf is ended below in any case.
    recorder = subprocess.Popen(command, start_new_session=True)
    try:
        # perf does not say when it is attached.
        time.sleep(0.3)
        samples = _sample_for(options, meter)
    finally:
        recorder.send_signal(signal.SIGINT)
        recorder.wait()
    view = ["perf", "report", "--stdio", "--quiet", f"--input={data}", f"--percent-limit={options.percent}"]
    flat = [*view, "--no-children", "--call-graph=none"]
    _show([*flat, "--fields=overhead,dso"])
    _show([*flat, "--fields=overhead,symbol,dso"])
    if options.calls:
        _show([*view, "--children", "--call-graph=none", "--fields=overhead_children,overhead,symbol"])
    print(f"\nmore: perf annotate --input={data} SYMBOL; perf report --input={data}")
    return samples


def _show(command: list[str]) -> None:
    # perf complains on stderr when the kernel's symbols are hidden from who is not root.
    output = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    lines = [" ".join(line.split()) if line[:1] == " " else line for line in output.stdout.splitlines()]
    print("\n".join(line[:_WIDTH] for line in lines if line), end="\n\n")


def _callgrind(options: argparse.Namespace, field: Field, meter: Meter, base: Path) -> list[Sample]:
    for old in _OUTPUT.glob(f"{base.name}.callgrind*"):
        old.unlink()
    pid = str(field.worker(options.contestant).pid)
    _control("--instr=on", pid)
    samples = _sample_for(options, meter)
    _control("--instr=off", pid)
    _control("--dump", pid)
    dumps = sorted(_OUTPUT.glob(f"{base.name}.callgrind.*"))
    if not dumps:
        raise Failure("callgrind wrote nothing")
    operations = _operations(options, meter, len(samples))
    _tell_instructions(_functions(dumps[-1]), "in the function itself", operations, options.percent)
    if options.calls:
        inclusive = _functions(dumps[-1], inclusive=True)
        _tell_instructions(
            inclusive, "with all that it calls (recursion counts again)", operations, options.percent
        )
    print(f"\nmore: callgrind_annotate --tree=both {dumps[-1]}; kcachegrind {dumps[-1]}")
    return samples


def _operations(options: argparse.Namespace, meter: Meter, samples: int) -> int | None:
    """How many were recorded; not known when the load generator made them."""
    if not isinstance(meter, rounds.InProcessMeter):
        return None
    return samples * meter.repeats[options.contestant] * meter.workload.operations


def _functions(dump: Path, *, inclusive: bool = False) -> dict[str, int]:
    """Instructions of each function, and of the whole under ""."""
    command = ["callgrind_annotate", "--threshold=100", "--auto=no"]
    command += [f"--inclusive={'yes' if inclusive else 'no'}", str(dump)]
    output = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
    functions: dict[str, int] = {}
    for line in output.splitlines():
        if match := _COUNT.match(line):
            count, place = int(match[1].replace(",", "")), match[2]
            name = "" if place == "PROGRAM TOTALS" else place.partition(":")[2].partition(" [")[0]
            # f'2 is f called by f, somewhere above it.
            name = name.partition("'")[0]
            # A function has a line for each file that was inlined into it. What it calls is in more than one of
            # them, so that the inclusive ones must not be added.
            known = functions.get(name, 0)
            functions[name] = max(known, count) if inclusive else known + count
    return functions


def _tell_instructions(functions: dict[str, int], what: str, operations: int | None, percent: float) -> None:
    total = functions.pop("")
    per = f", {total / operations:.0f} per operation" if operations else ""
    # The worker collects garbage and makes a loop before each sample: some of it is not the workload's.
    print(f"\n{total:,} instructions{per}; {what}:")
    for name, count in sorted(functions.items(), key=lambda item: -item[1]):
        if count / total * 100 >= percent:
            each = f"{count / operations:9.1f}" if operations else f"{count:13,}"
            print(f"{count / total:7.2%} {each}  {name}"[:_WIDTH])


def _control(order: str, pid: str) -> None:
    subprocess.run(
        ["callgrind_control", order, pid], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


if __name__ == "__main__":
    raise SystemExit(main())
