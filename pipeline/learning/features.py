"""The features that a fit is given: checked, and standardised."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pipeline.arrays import Array, Features, row_blocks
from pipeline.errors import DataError
from pipeline.learning.matrix import row_slice, with_entries
from pipeline.threads import side_by_side

BLOCK_ENTRIES = 1 << 20  # of a sparse matrix, that are worked on at a time


def check_data(X: Features, y: Array) -> None:
    """Raise DataError unless X (n, d) and y (n,) are numbers that a model can be fitted to. (NaN shows in the fit.)"""
    if not isinstance(X, np.ndarray):
        kind = getattr(X, "format", type(X).__name__)
        if kind != "csr":
            raise DataError(f"X must be a NumPy array or in SciPy's CSR format; got {kind}")
        if not X.has_canonical_format:
            raise DataError("the entries of X must be sorted and none given twice; call X.sum_duplicates() first")
    if X.ndim != 2:
        raise DataError(f"X must be of shape (n, d); got {X.shape}")
    if not (X.dtype.kind in "fiub" and X.dtype.itemsize <= 8):
        raise DataError(f"X must be real numbers of at most 64 bits; got {X.dtype}")
    if not X.shape[0] > 0:
        raise DataError("X must have rows; it has none")
    if not isinstance(y, np.ndarray):
        raise DataError(f"y must be a NumPy array; got {type(y).__name__}")
    if y.shape != (X.shape[0],):
        raise DataError(f"y must be of shape ({X.shape[0]},), as X has rows; got {y.shape}")
    ones = np.count_nonzero(y == 1)
    if ones + np.count_nonzero(y == 0) != len(y):
        raise DataError("y must be 0 or 1 in every row")
    if not 0 < ones < len(y):
        raise DataError(f"y must be of both classes, for there is no best model of one; all {len(y)} rows are {y[0]:g}")


def require_finite(X: Features) -> None:
    """Raise DataError where X holds NaN or infinite values."""
    values = X if isinstance(X, np.ndarray) else X.data
    if not np.isfinite(values).all():
        raise DataError("X must be finite; it has NaN or infinite values")


def varying(X: Features) -> NDArray[np.bool_]:
    """Which columns (d,) of X hold more than one value. A sparse X's are those that have entries."""
    found = np.zeros(X.shape[1], bool)
    if not isinstance(X, np.ndarray):
        for entries in _entry_blocks(X):
            columns, is_entry = X.indices[entries], X.data[entries] != 0
            found[columns if is_entry.all() else columns[is_entry]] = True
            if found.all():
                break
        return found
    for rows in row_blocks(*X.shape):
        found |= (X[rows] != X[0]).any(axis=0)
        if found.all():
            break
    return found


def standardised(
    X: Features, dtype: DTypeLike, names: Sequence[str] = (), m: Array | None = None
) -> tuple[Features, Array, Array]:
    """(X - mean) / scale in this dtype, with mean and scale (d,) in float64. A constant column has scale 1.

    m: row weights (n,) of mean 1, or None. A sparse X stays sparse, for only columns without a zero are shifted: since the
    intercept has no penalty, the best model is that of a dense X. Raises DataError where a column's values are too large, by
    its name if `names` has the columns'.
    """
    if not isinstance(X, np.ndarray):
        return _scaled(X, dtype, names, m)
    mean = np.where(varying(X), sum(_total(X[rows], m, rows) for rows in row_blocks(*X.shape)) / len(X), X[0])
    # Squares of what is divided by the largest deviation neither overflow nor vanish.
    largest = np.max([np.abs(X[rows] - mean).max(axis=0) for rows in row_blocks(*X.shape)], axis=0)
    largest[largest == 0] = 1.0
    squares = sum(_total(np.square((X[rows] - mean) / largest), m, rows) for rows in row_blocks(*X.shape))
    scale = np.where(squares > 0, largest * np.sqrt(squares / len(X)), 1.0)
    _require_representable(X, mean, scale, names)
    return scaled(X, mean, scale, dtype), mean, scale


def scaled(X: Features, mean: Array, scale: Array, dtype: DTypeLike = np.float64) -> Features:
    """(X - mean) / scale in this dtype, with mean and scale (d,) as `standardised` finds them."""
    if isinstance(X, np.ndarray):
        Z = np.empty(X.shape, dtype)
        for rows in row_blocks(*X.shape):
            np.divide(X[rows] - mean, scale, out=Z[rows], casting="same_kind")
        return Z
    values = np.empty(X.nnz, dtype)

    def scale_entries(entries: slice) -> None:
        columns = X.indices[entries]
        np.divide(X.data[entries] - mean[columns], scale[columns], out=values[entries], casting="same_kind")

    deque(side_by_side(scale_entries, _entry_blocks(X)), maxlen=0)
    return with_entries(type(X)(X.shape, dtype=dtype), values, X.indices, X.indptr)


def _total(part: Array, m: Array | None, rows: slice) -> Array:
    """The weighted sum (d,) of some rows of a table."""
    return part.sum(axis=0, dtype=np.float64) if m is None else m[rows] @ part


def _scaled(X: Any, dtype: DTypeLike, names: Sequence[str], m: Array | None) -> tuple[Features, Array, Array]:
    if not X.data.all():
        X = X.copy()
        X.eliminate_zeros()
    n, d = X.shape
    blocks = [*_row_blocks(X)]

    def sums(of: Callable[[Any, Any], Any], weights: Array | None = m) -> Array:
        """By column, over the stored entries: of their values and columns, by the weights of the rows."""

        def of_rows(rows: slice) -> Array:
            part = row_slice(X, rows)
            values = of(part.data.astype(np.float64, copy=False), part.indices)
            part = with_entries(type(X)(part.shape, dtype=np.float64), values, part.indices, part.indptr)
            return np.asarray(part.T @ (np.ones(part.shape[0]) if weights is None else weights[rows].astype(np.float64)))

        return sum(side_by_side(of_rows, blocks), np.zeros(d))

    first = np.zeros(d)  # row
    first[X.indices[: X.indptr[1]]] = X.data[: X.indptr[1]]
    rows_filled = sums(lambda x, j: np.ones(len(x)), None)
    is_full = rows_filled == n
    is_constant = is_full & ~_differing(X, first, is_full)
    mean = sums(lambda x, j: x) / n
    stored = rows_filled if m is None else sums(lambda x, j: np.ones(len(x)))
    squares = sums(lambda x, j: np.square(x - mean[j])) + np.maximum(n - stored, 0) * np.square(mean)
    scale = np.where((squares > 0) & ~is_constant, np.sqrt(squares / n), 1.0)
    shift = np.where(is_full, np.where(is_constant, first, mean), 0.0)
    _require_representable(X, shift, scale, names)
    return scaled(X, shift, scale, dtype), shift, scale


def _differing(X: Any, first: Array, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the chosen columns of a sparse matrix have a stored entry that is not the one in `first`."""
    found = np.zeros(len(first), bool)
    for entries in _entry_blocks(X):
        if found[chosen].all():
            break
        columns = X.indices[entries]
        found[columns[X.data[entries] != first[columns]]] = True
    return found


def _entry_blocks(X: Any) -> Iterator[slice]:
    """Slices of the stored entries of a sparse matrix."""
    step = max(BLOCK_ENTRIES, X.shape[1])
    return (slice(start, start + step) for start in range(0, X.nnz, step))


def _row_blocks(X: Any) -> Iterator[slice]:
    """Slices of the rows of a sparse matrix."""
    step = max(1, max(BLOCK_ENTRIES, X.shape[1]) * X.shape[0] // max(1, X.nnz))
    return (slice(start, start + step) for start in range(0, X.shape[0], step))


def _require_representable(X: Features, mean: Array, scale: Array, names: Sequence[str]) -> None:
    """Raise DataError where the mean or the scale of a column of finite values is not finite."""
    if (is_finite := np.isfinite(mean) & np.isfinite(scale)).all():
        return
    require_finite(X)
    column = int(np.flatnonzero(~is_finite)[0])
    name = names[column] if names else f"column {column + 1} of X"
    raise DataError(
        f"a column's mean and scale must be finite in 64 bits for it to be standardised; {name} has too large values"
    )
