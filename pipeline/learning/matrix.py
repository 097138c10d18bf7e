"""A = [X, 1] (n, d+1), the matrix of an objective, stored in one of three ways that all multiply alike.

`times` and `transposed_times` take a vector or, for several fits at once, a matrix with a column a fit.
"""

import math
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import CACHED_BYTES, Array, Features

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Rows = slice | NDArray[np.intp]

MIN_ROWS = 256  # of a block of dense X, however wide: with fewer, the calls take longer than the arithmetic
SMALL = 200_000  # elements of A up to which a copy, and one thread, cost less than they save


class Matrix(Protocol):
    """What an objective needs of A."""

    shape: tuple[int, int]  # (n, d+1)
    dtype: np.dtype[Any]  # float32 or float64

    def block_rows(self, fits: int) -> int:
        """How many rows to take at a time, for so many fits."""
        n, numbers = self.shape[0], self.shape[1] + fits - 1
        return n if is_small((n, numbers)) else max(MIN_ROWS, CACHED_BYTES // (numbers * self.dtype.itemsize))

    def take(self, rows: Rows) -> Self:
        """The same kind of matrix of some of the rows."""

    def times(self, theta: Array, out: Array) -> Array:
        """A theta, written to `out`."""

    def transposed_times(self, r: Array) -> Array:
        """A^T r."""

    def gram(self, weights: Array) -> Array:
        """A^T diag(weights) A (d+1, d+1), for weights (n,) >= 0."""

    def squares(self, weights: Array | None = None) -> Array:
        """The sum of squares of each column (d+1,), each row's times its weight in `weights` (n,) if given."""


class Augmented(Matrix):
    """A itself, with its column of ones: one product gives the intercept, too. For small problems, and for several at once."""

    def __init__(self, A: Array) -> None:
        self.array, self._transposed = A, A.T
        self.shape, self.dtype = A.shape, A.dtype

    def take(self, rows: Rows) -> "Augmented":
        return Augmented(self.array[rows])

    def times(self, theta: Array, out: Array) -> Array:
        return self.array.dot(theta, out)

    def transposed_times(self, r: Array) -> Array:
        return self._transposed.dot(r)

    def gram(self, weights: Array) -> Array:
        return gram(self.array, weights)

    def squares(self, weights: Array | None = None) -> Array:
        return _column_sums(np.square(self.array), weights)


class Dense(Matrix):
    """X as the user has it, without a copy."""

    def __init__(self, X: Array) -> None:
        n, d = X.shape
        self._X = X
        self.shape, self.dtype = (n, d + 1), X.dtype

    def take(self, rows: Rows) -> "Dense":
        return Dense(self._X[rows])

    def times(self, theta: Array, out: Array) -> Array:
        np.dot(self._X, theta[:-1], out=out)
        out += theta[-1]
        return out

    def transposed_times(self, r: Array) -> Array:
        out = np.empty((self.shape[1], *r.shape[1:]), r.dtype)
        np.dot(self._X.T, r, out=out[:-1])
        np.add.reduce(r, axis=0, out=out[-1, ...])
        return out

    def gram(self, weights: Array) -> Array:
        return gram(with_ones(self._X), weights)

    def squares(self, weights: Array | None = None) -> Array:
        return np.append(_column_sums(np.square(self._X), weights), self.shape[0] if weights is None else weights.sum())


class Sparse(Matrix):
    """X in SciPy's CSR format; it is never made dense."""

    def __init__(self, X: "csr_array[Any, Any]") -> None:
        n, d = X.shape
        self._X, self._XT = X, with_entries(type(X)(X.shape, dtype=X.dtype).T, X.data, X.indices, X.indptr)
        self.shape, self.dtype = (n, d + 1), X.dtype

    def block_rows(self, fits: int) -> int:
        n, d = self._X.shape
        a_row = max(1, self._X.nnz // max(n, 1))
        cached = CACHED_BYTES // (12 * a_row + self.dtype.itemsize * (fits - 1))
        return max(64, cached, 8 * d // a_row)  # a block's result (d+1,) must be worth its work

    def take(self, rows: Rows) -> "Sparse":
        return Sparse(row_slice(self._X, rows) if isinstance(rows, slice) else self._X[rows])

    def times(self, theta: Array, out: Array) -> Array:
        np.add(self._X @ theta[:-1], theta[-1], out=out)
        return out

    def transposed_times(self, r: Array) -> Array:
        return np.concatenate([self._XT @ r, r.sum(axis=0, keepdims=True)])

    def gram(self, weights: Array) -> Array:
        S = self._X.multiply(np.sqrt(weights)[:, None])
        border = self.transposed_times(weights)
        return np.block([[(S.T @ S).toarray(), border[:-1, None]], [border]])

    def squares(self, weights: Array | None = None) -> Array:
        squares, d = np.square(self._X.data), self.shape[1] - 1
        if weights is not None:
            squares *= np.repeat(weights, np.diff(self._X.indptr))
        return np.append(np.bincount(self._X.indices, squares, d), self.shape[0] if weights is None else weights.sum())


def _column_sums(A: Array, weights: Array | None) -> Array:
    return A.sum(axis=0) if weights is None else weights @ A


def gram(A: Array, weights: Array) -> Array:
    """A^T diag(weights) A (k, k) of an array A (n, k), for weights (n,) >= 0."""
    S = A * np.sqrt(weights)[:, None]
    return np.dot(S.T, S)


def row_slice(X: "csr_array[Any, Any]", rows: slice) -> "csr_array[Any, Any]":
    """Consecutive rows."""
    start, stop, _ = rows.indices(X.shape[0])
    ends = X.indptr[start : stop + 1]
    entries = slice(ends[0], ends[-1])
    return with_entries(type(X)((stop - start, X.shape[1]), dtype=X.dtype), X.data[entries], X.indices[entries], ends - ends[0])


def with_entries(empty: Any, data: Array, indices: NDArray[Any], indptr: NDArray[Any]) -> Any:
    """An empty matrix with these entries; SciPy's constructor would copy those that are a small part of an array."""
    empty.data, empty.indices, empty.indptr = data, indices, indptr
    return empty


def is_small(shape: tuple[int, ...]) -> bool:
    """Whether A of this shape (n, d+1) is so small that a copy costs less than it saves: a pass takes a millisecond at most."""
    return math.prod(shape) <= SMALL


def with_ones(X: Array, factors: Array | None = None) -> Array:
    """A = [X, 1], its rows multiplied by the factors (n,) where given; by columns if it is small."""
    shape = X.shape[0], X.shape[1] + 1
    A = np.empty(shape, X.dtype, order="F" if is_small(shape) else "C")
    A[:, -1] = 1 if factors is None else factors
    np.multiply(X, A[:, -1:], A[:, :-1])
    return A


def matrix(X: Features) -> Matrix:
    """A of features X, an array or a SciPy CSR array, in the form that multiplies fastest."""
    if not isinstance(X, np.ndarray):
        return Sparse(X)
    return Augmented(with_ones(X)) if is_small((X.shape[0], X.shape[1] + 1)) else Dense(X)
