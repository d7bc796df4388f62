"""From samples to statements: medians, quartiles, and ratios taken within a round."""

from __future__ import annotations

import dataclasses
import enum
import math
import statistics
from collections.abc import Iterable, Sequence

from harness.rounds import Result


class Verdict(enum.Enum):
    FASTER = "faster"
    SAME = "no difference"
    SLOWER = "slower"


# Quartiles of fewer values lie so close together that equal contestants would often differ.
_ENOUGH_FOR_QUARTILES = 8


@dataclasses.dataclass(frozen=True)
class Spread:
    """A median and the quartiles around it; of few values, the extremes around it."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        values = list(values)
        if not values:
            return None
        if len(values) < _ENOUGH_FOR_QUARTILES:
            return cls(min(values), statistics.median(values), max(values))
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))


@dataclasses.dataclass(frozen=True)
class Ratio(Spread):
    """How many times less the subject used than the baseline, CPU or memory: above 1 it is better."""

    @property
    def verdict(self) -> Verdict:
        if self.low <= 1 <= self.high:
            return Verdict.SAME
        return Verdict.FASTER if self.median > 1 else Verdict.SLOWER


def cost(result: Result, label: str) -> Spread | None:
    return Spread.of(row[label].cost for row in result.rounds if label in row)


def ratios(result: Result, subject: str, baseline: str) -> list[float]:
    """One ratio per round that has both."""
    return [
        row[baseline].cost / row[subject].cost for row in result.rounds if subject in row and baseline in row
    ]


def ratio(result: Result, subject: str, baseline: str) -> Ratio | None:
    spread = Ratio.of(ratios(result, subject, baseline))
    assert spread is None or isinstance(spread, Ratio)
    return spread


def group_ratio(results: Sequence[Result], subject: str, baseline: str) -> Ratio | None:
    """The geometric mean over a group's workloads, for each round number, then the spread of these means.

    None when a workload of the group is missing for one of the two: a mean over what is left would flatter.
    """
    columns = [ratios(result, subject, baseline) for result in results]
    if not columns or not all(columns) or len({len(column) for column in columns}) != 1:
        return None
    spread = Ratio.of(geometric_mean(row) for row in zip(*columns, strict=True))
    assert isinstance(spread, Ratio)
    return spread


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(math.log(value) for value in values))
