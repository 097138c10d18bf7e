"""Optimizers: one frozen dataclass each, whose fields are its hyperparameters and the schema of conf/optimizer/<name>.yaml.

`start` makes the state at the initial point and `step` returns the state one epoch later. A state is a mapping of names to
arrays; state["theta"] is the point, and state["gradient"], where a method knows it, the full gradient there. Nothing here logs.
"""

from dataclasses import dataclass

from pipeline.learning.optimizers.first_order import Adam, GradientDescent, StochasticGradientDescent
from pipeline.learning.optimizers.protocol import Optimizer, State, check_limits
from pipeline.learning.optimizers.second_order import LBFGS, Newton

__all__ = [
    "LBFGS",
    "OPTIMIZERS",
    "Adam",
    "Auto",
    "GradientDescent",
    "Newton",
    "Optimizer",
    "State",
    "StochasticGradientDescent",
]

SMALL_HESSIAN, LARGEST_HESSIAN = 200, 1000  # columns: one that costs nothing, and one that a few steps may pay for


@dataclass(frozen=True)
class Auto:
    """The optimizer that suits the problem: see `pick`."""

    epochs: int = 500
    record_every: int = 1
    tol: float = 1e-8

    def __post_init__(self) -> None:
        check_limits(self)

    def pick(self, n: int, d: int, sparse: bool) -> Optimizer:
        """For X (n, d): newton where its Hessian is small and has rows enough, else lbfgs; for sparse X on a diagonal metric.

        With d of some hundreds and fewer than 2 d rows, lbfgs needs so few passes that one Hessian costs more than all.
        """
        common = {"epochs": self.epochs, "record_every": self.record_every, "tol": self.tol}
        if not sparse and d <= LARGEST_HESSIAN and (n >= 2 * d or d <= SMALL_HESSIAN):
            return Newton(**common)  # type: ignore[arg-type]
        return LBFGS(**common, diagonal=sparse)  # type: ignore[arg-type]


OPTIMIZERS: dict[str, type[Optimizer | Auto]] = {
    "gd": GradientDescent,
    "sgd": StochasticGradientDescent,
    "adam": Adam,
    "lbfgs": LBFGS,
    "newton": Newton,
    "auto": Auto,
}
