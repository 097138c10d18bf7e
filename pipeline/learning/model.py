"""What a model is, and what a fit ends with.

A model is a frozen dataclass in the module models/NAME.py, whose fields are its settings and the schema of
conf/model/NAME.yaml. Beside it that module has `log_odds(arrays, X) -> z (n,)`, in NumPy, of a fit's arrays and raw features
X (n, d): no prediction needs what trained.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array, Arrays, Features
from pipeline.learning.optimizer import Optimizer, State


@dataclass(frozen=True)
class TrainingRows:
    """What a model is fitted to: X (n, d), whose columns are the features, and of each row the label, perhaps the weight, and
    perhaps the group, within which rows may be alike."""

    X: Features
    y: Array
    weight: Array | None
    features: Sequence[str]
    classes: Sequence[Any]
    group: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Record:
    """One row of the history: the state before an epoch's update."""

    epoch: int
    loss: float
    gradient_norm: float  # max |gradient|


@dataclass(frozen=True)
class Checkpoint:
    """A fit at an epoch, before that epoch's update: with it, a fit goes on to the same bytes."""

    epoch: int
    state: State
    history: Sequence[Record]  # of the epochs before


@dataclass(frozen=True)
class Fit:
    """What a fit ended with. separation: by what the classes can be separated, if they can."""

    arrays: Arrays  # all that `log_odds` needs, by name
    epochs: int
    loss: float
    gradient_norm: float
    stopped_by: str  # "tol", "epochs", or "precision": no step decreases the loss in this dtype
    optimizer: Optimizer  # the one that ran
    separation: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()  # a sentence each


@dataclass(frozen=True)
class Observer:
    """What a fit calls while it runs, and the checkpoint that it continues from."""

    record: Callable[[Record], None] = lambda row: None  # every `record_every` epochs, before that epoch's update
    callback: Callable[[int, State], None] = lambda epoch, state: None  # every epoch, or some of them where they are short
    resume: Checkpoint | None = None  # of an epoch and a state that `callback` got


class Model(Protocol):
    """What fits. Its fields are what a user may set."""

    def fit(
        self,
        X: Features,
        y: Array,
        optimizer: Optimizer,
        features: Sequence[str] = (),
        observer: Observer | None = None,
        weight: Array | None = None,
        classes: Sequence[Any] = (0, 1),
    ) -> Fit:
        """Fit to X (n, d) raw features, an array or SciPy's CSR, and labels y (n,) in {0, 1}; deterministic.

        features: the columns' names, for warnings and errors. weight (n,): of the rows, >= 0; a row with weight 2 counts as two
        rows. classes: what y = 0 and y = 1 stand for, as settings name them. Raises PipelineError where the data cannot be used
        or the fit diverges.
        """
