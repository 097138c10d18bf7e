"""Numbers that their type does not hold: too large for it, or too close together."""

from collections.abc import Sequence

import numpy as np

from pipeline.arrays import Array, Features
from pipeline.errors import DataError

LOOKED_AT, MOST_ROWS, LEAST_DISTINCT = 200_000, 1000, 0.9  # numbers and rows looked at, and the part of them to be told apart


class TooLarge(DataError):
    """A column's values overflow where they are standardised."""

    def __init__(self, column: int) -> None:
        super().__init__(self._sentence(f"column {column + 1} of X"))
        self._column = column

    def of(self, names: Sequence[str]) -> str:
        """The sentence, with the column's name."""
        return self._sentence(names[self._column])

    @staticmethod
    def _sentence(column: str) -> str:
        return f"a column's mean and spread must be finite in 64 bits for it to be standardised; {column} has too large values"


def require_finite(X: Features) -> None:
    """Raise DataError where X holds NaN or infinite values."""
    values = X if isinstance(X, np.ndarray) else X.data
    if not np.isfinite(values).all():
        raise DataError("X must be finite; it has NaN or infinite values")


def require_held(X: Features, mean: Array, scale: Array) -> None:
    """Raise TooLarge where the mean or the scale of a column of finite values is not finite."""
    if not (is_finite := np.isfinite(mean) & np.isfinite(scale)).all():
        require_finite(X)
        raise TooLarge(int(np.flatnonzero(~is_finite)[0]))


def blurred(X: Features, mean: Array, scale: Array, dtype: str) -> list[int]:
    """The columns of X (n, d) whose standardised values this type of numbers does not tell apart."""
    if not isinstance(X, np.ndarray) or not X.shape[1]:
        return []  # never shifted, so no digits are lost
    rows = min(MOST_ROWS, max(50, LOOKED_AT // X.shape[1]))
    x = X[:: max(1, len(X) // rows)].astype(np.float64)
    with np.errstate(all="ignore"):
        kept = ((x - mean) / scale).astype(dtype)
    return [int(j) for j in np.flatnonzero(_distinct(kept) < LEAST_DISTINCT * _distinct(x))]


def _distinct(x: Array) -> Array:
    """How many different values each column has."""
    ordered = np.sort(x, axis=0)
    return 1 + (ordered[1:] != ordered[:-1]).sum(axis=0)
