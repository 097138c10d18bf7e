"""What an optimizer is."""

import math
from collections.abc import Mapping
from typing import Protocol

from pipeline.arrays import Array
from pipeline.errors import ConfigError
from pipeline.learning.objective import Objective

State = Mapping[str, Array]


class Limits(Protocol):
    """When to stop, and when to look."""

    @property
    def epochs(self) -> int:
        """The most epochs (passes or iterations) to run."""

    @property
    def record_every(self) -> int:
        """Record the loss every so many epochs."""

    @property
    def tol(self) -> float:
        """Stop when max |gradient| is at most this (sgd looks where it records); 0 never stops early."""


class Optimizer(Limits, Protocol):
    """What `models.fit` needs of an optimizer."""

    def start(self, f: Objective, theta: Array) -> State:
        """The state at theta (d+1,)."""

    def step(self, f: Objective, state: State, epoch: int) -> State:
        """The state after one epoch; the very same object when no further progress can be represented."""


def check_limits(o: Limits) -> None:
    """Raise ConfigError where a field that all optimizers share is impossible."""
    if not o.epochs >= 1:
        raise ConfigError(f"epochs must be >= 1; got {o.epochs}")
    if not o.record_every >= 1:
        raise ConfigError(f"record_every must be >= 1; got {o.record_every}")
    if not 0 <= o.tol < math.inf:
        raise ConfigError(f"tol must be >= 0 and finite; got {o.tol}")
