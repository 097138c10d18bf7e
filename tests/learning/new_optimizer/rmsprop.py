"""RMSprop."""

from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Array
from pipeline.learning.objective import Objective
from pipeline.learning.optimizer import Optimizer, State
from pipeline.limits import check_fraction, check_positive


@dataclass(frozen=True)
class RMSProp(Optimizer):
    """Full-batch RMSprop."""

    epochs: int = 200
    record_every: int = 50
    lr: float = 0.05
    alpha: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("lr", self.lr)
        check_fraction("alpha", self.alpha)

    def start(self, f: Objective, theta: Array) -> State:
        return {"theta": theta, "square": np.zeros_like(theta)}

    def step(self, f: Objective, state: State, epoch: int) -> State:
        gradient = f.gradient(state["theta"])
        square = self.alpha * state["square"] + (1 - self.alpha) * gradient**2
        return {"theta": state["theta"] - self.lr * gradient / (np.sqrt(square) + 1e-8), "square": square}
