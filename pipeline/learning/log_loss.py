"""The objective in NumPy: see `pipeline.learning.objective` for the formulas."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array, Features
from pipeline.learning.losses import label_variance, loss_and_probability, signs_of, wrong_class_probability
from pipeline.learning.matrix import Augmented, Matrix, is_small, matrix, with_ones
from pipeline.learning.objective import Objective
from pipeline.learning.parallel import Add, BlockSum, grouped

Block = tuple[Matrix, Array | None, Array | None]  # some rows of A, their signs if not folded in, and their weights if any
Tasks = Sequence[Sequence[Any]]


class LogLoss(Objective):
    """The objective in NumPy: forward and backward fused over row blocks that stay in cache, the blocks spread over threads.

    The blocks, and the order in which their sums are added in float64, depend on A alone: the number of threads does not change
    a bit of the result (with BLAS on one thread: `determinism.one_thread`). exp overflows where p is 0: run it where NumPy
    ignores that (`np.errstate(all="ignore")`). Not for two threads of the caller at once: its workspaces are reused.
    """

    def __init__(self, A: Matrix, signs: Array | None, l2: float | Array = 0.0, m: Array | None = None) -> None:
        """signs: s (n,); None where they are folded into the rows of A. m: row weights (n,); None where all are 1."""
        self.n, self._l2 = A.shape[0], l2
        self._n, self._minus_n = np.array(float(self.n)), np.array(-float(self.n))
        self._A, self._signs, self._m = A, signs, m
        penalised = np.ones(A.shape[1], A.dtype)
        penalised[-1] = 0
        self._penalty = np.multiply.outer(penalised, l2).astype(A.dtype)
        self._is_penalised = bool(self._penalty.any())
        step = A.block_rows(np.size(l2))
        starts = range(0, self.n, step)
        s = None if signs is None else signs.reshape(-1, *np.ndim(l2) * [1])

        def block(rows: slice) -> Block:
            return A.take(rows), None if s is None else s[rows], None if m is None else m[rows]

        self._tasks = grouped([block(slice(start, start + step)) for start in starts])
        self._block_sum = BlockSum(len(starts), (min(step, self.n), *np.shape(l2)), A.dtype)  # for z and p of a block

    def rows(self, index: NDArray[np.intp]) -> "LogLoss":
        signs, m = (None if part is None else part[index] for part in (self._signs, self._m))
        return LogLoss(self._A.take(index), signs, self._l2, m)

    def loss(self, theta: Array) -> Any:
        return self._penalised(self._sum(lambda A, s, m, z, p: loss_and_probability(_margins(A, s, z, theta), p, m)[0]), theta)

    def gradient(self, theta: Array) -> Array:
        def block(A: Matrix, s: Array | None, m: Array | None, z: Array, p: Array) -> Array:
            return _back(A, s, m, wrong_class_probability(_margins(A, s, z, theta)))

        return self._mean(self._sum(block), theta, self._minus_n)

    def loss_and_gradient(self, theta: Array) -> tuple[Any, Array]:
        def block(A: Matrix, s: Array | None, m: Array | None, z: Array, p: Array) -> tuple[Any, Array]:
            loss, p = loss_and_probability(_margins(A, s, z, theta), p, m)
            return loss, _back(A, s, m, p)

        loss, slope = self._sum(block, add=lambda one, other: (one[0] + other[0], one[1] + other[1]))
        return self._penalised(loss, theta), self._mean(slope, theta, self._minus_n)

    def hessian(self, theta: Array) -> Array:
        def block(A: Matrix, s: Array | None, m: Array | None, z: Array, p: Array) -> Array:
            return A.gram(_weighted(label_variance(A.times(theta, z)), m)).astype(np.float64, copy=False)

        total = self._sum(block) / self.n
        total.flat[:: len(total) + 1] += self._penalty
        return total

    def hessian_times(self, theta: Array) -> Callable[[Array], Array]:
        def variance(A: Matrix, s: Array | None, m: Array | None, z: Array, p: Array) -> Tasks:
            return [(A, _weighted(label_variance(A.times(theta, z)), m).copy())]

        variances = grouped(self._sum(variance))

        def block(v: Array) -> Callable[..., Array]:
            return lambda A, variance, z, p: _back(A, variance, None, A.times(v, z))

        return lambda v: self._mean(self._sum(block(v), variances), v, self._n)

    def slope_along(self, theta: Array, direction: Array) -> Callable[[float], float]:
        def line(A: Matrix, s: Array | None, m: Array | None, z: Array, p: Array) -> Tasks:
            start, change = _margins(A, s, z, theta).copy(), _margins(A, s, z, direction).copy()
            return [(start, change, change if m is None else change * m)]

        lines = grouped(self._sum(line))
        penalty = self._penalty * direction

        def slope(t: float) -> float:
            def block(start: Array, change: Array, weighted_change: Array, z: Array, p: Array) -> float:
                np.add(start, np.multiply(change, t, z), z)
                return float(wrong_class_probability(z) @ weighted_change)

            return float(penalty @ (theta + t * direction)) - float(self._sum(block, lines)) / self.n

        return slope

    def curvatures(self) -> Array:
        intercept = np.zeros(self._A.shape[1], self._A.dtype)
        intercept[-1] = 1

        def block(A: Matrix, s: Array | None, m: Array | None, z: Array, p: Array) -> Array:
            ones = _weighted(A.times(intercept, z), m)
            return np.stack([A.squares(m), A.transposed_times(ones)]).astype(np.float64)

        curvatures: Array = self._sum(block) / (4 * self.n)
        curvatures[0] += self._penalty
        return curvatures

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

    def _sum(self, work: Callable[..., Any], tasks: Tasks | None = None, add: Add = operator.add) -> Any:
        """What `work` returns for each block, given two arrays (rows, ...) to write to; added in the order of the rows."""
        return self._block_sum(work, tasks or self._tasks, add)


class SmallLogLoss(LogLoss):
    """LogLoss over small dense X, where a pass is so short that Python's own time counts: each method is a few NumPy calls on
    preallocated arrays."""

    def __init__(self, A: Augmented, l2: float = 0.0, m: Array | None = None) -> None:
        """A: diag(s) [X, 1]. m: row weights (n,); None where all are 1."""
        super().__init__(A, None, l2, m)
        back = A.array.T if m is None else A.array.T * m
        self._times, self._mean_back = A.array.dot, np.divide(back, self._minus_n, dtype=A.dtype).dot
        ((self._z, self._p),) = self._block_sum.workspaces
        self._slope, self._penalty_slope = np.empty((2, A.shape[1]), A.dtype)

    def gradient(self, theta: Array) -> Array:
        return self._write_gradient(theta, np.empty_like(theta))

    def loss_and_gradient(self, theta: Array) -> tuple[Any, Array]:
        total, p = loss_and_probability(self._times(theta, self._z), self._p, self._m)
        slope = self._mean_back(p)
        if self._is_penalised:
            slope += self._penalty * theta
        return self._penalised(total, theta), slope

    def descend(self, theta: Array, gradient: Array, lr: float, steps: int) -> Array:
        rate = np.asarray(lr, theta.dtype)
        theta = theta - np.multiply(gradient, rate, self._slope)
        for _ in range(steps - 1):
            slope = self._write_gradient(theta, self._slope)
            np.multiply(slope, rate, slope)
            np.subtract(theta, slope, theta)
        return theta

    def _write_gradient(self, theta: Array, out: Array) -> Array:
        self._mean_back(wrong_class_probability(self._times(theta, self._z)), out)
        if self._is_penalised:
            np.add(out, np.multiply(self._penalty, theta, self._penalty_slope), out)
        return out


def log_loss(X: Features, y: Array, l2: float = 0.0, m: Array | None = None) -> LogLoss:
    """The objective over X (n, d), labels y (n,) in {0, 1} and row weights m (n,), in the form that is fastest."""
    signs, m = signs_of(y, X.dtype), None if m is None else m.astype(X.dtype, copy=False)
    if isinstance(X, np.ndarray) and is_small((X.shape[0], X.shape[1] + 1)):
        return SmallLogLoss(Augmented(with_ones(X, signs)), l2, m)
    return LogLoss(matrix(X), signs, l2, m)


def _margins(A: Matrix, s: Array | None, z: Array, theta: Array) -> Array:
    """z = s * A theta, written to `z`."""
    return A.times(theta, z) if s is None else np.multiply(A.times(theta, z), s, z)


def _weighted(r: Array, m: Array | None) -> Array:
    """m * r (n, ...), written to `r`."""
    return r if m is None else np.multiply(r.T, m, r.T).T


def _back(A: Matrix, s: Array | None, m: Array | None, r: Array) -> Array:
    """A^T (s * m * r) in float64; r is overwritten."""
    r = _weighted(r, m)
    sums = A.transposed_times(r if s is None else np.multiply(r, s, r))
    return sums if sums.dtype == np.float64 else sums.astype(np.float64)
