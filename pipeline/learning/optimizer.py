"""What an optimizer is, and the limits of the hyperparameters that several share.

An optimizer is a frozen dataclass in the module optimizers/NAME.py, whose fields are its hyperparameters and the schema of
conf/optimizer/NAME.yaml. `start` makes the state at the initial point, `step` the state one epoch later. state["theta"] is the
point and state["gradient"], where a method knows it, the full gradient there. No optimizer logs.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from pipeline.arrays import Array
from pipeline.errors import ConfigError
from pipeline.learning.objective import Objective

State = Mapping[str, Array]


class Optimizer(Protocol):
    """What a fit needs of an optimizer. A subclass has what is defined here; all of it may be overridden."""

    @property
    def epochs(self) -> int:
        """The most epochs (passes or iterations) to run."""

    @property
    def record_every(self) -> int:
        """Record the loss every so many epochs."""

    @property
    def tol(self) -> float:
        """Stop when max |gradient| is at most this (sgd looks where it records); 0 never stops early."""

    @property
    def lr(self) -> float | None:
        """The learning rate, if it has one: what to lower where a fit diverges."""
        return None

    def for_shape(self, shape: Sequence[int], sparse: bool) -> "Optimizer":
        """The optimizer that runs on X of this shape (n, d): itself, unless choosing another one is what it does."""
        return self

    def start(self, f: Objective, theta: Array) -> State:
        """The state at theta (d+1,)."""

    def resume(self, f: Objective, state: State) -> State:
        """The state of a checkpoint, to go on from."""
        return state

    def step(self, f: Objective, state: State, epoch: int) -> State | None:
        """The state after one epoch; None where no further progress can be represented."""

    def advance(self, f: Objective, state: State, epoch: int) -> tuple[State | None, int]:
        """A later state and its epoch: the next one, or a later one where epochs that nobody looks at are faster together."""
        return self.step(f, state, epoch), epoch + 1

    def remedies(self, steepest: float) -> list[str]:
        """What may help where it ended far from the optimum. steepest: the Hessian's greatest eigenvalue."""
        return []


def check_limits(o: Optimizer) -> None:
    """Raise ConfigError where a field that all optimizers share is impossible."""
    if not o.epochs >= 1:
        raise ConfigError(f"epochs must be >= 1; got {o.epochs}")
    if not o.record_every >= 1:
        raise ConfigError(f"record_every must be >= 1; got {o.record_every}")
    if not 0 <= o.tol < math.inf:
        raise ConfigError(f"tol must be >= 0 and finite; got {o.tol}")


# A hyperparameter may be an array (k,), a value a fit: see `batch`.


def check_positive(name: str, value: Any) -> None:
    if not (np.greater(value, 0) & np.isfinite(value)).all():
        raise ConfigError(f"{name} must be > 0 and finite; got {value}")


def check_fraction(name: str, value: Any) -> None:
    if not (np.greater_equal(value, 0) & np.less(value, 1)).all():
        raise ConfigError(f"{name} must be in [0, 1); got {value}")


def check_momentum(momentum: Any, nesterov: bool) -> None:
    check_fraction("momentum", momentum)
    if nesterov and not np.greater(momentum, 0).all():
        raise ConfigError(f"nesterov needs momentum > 0; got momentum {momentum}")


def check_seed(seed: int) -> None:
    if not seed >= 0:
        raise ConfigError(f"seed must be >= 0; got {seed}")
