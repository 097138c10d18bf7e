"""Methods that learn or know the curvature."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Array
from pipeline.errors import ConfigError, DataError
from pipeline.learning.objective import Objective
from pipeline.learning.optimizers.protocol import State, check_limits

SAMPLED_FROM = 4  # samples' worth of rows, from which on a sample is worth its own optimum
NEAR = 0.03  # of the loss, that a step is to win: from there on, a Newton step's length is 1
FIRST, LONGEST, FLAT, MOST_TRIALS = 1.5, 4.0, 0.15, 2  # the trials of a length: see `_step_along`
MEMORY = 20  # steps that the sample's metric is corrected by
MOST_STALLED = 5  # steps running without progress
LOG_2 = math.log(2)


def _require_finite(array: Array | float, purpose: str) -> None:
    if not np.all(np.isfinite(array)):
        raise DataError(f"the features are too large for {purpose}; standardise them")


def _search_line(f: Objective, state: State, direction: Array, length: float = 1.0) -> State | None:
    """A point along a descent direction with a sufficient decrease (Armijo), or None where rounding allows no progress.

    Where two losses differ by rounding alone, a smaller gradient decides instead. state["least"] is the least max |gradient| so
    far, and state["stalled"] how many steps in a row brought neither a loss lower than by rounding nor a new least gradient.
    Raises ConfigError where the slope, and so perhaps the direction, has overflowed.
    """
    loss, slope = float(state["loss"]), float(state["gradient"] @ direction)
    _require_finite(slope, "a step")
    rounding, least = float(np.finfo(direction.dtype).eps) * abs(loss), float(state["least"])
    while slope < 0 and 0 < length < math.inf:
        theta = state["theta"] + np.asarray(length, direction.dtype) * direction
        new, gradient = f.loss_and_gradient(theta)
        norm = float(np.abs(gradient).max())
        if new <= loss + 1e-4 * length * slope or (abs(new - loss) <= 10 * rounding and norm < least):
            stalled = 0 if new < loss - rounding or norm < least else int(state["stalled"]) + 1
            if stalled > MOST_STALLED:
                break
            return {"theta": theta, "gradient": gradient, "loss": new, **_progress(min(norm, least), stalled)}
        if np.array_equal(theta, state["theta"]):
            break
        excess = new - loss - length * slope
        length *= min(0.5, max(0.1, -0.5 * length * slope / excess)) if np.isfinite(excess) and excess > 0 else 0.1
    return None


def _step_along(f: Objective, state: State, direction: Array) -> State | None:
    """A point along a Newton direction: where the slope has all but gone, for far from the optimum a step of 1 is too short."""
    first = float(state["gradient"] @ direction)
    if first > -NEAR * float(state["loss"]):
        return _search_line(f, state, direction)
    slope_at = f.slope_along(state["theta"], direction)
    low, high, length = (0.0, first), None, FIRST
    for _ in range(MOST_TRIALS):
        slope = slope_at(length)
        if not math.isfinite(slope):
            length = 1.0
            break
        if abs(slope) <= FLAT * abs(first):
            break
        other = low if slope > 0 else high or low
        low, high = (low, (length, slope)) if slope > 0 else ((length, slope), high)
        rise = (slope - other[1]) / (length - other[0])
        length = min(length - slope / rise if rise > 0 else math.inf, LONGEST * length)
    return _search_line(f, state, direction, length)


def _progress(least: float, stalled: int) -> State:
    return {"least": np.asarray(least), "stalled": np.asarray(stalled)}


def _look_closely(f: Objective, theta: Array) -> State:
    """theta with its loss and its gradient, where a line search may start."""
    loss, gradient = f.loss_and_gradient(theta)
    return {"theta": theta, "gradient": gradient, "loss": loss, **_progress(float(np.abs(gradient).max()), 0)}


def _bfgs_step(f: Objective, state: State, memory: int, metric: Callable[[Array], Array] | None) -> State:
    """One step of limited-memory BFGS (Nocedal and Wright, algorithm 7.4) that starts each time from `metric`, an approximate
    inverse Hessian, or without one from the last step's curvature. state["s"] and state["y"] are (steps kept, d+1)."""
    s, y, gradient = state["s"], state["y"], state["gradient"]
    q, alphas = gradient.copy(), []
    for si, yi in zip(s[::-1], y[::-1], strict=True):
        alphas.append((si @ q) / (si @ yi))
        q -= alphas[-1] * yi
    if metric:
        q = metric(q)
    elif len(s):
        q *= (s[-1] @ y[-1]) / (y[-1] @ y[-1])
    for si, yi, alpha in zip(s, y, reversed(alphas), strict=True):
        q += (alpha - (yi @ q) / (si @ yi)) * si
    length = 1.0 if metric or len(s) else 1.0 / max(1.0, float(np.abs(gradient).sum()))
    new = _search_line(f, state, -q, length)
    if new is None:
        return state
    ds, dy = new["theta"] - state["theta"], new["gradient"] - gradient
    if ds @ dy > np.finfo(ds.dtype).eps * (dy @ dy):
        s, y = np.vstack([s, ds])[-memory:], np.vstack([y, dy])[-memory:]
    return {**state, **new, "s": s, "y": y}


def _without_memory(theta: Array) -> State:
    empty = np.empty((0, len(theta)), theta.dtype)
    return {"s": empty, "y": empty}


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS with a backtracking line search; with `diagonal`, on columns scaled by the objective's curvatures,
    which pays where columns differ by orders of magnitude."""

    epochs: int = 500
    record_every: int = 1
    tol: float = 1e-8
    memory: int = 10
    diagonal: bool = False

    def __post_init__(self) -> None:
        check_limits(self)
        if not self.memory >= 1:
            raise ConfigError(f"memory must be >= 1; got {self.memory}")

    def start(self, f: Objective, theta: Array) -> State:
        state = {**_look_closely(f, theta), **_without_memory(theta)}
        if self.diagonal:
            curvatures = f.curvatures()
            floor = np.finfo(theta.dtype).eps * curvatures.max()
            state["curvatures"] = np.maximum(curvatures, floor).astype(theta.dtype)
            _require_finite(state["curvatures"], "a diagonal metric")
        return state

    def step(self, f: Objective, state: State, epoch: int) -> State:
        metric = (lambda q: q / state["curvatures"]) if self.diagonal else None
        return _bfgs_step(f, state, self.memory, metric)


@dataclass(frozen=True)
class Newton:
    """Newton's method. Far from the optimum a step's length is sought along its direction; every step backtracks where it must.

    With many more rows than `sample`, the Hessian is that of a random sample at the sample's own optimum, from which the steps
    start: it is factored once, and is then the metric of L-BFGS, whose gradients are of all rows (a fixed sub-sampled Newton:
    Byrd et al. 2011, Erdogdu and Montanari 2015). With more than `dense` columns the step is found by conjugate gradients,
    without the Hessian (Dembo, Eisenstat and Steihaug 1982). A singular Hessian is damped until its Cholesky factor exists.
    """

    epochs: int = 50
    record_every: int = 1
    tol: float = 1e-10
    sample: int = 20_000
    dense: int = 2_000
    seed: int = 0

    def __post_init__(self) -> None:
        check_limits(self)
        if not self.sample >= 1:
            raise ConfigError(f"sample must be >= 1; got {self.sample}")
        if not self.dense >= 0:
            raise ConfigError(f"dense must be >= 0; got {self.dense}")
        if not self.seed >= 0:
            raise ConfigError(f"seed must be >= 0; got {self.seed}")

    def start(self, f: Objective, theta: Array) -> State:
        rows = max(self.sample, 20 * len(theta))
        if f.n < SAMPLED_FROM * rows or len(theta) > self.dense:
            return _look_closely(f, theta)
        chosen = np.sort(np.random.default_rng(self.seed).choice(f.n, rows, replace=False))
        sample = f.rows(chosen)
        there = self._minimise(sample, theta, len(theta) / rows)
        factor = _factor(sample.hessian(there)).astype(theta.dtype)
        state = _look_closely(f, there)
        if not state["loss"] < (LOG_2 if not theta.any() else f.loss(theta)):  # the sample misled: few or no rows of a class
            state = _look_closely(f, theta)
        return {**state, **_without_memory(theta), "factor": factor}

    def _minimise(self, sample: Objective, theta: Array, precision: float) -> Array:
        """The sample's optimum, as exactly as it says something of all rows: to a hundredth of its own error, d/rows."""
        state = _look_closely(sample, theta)
        for _ in range(self.epochs):
            step = _solve(_factor(sample.hessian(state["theta"])), state["gradient"])
            new = _step_along(sample, state, -step)
            if new is None:
                break
            decrement, state = float(state["gradient"] @ step), new
            if decrement < precision / 100:
                break
        return state["theta"]

    def step(self, f: Objective, state: State, epoch: int) -> State:
        if "factor" in state:
            return _bfgs_step(f, state, MEMORY, lambda q: _solve(state["factor"], q))
        gradient = state["gradient"]
        if len(gradient) > self.dense:
            direction = -_conjugate_gradients(f.hessian_times(state["theta"]), gradient)
        else:
            direction = -_solve(_factor(f.hessian(state["theta"])), gradient)
        return _step_along(f, state, direction) or state


def _factor(H: Array) -> Array:
    """The upper Cholesky factor of H + damping diag, for the smallest damping that makes H numerically positive definite."""
    from scipy.linalg.lapack import dpotrf

    H = H.astype(np.float64, copy=False)
    factor, failure = dpotrf(H)
    if not failure and math.isfinite(factor.trace()):  # NaN is no failure to LAPACK
        return np.asarray(factor)
    _require_finite(H, "a Hessian")
    largest = np.diag(H).max() or 1.0
    for exponent in range(-12, 3):
        factor, failure = dpotrf(H + 10.0**exponent * largest * np.eye(len(H)))
        if not failure:
            return np.asarray(factor)
    raise AssertionError("a finite symmetric matrix plus 100 times its greatest diagonal entry is positive definite")


def _solve(factor: Array, g: Array) -> Array:
    """(factor^T factor)^-1 g, in the factor's dtype."""
    from scipy.linalg.lapack import dpotrs, spotrs

    solve = dpotrs if factor.dtype == np.float64 else spotrs
    return np.asarray(solve(factor, g)[0], g.dtype)


def _conjugate_gradients(product: Callable[[Array], Array], g: Array) -> Array:
    """x with H x = g, as exactly as a Newton step deserves: to min(1/2, sqrt |g|) |g|."""
    x, r = np.zeros_like(g), g.copy()
    p, square = r.copy(), float(r @ r)
    enough = square * min(0.25, math.sqrt(square))
    for _ in range(2 * len(g)):
        if square <= enough:
            break
        Hp = product(p)
        bend = float(p @ Hp)
        if bend <= 0:  # by rounding: H has no direction of negative curvature
            break
        x += square / bend * p
        r -= square / bend * Hp
        square, before = float(r @ r), square
        p = r + square / before * p
    return x if x.any() else g
