"""The optimizer that suits the data."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.arrays import Array
from pipeline.learning.objective import Objective
from pipeline.learning.optimizer import Optimizer, State, check_limits
from pipeline.learning.optimizers.lbfgs import LBFGS
from pipeline.learning.optimizers.newton import Newton

SMALL_HESSIAN, LARGEST_HESSIAN = 200, 1000  # columns: one that costs nothing, and one that a few steps may pay for


@dataclass(frozen=True)
class Auto(Optimizer):
    """newton where its Hessian is small and has rows enough, else lbfgs; for sparse X on a diagonal metric.

    With d of some hundreds and fewer than 2 d rows, lbfgs needs so few passes that one Hessian costs more than all.
    """

    epochs: int = 500
    record_every: int = 1
    tol: float = 1e-8

    def __post_init__(self) -> None:
        check_limits(self)

    def for_shape(self, shape: Sequence[int], sparse: bool) -> Optimizer:
        n, d = shape
        if not sparse and d <= LARGEST_HESSIAN and (n >= 2 * d or d <= SMALL_HESSIAN):
            return Newton(self.epochs, self.record_every, self.tol)
        return LBFGS(self.epochs, self.record_every, self.tol, diagonal=sparse)

    def start(self, f: Objective, theta: Array) -> State:
        raise TypeError("auto runs as what its for_shape gives")

    def step(self, f: Objective, state: State, epoch: int) -> State:
        raise TypeError("auto runs as what its for_shape gives")
