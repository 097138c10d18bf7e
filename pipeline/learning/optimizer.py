"""What an optimizer is.

An optimizer is a frozen dataclass in the module optimizers/NAME.py, whose fields are its hyperparameters and the schema of
conf/optimizer/NAME.yaml. `start` makes the state at the initial point, `step` the state one epoch later. state["theta"] is the
point and state["gradient"], where a method knows it, the full gradient there. No optimizer logs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.arrays import Array
from pipeline.learning.objective import Objective
from pipeline.limits import check_at_least, check_not_negative

State = Mapping[str, Array]


@dataclass(frozen=True)
class Optimizer:
    """What a fit needs of an optimizer. A subclass defines `start` and `step`; the rest may be overridden."""

    epochs: int = 500  # at most: passes or iterations
    record_every: int = 1  # epochs from one record of the loss to the next
    tol: float = 0.0  # stop when max |gradient| is at most this (sgd: at recorded epochs); 0 never stops early

    def __post_init__(self) -> None:
        check_at_least("epochs", self.epochs, 1)
        check_at_least("record_every", self.record_every, 1)
        check_not_negative("tol", self.tol)

    @property
    def lr(self) -> float | None:
        """The learning rate, if it has one: what to lower where a fit diverges."""
        return None

    def for_shape(self, shape: Sequence[int], sparse: bool) -> "Optimizer":
        """The optimizer that runs on X of this shape (n, d): itself, unless choosing another one is what it does."""
        return self

    def start(self, f: Objective, theta: Array) -> State:
        """The state at theta (d+1,)."""
        raise NotImplementedError

    def resume(self, f: Objective, state: State) -> State:
        """The state of a checkpoint, to go on from."""
        return state

    def step(self, f: Objective, state: State, epoch: int) -> State | None:
        """The state after one epoch; None where no further progress can be represented."""
        raise NotImplementedError

    def advance(self, f: Objective, state: State, epoch: int) -> tuple[State | None, int]:
        """A later state and its epoch: the next one, or a later one where several epochs are faster in one call."""
        return self.step(f, state, epoch), epoch + 1

    def remedies(self, steepest: float) -> list[str]:
        """What may help where it ended far from the optimum. steepest: the Hessian's greatest eigenvalue."""
        return []
