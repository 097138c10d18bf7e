"""Line searches, and steps of limited-memory BFGS by them."""

import math
from collections.abc import Callable

import numpy as np

from pipeline.arrays import Array
from pipeline.errors import DataError
from pipeline.learning.objective import Differentiable
from pipeline.learning.optimizer import State

SUFFICIENT_DECREASE = 1e-4  # of what the slope promises: Armijo's condition
MAX_STALLED = 5  # steps in a row without progress


def evaluated(f: Differentiable, theta: Array) -> State:
    """theta with its loss and its gradient, where a line search may start."""
    loss, gradient = f.loss_and_gradient(theta)
    return {"theta": theta, "gradient": gradient, "loss": loss, **_progress(float(np.abs(gradient).max()), 0)}


def search(f: Differentiable, state: State, direction: Array, length: float = 1.0) -> State | None:
    """A point along a descent direction with a sufficient decrease (Armijo), or None where rounding allows no progress.

    Where two losses differ by rounding alone, a smaller gradient decides instead. state["least"] is the least max |gradient| so
    far, and state["stalled"] how many steps in a row brought neither a loss lower than by rounding nor a new least gradient.
    Raises DataError where the slope, and so perhaps the direction, has overflowed.
    """
    loss, slope = float(state["loss"]), float(state["gradient"] @ direction)
    require_no_overflow(slope, "a step")
    rounding, least = float(np.finfo(direction.dtype).eps) * abs(loss), float(state["least"])
    while slope < 0 and 0 < length < math.inf:
        theta = state["theta"] + np.asarray(length, direction.dtype) * direction
        new, gradient = f.loss_and_gradient(theta)
        norm = float(np.abs(gradient).max())
        if new <= loss + SUFFICIENT_DECREASE * length * slope or (abs(new - loss) <= 10 * rounding and norm < least):
            stalled = 0 if new < loss - rounding or norm < least else int(state["stalled"]) + 1
            if stalled > MAX_STALLED:
                break
            return {"theta": theta, "gradient": gradient, "loss": new, **_progress(min(norm, least), stalled)}
        if np.array_equal(theta, state["theta"]):
            break
        excess = new - loss - length * slope
        length *= min(0.5, max(0.1, -0.5 * length * slope / excess)) if np.isfinite(excess) and excess > 0 else 0.1
    return None


def require_no_overflow(array: Array | float, purpose: str) -> None:
    if not np.all(np.isfinite(array)):
        raise DataError(f"the features are too large for {purpose}; standardise them")


def _progress(least: float, stalled: int) -> State:
    return {"least": np.asarray(least), "stalled": np.asarray(stalled)}


def without_memory(theta: Array) -> State:
    empty = np.empty((0, len(theta)), theta.dtype)
    return {"s": empty, "y": empty}


def centred_solve(curvatures: Array, g: Array) -> Array:
    """M^-1 g (d+1,), for the Hessian M of features that are not correlated. curvatures: of `Objective.curvatures`.

    M is diagonal where the features are centred. So steps by it never enter the directions in which the levels of a category
    add up to the intercept, on which no prediction depends and which else most steps would go to.
    """
    diagonal, border = curvatures
    rounding, means = float(np.finfo(g.dtype).eps), border[:-1] / border[-1]
    least = np.maximum(math.sqrt(rounding) * diagonal[:-1], rounding * diagonal.max())
    w = (g[:-1] - means * g[-1]) / np.maximum(diagonal[:-1] - means * border[:-1], least)
    return np.append(w, g[-1] / border[-1] - means @ w).astype(g.dtype, copy=False)


def bfgs_step(f: Differentiable, state: State, memory: int, metric: Callable[[Array], Array] | None) -> State | None:
    """One step of limited-memory BFGS (Nocedal and Wright, algorithm 7.4) that starts each time from `metric`, an approximate
    inverse Hessian, or without one from the last step's curvature. state["s"] and state["y"] are (steps, d+1)."""
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
    new = search(f, state, -q, length)
    if new is None:
        return None
    ds, dy = new["theta"] - state["theta"], new["gradient"] - gradient
    if ds @ dy > np.finfo(ds.dtype).eps * (dy @ dy):
        s, y = np.vstack([s, ds])[-memory:], np.vstack([y, dy])[-memory:]
    return {**state, **new, "s": s, "y": y}
