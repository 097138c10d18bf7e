"""Logistic regressions for a falling series of l2, each found from the one before: a path costs a few fits.

The steps are those of L-BFGS on the metric of a Hessian, made from a sample of the rows, to which each l2 is added. It is made
again where a step gains too little. With too many columns for a Hessian, or sparse X, the steps are those of L-BFGS alone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pipeline.arrays import Array, Features
from pipeline.determinism import one_thread
from pipeline.learning.log_loss import LogLoss, log_loss
from pipeline.learning.logistic import training_features
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.objective import Differentiable
from pipeline.learning.optimizer import State
from pipeline.learning.optimizers._line_search import bfgs_step, centred_solve, evaluated, without_memory
from pipeline.learning.optimizers.auto import Auto
from pipeline.learning.optimizers.newton import Newton, factored, solved

LARGE = 20_000  # rows of a dense table from which on float32 is exact enough
MAX_STEPS, MEMORY = 500, 20  # for each l2, and the steps that the metric is corrected by
SAMPLE, ROWS_A_COLUMN = 10_000, 50  # rows that a Hessian is made from, at least
CLOSE, SAMPLED_CLOSE = 1e-6, 1e-3  # of the root of the loss: the Newton decrement from which the next step ends at the minimum
SLOW = 0.3  # of a step's decrement: where the next one is still greater, the Hessian is made again
GRADIENT_CLOSE = 1e-5  # likewise for L-BFGS, of the greatest decrement that a gradient can have: every curvature is at least l2


@dataclass(frozen=True)
class Path:
    """Models on (x - mean) / scale, a column each."""

    mean: Array  # (d,)
    scale: Array  # (d,)
    thetas: Array  # (d+1, k)

    def log_odds(self, X: Features) -> Array:
        """Z (n, k) of raw features X (n, d)."""
        W, b = self.thetas[:-1], self.thetas[-1]
        with one_thread:
            if isinstance(X, np.ndarray):
                return (X - self.mean) / self.scale @ W + b
            W = W / self.scale[:, None]
            return np.asarray(X @ W + (b - self.mean @ W))


class _Penalised(Differentiable):
    """An objective without a penalty, and l2/2 ||w||^2."""

    def __init__(self, f: LogLoss, l2: float) -> None:
        self._f, self.l2 = f, l2

    def loss_and_gradient(self, theta: Array) -> tuple[float, Array]:
        loss, gradient = self._f.loss_and_gradient(theta)
        return loss + _penalty(theta, self.l2), gradient + _slope(theta, self.l2)


def _penalty(theta: Array, l2: float) -> float:
    return 0.5 * l2 * float(theta[:-1] @ theta[:-1])


def _slope(theta: Array, l2: float) -> Array:
    """l2 [w, 0], of a theta (d+1,) or of several as rows."""
    slope = l2 * theta
    slope[..., -1] = 0
    return slope


def fit_path(X: Features, y: Array, m: Array | None, l2s: Sequence[float], standardize: bool) -> Path:
    """The minimiser for each of `l2s`, which fall. m: row weights (n,) of mean 1, or None.

    Each is so close to the minimum that the losses of other rows are those of the minimiser to within 1e-4. So a large dense
    table that is standardised may be in float32, and all others are in float64.
    """
    is_dense, before = isinstance(X, np.ndarray), float(l2s[0])
    has_hessian = isinstance(Auto().for_shape(X.shape, sparse=not is_dense), Newton)
    dtype = "float32" if has_hessian and standardize and len(y) > LARGE else "float64"
    thetas = []
    with one_thread, np.errstate(all="ignore"):
        Z, mean, scale = training_features(X, NumpyModel(dtype=dtype, standardize=standardize), m=m)
        f = log_loss(Z, y.astype(Z.dtype), 0.0, m)
        theta = _null_model(X.shape[1], y, m).astype(Z.dtype)
        state: State = {**evaluated(_Penalised(f, before), theta), **without_memory(theta)}
        metric = _Metric(f, theta) if has_hessian else None
        curvatures = None if is_dense else f.curvatures()
        for l2 in map(float, l2s):
            penalised, state = _Penalised(f, l2), _with_penalty(state, l2 - before)
            state, theta = _by_newton(penalised, state, metric) if metric else _by_lbfgs(penalised, state, curvatures)
            thetas.append(theta)
            before = l2
    return Path(mean, scale, np.column_stack(thetas))


def _null_model(d: int, y: Array, m: Array | None) -> Array:
    """theta (d+1,) without weights."""
    share = float(np.average(y, weights=m))
    return np.append(np.zeros(d), math.log(share / (1 - share)))


def _with_penalty(state: State, change: float) -> State:
    """The state where l2 has changed by so much: no pass over the rows is needed."""
    theta, s = state["theta"], state["s"]
    gradient = state["gradient"] + _slope(theta, change)
    changed = {"loss": state["loss"] + _penalty(theta, change), "gradient": gradient, "y": state["y"] + _slope(s, change)}
    return {**state, **changed, "least": np.abs(gradient).max(), "stalled": np.asarray(0)}


class _Metric:
    """The Hessian of the loss without a penalty, of a sample of the rows."""

    def __init__(self, f: LogLoss, theta: Array) -> None:
        rows = max(SAMPLE, ROWS_A_COLUMN * len(theta))
        chosen = np.sort(np.random.default_rng(0).choice(f.n, rows, replace=False)) if f.n > 2 * rows else None
        self._sample, self.close = (f, CLOSE) if chosen is None else (f.rows(chosen), SAMPLED_CLOSE)
        self.update(theta)

    def update(self, theta: Array) -> None:
        self._hessian = self._sample.hessian(theta)

    def inverse(self, l2: float) -> Callable[[Array], Array]:
        """The function g -> H^-1 g with l2 added."""
        H = self._hessian.copy()
        H.flat[: -1 : len(H) + 1] += l2
        factor = factored(H)
        return lambda g: solved(factor, g)


def _by_newton(f: _Penalised, state: State, metric: _Metric) -> tuple[State, Array]:
    """The last state, whose loss is known, and the minimiser."""
    inverse, last = metric.inverse(f.l2), math.inf
    for _ in range(MAX_STEPS):
        step = inverse(state["gradient"])
        decrement = math.sqrt(max(float(state["gradient"] @ step), 0.0))
        if decrement <= metric.close * math.sqrt(state["loss"]):
            return state, state["theta"] - step
        if decrement > SLOW * last:
            metric.update(state["theta"])
            inverse = metric.inverse(f.l2)
        new = bfgs_step(f, state, MEMORY, inverse)
        if new is None:
            break
        state, last = new, decrement
    return state, state["theta"]


def _by_lbfgs(f: _Penalised, state: State, curvatures: Array | None) -> tuple[State, Array]:
    """The same. curvatures: those of the loss without the penalty."""
    metric = None
    if curvatures is not None:
        penalised = curvatures.copy()
        penalised[0, :-1] += f.l2
        metric = partial(centred_solve, penalised)
    for _ in range(MAX_STEPS):
        if np.linalg.norm(state["gradient"]) <= GRADIENT_CLOSE * math.sqrt(f.l2 * state["loss"]):
            break
        new = bfgs_step(f, state, MEMORY, metric)
        if new is None:
            break
        state = new
    return state, state["theta"]
