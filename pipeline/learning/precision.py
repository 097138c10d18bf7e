"""Values that their type of numbers does not tell apart."""

import numpy as np

from pipeline.arrays import Array, Features

SAMPLED_VALUES, MOST_ROWS = 200_000, 1000  # that are looked at
LEAST_DISTINCT = 0.9  # of a column's values, to be told apart


def indistinct_columns(X: Features, mean: Array, scale: Array, dtype: str) -> list[int]:
    """The columns of X (n, d) whose standardised values this type of numbers does not tell apart."""
    if not isinstance(X, np.ndarray) or not X.shape[1]:
        return []  # never shifted, so no digits are lost
    rows = min(MOST_ROWS, max(50, SAMPLED_VALUES // X.shape[1]))
    x = X[:: max(1, len(X) // rows)].astype(np.float64)
    with np.errstate(all="ignore"):
        rounded = ((x - mean) / scale).astype(dtype)
    return [int(j) for j in np.flatnonzero(_distinct(rounded) < LEAST_DISTINCT * _distinct(x))]


def _distinct(x: Array) -> Array:
    """How many different values each column has."""
    ordered = np.sort(x, axis=0)
    return 1 + (ordered[1:] != ordered[:-1]).sum(axis=0)
