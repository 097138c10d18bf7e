"""Logistic regression in PyTorch: an nn.Module, autograd and torch.optim."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._linear import Logistic, log_odds

if TYPE_CHECKING:
    from pipeline.arrays import Array, Features
    from pipeline.learning.objective import Objective
    from pipeline.learning.optimizer import Optimizer

__all__ = ["DEVICES", "TorchModel", "log_odds"]

DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class TorchModel(Logistic):
    """An nn.Module, trained by autograd and torch.optim. Equal bits are promised on the CPU alone."""

    dtype: str = "float32"
    init: Any = "uniform"
    device: str = "cpu"
    compile: bool = False

    def __post_init__(self) -> None:
        from pipeline.errors import ConfigError

        super().__post_init__()
        if self.device not in DEVICES:
            raise ConfigError(f"device must be one of {', '.join(DEVICES)}; got {self.device}")

    def objective(self, X: "Features", y: "Array", optimizer: "Optimizer", m: "Array | None") -> "tuple[Objective, Optimizer]":
        from pipeline.learning.torch_objective import TorchLogLoss
        from pipeline.learning.torch_optimizer import torch_optimizer

        f = TorchLogLoss(X, y, self.l2, self.device, self.compile, m)
        return f, torch_optimizer(optimizer, f)
