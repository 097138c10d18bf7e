"""Arrays: the types that are passed around, and passes over rows in blocks that fit into a core's cache."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Array = NDArray[np.floating[Any]]
Arrays = dict[str, NDArray[Any]]  # by name, as a model's .npz file holds them
Features = Union[Array, "csr_array[Any, Any]"]  # X (n, d)

CACHED_BYTES = 2 << 20  # rows, and their results, that stay in a core's cache between forward and backward


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of consecutive rows, each of CACHED_BYTES or less as float64, but for wider rows."""
    step = max(1, CACHED_BYTES // (8 * max(columns, 1)))
    return (slice(start, start + step) for start in range(0, rows, step))


def drawn_counts(rng: np.random.Generator, rows: int, size: int) -> NDArray[np.integer]:
    """How often each row is drawn in each of `size` times so many draws with replacement, (size, rows)."""
    drawn = rng.integers(rows, size=(size, rows))
    drawn += rows * np.arange(size)[:, None]
    return np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows)


def column_ranges(X: Features, chosen: NDArray[np.bool_]) -> tuple[Array, Array]:
    """The least and the greatest value of each column among the chosen rows."""
    if not isinstance(X, np.ndarray):
        return _sparse_ranges(X[chosen])
    parts = [part for rows in row_blocks(*X.shape) if len(part := X[rows][chosen[rows]])]
    low, high = np.min([part.min(axis=0) for part in parts], axis=0), np.max([part.max(axis=0) for part in parts], axis=0)
    return low.astype(np.float64), high.astype(np.float64)


def _sparse_ranges(X: "csr_array[Any, Any]") -> tuple[Array, Array]:
    low, high = np.full(X.shape[1], np.inf), np.full(X.shape[1], -np.inf)
    values = X.data.astype(np.float64, copy=False)
    np.minimum.at(low, X.indices, values)
    np.maximum.at(high, X.indices, values)
    has_zero = np.bincount(X.indices, minlength=X.shape[1]) < X.shape[0]
    return np.where(has_zero, np.minimum(low, 0), low), np.where(has_zero, np.maximum(high, 0), high)
