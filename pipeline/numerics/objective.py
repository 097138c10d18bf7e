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
from collections.abc import Callable, Iterable
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
        return _sigmoid(z, np.empty_like(z) if out is None else out)


def _sigmoid(z: Array, out: Array) -> Array:
    np.negative(z, out)
    np.exp(out, out)
    np.add(out, 1, out)
    return np.reciprocal(out, out)


def softplus(z: Array) -> Array:
    """log(1 + exp(z)), without overflow and without loss of small values."""
    return np.asarray(np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))))


def log_losses(z: Array, y: Array) -> Array:
    """-[y log p + (1-y) log(1-p)] for each row, from log-odds z (n,) and labels y (n,) in {0, 1}."""
    return softplus(z * (1 - 2 * y))


Block = tuple[Matrix, Array]  # some rows of A and of y; a thread takes a list of them, a task, with room for their z


class LogLoss:
    """The objective in NumPy: forward and backward fused over row blocks that stay in cache, the blocks spread over threads.

    The blocks, and the order in which their sums are added in float64, depend on the shape alone: the number of threads does
    not change a bit of the result (with BLAS on one thread: see `models.fit`). exp overflows where p is 0: run it where NumPy
    ignores that (`np.errstate(all="ignore")`).
    """

    def __init__(self, A: Matrix, y: Array, l2: float | Array = 0.0) -> None:
        self.n = A.shape[0]
        self._A, self._y, self._l2 = A, y, l2
        self._free = np.ones(A.shape[1], A.dtype)  # 1 where penalised
        self._free[-1] = 0
        self._penalty = np.multiply.outer(self._free, l2).astype(A.dtype)
        self._is_penalised = bool(self._penalty.any())
        columns = np.size(l2)
        step = max(64, A.block_rows * A.shape[1] // (A.shape[1] + columns - 1))  # columns of z share the cache
        blocks: list[Block] = [
            (A.take(slice(start, start + step)), y[start : start + step]) for start in range(0, self.n, step)
        ]
        size = -(-len(blocks) // TASKS) or 1
        room = (min(step, self.n), *np.shape(l2))
        self._tasks = [blocks[i : i + size] for i in range(0, len(blocks), size)]
        self._rooms = [np.empty(room, A.dtype) for _ in self._tasks]
        self._y_shape = (-1, 1) if np.ndim(l2) else (-1,)

    def rows(self, index: NDArray[np.intp]) -> "LogLoss":
        return LogLoss(self._A.take(index), self._y[index], self._l2)

    def loss(self, theta: Array) -> Any:
        def task(blocks: list[Block], room: Array) -> Any:
            return _add(self._block_loss(A.times(theta, room[: len(y)]), y) for A, y in blocks)

        return self._penalised(self._sum(task), theta)

    def gradient(self, theta: Array) -> Array:
        def task(blocks: list[Block], room: Array) -> Any:
            return _add(self._block_gradient(A, A.times(theta, room[: len(y)]), y) for A, y in blocks)

        return self._mean_gradient(self._sum(task), theta)

    def loss_and_gradient(self, theta: Array) -> tuple[Any, Array]:
        def task(blocks: list[Block], room: Array) -> Any:
            parts = []
            for A, y in blocks:
                z = A.times(theta, room[: len(y)])
                parts.append(np.concatenate([self._block_loss(z, y)[None], self._block_gradient(A, z, y)]))
            return _add(parts)

        total = self._sum(task)
        return self._penalised(total[0], theta), self._mean_gradient(total[1:], theta)

    def _block_loss(self, z: Array, y: Array) -> Array:
        return log_losses(z, y.reshape(self._y_shape)).sum(axis=0, dtype=np.float64)

    def _block_gradient(self, A: Matrix, z: Array, y: Array) -> Array:
        """z is overwritten."""
        r = np.subtract(_sigmoid(z, z), y.reshape(self._y_shape), z)
        return A.transposed_times(r).astype(np.float64, copy=False)

    def _penalised(self, total: Any, theta: Array) -> Any:
        return total / self.n + 0.5 * (self._penalty * theta * theta).sum(axis=0, dtype=np.float64)

    def _mean_gradient(self, total: Array, theta: Array) -> Array:
        total /= self.n
        if self._is_penalised:
            total += self._penalty * theta
        return total.astype(theta.dtype, copy=False)

    def hessian(self, theta: Array) -> Array:
        def task(blocks: list[Block], room: Array) -> Any:
            return _add(A.gram(_spread(A.times(theta, room[: len(y)]))).astype(np.float64, copy=False) for A, y in blocks)

        return self._sum(task) / self.n + np.diag(self._penalty)

    def hessian_times(self, theta: Array) -> Callable[[Array], Array]:
        def weigh(blocks: list[Block], room: Array) -> list[Array]:
            return [_spread(A.times(theta, room[: len(y)]).copy()) for A, y in blocks]

        def product(v: Array) -> Array:
            def task(blocks: list[Block], room: Array, weights: list[Array]) -> Any:
                return _add(
                    A.transposed_times(A.times(v, room[: len(y)]) * spread).astype(np.float64, copy=False)
                    for (A, y), spread in zip(blocks, weights, strict=True)
                )

            return self._mean_gradient(_add(self._each(task, spreads)), v)

        spreads = self._each(weigh)
        return product

    def curvatures(self) -> Array:
        total = self._sum(lambda blocks, _: _add(A.squares().astype(np.float64) for A, _ in blocks))
        return total / (4 * self.n) + self._penalty

    def _sum(self, work: Callable[..., Any]) -> Any:
        """The tasks' results added in the order of the rows."""
        return _add(self._each(work))

    def _each(self, work: Callable[..., Any], *more: list[Any]) -> list[Any]:
        """work(blocks, room, ...) for each task; `more` has one further argument a task."""
        each = map if len(self._tasks) == 1 or threads() == 1 else _pool(threads()).map
        return list(each(work, self._tasks, self._rooms, *more))


def _add(parts: Iterable[Array]) -> Any:
    """Their sum, in their order. A single part is it."""
    return reduce(operator.add, parts)


def _spread(z: Array) -> Array:
    """p (1 - p), the variance of the label, in the place of z."""
    p = _sigmoid(z, z)
    return np.subtract(p, p * p, p)


def threads() -> int:
    """The cores that this process may use, at most OMP_NUM_THREADS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(limit))) if limit.isdigit() else cores


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, "objective", initializer=np.seterr, initargs=("ignore",))
