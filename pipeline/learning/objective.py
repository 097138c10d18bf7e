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
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache, lru_cache, reduce
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array, Features
from pipeline.learning.matrix import Augmented, Matrix, is_small, matrix, with_ones

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
ONE = {kind: np.ones((), kind) for kind in (SINGLE, DOUBLE)}  # NumPy converts Python's 1 anew each time
FACTORS = 64  # of a product of 1 + exp(z), which overflows at a mean z of 11
SMALL_LOSS = {SINGLE: 0.1, DOUBLE: 0.01}  # a mean loss below which log(1 + exp(z)) - z, rounded, is not exact enough for it
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

    def rows(self, index: NDArray[np.intp]) -> "Objective":
        """The same objective on some rows: a mini-batch or a sample."""


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)). Accurate for every z: exp overflows only where the result is 0."""
    with np.errstate(over="ignore"):
        return _wrong(np.negative(z, dtype=np.result_type(z, SINGLE)))


def _wrong(z: Array) -> Array:
    """p = sigmoid(-z), in the place of z."""
    return _wrong_of(np.exp(z, z))


def _wrong_of(odds: Array) -> Array:
    """p = 1 / (1 + exp(z)), in the place of exp(z)."""
    one = ONE[odds.dtype]
    return np.divide(one, np.add(odds, one, odds), odds)


def log_losses(z: Array, y: Array) -> Array:
    """-[y log p + (1-y) log(1-p)] for each row, from log-odds z (n,) and labels y (n,) in {0, 1}."""
    return _losses(z * signs_of(y, z.dtype))


def signs_of(y: Array, dtype: np.dtype[Any]) -> Array:
    """s = 2y - 1."""
    return 2 * y.astype(dtype, copy=False) - 1


def _losses(z: Array) -> Array:
    """log(1 + exp(-z)), without overflow and without loss of small values."""
    return np.log1p(np.exp(-np.abs(z))) - np.minimum(z, 0)


def _loss_and_wrong(z: Array, p: Array) -> tuple[Any, Array]:
    """The rows' sum of log(1 + exp(-z)) in float64, and p = sigmoid(-z), written to `p`, from one exp.

    Each loss is log(1 + exp(z)) - z. Where they are too small for the difference, or exp is too large, they are computed one
    by one.
    """
    np.exp(z, p)
    total = _sum_of_losses(z, np.add(p, ONE[z.dtype], dtype=np.float64))
    is_exact = (total >= len(z) * SMALL_LOSS[z.dtype]) & (total < np.inf)
    if not (is_exact.all() if z.ndim > 1 else is_exact):
        total = _losses(z.astype(np.float64)).sum(axis=0)
    return total, _wrong_of(p)


def _sum_of_losses(z: Array, u: Array) -> Any:
    """The sum of log u - z over the rows of z and u (n, ...) in float64, by the logarithms of products, which are far fewer."""
    if z.ndim == 1:
        products = np.multiply.reduceat(u, _starts(len(u)))
        return np.add.reduce(np.log(products, products)) - np.add.reduce(z, dtype=np.float64)
    # NumPy adds columns one number after the other: sums of few, and of few small differences, keep their digits.
    whole = len(z) - len(z) % FACTORS
    groups = [part[:whole].reshape(FACTORS, -1, z.shape[1]) for part in (z, u)], [z[whole:], u[whole:]]
    losses = (np.log(np.multiply.reduce(u, axis=0)) - np.add.reduce(z, axis=0, dtype=np.float64) for z, u in groups)
    return sum(np.add.reduce(np.atleast_2d(part), axis=0) for part in losses)


@lru_cache(maxsize=8)
def _starts(n: int) -> NDArray[np.intp]:
    return np.arange(0, n, FACTORS)


Block = tuple[Matrix, Array | None]  # some rows of A, and their signs if not folded in


class LogLoss:
    """The objective in NumPy: forward and backward fused over row blocks that stay in cache, the blocks spread over threads.

    The blocks, and the order in which their sums are added in float64, depend on A alone: the number of threads does not change
    a bit of the result (with BLAS on one thread: see `models.fit`). exp overflows where p is 0: run it where NumPy
    ignores that (`np.errstate(all="ignore")`). Not for two threads of the caller at once: its arrays are used again.
    """

    def __init__(self, A: Matrix, signs: Array | None, l2: float | Array = 0.0) -> None:
        """signs: s (n,); None where they are folded into the rows of A."""
        self.n, self._l2 = A.shape[0], l2
        self._n, self._minus_n = np.array(float(self.n)), np.array(-float(self.n))
        self._A, self._signs = A, signs
        penalised = np.ones(A.shape[1], A.dtype)
        penalised[-1] = 0
        self._penalty = np.multiply.outer(penalised, l2).astype(A.dtype)
        self._is_penalised = bool(self._penalty.any())
        step = A.block_rows(np.size(l2))
        starts = range(0, self.n, step)
        self._size = -(-len(starts) // TASKS)  # blocks a task
        s = None if signs is None else signs.reshape(-1, *np.ndim(l2) * [1])

        def block(rows: slice) -> Block:
            return A.take(rows), None if s is None else s[rows]

        self._tasks = self._grouped([block(slice(start, start + step)) for start in starts])
        self._is_one_block = len(starts) == 1
        room = 2, min(step, self.n), *np.shape(l2)  # for z and p of a block; a thread's, so that it stays in its cache
        self._rooms = [np.empty(room, A.dtype) for _ in range(1 if self._is_one_block else threads())]

    def _grouped(self, blocks: list[Any]) -> list[list[Any]]:
        """The blocks that a thread takes one after the other."""
        return [blocks[i : i + self._size] for i in range(0, len(blocks), self._size)]

    def rows(self, index: NDArray[np.intp]) -> "LogLoss":
        return LogLoss(self._A.take(index), None if self._signs is None else self._signs[index], self._l2)

    def loss(self, theta: Array) -> Any:
        return self._penalised(self._sum(lambda A, s, z, p: _loss_and_wrong(_margins(A, s, z, theta), p)[0]), theta)

    def gradient(self, theta: Array) -> Array:
        def block(A: Matrix, s: Array | None, z: Array, p: Array) -> Array:
            return _back(A, s, _wrong(_margins(A, s, z, theta)))

        return self._mean(self._sum(block), theta, self._minus_n)

    def loss_and_gradient(self, theta: Array) -> tuple[Any, Array]:
        def block(A: Matrix, s: Array | None, z: Array, p: Array) -> tuple[Any, Array]:
            loss, p = _loss_and_wrong(_margins(A, s, z, theta), p)
            return loss, _back(A, s, p)

        loss, slope = self._sum(block, add=lambda one, other: (one[0] + other[0], one[1] + other[1]))
        return self._penalised(loss, theta), self._mean(slope, theta, self._minus_n)

    def hessian(self, theta: Array) -> Array:
        total = self._sum(lambda A, s, z, p: A.gram(_spread(A.times(theta, z))).astype(np.float64, copy=False)) / self.n
        total.flat[:: len(total) + 1] += self._penalty
        return total

    def hessian_times(self, theta: Array) -> Callable[[Array], Array]:
        spreads = self._grouped(self._sum(lambda A, s, z, p: [(A, _spread(A.times(theta, z)).copy())]))

        def block(v: Array) -> Callable[..., Array]:
            return lambda A, spread, z, p: _back(A, spread, A.times(v, z))

        return lambda v: self._mean(self._sum(block(v), spreads), v, self._n)

    def slope_along(self, theta: Array, direction: Array) -> Callable[[float], float]:
        lines = self._grouped(
            self._sum(lambda A, s, z, p: [(_margins(A, s, z, theta).copy(), _margins(A, s, z, direction).copy())])
        )
        bend = self._penalty * direction

        def slope(t: float) -> float:
            def block(start: Array, change: Array, z: Array, p: Array) -> float:
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
        self, work: Callable[..., Any], tasks: list[list[Any]] | None = None, add: Callable[[Any, Any], Any] = operator.add
    ) -> Any:
        """What `work` returns for each block, given two arrays (rows, ...) to write to; added in the order of the rows."""
        tasks = tasks or self._tasks
        mine, *rooms = self._rooms
        if self._is_one_block:
            return work(*tasks[0][0], *mine)
        total, remaining = InOrder(add), enumerate(tasks)

        def take_turns(room: Array) -> None:
            for i, blocks in remaining:
                total.add(i, reduce(add, (work(*block, *room[:, : block[0].shape[0]]) for block in blocks)))

        others = [_pool(len(rooms)).submit(take_turns, room) for room in rooms]
        try:
            take_turns(mine)
        finally:  # after an error nobody takes another turn, and the rooms are free again
            deque(remaining, maxlen=0)
            wait(others)
        for other in others:
            other.result()
        return total.so_far


class InOrder:
    """The sum of numbered parts that come in any order, added in that of their numbers, and each as soon as it can be."""

    def __init__(self, add: Callable[[Any, Any], Any]) -> None:
        self.so_far: Any = None
        self._add, self._next, self._waiting, self._lock = add, 0, dict[int, Any](), Lock()

    def add(self, number: int, part: Any) -> None:
        with self._lock:
            self._waiting[number] = part
            while self._next in self._waiting:
                part = self._waiting.pop(self._next)
                self.so_far = part if self._next == 0 else self._add(self.so_far, part)
                self._next += 1


class ShortLogLoss(LogLoss):
    """LogLoss over small dense X, where a pass is so short that Python's own time counts: it makes NumPy's calls alone, on
    arrays that are there."""

    def __init__(self, A: Augmented, l2: float = 0.0) -> None:
        """A: diag(s) [X, 1]."""
        super().__init__(A, None, l2)
        self._times, self._mean_back = A.array.dot, np.divide(A.array.T, self._minus_n, dtype=A.dtype).dot
        ((self._z, self._p),) = self._rooms
        self._slope, self._bend = np.empty((2, A.shape[1]), A.dtype)

    def gradient(self, theta: Array) -> Array:
        return self._write_gradient(theta, np.empty_like(theta))

    def loss_and_gradient(self, theta: Array) -> tuple[Any, Array]:
        total, p = _loss_and_wrong(self._times(theta, self._z), self._p)
        slope = self._mean_back(p)
        if self._is_penalised:
            slope += self._penalty * theta
        return self._penalised(total, theta), slope

    def descend(self, theta: Array, gradient: Array, lr: float, steps: int) -> Array:
        """theta after so many steps of gradient descent, the first along `gradient`."""
        rate = np.asarray(lr, theta.dtype)
        theta = theta - np.multiply(gradient, rate, self._slope)
        for _ in range(steps - 1):
            slope = self._write_gradient(theta, self._slope)
            np.multiply(slope, rate, slope)
            np.subtract(theta, slope, theta)
        return theta

    def _write_gradient(self, theta: Array, out: Array) -> Array:
        self._mean_back(_wrong(self._times(theta, self._z)), out)
        if self._is_penalised:
            np.add(out, np.multiply(self._penalty, theta, self._bend), out)
        return out


def log_loss(X: Features, y: Array, l2: float = 0.0) -> LogLoss:
    """The objective over X (n, d) and labels y (n,) in {0, 1}, in the form that is fastest."""
    signs = signs_of(y, X.dtype)
    if isinstance(X, np.ndarray) and is_small((X.shape[0], X.shape[1] + 1)):
        return ShortLogLoss(Augmented(with_ones(X, signs)), l2)
    return LogLoss(matrix(X), signs, l2)


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


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has none of the threads
