"""Epoch after epoch: until the gradient is small, the epochs are over, rounding allows no progress, or the fit diverges."""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Array, Features
from pipeline.errors import DataError, PipelineError
from pipeline.learning.features import require_finite
from pipeline.learning.model import Observer, Record
from pipeline.learning.objective import Objective
from pipeline.learning.optimizer import Optimizer, State

MAX_RISES = 10  # of the loss in a row, where it has also risen to FACTOR times its least
FACTOR = 10.0  # of the first loss, beyond which the last one is of no fit either


class DivergenceMonitor:
    """Raises DataError where a fit cannot end well: by the data, or by the learning rate."""

    def __init__(self, X: Features, lr: float | None) -> None:
        self.X, self._lr = X, lr
        self.first, self._least, self._last, self._rises = math.nan, math.inf, math.inf, 0

    def check(self, row: Record, theta: Array, is_last: bool = False) -> None:
        """`row` is what was measured at theta (d+1,)."""
        if math.isnan(self.first):
            self.first = row.loss
        self._rises = self._rises + 1 if row.loss > self._last else 0
        self._least, self._last = min(self._least, row.loss), row.loss
        has_risen = is_last and row.loss > FACTOR * self.first
        is_finite = math.isfinite(row.loss + row.gradient_norm + float(np.add.reduce(theta)))
        if is_finite and not has_risen and self._rises < MAX_RISES:
            return
        if reason := self._reason(row, theta, has_risen):
            require_finite(self.X)
            lr = self._lr if row.epoch else None
            advice = f"; try a smaller optimizer.lr than {lr}" if lr else "; the features may be too large: standardise them"
            raise DataError(f"training diverged: the {reason} at epoch {row.epoch}{advice}")

    def _reason(self, row: Record, theta: Array, has_risen: bool) -> str:
        """What went wrong; nothing where the loss has only risen a little, or the weights' sum overflowed."""
        measured = {"loss": row.loss, "gradient": row.gradient_norm, "largest weight": float(np.abs(theta).max())}
        for name, value in measured.items():
            if not math.isfinite(value):
                return f"{name} is {value}"
        if self._rises >= MAX_RISES and row.loss > FACTOR * self._least:
            return f"loss has risen to {row.loss:.4g} and goes on rising"
        return f"loss has risen from {self.first:.4g} to {row.loss:.4g}" if has_risen else ""


@dataclass(frozen=True)
class EpochLoop:
    """An optimizer at work on an objective, epoch by epoch."""

    f: Objective
    optimizer: Optimizer
    monitor: DivergenceMonitor
    observer: Observer

    def run(self, theta: Array) -> tuple[State, int, str]:
        """From the initial point theta, or the observer's checkpoint.

        Returns the last state, its epoch, and why it is the last: "tol", "epochs" or "precision".
        """
        try:
            state, epoch = self._start(theta)
        except PipelineError:
            require_finite(self.monitor.X)
            raise
        while epoch < self.optimizer.epochs:
            if self._norm(state, epoch) <= self.optimizer.tol > 0:
                return state, epoch, "tol"
            self.observer.callback(epoch, state)
            after, next_epoch = self.optimizer.advance(self.f, state, epoch)
            if after is None:
                return state, epoch, "precision"
            state, epoch = after, next_epoch
        return state, epoch, "epochs"

    def _start(self, theta: Array) -> tuple[State, int]:
        checkpoint = self.observer.resume
        if checkpoint is None:
            return self.optimizer.start(self.f, theta), 0
        state = self.optimizer.resume(self.f, checkpoint.state)
        for row in checkpoint.history:
            self.monitor.check(row, state["theta"])
            self.observer.record(row)
        return state, checkpoint.epoch

    def measure(self, state: State, epoch: int, is_last: bool = False) -> Record:
        """Raises DataError where the fit diverges."""
        loss = state["loss"] if "loss" in state else self.f.loss(state["theta"])
        row = Record(epoch, float(loss), self._gradient_norm(state))
        self.monitor.check(row, state["theta"], is_last)
        return row

    def _norm(self, state: State, epoch: int) -> float:
        """max |gradient| where the stop depends on it, else infinity; the epoch is recorded where it is to be."""
        if epoch % self.optimizer.record_every == 0:
            row = self.measure(state, epoch)
            self.observer.record(row)
            return row.gradient_norm
        return self._gradient_norm(state) if self.optimizer.tol and "gradient" in state else math.inf

    def _gradient_norm(self, state: State) -> float:
        gradient = state["gradient"] if "gradient" in state else self.f.gradient(state["theta"])
        return float(np.maximum.reduce(np.abs(gradient)))
