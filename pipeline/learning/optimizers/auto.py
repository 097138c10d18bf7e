"""The optimizer that suits the data."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.learning.optimizer import Optimizer
from pipeline.learning.optimizers.lbfgs import LBFGS
from pipeline.learning.optimizers.newton import Newton

SMALL_HESSIAN, MAX_HESSIAN = 200, 1000  # columns: one that costs nothing, and one that a few steps may pay for


@dataclass(frozen=True)
class Auto(Optimizer):
    """newton where its Hessian is small and has rows enough, else lbfgs; for sparse X on a diagonal metric.

    With d of some hundreds and fewer than 2 d rows, lbfgs needs so few passes that one Hessian costs more than all. With `tol`,
    the log loss of other rows of real tables is the optimum's to 1e-6.
    """

    tol: float = 1e-7

    def for_shape(self, shape: Sequence[int], sparse: bool) -> Optimizer:
        n, d = shape
        if not sparse and d <= MAX_HESSIAN and (n >= 2 * d or d <= SMALL_HESSIAN):
            return Newton(self.epochs, self.record_every, self.tol)
        return LBFGS(self.epochs, self.record_every, self.tol, diagonal=sparse)
