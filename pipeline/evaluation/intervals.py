"""How sure the difference of two models is: paired bootstrap intervals over the rows of one test table (Efron 1979)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Array
from pipeline.determinism import one_thread
from pipeline.errors import DataError
from pipeline.evaluation.metrics import COMPARED_METRICS, METRICS, Counts

RESAMPLES, CONFIDENCE = 2000, 0.95
BLOCK = 100_000  # counts held at once: what fits in a cache


@dataclass(frozen=True)
class Difference:
    """A metric of model b minus that of model a: on the table itself, and the ends of its percentile interval."""

    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies wholly above or below zero; else 0."""
        return int(self.low > 0) - int(self.high < 0)


def paired_bootstrap(
    z_a: Array,
    z_b: Array,
    y: Array,
    resamples: int = RESAMPLES,
    seed: int = 0,
    weight: Array | None = None,
    cuts: tuple[float, float] = (0.0, 0.0),
) -> dict[str, Difference]:
    """b - a in each of COMPARED_METRICS from log-odds z (n,) and labels y (n,) of both classes, on the same resampled rows.

    Rows are drawn with equal chances and bring their weights (n,), if there are any: a row is one observation, whatever it
    weighs. A resample in which a metric is nan, as the AUC is of one class, is left out of that metric's interval. cuts: the
    log-odds above which a and b predict the positive class.
    """
    if weight is not None:
        z_a, z_b, y, weight = (part[weight > 0] for part in (z_a, z_b, y, weight))
    n = len(y)
    if not len(z_a) == len(z_b) == n:
        raise DataError(f"both models must have predicted the {n} rows; got {len(z_a)} and {len(z_b)}")
    if not 0 < y.sum() < n:
        raise DataError(f"y must have rows of both classes; got {int(y.sum())} positives in {n} rows")
    scores = {name: (metric, metric.row_scores) for name, metric in METRICS.items() if metric.row_scores}
    rows = np.column_stack(
        [score(metric.shifted(z_b, cuts[1]), y) - score(metric.shifted(z_a, cuts[0]), y) for metric, score in scores.values()]
    )
    pairs = {name: (metric.resampled(z_a, y), metric.resampled(z_b, y)) for name, metric in METRICS.items() if metric.resampled}

    def differences(counts: Counts) -> Array:
        counts, total = (counts, n) if weight is None else (counts * weight, (counts @ weight)[:, None])
        return np.column_stack([counts @ rows / total, *(of_b(counts) - of_a(counts) for of_a, of_b in pairs.values())])

    with one_thread, np.errstate(invalid="ignore"):
        values = differences(np.ones((1, n), np.int64))[0]
        drawn = np.concatenate([differences(counts) for counts in _resamples(n, resamples, seed)])
    found = dict(zip([*scores, *pairs], zip(values, drawn.T, strict=True), strict=True))
    return {name: Difference(float(value), *_interval(each)) for name in COMPARED_METRICS for value, each in [found[name]]}


def _interval(values: Array) -> tuple[float, float]:
    """The ends of the percentile interval of values (B,), nan left out; nan where there are no others."""
    if not len(values := values[~np.isnan(values)]):
        return np.nan, np.nan
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _resamples(n: int, resamples: int, seed: int) -> Iterator[Counts]:
    """How often each of n rows is drawn in each of n draws with replacement, (B, n) at a time."""
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK // n)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        rows = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(rows.ravel(), minlength=size * n).reshape(size, n)
