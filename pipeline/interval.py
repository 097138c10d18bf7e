"""A number and its interval, as all that measures something gives it, and the exact interval of a share.

Where rows have weights or groups, a share is of the number of equal rows that tell as much (Korn and Graubard 1998).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan, nan
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95  # of every interval but those that checks decide by
Groups = NDArray[np.int64]  # (n,): the group of each row, such as the person whom several rows are of
TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)  # the quantiles at its ends


@dataclass(frozen=True)
class Interval:
    """A value, and the ends of its interval; nan where there are none."""

    value: float
    low: float = nan
    high: float = nan

    @classmethod
    def from_dict(cls, content: Mapping[str, float | None]) -> Self:
        """Of a JSON object, in which nan is null."""
        return cls(**{name: nan if number is None else number for name, number in content.items()})

    def by_name(self, name: str) -> dict[str, float]:
        """As a run's metrics: NAME, NAME.low and NAME.high."""
        return {name: self.value, f"{name}.low": self.low, f"{name}.high": self.high}

    def __str__(self) -> str:
        return f"{self.value:.4f}" + ("" if isnan(self.low) else f" ({self.low:.4f} to {self.high:.4f})")


def share_interval(count: float, n: float, level: float = 1 - CONFIDENCE) -> tuple[float, float]:
    """Of a share count/n (Clopper and Pearson 1934). level: one minus the confidence, both sides together."""
    from scipy.special import betaincinv

    low = float(betaincinv(count, n - count + 1, level / 2)) if count else 0.0
    high = float(betaincinv(count + 1, n - count, 1 - level / 2)) if count < n else 1.0
    return low, high


def observations(weight: NDArray[np.floating[Any]], group: Groups | None = None) -> float:
    """How many equal and independent rows tell as much as those with weights (n,): (sum w)^2 / sum w^2 of what the rows, or
    their groups, weigh (Kish 1965)."""
    if not len(weight):
        return 0.0
    totals = weight if group is None else np.bincount(np.unique(group, return_inverse=True)[1], weight).astype(np.float64)
    totals = totals / totals.max()
    return float(totals.sum() ** 2 / (totals @ totals))
