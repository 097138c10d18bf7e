"""Whether a fit diverges."""

import math

import numpy as np

from pipeline.arrays import Array, Features
from pipeline.errors import DataError
from pipeline.learning.features import require_finite
from pipeline.learning.model import Record

MOST_RISES = 10  # of the loss in a row, where it has also risen to FACTOR times its least
FACTOR = 10.0  # of the first loss, beyond which the last one is of no fit either


class DivergenceMonitor:
    """Raises DataError where a fit cannot end well: by the data, or by the learning rate."""

    def __init__(self, X: Features, lr: float | None) -> None:
        self._X, self._lr = X, lr
        self._first, self._least, self._last, self._rises = math.nan, math.inf, math.inf, 0

    def check(self, row: Record, theta: Array, is_last: bool = False) -> None:
        """`row` is what was measured at theta (d+1,)."""
        if math.isnan(self._first):
            self._first = row.loss
        self._rises = self._rises + 1 if row.loss > self._last else 0
        self._least, self._last = min(self._least, row.loss), row.loss
        has_risen = is_last and row.loss > FACTOR * self._first
        is_finite = math.isfinite(row.loss + row.gradient_norm + float(np.add.reduce(theta)))
        if is_finite and not has_risen and self._rises < MOST_RISES:
            return
        if reason := self._reason(row, theta, has_risen):
            require_finite(self._X)
            lr = self._lr if row.epoch else None
            advice = f"; try a smaller optimizer.lr than {lr}" if lr else "; the features may be too large: standardise them"
            raise DataError(f"training diverged: the {reason} at epoch {row.epoch}{advice}")

    def _reason(self, row: Record, theta: Array, has_risen: bool) -> str:
        """What went wrong; nothing where the loss has only risen a little, or the weights' sum overflowed."""
        measured = {"loss": row.loss, "gradient": row.gradient_norm, "largest weight": float(np.abs(theta).max())}
        for name, value in measured.items():
            if not math.isfinite(value):
                return f"{name} is {value}"
        if self._rises >= MOST_RISES and row.loss > FACTOR * self._least:
            return f"loss has risen to {row.loss:.4g} without end"
        return f"loss has risen from {self._first:.4g} to {row.loss:.4g}" if has_risen else ""
