"""Gradient descent."""

from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Array
from pipeline.learning.objective import Objective
from pipeline.learning.optimizer import Optimizer, State
from pipeline.learning.optimizers._descent import check_momentum, descend, measured
from pipeline.limits import check_positive

MAX_FUSED = 100  # epochs of a millisecond at most, so that progress still shows several times a second


@dataclass(frozen=True)
class GradientDescent(Optimizer):
    """Full-batch gradient descent."""

    epochs: int = 100
    record_every: int = 10
    lr: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("lr", self.lr)
        check_momentum(self.momentum, self.nesterov)

    def start(self, f: Objective, theta: Array) -> State:
        return {"velocity": np.zeros_like(theta), **measured(self, f, theta, 0)}

    def step(self, f: Objective, state: State, epoch: int) -> State:
        moved = descend(state, state["gradient"], self.lr, self.momentum, self.nesterov)
        return {**moved, **measured(self, f, moved["theta"], epoch + 1)}

    def advance(self, f: Objective, state: State, epoch: int) -> tuple[State, int]:
        steps = self._unobserved(epoch)
        theta = f.descend(state["theta"], state["gradient"], self.lr, steps) if steps > 1 else None
        if theta is None:
            return self.step(f, state, epoch), epoch + 1
        return measured(self, f, theta, epoch + steps), epoch + steps

    def _unobserved(self, epoch: int) -> int:
        """How many epochs to take at once: more than one where nothing depends on the states between."""
        if self.momentum or self.tol:
            return 1
        return min(self.record_every - epoch % self.record_every, self.epochs - epoch, MAX_FUSED)

    def remedies(self, steepest: float) -> list[str]:
        most = 1 / steepest  # it copes with rates up to twice that
        return [f"an optimizer.lr of up to {most:.1g}"] if self.lr < most / 2 else []
