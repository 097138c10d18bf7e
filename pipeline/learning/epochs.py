"""Epoch after epoch: until the gradient is small, the epochs are over, or rounding allows no progress."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Array
from pipeline.learning.divergence import DivergenceMonitor
from pipeline.learning.model import Checkpoint, Record
from pipeline.learning.objective import Objective
from pipeline.learning.optimizer import Optimizer, State


@dataclass(frozen=True)
class EpochLoop:
    """What an optimizer does to an objective, recorded and observed as `Model.fit` says."""

    f: Objective
    optimizer: Optimizer
    monitor: DivergenceMonitor
    record: Callable[[Record], None]
    callback: Callable[[int, State], None]

    def start(self, theta: Array, resume: Checkpoint | None) -> State:
        """The state at the initial point theta, or at the checkpoint."""
        return self.optimizer.resume(self.f, resume.state) if resume else self.optimizer.start(self.f, theta)

    def run(self, state: State, resume: Checkpoint | None) -> tuple[State, int, str]:
        """The last state, its epoch, and why it is the last: "tol", "epochs" or "precision"."""
        for row in resume.history if resume else ():
            self.monitor.check(row, state["theta"])
            self.record(row)
        epoch = resume.epoch if resume else 0
        while epoch < self.optimizer.epochs:
            if self._norm(state, epoch) <= self.optimizer.tol > 0:
                return state, epoch, "tol"
            self.callback(epoch, state)
            after, later = self.optimizer.advance(self.f, state, epoch)
            if after is None:
                return state, epoch, "precision"
            state, epoch = after, later
        return state, epoch, "epochs"

    def measure(self, state: State, epoch: int, is_last: bool = False) -> Record:
        """Raises DataError where the fit diverges."""
        loss = state["loss"] if "loss" in state else self.f.loss(state["theta"])
        row = Record(epoch, float(loss), self._gradient_norm(state))
        self.monitor.check(row, state["theta"], is_last)
        return row

    def _norm(self, state: State, epoch: int) -> float:
        """max |gradient|, where it is looked at; the epoch is recorded where it is to be."""
        if epoch % self.optimizer.record_every == 0:
            row = self.measure(state, epoch)
            self.record(row)
            return row.gradient_norm
        return self._gradient_norm(state) if self.optimizer.tol and "gradient" in state else math.inf

    def _gradient_norm(self, state: State) -> float:
        gradient = state["gradient"] if "gradient" in state else self.f.gradient(state["theta"])
        return float(np.maximum.reduce(np.abs(gradient)))
