"""Optimizers: one frozen dataclass each, whose fields are its hyperparameters and the schema of conf/optimizer/<name>.yaml.

`start` makes the state at the initial point and `step` returns the state one epoch later. A state is a plain dict of arrays;
state["theta"] is the point, and state["gradient"], where a method knows it, the full gradient there. Nothing here logs.
"""

from dataclasses import dataclass

from pipeline.numerics.optimizers.first_order import Adam, GradientDescent, StochasticGradientDescent
from pipeline.numerics.optimizers.protocol import Optimizer, State, check_limits
from pipeline.numerics.optimizers.second_order import LBFGS, Newton

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


@dataclass(frozen=True)
class Auto:
    """The optimizer that suits the problem: see `pick`."""

    epochs: int = 500
    record_every: int = 1
    tol: float = 1e-8

    def __post_init__(self) -> None:
        check_limits(self)

    def pick(self, d: int, sparse: bool) -> Optimizer:
        """lbfgs on a diagonal metric for sparse X, newton where the Hessian is small, else lbfgs."""
        common = {"epochs": self.epochs, "record_every": self.record_every, "tol": self.tol}
        if sparse:
            return LBFGS(**common, diagonal=True)  # type: ignore[arg-type]
        if d <= 1000:
            return Newton(**common)  # type: ignore[arg-type]
        return LBFGS(**common)  # type: ignore[arg-type]


OPTIMIZERS: dict[str, type[Optimizer | Auto]] = {
    "gd": GradientDescent,
    "sgd": StochasticGradientDescent,
    "adam": Adam,
    "lbfgs": LBFGS,
    "newton": Newton,
    "auto": Auto,
}
