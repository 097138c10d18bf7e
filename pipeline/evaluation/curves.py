"""Curves of a model on a test table, from log-odds z (n,), labels y (n,) of both classes in {0, 1} and, perhaps, weights (n,).

CURVES is the one list: evaluate writes each to curves.NAME.csv, plot reads them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.files import Table
from pipeline.model.predictor import probability

BINS = 10  # of equal width, of a calibration curve


@dataclass(frozen=True)
class Curve:
    """Columns of numbers; `function` gives them in this order."""

    name: str
    columns: tuple[str, ...]
    function: Callable[..., tuple[Array, ...]]  # of z, y and weight

    @property
    def file(self) -> str:
        return f"curves.{self.name}.csv"

    def of(self, z: Array, y: Array, weight: Array | None = None) -> Table:
        columns = zip(self.columns, self.function(z, y, weight), strict=True)
        return {name: np.asarray(values, np.float64) for name, values in columns}


def cumulative(z: Array, y: Array, weight: Array | None = None) -> tuple[Array, Array, Array]:
    """At each distinct threshold, from the highest: the threshold, and the true and false positives at or above it."""
    order = np.argsort(-z, kind="stable")
    order = order if weight is None else order[weight[order] > 0]
    z, y = z[order], y[order]
    last = np.append(np.flatnonzero(np.diff(z)), len(z) - 1)
    if weight is not None:
        return z[last], np.cumsum(weight[order] * y)[last], np.cumsum(weight[order] * (1 - y))[last]
    tp = np.cumsum(y)[last]
    return z[last], tp, last + 1 - tp


def roc(z: Array, y: Array, weight: Array | None = None) -> tuple[Array, ...]:
    """Both rates at each probability threshold, from (0, 0) to (1, 1)."""
    thresholds, tp, fp = cumulative(z, y, weight)
    return np.append(1.0, probability(thresholds)), np.append(0.0, fp / fp[-1]), np.append(0.0, tp / tp[-1])


def precision_recall(z: Array, y: Array, weight: Array | None = None) -> tuple[Array, ...]:
    """Recall and precision at each probability threshold, from the highest."""
    thresholds, tp, fp = cumulative(z, y, weight)
    return probability(thresholds), tp / tp[-1], tp / (tp + fp)


def bins_of(p: Array) -> NDArray[np.intp]:
    """The bin of each probability p (n,), from 0 to BINS - 1."""
    return np.minimum((p * BINS).astype(np.intp), BINS - 1)


def calibration(z: Array, y: Array, weight: Array | None = None) -> tuple[Array, ...]:
    """The mean prediction, the share of positives and the rows (the sum of their weights) in each bin that is not empty."""
    p = probability(z)
    index = bins_of(p)
    rows = np.bincount(index, weight, BINS)
    full = rows > 0
    sums = (p, y) if weight is None else (weight * p, weight * y)
    predicted, observed = (np.bincount(index, part, BINS)[full] for part in sums)
    return predicted / rows[full], observed / rows[full], np.asarray(rows[full], np.float64)


CURVES = {
    curve.name: curve
    for curve in (
        Curve("roc", ("threshold", "false_positive_rate", "true_positive_rate"), roc),
        Curve("precision_recall", ("threshold", "recall", "precision"), precision_recall),
        Curve("calibration", ("predicted", "observed", "rows"), calibration),
    )
}
