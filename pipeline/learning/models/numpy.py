"""Logistic regression in NumPy: loss, gradient and Hessian by hand."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._linear import Logistic, log_odds

if TYPE_CHECKING:
    from pipeline.arrays import Array, Features
    from pipeline.learning.objective import Objective
    from pipeline.learning.optimizer import Optimizer

__all__ = ["NumpyModel", "log_odds"]


@dataclass(frozen=True)
class NumpyModel(Logistic):
    """Forward, loss, gradient and Hessian by hand, in NumPy."""

    def objective(self, X: "Features", y: "Array", optimizer: "Optimizer", m: "Array | None") -> "tuple[Objective, Optimizer]":
        from pipeline.learning.log_loss import log_loss

        return log_loss(X, y, self.l2, m), optimizer
