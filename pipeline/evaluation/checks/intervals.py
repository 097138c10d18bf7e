"""Intervals and tail probabilities that checks decide by. level: one minus the confidence, both sides together."""

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.evaluation.checks.context import NotApplicable
from pipeline.evaluation.metrics import roc_auc
from pipeline.evaluation.samples import ScoredRows
from pipeline.interval import Groups


def mean_interval(values: Array, weight: Array, level: float, group: Groups | None = None) -> tuple[float, float, float]:
    """The weighted mean of values (n,), and the ends of its t interval; by `mean_and_error`."""
    mean, error = mean_and_error(values, weight, group)
    units = len(values) if group is None else len(np.unique(group))
    from scipy.special import stdtrit

    half = float(stdtrit(max(units - 1, 1), 1 - level / 2)) * error
    return mean, mean - half, mean + half


def mean_and_error(values: Array, weight: Array, group: Groups | None = None) -> tuple[float, float]:
    """The weighted mean of values (n,), and its standard error, which takes rows of one group as one observation.

    Raises NotApplicable where there is one group.
    """
    mean = float(np.average(values, weights=weight))
    deviations = weight * (values - mean)
    if group is not None:
        deviations = group_sums(deviations, group)
        if len(deviations) < 2:
            raise NotApplicable("it takes rows of 2 groups")
    n, squares = len(deviations), float(np.square(deviations).sum())
    return mean, float(np.sqrt(squares * n / max(n - 1, 1)) / weight.sum())


def group_sums(values: Array, group: Groups) -> Array:
    """Of the rows of each group: values (n, ...) to (groups, ...)."""
    names, group_of = np.unique(group, return_inverse=True)
    sums = np.zeros((len(names), *values.shape[1:]))
    np.add.at(sums, group_of, values)
    return sums


def normal_quantile(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(1 - level / 2))


def count_probability(count: int, n: int, share: float) -> float:
    """The probability that at least `count` of n rows are such as each is with the probability `share`."""
    from scipy.special import betainc

    return float(betainc(count, n - count + 1, min(share, 1.0))) if count else 1.0


def auc(score: Array, positive: NDArray[np.bool_]) -> float:
    """The probability that a row that is `positive` scores above one that is not, ties counted half."""
    return float(roc_auc(ScoredRows(score, positive.astype(np.float64)).table)[0])


def auc_interval(value: float, positives: float, negatives: float, level: float) -> tuple[float, float]:
    """Of an area under the ROC curve: all areas whose own standard error (Hanley and McNeil 1982) `value` lies within
    (Newcombe 2006, method 5); so it has a length where the area is 1, too."""
    return _auc_end(value, 0.0, positives, negatives, level), _auc_end(value, 1.0, positives, negatives, level)


def _auc_end(value: float, end: float, positives: float, negatives: float, level: float) -> float:
    """Between `value` and `end`, by bisection."""
    inside, outside, quantile = value, end, normal_quantile(level)
    pairs, spare = positives * negatives, (positives + negatives) / 2 - 1
    for _ in range(60):
        a = (inside + outside) / 2
        variance = a * (1 - a) * (1 + spare * ((1 - a) / (2 - a) + a / (1 + a))) / pairs
        if abs(value - a) <= quantile * np.sqrt(variance):
            inside = a
        else:
            outside = a
    return inside
