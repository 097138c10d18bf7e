"""Numbers for how well a model predicts a test table, from log-odds z (n,) and labels y (n,) of both classes in {0, 1}.

The rows may have weights (n,) >= 0: with whole numbers as weights, every metric is that of rows repeated so often. A row is
predicted positive where z is above a cut, 0 if not given. METRICS is the one list: metrics.json, intervals.json, the report, a
sweep's summary, `runs diff` and `runs promote` follow it.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.evaluation import recalibration
from pipeline.evaluation.curves import ratio
from pipeline.evaluation.samples import POSITIVE, RowScores, Sample, ScoredRows
from pipeline.learning.losses import log_losses
from pipeline.model.predictor import probability

Mask = NDArray[np.bool_]  # (n,)
UNBOUNDED = (-np.inf, np.inf)
TOP = 0.1  # the share of rows, from the highest log-odds, that lift is of


@dataclass(frozen=True)
class Metric:
    """One number of metrics.json. A score, which is every one but a count, has an interval, and so has its difference."""

    name: str
    label: str
    greater_is_better: bool | None  # None: neither, so that models are not ranked by it
    function: Callable[[Sample], Array]  # its values (B,) in B resamples; nan where it is undefined
    in_summary: bool = False  # shown by evaluate in the terminal, and listed for each job of a sweep
    bounds: tuple[float, float] = (0.0, 1.0)  # that no value lies beyond
    is_count: bool = False
    noise: Callable[[Sample], Array] | None = None  # of a norm, which chance raises: the norm of what resampling changes (B,)
    share_of: Callable[[Mask, Mask], Mask] | None = None  # of which rows it is a share: from positive, and predicted so

    @property
    def resampled(self) -> tuple[Callable[[Sample], Array], ...]:
        """What its interval is made of."""
        return (self.function, self.noise) if self.noise else (self.function,)

    def of(self, rows: ScoredRows) -> float:
        """The value on the rows themselves; a count of rows without weights is an int."""
        with np.errstate(divide="ignore", invalid="ignore"):
            value = float(self.function(rows.table)[0])
        return int(value) if self.is_count and rows.weight is None else value


def measure(z: Array, y: Array, weight: Array | None = None, cut: float = 0.0) -> dict[str, float]:
    """Every number that metrics.json holds; nan where one is undefined. Raises DataError unless both classes count."""
    return of_rows(ScoredRows(z, y, weight, cut), METRICS)


def of_rows(rows: ScoredRows, names: Iterable[str]) -> dict[str, float]:
    """These metrics of the rows."""
    return {name: METRICS[name].of(rows) for name in names}


def defined(values: Mapping[str, float]) -> dict[str, float]:
    """Those that are not nan."""
    return {name: value for name, value in values.items() if not math.isnan(value)}


def accuracy(sample: Sample) -> Array:
    tp, _, _, tn = sample.confusion
    return (tp + tn) / sample.rows_drawn


def balanced_accuracy(sample: Sample) -> Array:
    return (sample.confusion.recall + sample.confusion.specificity) / 2


def mcc(sample: Sample) -> Array:
    """Matthews' correlation of predicted and actual classes."""
    tp, fp, fn, tn = (np.asarray(count, np.float64) for count in sample.confusion)
    return ratio(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))


def roc_auc(sample: Sample) -> Array:
    """The probability that a positive row scores above a negative one, ties counted half (Mann and Whitney 1947)."""
    (tp_above, fp_above), (tp, fp) = sample.above, sample.at_or_above
    positives, negatives = (of[:, 0] for of in sample.totals)
    won = np.einsum("ij,ij->i", tp - tp_above, 2 * negatives[:, None] - fp - fp_above)  # exact where counts are whole numbers
    return won / (2 * positives * negatives)


def gini(sample: Sample) -> Array:
    """Somers' D: how much more often a positive row scores above a negative one than below it."""
    return 2 * roc_auc(sample) - 1


def kolmogorov_smirnov(sample: Sample) -> Array:
    """The greatest distance of the two classes' distributions of log-odds."""
    return np.maximum(*(distances.max(axis=1) for distances in _distances(sample)))


def _kolmogorov_smirnov_noise(sample: Sample) -> Array:
    pairs = zip(_distances(sample), _distances(sample.rows.table), strict=True)
    return np.maximum(*(np.abs(here - there).max(axis=1) for here, there in pairs))


def _distances(sample: Sample) -> tuple[Array, Array]:
    """By how much more of the positive rows than of the negative ones lie at or above each threshold (B, k), and by how much
    fewer above it."""
    positives, negatives = sample.totals
    (tp_above, fp_above), (tp, fp) = sample.above, sample.at_or_above
    return tp / positives - fp / negatives, fp_above / negatives - tp_above / positives


def average_precision(sample: Sample) -> Array:
    """The sum over thresholds of precision x the gain in recall."""
    (tp_above, _), (tp, fp) = sample.above, sample.at_or_above
    precisions = ratio(tp, sample.shared_sum((tp, fp)))
    return sample.shares[POSITIVE] * np.einsum("ij,ij->i", tp - tp_above, precisions) / tp[:, -1]


def lift(sample: Sample) -> Array:
    """The share of positives in the TOP of the rows, over that in all; of rows tied at its end, so many as fit are taken."""
    top = TOP * sample.rows_drawn
    reached = sample.shared_sum(sample.above)  # (B, k), which rises with k
    last = np.array([max(np.searchsorted(row, size) - 1, 0) for row, size in zip(reached, top, strict=True)])[:, None]
    above, up_to = (tuple(np.take_along_axis(of, last, axis=1) for of in pair) for pair in (sample.above, sample.at_or_above))
    rows_above, rows_up_to = (sample.shared_sum(pair)[:, 0] for pair in (above, up_to))
    part = np.clip(ratio(top - rows_above, rows_up_to - rows_above), 0, 1)
    found = above[POSITIVE] + (up_to[POSITIVE] - above[POSITIVE]) * part[:, None]
    return (found / sample.totals[POSITIVE])[:, 0] / TOP


def calibration_error(sample: Sample) -> Array:
    """The expected calibration error (Naeini et al. 2015): mean |predicted - observed| of the bins, weighted by rows."""
    return np.abs(_excesses(sample)).sum(axis=1)


def _calibration_noise(sample: Sample) -> Array:
    return np.abs(_excesses(sample) - _excesses(sample.rows.table)).sum(axis=1)


def _excesses(sample: Sample) -> Array:
    """Predicted minus observed positives of each bin (B, BINS), as shares of all rows."""
    predicted, observed = sample.binned
    return (predicted - observed) / sample.rows_drawn[:, None]


def calibration_slope(sample: Sample) -> Array:
    """The b of the logistic regression a + b z of the labels, 1 where the log-odds are neither too far apart nor too near.

    nan where no finite one exists: where z is constant, or a threshold separates the classes.
    """
    return recalibration.line(*sample.recalibrated_rows, sample.rows.recalibrated)[:, 1]


def calibration_intercept(sample: Sample) -> Array:
    """The a of the logistic regression a + z of the labels: 0 where the mean probability is the share of positives.

    Calibration in the large (Cox 1958, Van Calster et al. 2019): the slope is held at 1.
    """
    return recalibration.shift(*sample.recalibrated_rows)


def squared_errors(z: Array, y: Array) -> Array:
    return np.asarray((probability(z) - y) ** 2)


def _mean(name: str, label: str, greater_is_better: bool, row_scores: RowScores, most: float) -> Metric:
    """row_scores: a function of the module, whose values are computed once for all resamples."""
    return Metric(name, label, greater_is_better, lambda sample: sample.mean(row_scores), True, (0.0, most))


def _count(name: str, label: str, function: Callable[[Sample], Array]) -> Metric:
    return Metric(name, label, None, function, is_count=True)


METRICS = {
    metric.name: metric
    for metric in (
        _count("rows", "rows", lambda sample: sample.rows_drawn),
        Metric("accuracy", "accuracy", True, accuracy, in_summary=True, share_of=lambda positive, chosen: positive | True),
        Metric("balanced_accuracy", "balanced accuracy", True, balanced_accuracy),
        Metric("precision", "precision", True, lambda sample: sample.confusion.precision, share_of=lambda _, chosen: chosen),
        Metric("recall", "recall", True, lambda sample: sample.confusion.recall, share_of=lambda positive, _: positive),
        Metric("f1", "F1", True, lambda sample: sample.confusion.f1),
        Metric("mcc", "MCC", True, mcc, bounds=(-1, 1)),
        Metric("roc_auc", "ROC AUC", True, roc_auc, in_summary=True),
        Metric("gini", "Gini", True, gini, bounds=(-1, 1)),
        Metric("ks", "KS", True, kolmogorov_smirnov, noise=_kolmogorov_smirnov_noise),
        Metric("average_precision", "average precision", True, average_precision),
        Metric("lift", f"lift at {TOP:.0%}", True, lift, bounds=(0, 1 / TOP)),
        _mean("log_loss", "log loss", False, log_losses, np.inf),
        _mean("brier", "Brier score", False, squared_errors, 1.0),
        Metric("calibration_error", "calibration error", False, calibration_error, noise=_calibration_noise),
        Metric("calibration_slope", "calibration slope", None, calibration_slope, bounds=UNBOUNDED),
        Metric("calibration_intercept", "calibration intercept", None, calibration_intercept, bounds=UNBOUNDED),
        _count("true_positives", "true positives", lambda sample: sample.confusion.tp),
        _count("false_positives", "false positives", lambda sample: sample.confusion.fp),
        _count("false_negatives", "false negatives", lambda sample: sample.confusion.fn),
        _count("true_negatives", "true negatives", lambda sample: sample.confusion.tn),
    )
}
SUMMARY_METRICS = tuple(name for name, metric in METRICS.items() if metric.in_summary)
COMPARED_METRICS = tuple(name for name, metric in METRICS.items() if not metric.is_count)  # the scores, which have intervals
OBJECTIVE = "log_loss"  # what a sweep minimises, and what `runs promote` decides by unless another is named
LEADING_METRICS = (OBJECTIVE, *(name for name in SUMMARY_METRICS if name != OBJECTIVE))  # where the objective comes first
RANKING_METRICS = tuple(name for name, metric in METRICS.items() if metric.greater_is_better is not None)
