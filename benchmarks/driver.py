"""`make bench`: measures asyncio, uvloop, rloop and oxio side by side. README.md: how to read the result."""

from __future__ import annotations

import argparse
import dataclasses
import random
import re
import sys
import time
from pathlib import Path

import suite  # noqa: F401  (registers the workloads)
from harness import compare, contestants, load, machine, report, rounds
from harness.process import Failure
from harness.report import Report
from harness.rounds import Plan, Result
from harness.workload import WORKLOADS, Served, Workload

ROUNDS, PASSES, SAMPLE_MS = 15, 3, 50
QUICK_ROUNDS, QUICK_PASSES, QUICK_SAMPLE_MS = 8, 2, 30


def main() -> int:
    options = _options()
    workloads = _select(options)
    if options.list:
        print("\n".join(workload.name for workload in workloads))
        return 0
    plan = _plan(options, workloads)
    found, missing = rounds.greet(plan)
    for label, reason in missing.items():
        print(f"{label}: skipped, {reason}", file=sys.stderr)
    if not found:
        raise SystemExit("no contestant can be measured")
    labels = [label for label in plan.labels if label in found]
    plan = dataclasses.replace(plan, labels=labels)
    results = [Result(workload) for workload in workloads]
    settings = {
        "rounds": plan.rounds,
        "passes": plan.passes,
        "sample": f"{plan.sample_ms} ms",
        "seed": plan.seed,
    }
    facts = Report(results, labels, _subject(labels), machine.describe(), found, missing, settings)
    began = time.monotonic()
    try:
        rounds.run(plan, results, lambda number, result: _progress(plan, number, result))
    except KeyboardInterrupt:
        print("interrupted: the report holds what was measured so far", file=sys.stderr)
    _publish(options, facts)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    return _exit_code(facts)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", metavar="REGEX", default="", help="measure the workloads whose name matches"
    )
    parser.add_argument("--contestants", metavar="A,B", default=",".join(contestants.DEFAULT))
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds and, without --only, fewer workloads"
    )
    parser.add_argument("--rounds", type=_positive, metavar="N", help="samples of each contestant in all")
    parser.add_argument(
        "--passes", type=_positive, metavar="N", help="how often to start with fresh processes"
    )
    parser.add_argument("--sample-ms", type=_positive, metavar="N", help="CPU time of one sample")
    parser.add_argument("--seed", type=int, help="fixes the order within rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample")
    parser.add_argument("--markdown", action="store_true", help="print Markdown instead of text")
    parser.add_argument("--list", action="store_true", help="print the names of the workloads and stop")
    return parser.parse_args()


def _positive(word: str) -> int:
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _select(options: argparse.Namespace) -> list[Workload]:
    try:
        pattern = re.compile(options.only)
    except re.error as error:
        raise SystemExit(f"--only: not a regular expression: {error}") from None
    selected = [
        workload
        for workload in WORKLOADS.values()
        if pattern.search(workload.name) and (workload.quick or options.only or not options.quick)
    ]
    if not selected:
        raise SystemExit(f"no workload matches {options.only!r}; --list prints their names")
    return selected


def _plan(options: argparse.Namespace, workloads: list[Workload]) -> Plan:
    count, passes, sample_ms = ROUNDS, PASSES, SAMPLE_MS
    if options.quick:
        count, passes, sample_ms = QUICK_ROUNDS, QUICK_PASSES, QUICK_SAMPLE_MS
    count = options.rounds or count
    labels = options.contestants.split(",")
    try:
        for label in labels:
            contestants.find(label)
        needs_load = any(isinstance(workload, Served) for workload in workloads)
        loadgen = load.build() if needs_load else None
    except (ValueError, Failure) as error:
        raise SystemExit(str(error)) from None
    return Plan(
        labels=labels,
        rounds=count,
        passes=min(options.passes or passes, count),
        sample_ms=options.sample_ms or sample_ms,
        cpus=machine.split_cpus(),
        loadgen=loadgen,
        seed=random.randrange(10**6) if options.seed is None else options.seed,
    )


def _subject(labels: list[str]) -> str:
    """oxio; while it cannot be imported, the last contestant asked for."""
    return "oxio" if "oxio" in labels else labels[-1]


def _progress(plan: Plan, number: int, result: Result) -> None:
    costs = ((label, compare.cost(result, label)) for label in plan.labels)
    cells = (f"{label} {report.format_cost(result.workload, cost.median)}" for label, cost in costs if cost)
    failed = (f"{label} FAILED" for label in result.failures)
    line = "  ".join([f"[{number + 1}/{plan.passes}] {result.workload.name:34}", *cells, *failed])
    print(line, file=sys.stderr, flush=True)


def _publish(options: argparse.Namespace, facts: Report) -> None:
    print(report.as_markdown(facts) if options.markdown else report.as_text(facts))
    if options.json:
        options.json.write_text(report.as_json(facts) + "\n")


def _exit_code(facts: Report) -> int:
    """A loss is a result. Only a workload that the subject could not do is an error."""
    return int(any(facts.subject in result.failures for result in facts.results))


if __name__ == "__main__":
    raise SystemExit(main())
