"""Newton's method."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Array
from pipeline.learning.objective import Objective
from pipeline.learning.optimizer import Optimizer, State
from pipeline.learning.optimizers._line_search import bfgs_step, evaluated, require_no_overflow, search, without_memory
from pipeline.limits import check_at_least, check_seed

MIN_SAMPLES = 4  # samples' worth of rows, from which on a sample is worth its own optimum
NEAR_OPTIMUM = 0.03  # of the loss, that a step is to gain: from there on, a Newton step's length is 1
FIRST_LENGTH, MAX_GROWTH, FLAT_SLOPE, MAX_TRIALS = 1.5, 4.0, 0.15, 2  # the trials of a length: see `_step_along`
MEMORY = 20  # steps that the sample's metric is corrected by
LOG_2 = math.log(2)


@dataclass(frozen=True)
class Newton(Optimizer):
    """Newton's method. Far from the optimum a step's length is sought along its direction; every step backtracks where it must.

    With many more rows than `sample`, the Hessian is that of a random sample at the sample's own optimum, from which the steps
    start: it is factored once, and is then the metric of L-BFGS, whose gradients are of all rows (a fixed sub-sampled Newton:
    Byrd et al. 2011, Erdogdu and Montanari 2015). With more than `dense` columns the step is found by conjugate gradients,
    without the Hessian (Dembo, Eisenstat and Steihaug 1982). A singular Hessian is damped until its Cholesky factor exists.
    """

    epochs: int = 50
    tol: float = 1e-10
    sample: int = 20_000
    dense: int = 2_000
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("sample", self.sample, 1)
        check_at_least("dense", self.dense, 0)
        check_seed(self.seed)

    def start(self, f: Objective, theta: Array) -> State:
        rows = max(self.sample, 20 * len(theta))
        if f.n < MIN_SAMPLES * rows or len(theta) > self.dense:
            return evaluated(f, theta)
        chosen = np.sort(np.random.default_rng(self.seed).choice(f.n, rows, replace=False))
        sample = f.rows(chosen)
        optimum = self._minimise(sample, theta, len(theta) / rows)
        factor = factored(sample.hessian(optimum)).astype(theta.dtype)
        state = evaluated(f, optimum)
        if not state["loss"] < (LOG_2 if not theta.any() else f.loss(theta)):  # the sample misled: few or no rows of a class
            state = evaluated(f, theta)
        return {**state, **without_memory(theta), "factor": factor}

    def _minimise(self, sample: Objective, theta: Array, precision: float) -> Array:
        """The sample's optimum, as exactly as it matters for all rows: to a hundredth of its own error, d/rows."""
        state = evaluated(sample, theta)
        for _ in range(self.epochs):
            step = solved(factored(sample.hessian(state["theta"])), state["gradient"])
            new = _step_along(sample, state, -step)
            if new is None:
                break
            decrement, state = float(state["gradient"] @ step), new
            if decrement < precision / 100:
                break
        return state["theta"]

    def step(self, f: Objective, state: State, epoch: int) -> State | None:
        if "factor" in state:
            return bfgs_step(f, state, MEMORY, lambda q: solved(state["factor"], q))
        gradient = state["gradient"]
        if len(gradient) > self.dense:
            direction = -_conjugate_gradients(f.hessian_times(state["theta"]), gradient)
        else:
            direction = -solved(factored(f.hessian(state["theta"])), gradient)
        return _step_along(f, state, direction)


def _step_along(f: Objective, state: State, direction: Array) -> State | None:
    """A point along a Newton direction where the slope has nearly vanished: far from the optimum a step of 1 is too short."""
    first = float(state["gradient"] @ direction)
    if first > -NEAR_OPTIMUM * float(state["loss"]):
        return search(f, state, direction)
    slope_at = f.slope_along(state["theta"], direction)
    low, high, length = (0.0, first), None, FIRST_LENGTH
    for _ in range(MAX_TRIALS):
        slope = slope_at(length)
        if not math.isfinite(slope):
            length = 1.0
            break
        if abs(slope) <= FLAT_SLOPE * abs(first):
            break
        other = low if slope > 0 else high or low
        low, high = (low, (length, slope)) if slope > 0 else ((length, slope), high)
        rise = (slope - other[1]) / (length - other[0])
        length = min(length - slope / rise if rise > 0 else math.inf, MAX_GROWTH * length)
    return search(f, state, direction, length)


def factored(H: Array) -> Array:
    """The upper Cholesky factor of H + damping diag, for the smallest damping that makes H numerically positive definite."""
    from scipy.linalg.lapack import dpotrf

    H = H.astype(np.float64, copy=False)
    factor, failure = dpotrf(H)
    if not failure and math.isfinite(factor.trace()):  # NaN is no failure to LAPACK
        return np.asarray(factor)
    require_no_overflow(H, "a Hessian")
    largest = np.diag(H).max() or 1.0
    for exponent in range(-12, 3):
        factor, failure = dpotrf(H + 10.0**exponent * largest * np.eye(len(H)))
        if not failure:
            return np.asarray(factor)
    raise AssertionError("a finite symmetric matrix plus 100 times its greatest diagonal entry is positive definite")


def solved(factor: Array, g: Array) -> Array:
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
        curvature = float(p @ Hp)
        if curvature <= 0:  # by rounding: H has no direction of negative curvature
            break
        x += square / curvature * p
        r -= square / curvature * Hp
        square, before = float(r @ r), square
        p = r + square / before * p
    return x if x.any() else g
