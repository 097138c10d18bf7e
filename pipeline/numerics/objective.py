"""The objective, stated once: mean log loss + l2/2 ||w||^2.

    z = A theta                      A = [X, 1]  (n, d+1),  theta = [w, b]  (d+1,)
    f(theta) = mean(log(1 + exp(z)) - y z) + l2/2 ||w||^2
    gradient = A^T (p - y) / n + l2 [w, 0]             p = sigmoid(z)
    Hessian  = A^T diag(p (1 - p)) A / n + l2 diag(1, ..., 1, 0)

The loss is computed from the log-odds z, never from p, so it stays finite and exact at any z.

theta (d+1, k) and l2 (k,) state k problems over the same data: everything below but the Hessian then has a column a problem.
"""

import operator
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, reduce
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.numerics.matrix import Array, Matrix

TASKS = 32  # parts that threads take, one after the other; their number decides the bits, so it is no machine's


class Objective(Protocol):
    """What an optimizer may ask for, whatever computes it (NumPy here, autograd in `torch_model`)."""

    n: int

    def loss(self, theta: Array) -> Any:
        """f(theta), penalty included."""

    def gradient(self, theta: Array) -> Array:
        """The gradient of f, (d+1,)."""

    def loss_and_gradient(self, theta: Array) -> tuple[Any, Array]:
        """Both, in one pass over A."""

    def hessian(self, theta: Array) -> Array:
        """The Hessian of f, (d+1, d+1)."""

    def hessian_times(self, theta: Array) -> Callable[[Array], Array]:
        """The product v -> H v with the Hessian H at theta, without H itself."""

    def curvatures(self) -> Array:
        """The Hessian's diagonal where every p is 1/2, (d+1,): its greatest."""

    def rows(self, index: NDArray[np.intp]) -> Self:
        """The same objective on some rows: a mini-batch or a sample."""


def sigmoid(z: Array, out: Array | None = None) -> Array:
    """1 / (1 + exp(-z)), written into `out` if given. Accurate for every z: exp overflows only where the result is 0."""
    with np.errstate(over="ignore"):
        return _opposite_sigmoid(np.negative(z, out))


def _opposite_sigmoid(z: Array) -> Array:
    """sigmoid(-z), in the place of z."""
    np.exp(z, z)
    np.add(z, 1, z)
    return np.reciprocal(z, z)


def softplus(z: Array) -> Array:
    """log(1 + exp(z)), without overflow and without loss of small values."""
    e = np.exp(-np.abs(z))
    u = 1 + e
    # log(1 + e) as log(u) and what u lost to rounding: NumPy's log is several times as fast as its log1p.
    return np.maximum(z, 0) + (np.log(u) + (e - (u - 1)) / u)


def log_losses(z: Array, y: Array) -> Array:
    """-[y log p + (1-y) log(1-p)] for each row, from log-odds z (n,) and labels y (n,) in {0, 1}."""
    return softplus(z * (1 - 2 * y))


Block = tuple[Matrix, Array, Array]  # some rows of A, something a row (y), and room for a number a row (z)


class LogLoss:
    """The objective in NumPy: forward and backward fused over row blocks that stay in cache, the blocks spread over threads.

    The blocks, and the order in which their sums are added in float64, depend on the shape alone: the number of threads does
    not change a bit of the result (with BLAS on one thread: see `models.fit`). exp overflows where p is 0: run it where NumPy
    ignores that (`np.errstate(all="ignore")`).
    """

    def __init__(self, A: Matrix, y: Array, l2: float | Array = 0.0) -> None:
        self.n = A.shape[0]
        self._A, self._y, self._l2 = A, y, l2
        penalised = np.ones(A.shape[1], A.dtype)
        penalised[-1] = 0
        self._penalty = np.multiply.outer(penalised, l2).astype(A.dtype)
        self._is_penalised = bool(self._penalty.any())
        step = max(64, A.block_rows * A.shape[1] // (A.shape[1] + np.size(l2) - 1))  # columns of z share the cache
        parts = [slice(start, start + step) for start in range(0, self.n, step)]
        self._size = -(-len(parts) // TASKS)  # blocks a task
        rooms = [np.empty((min(step, self.n), *np.shape(l2)), A.dtype) for _ in range(0, len(parts), self._size)]
        labels = y[:, None] if np.ndim(l2) else y
        self._tasks = self._grouped(
            [(A.take(rows), labels[rows], rooms[i // self._size][: self.n - rows.start]) for i, rows in enumerate(parts)]
        )

    def _grouped(self, blocks: list[Block]) -> list[list[Block]]:
        """The blocks that a thread takes one after the other, in the same room."""
        return [blocks[i : i + self._size] for i in range(0, len(blocks), self._size)]

    def rows(self, index: NDArray[np.intp]) -> "LogLoss":
        return LogLoss(self._A.take(index), self._y[index], self._l2)

    def loss(self, theta: Array) -> Any:
        return self._penalised(self._sum(lambda A, y, z: _sum_of_losses(A.times(theta, z), y)), theta)

    def gradient(self, theta: Array) -> Array:
        opposite = -theta
        return self._mean(self._sum(lambda A, y, z: _residuals_times(A, A.times(opposite, z), y)), theta)

    def loss_and_gradient(self, theta: Array) -> tuple[Any, Array]:
        def block(A: Matrix, y: Array, z: Array) -> Array:
            losses = _sum_of_losses(A.times(theta, z), y)
            return np.concatenate([losses[None], _residuals_times(A, np.negative(z, z), y)])

        total = self._sum(block)
        return self._penalised(total[0], theta), self._mean(total[1:], theta)

    def hessian(self, theta: Array) -> Array:
        opposite = -theta
        total = self._sum(lambda A, _, z: A.gram(_spread(A.times(opposite, z))).astype(np.float64, copy=False)) / self.n
        total.flat[:: len(total) + 1] += self._penalty
        return total

    def hessian_times(self, theta: Array) -> Callable[[Array], Array]:
        opposite = -theta
        spreads = self._grouped(self._sum(lambda A, _, z: [(A, _spread(A.times(opposite, z)).copy(), z)]))

        def block(v: Array) -> Callable[..., Array]:
            return lambda A, spread, z: A.transposed_times(np.multiply(A.times(v, z), spread, z)).astype(np.float64)

        return lambda v: self._mean(self._sum(block(v), spreads), v)

    def curvatures(self) -> Array:
        return self._sum(lambda A, *_: A.squares().astype(np.float64)) / (4 * self.n) + self._penalty

    def _penalised(self, total: Any, theta: Array) -> Any:
        return total / self.n + 0.5 * (self._penalty * theta * theta).sum(axis=0, dtype=np.float64)

    def _mean(self, total: Array, theta: Array) -> Array:
        """The derivative at theta, from the rows' sum of theirs."""
        total /= self.n
        if self._is_penalised:
            total += self._penalty * theta
        return total.astype(theta.dtype, copy=False)

    def _sum(self, work: Callable[..., Any], tasks: list[list[Block]] | None = None) -> Any:
        """What `work` returns for each block, added in the order of the rows."""
        tasks = tasks or self._tasks
        if len(tasks) == 1 and len(tasks[0]) == 1:
            return work(*tasks[0][0])

        def task(blocks: list[Block]) -> Any:
            return reduce(operator.add, (work(*block) for block in blocks))

        each = _pool(threads()).map if threads() > 1 else map
        return reduce(operator.add, each(task, tasks))


def _sum_of_losses(z: Array, y: Array) -> Array:
    return np.asarray(log_losses(z, y).sum(axis=0, dtype=np.float64))


def _residuals_times(A: Matrix, z: Array, y: Array) -> Array:
    """A^T (p - y) in float64, from -z, which is overwritten."""
    return A.transposed_times(np.subtract(_opposite_sigmoid(z), y, z)).astype(np.float64, copy=False)


def _spread(z: Array) -> Array:
    """p (1 - p), the variance of the label, in the place of -z."""
    p = _opposite_sigmoid(z)
    return np.subtract(p, p * p, p)


def threads() -> int:
    """The cores that this process may use, at most OMP_NUM_THREADS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(limit))) if limit.isdigit() else cores


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, "objective", initializer=np.seterr, initargs=("ignore",))
