"""Curves of a model on a test table, from log-odds z (n,) and labels y (n,) of both classes in {0, 1}.

CURVES is the one list: evaluate writes each to curves.NAME.csv, plot reads them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Array
from pipeline.files import Table
from pipeline.model.predictor import probability

BINS = 10  # of equal width, of a calibration curve


@dataclass(frozen=True)
class Curve:
    """Columns of numbers; `function` gives them in this order."""

    name: str
    columns: tuple[str, ...]
    function: Callable[[Array, Array], tuple[Array, ...]]

    @property
    def file(self) -> str:
        return f"curves.{self.name}.csv"

    def of(self, z: Array, y: Array) -> Table:
        return {name: np.asarray(values, np.float64) for name, values in zip(self.columns, self.function(z, y), strict=True)}


def cumulative(z: Array, y: Array) -> tuple[Array, Array, Array]:
    """At each distinct threshold, from the highest: the threshold, and the true and false positives at or above it."""
    order = np.argsort(-z, kind="stable")
    z, y = z[order], y[order]
    last = np.append(np.flatnonzero(np.diff(z)), len(z) - 1)
    tp = np.cumsum(y)[last]
    return z[last], tp, last + 1 - tp


def roc(z: Array, y: Array) -> tuple[Array, ...]:
    """Both rates at each probability threshold, from (0, 0) to (1, 1)."""
    thresholds, tp, fp = cumulative(z, y)
    return np.append(1.0, probability(thresholds)), np.append(0.0, fp / (len(y) - y.sum())), np.append(0.0, tp / y.sum())


def precision_recall(z: Array, y: Array) -> tuple[Array, ...]:
    """Recall and precision at each probability threshold, from the highest."""
    thresholds, tp, fp = cumulative(z, y)
    return probability(thresholds), tp / y.sum(), tp / (tp + fp)


def calibration(z: Array, y: Array) -> tuple[Array, ...]:
    """The mean prediction, the share of positives and the number of rows in each bin that is not empty."""
    p = probability(z)
    index = np.minimum((p * BINS).astype(int), BINS - 1)
    rows = np.bincount(index, minlength=BINS)
    full = rows > 0
    predicted, observed = np.bincount(index, p, BINS)[full], np.bincount(index, y, BINS)[full]
    return predicted / rows[full], observed / rows[full], np.asarray(rows[full], np.float64)


CURVES = {
    curve.name: curve
    for curve in (
        Curve("roc", ("threshold", "false_positive_rate", "true_positive_rate"), roc),
        Curve("precision_recall", ("threshold", "recall", "precision"), precision_recall),
        Curve("calibration", ("predicted", "observed", "rows"), calibration),
    )
}
