"""Logistic regression in NumPy: loss, gradient and Hessian by hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._linear import log_odds

if TYPE_CHECKING:
    from pipeline.arrays import Array, Features
    from pipeline.learning.model import Checkpoint, Fit, Record
    from pipeline.learning.objective import Objective
    from pipeline.learning.optimizer import Optimizer, State

__all__ = ["NumpyModel", "log_odds"]


@dataclass(frozen=True)
class NumpyModel:
    """Forward, loss, gradient and Hessian by hand, in NumPy."""

    dtype: str = "float64"
    l2: float = 0.0
    init: Any = "zeros"
    seed: int = 0
    standardize: bool = True

    def __post_init__(self) -> None:
        from pipeline.learning.logistic import check_settings

        check_settings(self)

    def objective(self, X: "Features", y: "Array", optimizer: "Optimizer") -> "tuple[Objective, Optimizer]":
        from pipeline.learning.log_loss import log_loss

        return log_loss(X, y, self.l2), optimizer

    def fit(
        self,
        X: "Features",
        y: "Array",
        optimizer: "Optimizer",
        features: Sequence[str] = (),
        record: "Callable[[Record], None]" = lambda row: None,
        callback: "Callable[[int, State], None]" = lambda epoch, state: None,
        resume: "Checkpoint | None" = None,
    ) -> "Fit":
        from pipeline.learning.diagnosis import fit_and_diagnose

        return fit_and_diagnose(self, X, y, optimizer, features, record, callback, resume)
