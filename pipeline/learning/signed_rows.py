"""The rows of a table as what is looked for from a fit's end sees them: signed, in float64, and some of them as a sample."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array, Features, row_blocks
from pipeline.learning.losses import signs_of

MAX_COLUMNS = 1000  # columns up to which a Hessian is made
MIN_ROWS, ROWS_A_COLUMN = 1000, 50  # of a sample


class SignedRows:
    """diag(s) [(X - mean) / scale, 1] of features X, computed block by block without a copy of X."""

    def __init__(self, X: Features, y: Array, mean: Array, scale: Array) -> None:
        self._X, self._signs, self._mean, self._scale = X, signs_of(y, np.dtype(np.float64)), mean, scale
        self._left = np.zeros_like(mean) if isinstance(X, np.ndarray) else mean  # what `_parts` leaves to subtract
        self.shape = X.shape[0], X.shape[1] + 1

    def take(self, index: NDArray[np.intp]) -> Array:
        """Some rows as an array."""
        X = self._X[index]
        A = np.ones((len(index), self.shape[1]))
        A[:, :-1] = ((X if isinstance(X, np.ndarray) else X.toarray()) - self._mean) / self._scale
        A *= self._signs[index, None]
        return A

    def times(self, V: Array) -> Array:
        """C V."""
        W = self._unscaled(V)
        products = np.concatenate([X @ W for X in self._parts()]) + (V[-1] - self._left @ W)
        return (products.T * self._signs).T

    def sizes(self, V: Array) -> Array:
        """The sum of the absolute values of the terms of C V, which rounding is measured by."""
        W = abs(self._unscaled(V))
        return np.concatenate([abs(X) @ W for X in self._parts()]) + (abs(V[-1]) + abs(self._left) @ W)

    def transposed_times(self, r: Array) -> Array:
        """C^T r."""
        r, start, sums = r * self._signs, 0, np.zeros(len(self._mean))
        for X in self._parts():
            sums += X.T @ r[start : start + X.shape[0]]
            start += X.shape[0]
        return np.append((sums - self._left * r.sum()) / self._scale, r.sum())

    def _unscaled(self, V: Array) -> Array:
        return (V[:-1].T / self._scale).T

    def _parts(self) -> Iterator[Features]:
        """X - mean, for in a product with X that is shifted afterwards rounding may be all that is left. A sparse X is not
        shifted here: its products are."""
        if not isinstance(self._X, np.ndarray):
            return iter([self._X.astype(np.float64, copy=False)])
        return (self._X[rows] - self._mean for rows in row_blocks(*self.shape))


def sample_size(columns: int) -> int:
    """Rows enough for a Hessian of so many columns, where one is made."""
    return max(MIN_ROWS, ROWS_A_COLUMN * columns) if columns <= MAX_COLUMNS else MIN_ROWS


def sample_of(y: Array, size: int) -> NDArray[np.intp]:
    """Some rows, half of each class where it has so many, in order; all of them where they are few."""
    if len(y) <= 2 * size:
        return np.arange(len(y))
    rng, parts = np.random.default_rng(0), [np.flatnonzero(y == label) for label in (0, 1)]
    few = min(size // 2, *map(len, parts))
    drawn = [part if len(part) <= few else part[np.unique(rng.integers(len(part), size=size - few))] for part in parts]
    return np.sort(np.concatenate(drawn))
