"""A point along a descent direction, and where such a search may start."""

import math

import numpy as np

from pipeline.arrays import Array
from pipeline.errors import DataError
from pipeline.learning.objective import Objective
from pipeline.learning.optimizer import State

SUFFICIENT = 1e-4  # of the decrease that the slope promises: Armijo's condition
MOST_STALLED = 5  # steps in a row without progress


def evaluated(f: Objective, theta: Array) -> State:
    """theta with its loss and its gradient, where a line search may start."""
    loss, gradient = f.loss_and_gradient(theta)
    return {"theta": theta, "gradient": gradient, "loss": loss, **_progress(float(np.abs(gradient).max()), 0)}


def search(f: Objective, state: State, direction: Array, length: float = 1.0) -> State | None:
    """A point along a descent direction with a sufficient decrease (Armijo), or None where rounding allows no progress.

    Where two losses differ by rounding alone, a smaller gradient decides instead. state["least"] is the least max |gradient| so
    far, and state["stalled"] how many steps in a row brought neither a loss lower than by rounding nor a new least gradient.
    Raises DataError where the slope, and so perhaps the direction, has overflowed.
    """
    loss, slope = float(state["loss"]), float(state["gradient"] @ direction)
    require_finite(slope, "a step")
    rounding, least = float(np.finfo(direction.dtype).eps) * abs(loss), float(state["least"])
    while slope < 0 and 0 < length < math.inf:
        theta = state["theta"] + np.asarray(length, direction.dtype) * direction
        new, gradient = f.loss_and_gradient(theta)
        norm = float(np.abs(gradient).max())
        if new <= loss + SUFFICIENT * length * slope or (abs(new - loss) <= 10 * rounding and norm < least):
            stalled = 0 if new < loss - rounding or norm < least else int(state["stalled"]) + 1
            if stalled > MOST_STALLED:
                break
            return {"theta": theta, "gradient": gradient, "loss": new, **_progress(min(norm, least), stalled)}
        if np.array_equal(theta, state["theta"]):
            break
        excess = new - loss - length * slope
        length *= min(0.5, max(0.1, -0.5 * length * slope / excess)) if np.isfinite(excess) and excess > 0 else 0.1
    return None


def require_finite(array: Array | float, purpose: str) -> None:
    if not np.all(np.isfinite(array)):
        raise DataError(f"the features are too large for {purpose}; standardise them")


def _progress(least: float, stalled: int) -> State:
    return {"least": np.asarray(least), "stalled": np.asarray(stalled)}
