"""Logistic regression in PyTorch: an nn.Module, autograd and torch.optim."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._linear import log_odds

if TYPE_CHECKING:
    from pipeline.arrays import Array, Features
    from pipeline.learning.model import Checkpoint, Fit, Record
    from pipeline.learning.objective import Objective
    from pipeline.learning.optimizer import Optimizer, State

__all__ = ["DEVICES", "TorchModel", "log_odds"]

DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class TorchModel:
    """An nn.Module, trained by autograd and torch.optim. Equal bits are promised on the CPU alone."""

    dtype: str = "float32"
    l2: float = 0.0
    init: Any = "uniform"
    seed: int = 0
    standardize: bool = True
    device: str = "cpu"
    compile: bool = False

    def __post_init__(self) -> None:
        from pipeline.errors import ConfigError
        from pipeline.learning.logistic import check_settings

        check_settings(self)
        if self.device not in DEVICES:
            raise ConfigError(f"device must be one of {', '.join(DEVICES)}; got {self.device}")

    def objective(self, X: "Features", y: "Array", optimizer: "Optimizer") -> "tuple[Objective, Optimizer]":
        from pipeline.learning.torch_objective import TorchLogLoss
        from pipeline.learning.torch_optimizer import torch_optimizer

        return TorchLogLoss(X, y, self.l2, self.device, self.compile), torch_optimizer(optimizer)

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
