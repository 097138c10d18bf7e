"""Curves of a model on a test table, from log-odds z (n,), labels y (n,) of both classes in {0, 1} and, perhaps, weights (n,).

CURVES is the one list: evaluate writes each to curves.NAME.csv, plot reads them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.files import Table
from pipeline.interval import Groups, observations, share_interval
from pipeline.model.decision import GREATEST, log_odds_of
from pipeline.model.predictor import probability

if TYPE_CHECKING:
    from pipeline.evaluation.samples import Sample

BINS = 10  # of equal width, of a calibration curve
THRESHOLDS = 200  # between scores, in the table of thresholds
COUNTS = ("true_positives", "false_positives", "false_negatives", "true_negatives")
RATES = ("precision", "recall", "specificity", "f1")
COURSE = ("epoch", "training", "validation")  # the columns of a fold's log loss by epoch
BAND = ("low", "high")  # the further columns of a curve that has a band
Share = Callable[..., tuple[Array, Array]]  # of a Sample and x (k,): shares (B, k), and of how many rows each is one


@dataclass(frozen=True)
class Curve:
    """Columns of numbers; `function` gives them in this order."""

    name: str
    columns: tuple[str, ...]
    function: Callable[..., tuple[Array, ...]]  # of z, y and weight
    interval: Callable[..., tuple[Array, Array]] | None = None  # of z, y, weight and group: the last two columns
    share: Share | None = None  # columns[2] at columns[1], which then has a band

    @property
    def file(self) -> str:
        return f"curves.{self.name}.csv"

    @property
    def file_columns(self) -> tuple[str, ...]:
        """Those of the file, which has the ends of the band, too."""
        return (*self.columns, *BAND) if self.share else self.columns

    def of(self, z: Array, y: Array, weight: Array | None = None, group: Groups | None = None) -> Table:
        """The columns; without the band that resamples give."""
        values = (*self.function(z, y, weight), *(self.interval(z, y, weight, group) if self.interval else ()))
        return {name: np.asarray(column, np.float64) for name, column in zip(self.columns, values, strict=True)}


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


def observed_interval(z: Array, y: Array, weight: Array | None = None, group: Groups | None = None) -> tuple[Array, Array]:
    """The ends, for each of these bins, of the interval of the share of positives."""
    index, weight = bins_of(probability(z)), np.ones(len(y)) if weight is None else weight
    ends = []
    for rows in ((index == of) & (weight > 0) for of in range(BINS)):
        if rows.any():
            n = observations(weight[rows], None if group is None else group[rows])
            ends.append(share_interval(np.average(y[rows], weights=weight[rows]) * n, n))
    low, high = np.array(ends).T
    return low, high


def cuts(scores: Array) -> Array:
    """Log-odds (k + 1,) that part k falling scores, from above all to below all: each in the middle of two, so on none."""
    upper, lower = scores[:-1], scores[1:]
    middle = upper / 2 + lower / 2
    between = np.where(middle < upper, middle, lower)  # a row is positive above it, so of two adjacent floats it is the lower
    return np.concatenate([[GREATEST], between, [-GREATEST]])


def ratio(part: Array, total: Array) -> Array:
    """part / total, and 0 where the total is 0."""
    return np.divide(part, total, out=np.zeros(np.shape(total)), where=total > 0)


class Confusion(NamedTuple):
    """Of the predictions at each of k thresholds: rows (k,), or sums of their weights. Both classes have some."""

    tp: Array
    fp: Array
    fn: Array
    tn: Array

    @property
    def precision(self) -> Array:
        """0 where no row is predicted positive."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> Array:
        return np.asarray(self.tp / (self.tp + self.fn))

    @property
    def specificity(self) -> Array:
        return np.asarray(self.tn / (self.tn + self.fp))

    @property
    def f1(self) -> Array:
        return np.asarray(2 * self.tp / (2 * self.tp + self.fp + self.fn))


def confusion_at(cut: Array, z: Array, y: Array, weight: Array | None = None) -> Confusion:
    """Where rows with log-odds above each cut (k,), which is finite, are predicted positive."""
    first = (np.inf, 0.0, 0.0)
    scores, tp, fp = (np.append(*pair) for pair in zip(first, cumulative(z, y, weight), strict=True))
    above = np.searchsorted(-scores, -cut) - 1  # the last of the falling scores that is above
    return Confusion(tp[above], fp[above], tp[-1] - tp[above], fp[-1] - fp[above])


def threshold(z: Array, y: Array, weight: Array | None = None) -> tuple[Array, ...]:
    """What each threshold would do: the whole percents, and more between the scores, evenly spread over these."""
    between = cuts(cumulative(z, y, weight)[0])
    chosen = np.unique(np.linspace(0, len(between) - 1, THRESHOLDS).astype(int))
    p = np.union1d(np.arange(101) / 100, probability(between[chosen]))
    found = confusion_at(log_odds_of(p), z, y, weight)
    return p, *found, found.precision, found.recall, found.specificity, found.f1


def true_positive_rates(sample: "Sample", rates: Array) -> tuple[Array, Array]:
    """At false positive rates (k,) in B resamples (B, k), and the positives: between two thresholds the curve is straight."""
    tp, fp = (of / total for of, total in zip(sample.outline, sample.totals, strict=True))
    found = np.stack([np.interp(rates, x, y) for x, y in zip(fp, tp, strict=True)])
    return found, np.broadcast_to(sample.totals[0], found.shape)


def precisions(sample: "Sample", recalls: Array) -> tuple[Array, Array]:
    """At recalls (k,) in B resamples (B, k), and the rows predicted positive; of several precisions at one recall the highest.

    Between two thresholds the counts are straight (Davis and Goadrich 2006).
    """
    tp, fp = sample.shared(sample.outline)
    found = np.maximum(recalls, np.finfo(np.float64).eps) * tp[:, -1:]
    false = np.stack([np.interp(-at, -x[::-1], y[::-1]) for at, x, y in zip(found, tp, fp, strict=True)])
    return ratio(found, found + false), found + false


CURVES = {
    curve.name: curve
    for curve in (
        Curve("roc", ("threshold", "false_positive_rate", "true_positive_rate"), roc, share=true_positive_rates),
        Curve("precision_recall", ("threshold", "recall", "precision"), precision_recall, share=precisions),
        Curve("calibration", ("predicted", "observed", "rows", *BAND), calibration, observed_interval),
        Curve("threshold", ("threshold", *COUNTS, *RATES), threshold),
    )
}


def mean_course(courses: Sequence[Mapping[str, Array]]) -> Table:
    """The mean over folds at each epoch that one of them has, interpolated; a fold that has ended stays at its last loss."""
    epochs = np.unique(np.concatenate([course["epoch"] for course in courses]))
    mean = {"epoch": epochs.astype(np.float64)}
    for name in COURSE[1:]:
        of_folds = np.array([np.interp(epochs, course["epoch"], course[name]) for course in courses])
        mean[name] = of_folds.mean(axis=0)
    return mean
