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

Block = tuple[Matrix, Array | None]  # some rows of A, and their signs if not folded in
Tasks = Sequence[Sequence[Any]]


class LogLoss(Objective):
    """The objective in NumPy: forward and backward fused over row blocks that stay in cache, the blocks spread over threads.

    The blocks, and the order in which their sums are added in float64, depend on A alone: the number of threads does not change
    a bit of the result (with BLAS on one thread: `determinism.one_thread`). exp overflows where p is 0: run it where NumPy
    ignores that (`np.errstate(all="ignore")`). Not for two threads of the caller at once: its workspaces are reused.
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
        s = None if signs is None else signs.reshape(-1, *np.ndim(l2) * [1])

        def block(rows: slice) -> Block:
            return A.take(rows), None if s is None else s[rows]

        self._tasks = grouped([block(slice(start, start + step)) for start in starts])
        self._block_sum = BlockSum(len(starts), (min(step, self.n), *np.shape(l2)), A.dtype)  # for z and p of a block

    def rows(self, index: NDArray[np.intp]) -> "LogLoss":
        return LogLoss(self._A.take(index), None if self._signs is None else self._signs[index], self._l2)

    def loss(self, theta: Array) -> Any:
        return self._penalised(self._sum(lambda A, s, z, p: loss_and_probability(_margins(A, s, z, theta), p)[0]), theta)

    def gradient(self, theta: Array) -> Array:
        def block(A: Matrix, s: Array | None, z: Array, p: Array) -> Array:
            return _back(A, s, wrong_class_probability(_margins(A, s, z, theta)))

        return self._mean(self._sum(block), theta, self._minus_n)

    def loss_and_gradient(self, theta: Array) -> tuple[Any, Array]:
        def block(A: Matrix, s: Array | None, z: Array, p: Array) -> tuple[Any, Array]:
            loss, p = loss_and_probability(_margins(A, s, z, theta), p)
            return loss, _back(A, s, p)

        loss, slope = self._sum(block, add=lambda one, other: (one[0] + other[0], one[1] + other[1]))
        return self._penalised(loss, theta), self._mean(slope, theta, self._minus_n)

    def hessian(self, theta: Array) -> Array:
        total = self._sum(lambda A, s, z, p: A.gram(label_variance(A.times(theta, z))).astype(np.float64, copy=False)) / self.n
        total.flat[:: len(total) + 1] += self._penalty
        return total

    def hessian_times(self, theta: Array) -> Callable[[Array], Array]:
        variances = grouped(self._sum(lambda A, s, z, p: [(A, label_variance(A.times(theta, z)).copy())]))

        def block(v: Array) -> Callable[..., Array]:
            return lambda A, variance, z, p: _back(A, variance, A.times(v, z))

        return lambda v: self._mean(self._sum(block(v), variances), v, self._n)

    def slope_along(self, theta: Array, direction: Array) -> Callable[[float], float]:
        lines = grouped(self._sum(lambda A, s, z, p: [(_margins(A, s, z, theta).copy(), _margins(A, s, z, direction).copy())]))
        penalty = self._penalty * direction

        def slope(t: float) -> float:
            def block(start: Array, change: Array, z: Array, p: Array) -> float:
                np.add(start, np.multiply(change, t, z), z)
                return float(wrong_class_probability(z) @ change)

            return float(penalty @ (theta + t * direction)) - float(self._sum(block, lines)) / self.n

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

    def _sum(self, work: Callable[..., Any], tasks: Tasks | None = None, add: Add = operator.add) -> Any:
        """What `work` returns for each block, given two arrays (rows, ...) to write to; added in the order of the rows."""
        return self._block_sum(work, tasks or self._tasks, add)


class SmallLogLoss(LogLoss):
    """LogLoss over small dense X, where a pass is so short that Python's own time counts: each method is a few NumPy calls on
    preallocated arrays."""

    def __init__(self, A: Augmented, l2: float = 0.0) -> None:
        """A: diag(s) [X, 1]."""
        super().__init__(A, None, l2)
        self._times, self._mean_back = A.array.dot, np.divide(A.array.T, self._minus_n, dtype=A.dtype).dot
        ((self._z, self._p),) = self._block_sum.workspaces
        self._slope, self._penalty_slope = np.empty((2, A.shape[1]), A.dtype)

    def gradient(self, theta: Array) -> Array:
        return self._write_gradient(theta, np.empty_like(theta))

    def loss_and_gradient(self, theta: Array) -> tuple[Any, Array]:
        total, p = loss_and_probability(self._times(theta, self._z), self._p)
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


def log_loss(X: Features, y: Array, l2: float = 0.0) -> LogLoss:
    """The objective over X (n, d) and labels y (n,) in {0, 1}, in the form that is fastest."""
    signs = signs_of(y, X.dtype)
    if isinstance(X, np.ndarray) and is_small((X.shape[0], X.shape[1] + 1)):
        return SmallLogLoss(Augmented(with_ones(X, signs)), l2)
    return LogLoss(matrix(X), signs, l2)


def _margins(A: Matrix, s: Array | None, z: Array, theta: Array) -> Array:
    """z = s * A theta, written to `z`."""
    return A.times(theta, z) if s is None else np.multiply(A.times(theta, z), s, z)


def _back(A: Matrix, s: Array | None, r: Array) -> Array:
    """A^T (s * r) in float64; r is overwritten."""
    sums = A.transposed_times(r if s is None else np.multiply(r, s, r))
    return sums if sums.dtype == np.float64 else sums.astype(np.float64)
