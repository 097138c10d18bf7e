"""Adam."""

from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Array
from pipeline.learning.objective import Objective
from pipeline.learning.optimizer import Optimizer, State
from pipeline.learning.optimizers._descent import measured
from pipeline.limits import check_fraction, check_positive


@dataclass(frozen=True)
class Adam(Optimizer):
    """Full-batch Adam (Kingma and Ba 2015, algorithm 1), in torch.optim.Adam's convention."""

    record_every: int = 10
    lr: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("lr", self.lr)
        check_fraction("beta1", self.beta1)
        check_fraction("beta2", self.beta2)
        check_positive("eps", self.eps)

    def start(self, f: Objective, theta: Array) -> State:
        zeros = np.zeros_like(theta)
        return {"mean": zeros, "square": zeros, **measured(self, f, theta, 0)}

    def step(self, f: Objective, state: State, epoch: int) -> State:
        gradient, t = state["gradient"], epoch + 1
        mean = self.beta1 * state["mean"] + (1 - self.beta1) * gradient
        square = self.beta2 * state["square"] + (1 - self.beta2) * gradient**2
        scale = np.sqrt(square) / np.sqrt(1 - self.beta2**t) + self.eps
        theta = state["theta"] - self.lr / (1 - self.beta1**t) * mean / scale
        return {"mean": mean, "square": square, **measured(self, f, theta.astype(mean.dtype, copy=False), t)}
