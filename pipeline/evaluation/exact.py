"""Intervals where a bootstrap has none to give: of shares of rows, and of scores that no resample changes."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.evaluation.metrics import Metric
from pipeline.evaluation.samples import ScoredRows
from pipeline.interval import Groups, observations, share_interval


class ScoredTable(NamedTuple):
    """Rows with log-odds z (n,), labels y (n,) in {0, 1} and, perhaps, weights (n,) > 0 and groups (n,).

    Those with log-odds above the cut are predicted positive.
    """

    z: Array
    y: Array
    weight: Array | None
    group: Groups | None
    cut: float

    @classmethod
    def of(cls, z: Array, y: Array, weight: Array | None, group: Groups | None, cut: float) -> Self:
        """Of the rows that have a weight."""
        if weight is None or (chosen := weight > 0).all():
            return cls(z, y, weight, group, cut)
        return cls(z[chosen], y[chosen], weight[chosen], None if group is None else group[chosen], cut)

    @property
    def is_of_equal_rows(self) -> bool:
        """Whether each row is one observation."""
        return self.weight is None and self.group is None

    @property
    def weights(self) -> Array:
        return np.ones(len(self.y)) if self.weight is None else self.weight

    def observations(self, chosen: NDArray[np.bool_]) -> float:
        """How many equal and independent rows tell as much as those that are chosen."""
        return observations(self.weights[chosen], None if self.group is None else self.group[chosen])


def of_share(metric: Metric, value: float, table: ScoredTable) -> tuple[float, float]:
    """The ends of the interval of a metric that is a share of rows, `metric.share_of`; nan where it is undefined."""
    if metric.share_of is None or np.isnan(value):
        return np.nan, np.nan
    n = table.observations(metric.share_of(table.y == 1, table.z > table.cut))
    return share_interval(value * n, n)


def of_unchanged(metric: Metric, value: float, table: ScoredTable) -> tuple[float, float]:
    """The ends of the interval of a metric that is equal in all resamples, since all n rows of a class are alike in it.

    Among all rows that there could be, some of the class may differ: a share up to the high end of 0 rows of n. The metric is
    measured with such a share of either class's weight beyond all other rows, on either side. Where the classes are separated,
    this bound of the AUC is exact: so many disjoint pairs as the smaller class has rows are all in order with the probability
    AUC^n. A maximum over thresholds (`noise`) has chosen one by these rows, which costs one of them: the share is the
    high end of 1 row of n. nan where a bound is infinite.
    """
    found = [value]
    for label in (0.0, 1.0):
        chosen, weights = table.y == label, table.weights
        share = share_interval(int(metric.noise is not None), table.observations(chosen))[1]
        others = np.append(np.where(chosen, (1 - share) * weights, weights), share * weights[chosen].sum())
        for place in (-np.inf, np.inf):
            found.append(metric.of(ScoredRows(np.append(table.z, place), np.append(table.y, label), others, table.cut)))
    return (min(found), max(found)) if np.isfinite(found).all() else (np.nan, np.nan)
