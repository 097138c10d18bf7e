"""The step of limited-memory BFGS, on any metric."""

from collections.abc import Callable

import numpy as np

from pipeline.arrays import Array
from pipeline.learning.objective import Objective
from pipeline.learning.optimizer import State
from pipeline.learning.optimizers._line_search import search


def without_memory(theta: Array) -> State:
    empty = np.empty((0, len(theta)), theta.dtype)
    return {"s": empty, "y": empty}


def bfgs_step(f: Objective, state: State, memory: int, metric: Callable[[Array], Array] | None) -> State | None:
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
    new = search(f, state, -q, length)
    if new is None:
        return None
    ds, dy = new["theta"] - state["theta"], new["gradient"] - gradient
    if ds @ dy > np.finfo(ds.dtype).eps * (dy @ dy):
        s, y = np.vstack([s, ds])[-memory:], np.vstack([y, dy])[-memory:]
    return {**state, **new, "s": s, "y": y}
