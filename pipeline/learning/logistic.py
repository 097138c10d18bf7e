"""Fit a logistic regression: minimise the weighted mean log loss + l2/2 ||w||^2, by whatever computes it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from pipeline.arrays import Array, Features
from pipeline.determinism import one_thread
from pipeline.errors import ConfigError, DataError
from pipeline.learning.epochs import DivergenceMonitor, EpochLoop
from pipeline.learning.features import standardised, varying
from pipeline.learning.model import Fit, Observer
from pipeline.learning.models import LinearModel, Logistic, Penalty
from pipeline.learning.optimizer import Optimizer
from pipeline.learning.suboptimality import refined
from pipeline.learning.weights import BALANCED, NONE, class_factors, training_rows
from pipeline.limits import check_seed

DTYPES = {"float32": np.float32, "float64": np.float64}
INITS = ("zeros", "uniform")
INFERENCES = ("auto", "none", "classic", "HC0", "HC1", "HC2", "HC3", "cluster")


@dataclass(frozen=True)
class LogisticFit(Fit):
    """What a fit of a logistic regression ended with."""

    start_loss: float = math.nan  # at the initial point

    @property
    def model(self) -> LinearModel:
        return LinearModel.from_arrays(self.arrays)


def check_settings(model: Logistic) -> None:
    """Raise ConfigError where a value is impossible."""
    if model.dtype not in DTYPES:
        raise ConfigError(f"dtype must be one of {', '.join(DTYPES)}; got {model.dtype}")
    check_seed(model.seed)
    if model.inference not in INFERENCES:
        raise ConfigError(f"inference must be one of {', '.join(INFERENCES)}; got {model.inference}")
    if model.class_weight not in (NONE, BALANCED):
        class_factors(model.class_weight)
    most = float(np.finfo(model.dtype).max)
    rules = get_args(get_args(Penalty)[1])
    if model.l2 not in rules and (isinstance(model.l2, str) or not 0 <= model.l2 <= most):
        raise ConfigError(f"l2 must be >= 0 and finite in {model.dtype}, or one of {', '.join(rules)}; got {model.l2}")
    is_list = (
        not isinstance(model.init, str) and isinstance(model.init, Sequence) and all(_is_number(v, most) for v in model.init)
    )
    if not (model.init in INITS or is_list):
        allowed = f"one of {', '.join(INITS)} or a list of d + 1 numbers, each finite in {model.dtype}"
        raise ConfigError(f"init must be {allowed}; got {model.init}")


def _is_number(value: object, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= most


def starting_point(X: Features, model: Logistic) -> Array:
    """theta (d+1,) in float64, where a fit to X (n, d) starts. Where X is standardised, a constant column's weight is 0."""
    d = X.shape[1]
    if not isinstance(model.init, str):
        if len(model.init) != d + 1:
            needed = f"init must have {d + 1} numbers ({d} weights and an intercept) for {d} features"
            raise DataError(f"{needed}; got {len(model.init)}")
        theta = np.array(model.init, np.float64)
    elif model.init == "uniform":
        bound = 1 / np.sqrt(max(d, 1))
        theta = np.random.default_rng(model.seed).uniform(-bound, bound, d + 1)
    else:
        theta = np.zeros(d + 1)
    if model.standardize:
        theta[:-1][~varying(X)] = 0
    return theta


def training_features(
    X: Features, model: Logistic, names: Sequence[str] = (), m: Array | None = None
) -> tuple[Features, Array, Array]:
    """The features that `model` trains on, in its dtype, with their mean and scale (d,); not copied if nothing changes."""
    dtype, d = DTYPES[model.dtype], X.shape[1]
    if model.standardize:
        return standardised(X, dtype, names, m)
    Z = np.ascontiguousarray(X, dtype) if isinstance(X, np.ndarray) else X.astype(dtype)
    return Z, np.zeros(d), np.ones(d)


def fit(
    X: Features,
    y: Array,
    model: Logistic,
    optimizer: Optimizer,
    observer: Observer | None = None,
    features: Sequence[str] = (),
    weight: Array | None = None,
    classes: Sequence[Any] = (0, 1),
) -> LogisticFit:
    """See `Model.fit`; without a diagnosis of the end."""
    X, y, m = training_rows(X, y, weight, model.class_weight, classes)
    return fit_rows(X, y, m, model, optimizer, observer, features)


def fit_rows(
    X: Features,
    y: Array,
    m: Array | None,
    model: Logistic,
    optimizer: Optimizer,
    observer: Observer | None,
    features: Sequence[str],
) -> LogisticFit:
    """The same for rows of `training_rows`."""
    with one_thread, np.errstate(all="ignore"):  # an overflow shows in the loss or the weights, which are checked
        Z, mean, scale = training_features(X, model, features, m)
        chosen = optimizer.for_shape(X.shape, sparse=not isinstance(X, np.ndarray))
        numeric = _with_python_numbers(chosen)
        f, method = model.objective(Z, y.astype(Z.dtype), numeric, m)
        monitor = DivergenceMonitor(X, chosen.lr)
        loop = EpochLoop(f, method, monitor, observer or Observer())
        state, epoch, stopped_by = loop.run(starting_point(X, model).astype(Z.dtype))
        if stopped_by == "precision" and model.dtype == "float32":
            state = refined(state, Z, y, m, model, numeric)
        end = loop.measure(state, epoch, is_last=True)
    if end.gradient_norm <= chosen.tol > 0:
        stopped_by = "tol"
    arrays = LinearModel.at(state["theta"], mean, scale).arrays
    return LogisticFit(arrays, epoch, end.loss, end.gradient_norm, stopped_by, chosen, start_loss=monitor.first)


def _with_python_numbers(optimizer: Optimizer) -> Optimizer:
    """A NumPy scalar among the hyperparameters would make float32 arrays float64."""
    scalars = {name: value.item() for name, value in vars(optimizer).items() if isinstance(value, np.generic)}
    return replace(optimizer, **scalars) if scalars else optimizer
