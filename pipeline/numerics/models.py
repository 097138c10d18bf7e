"""Fit a logistic regression and predict with it.

A fitted model is the same thing whatever trained it: a `LogisticModel` of weights and scaling, which predicts in NumPy.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.numerics import require
from pipeline.numerics.objective import Array, LogLoss, Objective, sigmoid
from pipeline.numerics.optimizers import Optimizer

DTYPES = {"float32": np.float32, "float64": np.float64}
INITS = ("zeros", "uniform")


@dataclass(frozen=True)
class LogisticModel:
    """p(y = 1 | x) = sigmoid(((x - mean) / scale) . w + b), from raw feature values x."""

    mean: Array  # (d,)
    scale: Array  # (d,)
    w: Array  # (d,)
    b: float

    def log_odds(self, X: Array) -> Array:
        """z (n,) in float64 from raw features X (n, d); the same bits with any number of threads."""
        require(X.shape[1:] == self.w.shape, f"the model takes {len(self.w)} features; got an array of shape {X.shape}")
        with threadpool_limits(1):
            return np.asarray(((X - self.mean) / self.scale) @ self.w.astype(np.float64) + self.b)

    def predict_proba(self, X: Array) -> Array:
        """p(y = 1) (n,) from raw features X (n, d)."""
        return sigmoid(self.log_odds(X))

    def raw_weights(self) -> tuple[Array, float]:
        """(w (d,), b) with which z = X w + b on raw features."""
        w = self.w / self.scale
        return w, float(self.b - w @ self.mean)


@dataclass(frozen=True)
class Record:
    """One row of the history: the state before an epoch's update."""

    epoch: int
    loss: float
    gradient_norm: float  # max |gradient|


@dataclass(frozen=True)
class Fit:
    """What a fit ended with."""

    model: LogisticModel
    epochs: int
    loss: float
    gradient_norm: float
    stopped_by: str  # "tol", "epochs", or "precision": no step decreases the loss in this dtype


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

    def problem(self, A: Array, y: Array, optimizer: Optimizer) -> tuple[Objective, Optimizer]:
        """The objective, and the optimizer that can minimise it."""


def check_model(m: Model) -> None:
    """Raise InvalidInput where a value that all models share is impossible."""
    require(m.dtype in DTYPES, f"dtype must be one of {', '.join(DTYPES)}; got {m.dtype}")
    require(0 <= m.l2 < float("inf"), f"l2 must be >= 0 and finite; got {m.l2}")
    require(m.seed >= 0, f"seed must be >= 0; got {m.seed}")
    numbers = not isinstance(m.init, str) and isinstance(m.init, Sequence) and all(_is_number(v) for v in m.init)
    require(m.init in INITS or numbers, f"init must be one of {', '.join(INITS)} or a list of d + 1 numbers; got {m.init}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


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

    def problem(self, A: Array, y: Array, optimizer: Optimizer) -> tuple[Objective, Optimizer]:
        return LogLoss(A, y, self.l2), optimizer


@dataclass(frozen=True)
class TorchModel:
    """An nn.Module, trained by autograd and torch.optim."""

    dtype: str = "float32"
    l2: float = 0.0
    init: Any = "uniform"
    seed: int = 0
    standardize: bool = True

    def __post_init__(self) -> None:
        check_model(self)

    def problem(self, A: Array, y: Array, optimizer: Optimizer) -> tuple[Objective, Optimizer]:
        from pipeline.numerics.torch_model import TorchLogLoss, torch_optimizer

        return TorchLogLoss(A, y, self.l2), torch_optimizer(optimizer)


MODELS: dict[str, type[Model]] = {"numpy": NumpyModel, "torch": TorchModel}


def initial_point(model: Model, d: int) -> Array:
    """theta (d+1,) in float64, where a fit on d features starts."""
    if not isinstance(model.init, str):
        given = f"init must have {d + 1} numbers ({d} weights and an intercept) for {d} features"
        require(len(model.init) == d + 1, f"{given}; got {len(model.init)}")
        return np.array(model.init, np.float64)
    if model.init == "uniform":
        bound = 1 / np.sqrt(max(d, 1))
        return np.random.default_rng(model.seed).uniform(-bound, bound, d + 1)
    return np.zeros(d + 1)


def design_matrix(X: Array, model: Model) -> tuple[Array, Array, Array]:
    """A = [standardised X, 1] (n, d+1) with its mean and scale (d,). A constant column has scale 1."""
    n, d = X.shape
    mean, scale = np.zeros(d), np.ones(d)
    if model.standardize:
        mean, spread = X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
        scale = np.where(np.ptp(X, axis=0) > 0, spread, 1.0)
    A = np.ones((n, d + 1), DTYPES[model.dtype])
    A[:, :d] = (X - mean) / scale
    return A, mean, scale


def fit(X: Array, y: Array, model: Model, optimizer: Optimizer, record: Callable[[Record], None] = lambda row: None) -> Fit:
    """Minimise mean log loss + l2/2 ||w||^2 over X (n, d) raw features and y (n,) labels in {0, 1}.

    `record` gets a row every `optimizer.record_every` epochs, before that epoch's update. BLAS runs on one thread: the bits
    are those of one thread, whatever the machine offers. Raises InvalidInput if the loss stops being finite.
    """
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an overflow shows in the loss, which is checked
        A, mean, scale = design_matrix(X, model)
        start = initial_point(model, X.shape[1]).astype(A.dtype)
        f, method = model.problem(A, y.astype(A.dtype), optimizer)

        def measure(epoch: int) -> Record:
            theta = state["theta"]
            gradient = state["gradient"] if "gradient" in state else f.gradient(theta)
            row = Record(epoch, f.loss(theta), float(np.abs(gradient).max()))
            require(np.isfinite(row.loss) and np.isfinite(row.gradient_norm), _diverged(row, optimizer))
            return row

        state, epoch, stopped_by = method.start(f, start), 0, "epochs"
        for epoch in range(optimizer.epochs):
            if epoch % optimizer.record_every == 0:
                record(measure(epoch))
            if "gradient" in state and np.abs(state["gradient"]).max() <= optimizer.tol:
                stopped_by = "tol"
                break
            previous, state = state, method.step(f, state, epoch)
            if state is previous:
                stopped_by = "precision"
                break
        else:
            epoch = optimizer.epochs
        end = measure(epoch)
    theta = state["theta"]
    fitted = LogisticModel(mean, scale, theta[:-1], float(theta[-1]))
    return Fit(fitted, epoch, end.loss, end.gradient_norm, stopped_by)


def _diverged(row: Record, optimizer: Optimizer) -> str:
    rate = f"; try a smaller optimizer.lr than {lr}" if (lr := getattr(optimizer, "lr", None)) else ""
    return f"training diverged: the loss is {row.loss} at epoch {row.epoch}{rate}"
