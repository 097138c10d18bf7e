"""Numbers for how well a model predicts a test table, from log-odds z (n,) and labels y (n,) of both classes in {0, 1}.

The rows may have weights (n,) >= 0: with whole numbers as weights, every metric is that of rows repeated so often. A row is
predicted positive where z > 0; `Metric.shifted` makes that of any threshold. METRICS is the one list: metrics.json, the report,
a sweep's summary, `runs diff` and `runs promote` follow it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.errors import DataError
from pipeline.evaluation.curves import calibration, cumulative
from pipeline.learning.losses import log_losses
from pipeline.model.predictor import probability

Counts = NDArray[np.number]  # (B, n): how often each of n rows is drawn in each of B resamples, times its weight
Weight = Array | None


@dataclass(frozen=True)
class Metric:
    """One number of metrics.json. With row_scores or resampled, the difference of two models has a bootstrap interval."""

    name: str
    label: str
    greater_is_better: bool | None  # None: a count, which no report ranks models by
    function: Callable[..., float]  # of z, y and weight, which may be None
    in_summary: bool = False  # logged by evaluate, and listed for each job of a sweep
    row_scores: Callable[[Array, Array], Array] | None = None  # (n,), whose mean is the metric
    resampled: Callable[[Array, Array], Callable[[Counts], Array]] | None = None  # from Counts to the values (B,)
    at_threshold: bool = False  # it is of the predicted classes

    def shifted(self, z: Array, cut: float) -> Array:
        """The log-odds z (n,) that it is a function of where rows above the log-odds `cut` are predicted positive."""
        return z - cut if self.at_threshold else z


def measure(z: Array, y: Array, weight: Weight = None, cut: float = 0.0) -> dict[str, float]:
    """Every number that metrics.json holds, with rows above the log-odds `cut` predicted positive. Raises DataError where no
    row of a class has a weight."""
    if weight is not None and not 0 < total(y == 1, weight) < total(y >= 0, weight):
        raise DataError("test rows of both classes must have a weight above 0; those of one class have none")
    return {name: metric.function(metric.shifted(z, cut), y, weight) for name, metric in METRICS.items()}


def total(chosen: NDArray[np.bool_], weight: Weight) -> float:
    """How many rows are chosen, or the sum of their weights."""
    return int(chosen.sum()) if weight is None else float(weight[chosen].sum())


def confusion(z: Array, y: Array, weight: Weight = None) -> tuple[float, float, float, float]:
    """Counts of true positives, false positives, false negatives and true negatives."""
    predicted, actual = z > 0, y == 1
    pairs = ((predicted, actual), (predicted, ~actual), (~predicted, actual), (~predicted, ~actual))
    tp, fp, fn, tn = (total(a & b, weight) for a, b in pairs)
    return tp, fp, fn, tn


def _ratio(part: float, total: float) -> float:
    """part / total, and 0 where the total is 0."""
    return float(part / total) if total else 0.0


def balanced_accuracy(tp: float, fp: float, fn: float, tn: float) -> float:
    return (_ratio(tp, tp + fn) + _ratio(tn, tn + fp)) / 2


def f1(tp: float, fp: float, fn: float, tn: float) -> float:
    precision, recall = _ratio(tp, tp + fp), _ratio(tp, tp + fn)
    return _ratio(2 * precision * recall, precision + recall)


def mcc(tp: float, fp: float, fn: float, tn: float) -> float:
    """Matthews' correlation of predicted and actual classes."""
    norm = float(np.sqrt(float(tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))
    return _ratio(float(tp) * tn - float(fp) * fn, norm)


def roc_auc(z: Array, y: Array, weight: Weight = None) -> float:
    """The probability that a positive row scores above a negative one, ties counted half (Mann and Whitney 1947)."""
    score, positive = np.unique(z, return_inverse=True)[1], y == 1
    negatives = np.bincount(score, ~positive if weight is None else ~positive * weight)
    below = np.cumsum(negatives) - negatives / 2
    of_positives = None if weight is None else weight[positive]
    return float(np.average(below[score[positive]], weights=of_positives) / negatives.sum())


def resampled_roc_auc(z: Array, y: Array) -> Callable[[Counts], Array]:
    """The AUC of each resample; nan where one has no rows of a class."""
    order = np.argsort(z, kind="stable")
    positives, negatives = (order[y[order] == label] for label in (1, 0))
    below, up_to = (np.searchsorted(z[negatives], z[positives], side) for side in ("left", "right"))

    def auc(counts: Counts) -> Array:
        p, n = counts[:, positives], counts[:, negatives]
        smaller = np.cumsum(np.pad(n, ((0, 0), (1, 0))), axis=1)
        twice = np.einsum("ij,ij->i", p, smaller[:, below] + smaller[:, up_to])  # exact where counts are whole numbers
        return np.asarray(twice / (2 * p.sum(axis=1) * n.sum(axis=1)))

    return auc


def average_precision(z: Array, y: Array, weight: Weight = None) -> float:
    """The sum over thresholds of precision x the gain in recall."""
    _, tp, fp = cumulative(z, y, weight)
    return float(np.sum(np.diff(tp, prepend=0) / tp[-1] * tp / (tp + fp)))


def calibration_error(z: Array, y: Array, weight: Weight = None) -> float:
    """The expected calibration error (Naeini et al. 2015): mean |predicted - observed| of the bins, weighted by rows."""
    predicted, observed, rows = calibration(z, y, weight)
    return float(np.average(np.abs(predicted - observed), weights=rows))


def hits(z: Array, y: Array) -> Array:
    """1 in each row (n,) that is predicted right, else 0."""
    return np.asarray((z > 0) == (y == 1), np.float64)


def squared_errors(z: Array, y: Array) -> Array:
    return np.asarray((probability(z) - y) ** 2)


def _mean(
    name: str, label: str, greater_is_better: bool, row_scores: Callable[[Array, Array], Array], at_threshold: bool = False
) -> Metric:
    def mean(z: Array, y: Array, weight: Weight = None) -> float:
        return float(np.average(row_scores(z, y), weights=weight))

    return Metric(name, label, greater_is_better, mean, True, row_scores, at_threshold=at_threshold)


def _of_counts(name: str, label: str, greater_is_better: bool | None, function: Callable[..., float]) -> Metric:
    """function: of the counts of `confusion`."""
    return Metric(name, label, greater_is_better, lambda *rows: function(*confusion(*rows)), at_threshold=True)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("rows", "rows", None, lambda z, y, weight=None: total(np.ones(len(y), bool), weight)),
        _mean("accuracy", "accuracy", True, hits, at_threshold=True),
        _of_counts("balanced_accuracy", "balanced accuracy", True, balanced_accuracy),
        _of_counts("precision", "precision", True, lambda tp, fp, fn, tn: _ratio(tp, tp + fp)),
        _of_counts("recall", "recall", True, lambda tp, fp, fn, tn: _ratio(tp, tp + fn)),
        _of_counts("f1", "F1", True, f1),
        _of_counts("mcc", "MCC", True, mcc),
        Metric("roc_auc", "ROC AUC", True, roc_auc, in_summary=True, resampled=resampled_roc_auc),
        Metric("average_precision", "average precision", True, average_precision),
        _mean("log_loss", "log loss", False, log_losses),
        _mean("brier", "Brier score", False, squared_errors),
        Metric("calibration_error", "calibration error", False, calibration_error),
        _of_counts("true_positives", "true positives", None, lambda tp, fp, fn, tn: tp),
        _of_counts("false_positives", "false positives", None, lambda tp, fp, fn, tn: fp),
        _of_counts("false_negatives", "false negatives", None, lambda tp, fp, fn, tn: fn),
        _of_counts("true_negatives", "true negatives", None, lambda tp, fp, fn, tn: tn),
    )
}
SUMMARY_METRICS = tuple(name for name, metric in METRICS.items() if metric.in_summary)
COMPARED_METRICS = tuple(name for name, metric in METRICS.items() if metric.row_scores or metric.resampled)
OBJECTIVE = "log_loss"  # what a sweep minimises, and what `runs promote` decides by unless another is named
