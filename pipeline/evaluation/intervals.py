"""How sure the difference of two models is: paired bootstrap intervals over the rows of one test table (Efron 1979)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.determinism import one_thread
from pipeline.errors import DataError
from pipeline.learning.objective import log_losses, sigmoid

GREATER_IS_BETTER = {"log_loss": False, "brier": False, "accuracy": True, "roc_auc": True}
RESAMPLES, CONFIDENCE = 2000, 0.95
BLOCK = 100_000  # counts that are held at once: what fits in a cache
Counts = NDArray[np.int64]


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


def paired_bootstrap(z_a: Array, z_b: Array, y: Array, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Difference]:
    """b - a in each metric from log-odds z (n,) and labels y (n,) of both classes; both models see the same resampled rows.

    A resample without rows of both classes has no AUC and is left out of its interval.
    """
    n = len(y)
    if not len(z_a) == len(z_b) == n:
        raise DataError(f"both models must have predicted the {n} rows; got {len(z_a)} and {len(z_b)}")
    if not 0 < y.sum() < n:
        raise DataError(f"y must have rows of both classes; got {int(y.sum())} positives in {n} rows")
    rows = _row_scores(z_b, y) - _row_scores(z_a, y)
    auc_a, auc_b = _auc_of(z_a, y), _auc_of(z_b, y)

    def differences(counts: Counts) -> Array:
        return np.column_stack([counts @ rows / n, auc_b(counts) - auc_a(counts)])

    with one_thread, np.errstate(invalid="ignore"):
        whole = differences(np.ones((1, n), np.int64))[0]
        drawn = np.concatenate([differences(counts) for counts in _resamples(n, resamples, seed)])
    low, high = np.nanquantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    ends = zip(GREATER_IS_BETTER, whole, low, high, strict=True)
    return {name: Difference(*map(float, numbers)) for name, *numbers in ends}


def _row_scores(z: Array, y: Array) -> Array:
    """(n, 3): what each row adds to log_loss, brier and accuracy."""
    return np.column_stack([log_losses(z, y), (sigmoid(z) - y) ** 2, (z > 0) == (y == 1)])


def _auc_of(z: Array, y: Array) -> Callable[[Counts], Array]:
    """From how often each row was drawn, counts (B, n), to the AUC of each resample (B,); ties count half."""
    order = np.argsort(z, kind="stable")
    positives, negatives = (order[y[order] == label] for label in (1, 0))
    below, up_to = (np.searchsorted(z[negatives], z[positives], side) for side in ("left", "right"))

    def auc(counts: Counts) -> Array:
        p, n = counts[:, positives], counts[:, negatives]
        beaten = np.cumsum(np.pad(n, ((0, 0), (1, 0))), axis=1)
        twice = np.einsum("ij,ij->i", p, beaten[:, below] + beaten[:, up_to])  # whole numbers, so exact
        return np.asarray(twice / (2 * p.sum(axis=1) * n.sum(axis=1)))

    return auc


def _resamples(n: int, resamples: int, seed: int) -> Iterator[Counts]:
    """How often each of n rows is drawn in each of n draws with replacement, (B, n) at a time."""
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK // n)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        rows = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(rows.ravel(), minlength=size * n).reshape(size, n)
