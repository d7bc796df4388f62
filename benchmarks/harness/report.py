"""The results as text, Markdown and JSON. Text and Markdown hold the same tables."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from harness import compare
from harness.compare import Ratio, Verdict
from harness.rounds import Result
from harness.workload import Served, Workload


@dataclasses.dataclass(frozen=True)
class Report:
    """`subject` is whom the ratios are about; every other label is a baseline."""

    results: Sequence[Result]
    labels: Sequence[str]
    subject: str
    machine: dict[str, str]
    found: dict[str, dict[str, Any]]
    missing: dict[str, str]
    settings: dict[str, Any]

    @property
    def baselines(self) -> list[str]:
        return [label for label in self.labels if label != self.subject]


@dataclasses.dataclass(frozen=True)
class Table:
    title: str
    head: list[str]
    rows: list[list[str]]


def as_text(report: Report) -> str:
    parts = ["\n".join(_preamble(report))]
    for table in _tables(report):
        widths = [max(map(len, column)) for column in zip(table.head, *table.rows, strict=True)]
        lines = [_aligned(row, widths) for row in [table.head, *table.rows]]
        parts.append("\n".join([table.title, *lines]))
    parts.append("\n".join(_conclusions(report)))
    return "\n\n".join(parts)


def _aligned(row: list[str], widths: list[int]) -> str:
    cells = [
        row[0].ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
    ]
    return "  " + "   ".join(cells).rstrip()


def as_markdown(report: Report) -> str:
    parts = ["\n".join(f"- {line}" for line in _preamble(report))]
    for table in _tables(report):
        rule = ["---", *("---:" for _ in table.head[1:])]
        lines = [f"| {' | '.join(row)} |" for row in [table.head, rule, *table.rows]]
        parts.append("\n".join([f"### {table.title}", "", *lines]))
    parts.append("\n".join(f"- {line}" for line in _conclusions(report)))
    return "\n\n".join(parts)


def as_json(report: Report) -> str:
    """Every sample, so that somebody else can compute other statistics."""
    return json.dumps(
        {
            "machine": report.machine,
            "settings": report.settings,
            "contestants": report.found,
            "missing": report.missing,
            "subject": report.subject,
            "workloads": [_result_fields(report, result) for result in report.results],
        },
        indent=1,
    )


def _result_fields(report: Report, result: Result) -> dict[str, Any]:
    ratios = {label: compare.ratio(result, report.subject, label) for label in report.baselines}
    return {
        "name": result.workload.name,
        "unit": result.workload.unit,
        "rounds": [
            {label: dataclasses.asdict(sample) for label, sample in row.items()} for row in result.rounds
        ],
        "failures": result.failures,
        "ratios": {
            label: {**dataclasses.asdict(ratio), "verdict": ratio.verdict.value}
            for label, ratio in ratios.items()
            if ratio is not None
        },
    }


def _preamble(report: Report) -> Iterator[str]:
    for name, value in report.machine.items():
        yield f"{name}: {value}"
    for label, facts in report.found.items():
        yield f"{label} {facts['version']}: {facts['loop']}, {facts['task']}, build {facts['build']}"
    for label, reason in report.missing.items():
        yield f"{label}: skipped, {reason}"
    settings = ", ".join(f"{name} {value}" for name, value in report.settings.items())
    yield f"settings: {settings}"


def _tables(report: Report) -> Iterator[Table]:
    for area, results in groupby(report.results, key=lambda result: result.workload.name.partition(".")[0]):
        measured = [result for result in results if any(result.rounds)]
        if measured:
            yield Table(
                f"{area}: {measured[0].workload.quantity}, and {report.subject} against each",
                _head(report),
                [
                    *(_row(report, result) for result in measured),
                    *_group_rows(report, measured),
                ],
            )
            yield from _latency_tables(report, area, measured)


def _head(report: Report) -> list[str]:
    return ["", *report.labels, *(f"vs {label}" for label in report.baselines)]


def _row(report: Report, result: Result) -> list[str]:
    ratios = (compare.ratio(result, report.subject, label) for label in report.baselines)
    costs = (_cost_cell(result, label) for label in report.labels)
    return [result.workload.name, *costs, *map(format_ratio, ratios)]


def _group_rows(report: Report, results: Sequence[Result]) -> Iterator[list[str]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result.workload.group:
            groups.setdefault(result.workload.group, []).append(result)
    for group, members in groups.items():
        if len(members) > 1:
            ratios = (compare.group_ratio(members, report.subject, label) for label in report.baselines)
            blanks = ["" for _ in report.labels]
            yield [f"{group}, all {len(members)}", *blanks, *map(format_ratio, ratios)]


def _latency_tables(report: Report, area: str, results: Iterable[Result]) -> Iterator[Table]:
    rows = [
        [result.workload.name, *(_latency_cell(result, label) for label in report.labels)]
        for result in results
        if isinstance(result.workload, Served)
    ]
    if rows:
        title = f"{area}: replies per second, latency p50 / p99 (by the client's clock, so other load shows)"
        yield Table(title, ["", *report.labels], rows)


def _cost_cell(result: Result, label: str) -> str:
    spread = compare.cost(result, label)
    if spread is None:
        return "failed" if label in result.failures else "-"
    percent = (spread.high - spread.low) / 2 / spread.median * 100
    return f"{format_cost(result.workload, spread.median)} ±{percent:.0f}%"


def _latency_cell(result: Result, label: str) -> str:
    samples = [row[label] for row in result.rounds if label in row]
    wall, p50, p99 = (
        compare.Spread.of(value for sample in samples if (value := getattr(sample, name)) is not None)
        for name in ("wall_ns", "p50_ns", "p99_ns")
    )
    if wall is None or p50 is None or p99 is None:
        return "failed" if label in result.failures else "-"
    return f"{1e9 / wall.median:,.0f}/s {format_time(p50.median)} / {format_time(p99.median)}"


def format_cost(workload: Workload, cost: float) -> str:
    return format_time(cost) if workload.unit == "ns" else f"{cost:.0f} {workload.unit}"


def format_time(nanoseconds: float) -> str:
    for limit, divisor, unit in ((1e4, 1, "ns"), (1e7, 1e3, "µs"), (1e10, 1e6, "ms")):
        if nanoseconds < limit:
            value = nanoseconds / divisor
            return f"{value:.0f} {unit}" if value >= 100 or divisor == 1 else f"{value:.1f} {unit}"
    return f"{nanoseconds / 1e9:.1f} s"


def format_ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return "-"
    quartiles = f"[{ratio.low:.2f} {ratio.high:.2f}]"
    if ratio.verdict is Verdict.SAME:
        return f"no difference {quartiles}"
    return f"{ratio.median:.2f}x {quartiles}"


def _conclusions(report: Report) -> Iterator[str]:
    for label in report.baselines:
        verdicts: dict[Verdict, list[str]] = {verdict: [] for verdict in Verdict}
        for result in report.results:
            ratio = compare.ratio(result, report.subject, label)
            if ratio is not None:
                verdicts[ratio.verdict].append(result.workload.name)
        if any(verdicts.values()):
            counts = ", ".join(f"{verdict.value} {len(names)}" for verdict, names in verdicts.items())
            yield f"{report.subject} against {label}: {counts}"
            if slower := verdicts[Verdict.SLOWER]:
                yield f"{report.subject} is slower than {label} in: {', '.join(slower)}"
    yield from _failures(report)


def _failures(report: Report) -> Iterator[str]:
    """One line for each reason, however many workloads it stopped."""
    names: dict[tuple[str, str], list[str]] = {}
    for result in report.results:
        for label, reason in result.failures.items():
            names.setdefault((label, reason), []).append(result.workload.name)
    for (label, reason), workloads in names.items():
        few = ", ".join(workloads[:3]) + (f" and {len(workloads) - 3} more" if len(workloads) > 3 else "")
        yield f"{label} failed {few}: {reason}"
