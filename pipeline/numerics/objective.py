"""The objective, stated once: mean log loss + l2/2 ||w||^2.

    z = s * A theta                  A = [X, 1]  (n, d+1),  theta = [w, b]  (d+1,),  s = 2y - 1
    f(theta) = mean(log(1 + exp(-z))) + l2/2 ||w||^2
    gradient = -A^T (s * p) / n + l2 [w, 0]            p = sigmoid(-z), the probability of the wrong class
    Hessian  = A^T diag(p (1 - p)) A / n + l2 diag(1, ..., 1, 0)

z is each row's margin: the log-odds of its own class. The loss is computed from it, so it stays finite and exact at any z.
Where A is a copy anyway, the signs s are folded into its rows.

theta (d+1, k) and l2 (k,) state k problems over the same data: the loss and the gradient, and they alone, then have a column
a problem.
"""

import operator
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, reduce
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.numerics.matrix import Array, Augmented, Matrix

ONE = {np.dtype(kind): np.ones((), kind) for kind in (np.float32, np.float64)}  # NumPy converts Python's 1 anew each time
FACTORS = 512  # of a product of numbers from 1/2 on, which must not underflow
SMALL_LOSS = 1e-2  # a mean loss below which 1 - p, rounded, is not exact enough for it
PRODUCT_BYTES, PRODUCT_ROWS = 400 << 10, 384  # of a block for several problems and its result, and the fewest rows for them
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

    def slope_along(self, theta: Array, direction: Array) -> Callable[[float], float]:
        """The function t -> the derivative of f(theta + t direction)."""

    def curvatures(self) -> Array:
        """The Hessian's diagonal where every p is 1/2, (d+1,): its greatest."""

    def rows(self, index: NDArray[np.intp]) -> Self:
        """The same objective on some rows: a mini-batch or a sample."""


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)). Accurate for every z: exp overflows only where the result is 0."""
    with np.errstate(over="ignore"):
        return _wrong(np.negative(z))


def _wrong(z: Array) -> Array:
    """p = sigmoid(-z), in the place of z."""
    one = ONE[z.dtype]
    np.exp(z, z)
    np.add(z, one, z)
    return np.divide(one, z, z)


def log_losses(z: Array, y: Array) -> Array:
    """-[y log p + (1-y) log(1-p)] for each row, from log-odds z (n,) and labels y (n,) in {0, 1}."""
    return _losses(z * (2 * y - 1))


def _losses(z: Array) -> Array:
    """log(1 + exp(-z)), without overflow and without loss of small values."""
    return np.log1p(np.exp(-np.abs(z))) - np.minimum(z, 0)


def _loss_and_wrong(z: Array) -> tuple[Array, Array]:
    """The rows' sum of log(1 + exp(-z)) in float64, and p = sigmoid(-z), from one exp.

    Each loss is -log(max(p, 1 - p)) - min(z, 0). Where they are small, 1 - p is too coarse, and they are computed from z alone.
    """
    p = _wrong(z.copy())
    right = np.maximum(p, np.subtract(ONE[p.dtype], p, dtype=np.float64))
    total = -_sum_of_logs(right) - np.add.reduce(np.minimum(z, 0), axis=0, dtype=np.float64)
    if (total < len(z) * SMALL_LOSS).any():
        total = _losses(z.astype(np.float64)).sum(axis=0)
    return total, p


def _sum_of_logs(u: Array) -> Array:
    """The columns' sums of log u, for u (n, ...) in [1/2, 1]: the logarithms of products, which are far fewer."""
    if len(u) <= FACTORS:
        return np.log(np.multiply.reduce(u, axis=0))
    products = np.multiply.reduceat(u, np.arange(0, len(u), FACTORS), axis=0)
    return np.add.reduce(np.log(products, products), axis=0)


Block = tuple[Matrix, Array | None, Array]  # some rows of A, their signs if not folded in, and room for a number a row


class LogLoss:
    """The objective in NumPy: forward and backward fused over row blocks that stay in cache, the blocks spread over threads.

    The blocks, and the order in which their sums are added in float64, depend on A alone: the number of threads does not change
    a bit of the result (with BLAS on one thread: see `models.fit`). exp overflows where p is 0: run it where NumPy
    ignores that (`np.errstate(all="ignore")`).
    """

    def __init__(self, A: Matrix, y: Array | None, l2: float | Array = 0.0) -> None:
        """y: labels (n,) in {0, 1}; None where all are 1."""
        self.n, self._l2 = A.shape[0], l2
        self._n, self._minus_n = np.array(float(self.n)), np.array(-float(self.n))
        if y is not None and isinstance(A, Augmented):
            A, y = A.scaled(2 * y - 1), None
        self._A, self._y = A, y
        penalised = np.ones(A.shape[1], A.dtype)
        penalised[-1] = 0
        self._penalty = np.multiply.outer(penalised, l2).astype(A.dtype)
        self._is_penalised = bool(self._penalty.any())
        a_row = (A.shape[1] + np.size(l2)) * A.dtype.itemsize
        step = min(A.block_rows, max(PRODUCT_ROWS, PRODUCT_BYTES // a_row)) if np.ndim(l2) else A.block_rows
        starts = range(0, self.n, step)
        self._size = -(-len(starts) // TASKS)  # blocks a task
        rooms = [np.empty((min(step, self.n), *np.shape(l2)), A.dtype) for _ in starts[:: self._size]]
        signs = None if y is None else (2 * y - 1).reshape(-1, *np.ndim(l2) * [1])

        def block(i: int, start: int) -> Block:
            rows = slice(start, start + step)
            return A.take(rows), None if signs is None else signs[rows], rooms[i // self._size][: self.n - start]

        self._tasks = self._grouped([block(i, start) for i, start in enumerate(starts)])
        self._is_one_block = len(starts) == 1
        self.is_short = isinstance(A, Augmented) and A.is_small  # of a pass, Python's own time is then a good part

    def _grouped(self, blocks: list[Block]) -> list[list[Block]]:
        """The blocks that a thread takes one after the other, in the same room."""
        return [blocks[i : i + self._size] for i in range(0, len(blocks), self._size)]

    def rows(self, index: NDArray[np.intp]) -> "LogLoss":
        return LogLoss(self._A.take(index), None if self._y is None else self._y[index], self._l2)

    def loss(self, theta: Array) -> Any:
        return self._penalised(self._sum(lambda A, s, z: _loss_and_wrong(_margins(A, s, z, theta))[0]), theta)

    def gradient(self, theta: Array) -> Array:
        def block(A: Matrix, s: Array | None, z: Array) -> Array:
            return _back(A, s, _wrong(_margins(A, s, z, theta)))

        return self._mean(self._sum(block), theta, self._minus_n)

    def loss_and_gradient(self, theta: Array) -> tuple[Any, Array]:
        def block(A: Matrix, s: Array | None, z: Array) -> tuple[Any, Array]:
            loss, p = _loss_and_wrong(_margins(A, s, z, theta))
            return loss, _back(A, s, p)

        loss, slope = self._sum(block, add=lambda one, other: (one[0] + other[0], one[1] + other[1]))
        return self._penalised(loss, theta), self._mean(slope, theta, self._minus_n)

    def descend(self, theta: Array, gradient: Array, lr: float, steps: int) -> Array:
        """theta after so many steps of gradient descent where `is_short`, the first along `gradient`: the bits of `gradient`
        and an update in turn, with nothing but NumPy's calls on arrays that are there."""
        assert isinstance(self._A, Augmented)
        ((_, _, z),) = self._tasks[0]
        A, one, rate = self._A.array, ONE[theta.dtype], np.asarray(lr, theta.dtype)
        penalty, is_penalised, n = self._penalty, self._is_penalised, self._minus_n
        times, transposed_times = A.dot, A.T.dot
        theta = theta - lr * gradient
        slope, bend, mean = np.empty_like(theta), np.empty_like(theta), np.empty(theta.shape)
        for _ in range(steps - 1):
            times(theta, z)
            np.exp(z, z)
            np.add(z, one, z)
            np.divide(one, z, z)
            transposed_times(z, slope)
            if is_penalised:
                np.divide(slope, n, mean)
                np.add(mean, np.multiply(penalty, theta, bend), slope)
            else:
                np.divide(slope, n, slope)
            np.multiply(slope, rate, slope)
            np.subtract(theta, slope, theta)
        return theta

    def hessian(self, theta: Array) -> Array:
        total = self._sum(lambda A, _, z: A.gram(_spread(A.times(theta, z))).astype(np.float64, copy=False)) / self.n
        total.flat[:: len(total) + 1] += self._penalty
        return total

    def hessian_times(self, theta: Array) -> Callable[[Array], Array]:
        spreads = self._grouped(self._sum(lambda A, _, z: [(A, _spread(A.times(theta, z)).copy(), z)]))

        def block(v: Array) -> Callable[..., Array]:
            return lambda A, spread, z: _back(A, spread, A.times(v, z))

        return lambda v: self._mean(self._sum(block(v), spreads), v, self._n)

    def slope_along(self, theta: Array, direction: Array) -> Callable[[float], float]:
        lines = self._grouped(
            self._sum(lambda A, s, z: [(_margins(A, s, z, theta).copy(), _margins(A, s, z, direction).copy(), z)])
        )
        bend = self._penalty * direction

        def slope(t: float) -> float:
            def block(start: Array, change: Array, z: Array) -> float:
                np.add(start, np.multiply(change, t, z), z)
                return float(_wrong(z) @ change)

            return float(bend @ (theta + t * direction)) - float(self._sum(block, lines)) / self.n

        return slope

    def curvatures(self) -> Array:
        return self._sum(lambda A, *_: A.squares().astype(np.float64)) / (4 * self.n) + self._penalty

    def _penalised(self, total: Any, theta: Array) -> Any:
        loss = total / self.n
        if self._is_penalised:
            loss = loss + 0.5 * (self._penalty * theta * theta).sum(axis=0, dtype=np.float64)
        return loss

    def _mean(self, total: Array, theta: Array, n: Array) -> Array:
        """The derivative at theta, from the rows' sum of theirs."""
        np.divide(total, n, total)
        if self._is_penalised:
            total += self._penalty * theta
        return total.astype(theta.dtype, copy=False)

    def _sum(
        self, work: Callable[..., Any], tasks: list[list[Block]] | None = None, add: Callable[[Any, Any], Any] = operator.add
    ) -> Any:
        """What `work` returns for each block, added in the order of the rows."""
        tasks = tasks or self._tasks
        if self._is_one_block:
            return work(*tasks[0][0])

        def task(blocks: list[Block]) -> Any:
            return reduce(add, (work(*block) for block in blocks))

        each = _pool(threads()).map if threads() > 1 else map
        return reduce(add, each(task, tasks))


def _margins(A: Matrix, s: Array | None, z: Array, theta: Array) -> Array:
    """z = s * A theta, written to `z`."""
    return A.times(theta, z) if s is None else np.multiply(A.times(theta, z), s, z)


def _back(A: Matrix, s: Array | None, r: Array) -> Array:
    """A^T (s * r) in float64; r is overwritten."""
    return _precise(A.transposed_times(r if s is None else np.multiply(r, s, r)))


def _precise(sums: Array) -> Array:
    return sums if sums.dtype == np.float64 else sums.astype(np.float64)


def _spread(z: Array) -> Array:
    """p (1 - p), the variance of the label, in the place of z."""
    p = _wrong(z)
    return np.subtract(p, p * p, p)


def threads() -> int:
    """The cores that this process may use, at most OMP_NUM_THREADS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(limit))) if limit.isdigit() else cores


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, "objective", initializer=np.seterr, initargs=("ignore",))
