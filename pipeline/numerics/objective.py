"""The objective, stated once: mean log loss + l2/2 ||w||^2.

    z = A theta                      A = [standardised X, 1]  (n, d+1),  theta = [w, b]  (d+1,)
    f(theta) = mean(log(1 + exp(z)) - y z) + l2/2 ||w||^2
    gradient = A^T (p - y) / n + l2 [w, 0]             p = sigmoid(z)
    Hessian  = A^T diag(p (1 - p)) A / n + l2 diag(1, ..., 1, 0)

The loss is computed from the log-odds z, never from p, so it stays finite and exact at any z.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

BLOCK_BYTES = 2 << 20  # rows that stay in a core's cache between forward and backward
THREADS_PAY_FROM = 200_000  # elements of A below which a second thread costs more than it gives


class Objective(Protocol):
    """What an optimizer may ask for, whatever computes it (NumPy here, autograd in `torch_model`)."""

    n: int

    def loss(self, theta: Array) -> float:
        """f(theta), penalty included."""

    def gradient(self, theta: Array) -> Array:
        """The gradient of f, (d+1,)."""

    def hessian(self, theta: Array) -> Array:
        """The Hessian of f, (d+1, d+1)."""

    def rows(self, index: NDArray[np.intp]) -> Self:
        """The same objective on some rows: a mini-batch."""


def sigmoid(z: Array, out: Array | None = None) -> Array:
    """1 / (1 + exp(-z)), written into `out` if given. Accurate for every z: exp overflows only where the result is 0."""
    with np.errstate(over="ignore"):
        out = np.exp(np.negative(z, out=out), out=out)
    out += 1
    return np.reciprocal(out, out=out)


def softplus(z: Array) -> Array:
    """log(1 + exp(z)), without overflow and without loss of small values."""
    return np.asarray(np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))))


def log_losses(z: Array, y: Array) -> Array:
    """-[y log p + (1-y) log(1-p)] for each row, from log-odds z (n,) and labels y (n,) in {0, 1}."""
    return np.asarray(softplus(z) - y * z)


class LogLoss:
    """The objective in NumPy, over row blocks that stay in cache, spread over threads.

    A is (n, d+1) with a last column of ones, y is (n,) in {0, 1} of the same dtype. The blocks and the order in which their
    sums are added depend on the shape alone, so the number of threads does not change a bit of the result (with BLAS on one
    thread: see `models.fit`).
    """

    def __init__(self, A: Array, y: Array, l2: float = 0.0) -> None:
        self.n = len(A)
        self._A, self._y = A, y
        self._l2 = np.full(A.shape[1], l2, A.dtype)
        self._l2[-1] = 0  # the intercept is never penalised
        self._z, self._p = np.empty(self.n, A.dtype), np.empty(self.n, A.dtype)
        self._theta: Array | None = None  # where z was computed
        step = max(1, BLOCK_BYTES // (A.shape[1] * A.itemsize))
        self._blocks = [slice(start, start + step) for start in range(0, self.n, step)]
        self._threads = min(len(self._blocks), os.cpu_count() or 1) if A.size >= THREADS_PAY_FROM else 1

    def rows(self, index: NDArray[np.intp]) -> "LogLoss":
        return LogLoss(self._A[index], self._y[index], float(self._l2[0]))

    def loss(self, theta: Array) -> float:
        if self._theta is None or not np.array_equal(theta, self._theta):
            for _ in self._each_block(lambda rows: np.dot(self._A[rows], theta, out=self._z[rows])):
                pass
            self._theta = theta.copy()
        fit = sum(float(log_losses(self._z[rows], self._y[rows]).sum(dtype=np.float64)) for rows in self._blocks)
        return fit / self.n + 0.5 * float(self._l2 @ (theta * theta))

    def gradient(self, theta: Array) -> Array:
        def block(rows: slice) -> Array:
            A, p = self._A[rows], self._p[rows]
            sigmoid(np.dot(A, theta, out=self._z[rows]), out=p)
            return np.asarray((p - self._y[rows]) @ A)

        total = self._sum_of_blocks(block)
        self._theta = theta.copy()
        return np.asarray((total / self.n + self._l2 * theta).astype(theta.dtype, copy=False))

    def hessian(self, theta: Array) -> Array:
        def block(rows: slice) -> Array:
            A = self._A[rows]
            p = sigmoid(A @ theta)
            S = A * np.sqrt(p * (1 - p))[:, None]
            return np.asarray(S.T @ S)

        total = self._sum_of_blocks(block)
        return np.asarray(total / self.n + np.diag(self._l2))

    def _sum_of_blocks(self, work: Callable[[slice], Array]) -> Array:
        """The blocks' results added in the order of the rows, in float64."""
        return np.asarray(sum(part.astype(np.float64, copy=False) for part in self._each_block(work)))

    def _each_block(self, work: Callable[[slice], Array]) -> Iterator[Array]:
        if self._threads == 1:
            return map(work, self._blocks)
        with ThreadPoolExecutor(self._threads) as pool:
            return iter(list(pool.map(work, self._blocks)))
