"""Fit a logistic regression and predict with it.

A fitted model is the same thing whatever trained it: a `LogisticModel` of weights and scaling, which predicts in NumPy.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array, Arrays, Features, row_blocks
from pipeline.determinism import one_thread
from pipeline.errors import ConfigError, DataError, PipelineError
from pipeline.learning.objective import Objective, ShortLogLoss, log_loss, sigmoid
from pipeline.learning.optimizers import Auto, GradientDescent, Optimizer, State
from pipeline.learning.precision import require_finite, require_held
from pipeline.learning.refinement import refined

DTYPES = {"float32": np.float32, "float64": np.float64}
DEVICES = ("auto", "cpu", "cuda", "mps")
INITS = ("zeros", "uniform")
SEEN, LEAST_SIZE, MOST_SIZE = 1000, 1e-6, 1e6  # rows that are looked at, and the sizes that gradients cope with


@dataclass(frozen=True)
class LogisticModel:
    """p(y = 1 | x) = sigmoid(((x - mean) / scale) . w + b), from raw feature values x."""

    mean: Array  # (d,)
    scale: Array  # (d,)
    w: Array  # (d,)
    b: float

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        return cls(arrays["mean"], arrays["scale"], arrays["w"], float(arrays["b"]))

    def log_odds(self, X: Features) -> Array:
        """z (n,) in float64 from raw features X (n, d), an array or of any of SciPy's sparse formats; the same bits with any
        number of threads."""
        if X.shape[1:] != self.w.shape:
            raise DataError(f"the model takes {len(self.w)} features; got an array of shape {X.shape}")
        with one_thread:
            if not isinstance(X, np.ndarray):
                w, b = self.raw_weights()
                return np.asarray(X @ w + b)
            return np.asarray(((X - self.mean) / self.scale) @ self.w.astype(np.float64) + self.b)

    def predict_proba(self, X: Features) -> Array:
        """p(y = 1) (n,) from raw features X (n, d)."""
        return sigmoid(self.log_odds(X))

    def raw_weights(self) -> tuple[Array, float]:
        """(w (d,), b) with which z = X w + b on raw features."""
        w = self.w.astype(np.float64) / self.scale
        return w, float(self.b - w @ self.mean)


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
    """What a fit ended with."""

    model: LogisticModel
    epochs: int
    loss: float
    gradient_norm: float
    stopped_by: str  # "tol", "epochs", or "precision": no step decreases the loss in this dtype
    optimizer: Optimizer  # the one that ran


class Model(Protocol):
    """What trains: the numbers' type, the penalty, the start, and which arithmetic computes the objective."""

    @property
    def dtype(self) -> str:
        """float32 or float64."""

    @property
    def l2(self) -> float:
        """The strength in mean loss + l2/2 ||w||^2."""

    @property
    def init(self) -> Any:
        """zeros, uniform (seeded, U(-1/sqrt(d), 1/sqrt(d)) as torch.nn.Linear), or d weights and an intercept."""

    @property
    def seed(self) -> int:
        """Seed of init: uniform."""

    @property
    def standardize(self) -> bool:
        """Train on (x - mean) / scale; the scaling is kept in the model."""

    def problem(self, X: Features, y: Array, optimizer: Optimizer) -> tuple[Objective, Optimizer]:
        """The objective over X as `standardised` gave it, and the optimizer that can minimise it."""


def check_model(m: Model) -> None:
    """Raise ConfigError where a value that all models share is impossible."""
    if m.dtype not in DTYPES:
        raise ConfigError(f"dtype must be one of {', '.join(DTYPES)}; got {m.dtype}")
    if not m.seed >= 0:
        raise ConfigError(f"seed must be >= 0; got {m.seed}")
    most = float(np.finfo(m.dtype).max)
    if not 0 <= m.l2 <= most:
        raise ConfigError(f"l2 must be >= 0 and finite in {m.dtype}; got {m.l2}")
    numbers = not isinstance(m.init, str) and isinstance(m.init, Sequence) and all(_is_number(v, most) for v in m.init)
    named = f"init must be one of {', '.join(INITS)} or a list of d + 1 numbers, each finite in {m.dtype}"
    if not (m.init in INITS or numbers):
        raise ConfigError(f"{named}; got {m.init}")


def _is_number(value: object, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= most


@dataclass(frozen=True)
class NumpyModel:
    """Forward, loss, gradient and Hessian by hand, in NumPy."""

    dtype: str = "float64"
    l2: float = 0.0
    init: Any = "zeros"
    seed: int = 0
    standardize: bool = True

    def __post_init__(self) -> None:
        check_model(self)

    def problem(self, X: Features, y: Array, optimizer: Optimizer) -> tuple[Objective, Optimizer]:
        return log_loss(X, y, self.l2), optimizer


@dataclass(frozen=True)
class TorchModel:
    """An nn.Module, trained by autograd and torch.optim. Equal bits are promised on the CPU alone."""

    dtype: str = "float32"
    l2: float = 0.0
    init: Any = "uniform"
    seed: int = 0
    standardize: bool = True
    device: str = "cpu"
    compile: bool = False

    def __post_init__(self) -> None:
        check_model(self)
        if self.device not in DEVICES:
            raise ConfigError(f"device must be one of {', '.join(DEVICES)}; got {self.device}")

    def problem(self, X: Features, y: Array, optimizer: Optimizer) -> tuple[Objective, Optimizer]:
        from pipeline.learning.torch_model import TorchLogLoss, torch_optimizer

        return TorchLogLoss(X, y, self.l2, self.device, self.compile), torch_optimizer(optimizer)


MODELS: dict[str, type[Model]] = {"numpy": NumpyModel, "torch": TorchModel}


def starting_point(X: Features, model: Model) -> Array:
    """theta (d+1,) in float64, where a fit to X (n, d) starts. Where X is standardised, a constant column's weight is 0."""
    d = X.shape[1]
    if not isinstance(model.init, str):
        given = f"init must have {d + 1} numbers ({d} weights and an intercept) for {d} features"
        if len(model.init) != d + 1:
            raise DataError(f"{given}; got {len(model.init)}")
        theta = np.array(model.init, np.float64)
    elif model.init == "uniform":
        bound = 1 / np.sqrt(max(d, 1))
        theta = np.random.default_rng(model.seed).uniform(-bound, bound, d + 1)
    else:
        theta = np.zeros(d + 1)
    if model.standardize:
        theta[:-1][~varying(X)] = 0
    return theta


def standardised(X: Features, model: Model) -> tuple[Features, Array, Array]:
    """The features that `model` trains on, in its dtype, with their mean and scale (d,).

    (x - mean) / scale if the model standardises, else X itself, not copied where its dtype and layout allow. A constant column
    has scale 1. A sparse X is scaled by its columns' root mean squares and not shifted, so it stays sparse.
    """
    dtype = DTYPES[model.dtype]
    mean, scale = np.zeros(X.shape[1]), np.ones(X.shape[1])
    if not isinstance(X, np.ndarray):
        if model.standardize:
            norms = np.sqrt(np.bincount(X.indices, np.square(X.data, dtype=np.float64), X.shape[1]) / max(X.shape[0], 1))
            scale = np.where(norms > 0, norms, 1.0)
            require_held(X, mean, scale)
        scaled = X.astype(dtype)
        scaled.data /= scale.astype(dtype)[X.indices]
        return scaled, mean, scale
    if not model.standardize:
        return np.ascontiguousarray(X, dtype), mean, scale
    mean = np.where(varying(X), sum(X[rows].sum(axis=0, dtype=np.float64) for rows in row_blocks(*X.shape)) / len(X), X[0])
    # Squares of what is divided by the largest deviation neither overflow nor vanish.
    largest = np.max([np.abs(X[rows] - mean).max(axis=0) for rows in row_blocks(*X.shape)], axis=0)
    largest[largest == 0] = 1.0
    squares = sum(np.square((X[rows] - mean) / largest).sum(axis=0) for rows in row_blocks(*X.shape))
    scale = np.where(squares > 0, largest * np.sqrt(squares / len(X)), 1.0)
    require_held(X, mean, scale)
    Z = np.empty(X.shape, dtype)
    for rows in row_blocks(*X.shape):
        np.divide(X[rows] - mean, scale, out=Z[rows], casting="same_kind")
    return Z, mean, scale


def varying(X: Features) -> NDArray[np.bool_]:
    """Which columns (d,) of X hold more than one value. A sparse X's are those that hold anything."""
    if not isinstance(X, np.ndarray):
        return np.bincount(X.indices, X.data != 0, X.shape[1]) > 0
    found = np.zeros(X.shape[1], bool)
    for rows in row_blocks(*X.shape):
        found |= (X[rows] != X[0]).any(axis=0)
        if found.all():
            break
    return found


def check_data(X: Features, y: Array) -> None:
    """Raise ConfigError unless X (n, d) and y (n,) are numbers that a model can be fitted to. (NaN shows in the fit.)"""
    if not isinstance(X, np.ndarray):
        kind = getattr(X, "format", type(X).__name__)
        if kind != "csr":
            raise DataError(f"X must be a NumPy array or in SciPy's CSR format; got {kind}")
        if not X.has_canonical_format:
            raise DataError("the entries of X must be sorted and none given twice; call X.sum_duplicates() first")
    if X.ndim != 2:
        raise DataError(f"X must be of shape (n, d); got {X.shape}")
    if not (X.dtype.kind in "fiub" and X.dtype.itemsize <= 8):
        raise DataError(f"X must be real numbers of at most 64 bits; got {X.dtype}")
    if not X.shape[0] > 0:
        raise DataError("X must have rows; it has none")
    if not isinstance(y, np.ndarray):
        raise DataError(f"y must be a NumPy array; got {type(y).__name__}")
    if y.shape != (X.shape[0],):
        raise DataError(f"y must be of shape ({X.shape[0]},), as X has rows; got {y.shape}")
    ones = np.count_nonzero(y == 1)
    if ones + np.count_nonzero(y == 0) != len(y):
        raise DataError("y must be 0 or 1 in every row")
    if not 0 < ones < len(y):
        raise DataError(f"y must be of both classes, for there is no best model of one; all {len(y)} rows are {y[0]:g}")


def fit(
    X: Features,
    y: Array,
    model: Model,
    optimizer: Optimizer | Auto,
    record: Callable[[Record], None] = lambda row: None,
    watch: Callable[[int, State], None] = lambda epoch, state: None,
    resume: Checkpoint | None = None,
) -> Fit:
    """Minimise mean log loss + l2/2 ||w||^2 over X (n, d) raw features and y (n,) labels in {0, 1}.

    X is an array of real numbers or a SciPy CSR array in canonical format. `record` gets a row every `optimizer.record_every`
    epochs, before that epoch's update; `watch` the state of every epoch, or of some where they are short, to look at
    there and then: it makes a Checkpoint that `resume` goes on from. Raises ConfigError where the data cannot be used or the
    fit diverges.
    """
    check_data(X, y)
    with one_thread, np.errstate(all="ignore"):  # an overflow shows in the loss or the weights, which are checked
        Z, mean, scale = standardised(X, model)
        optimizer = picked(optimizer, X)
        theta = starting_point(X, model).astype(Z.dtype)
        f, method = model.problem(Z, y.astype(Z.dtype), _plain(optimizer))
        try:
            state = resume.state if resume else method.start(f, theta)
        except PipelineError:
            require_finite(X)
            raise
        watch_loss, stopped_by = Watch(X, optimizer), "epochs"
        for row in resume.history if resume else ():
            watch_loss.check(row, state["theta"])
            record(row)
        epoch = resume.epoch if resume else 0
        while epoch < optimizer.epochs:
            norm = math.inf
            if epoch % optimizer.record_every == 0:
                row = _measure(f, state, epoch)
                watch_loss.check(row, state["theta"])
                record(row)
                norm = row.gradient_norm
            elif optimizer.tol and "gradient" in state:
                norm = _gradient_norm(f, state)
            if norm <= optimizer.tol > 0:
                break
            watch(epoch, state)
            previous = state
            state, later = _advance(method, f, state, epoch)
            if state is previous:
                stopped_by = "precision"
                break
            epoch = later
        if stopped_by == "precision" and model.dtype == "float32":
            state = refined(state, Z, y, model, _plain(optimizer))
        end = _measure(f, state, epoch)
        watch_loss.check(end, state["theta"], is_last=True)
        if end.gradient_norm <= optimizer.tol > 0:
            stopped_by = "tol"
    if not model.standardize:
        _warn_of_scales(X)
    theta = state["theta"]
    fitted = LogisticModel(mean, scale, theta[:-1], float(theta[-1]))
    return Fit(fitted, epoch, end.loss, end.gradient_norm, stopped_by, optimizer)


def picked(optimizer: Optimizer | Auto, X: Features) -> Optimizer:
    """The optimizer that fits X (n, d): itself, or what `auto` picks."""
    if isinstance(optimizer, Auto):
        return optimizer.pick(X.shape[0], X.shape[1], sparse=not isinstance(X, np.ndarray))
    return optimizer


def _warn_of_scales(X: Features) -> None:
    """Say so where X (n, d), by its first rows, is of a size at which a fit may end anywhere."""
    largest = abs(X[:SEEN].astype(np.float64)).max(axis=0)
    sizes = largest if isinstance(X, np.ndarray) else largest.data
    strange = sizes[(sizes != 0) & ((sizes < LEAST_SIZE) | (sizes > MOST_SIZE))]
    if strange.size:
        warnings.warn(
            f"features of a size of {strange.min():.0e} to {strange.max():.0e} that are not standardised: gradients, and so "
            "tol and the length of steps, go by it, and the fit may have ended far from the best one",
            stacklevel=3,
        )


def _advance(method: Optimizer, f: Objective, state: State, epoch: int) -> tuple[State, int]:
    """A later state, and its epoch: the next one, or where epochs are short the next one that somebody looks at."""
    if isinstance(method, GradientDescent) and isinstance(f, ShortLogLoss) and (stride := method.stride(epoch)) > 1:
        return method.leap(f, state, epoch, stride), epoch + stride
    return method.step(f, state, epoch), epoch + 1


def _plain(optimizer: Optimizer) -> Optimizer:
    """The same with Python's numbers: a NumPy scalar among the hyperparameters would make float32 arrays float64."""
    scalars = {name: value.item() for name, value in vars(optimizer).items() if isinstance(value, np.generic)}
    return replace(optimizer, **scalars) if scalars else optimizer  # type: ignore[type-var]


def _measure(f: Objective, state: State, epoch: int) -> Record:
    loss = state["loss"] if "loss" in state else f.loss(state["theta"])
    return Record(epoch, float(loss), _gradient_norm(f, state))


def _gradient_norm(f: Objective, state: State) -> float:
    gradient = state["gradient"] if "gradient" in state else f.gradient(state["theta"])
    return float(np.maximum.reduce(np.abs(gradient)))


class Watch:
    """Raises ConfigError where a fit cannot end well: for the data's sake, or the learning rate's."""

    # A loss that has risen so often running, and to so many times its least, rises without end. One that ends at so many times
    # its first has diverged, too.
    RISES, FACTOR = 10, 10.0

    def __init__(self, X: Features, optimizer: Optimizer) -> None:
        self._X, self._optimizer = X, optimizer
        self._first, self._least, self._last, self._rises = math.nan, math.inf, math.inf, 0

    def check(self, row: Record, theta: Array, is_last: bool = False) -> None:
        """`row` is what was measured at theta (d+1,)."""
        if math.isnan(self._first):
            self._first = row.loss
        self._rises = self._rises + 1 if row.loss > self._last else 0
        self._least, self._last = min(self._least, row.loss), row.loss
        has_risen = is_last and row.loss > self.FACTOR * self._first
        if (
            not has_risen
            and self._rises < self.RISES
            and math.isfinite(row.loss + row.gradient_norm + float(np.add.reduce(theta)))
        ):
            return
        measured = {"loss": row.loss, "gradient": row.gradient_norm, "largest weight": float(np.abs(theta).max())}
        wrong = next((f"{name} is {value}" for name, value in measured.items() if not math.isfinite(value)), "")
        if not wrong and self._rises >= self.RISES and row.loss > self.FACTOR * self._least:
            wrong = f"loss has risen to {row.loss:.4g} without end"
        if not wrong and has_risen:
            wrong = f"loss has risen from {self._first:.4g} to {row.loss:.4g}"
        if not wrong:
            return
        require_finite(self._X)
        lr = getattr(self._optimizer, "lr", None) if row.epoch else None
        advice = f"; try a smaller optimizer.lr than {lr}" if lr else "; the features may be too large: standardise them"
        raise DataError(f"training diverged: the {wrong} at epoch {row.epoch}{advice}")
