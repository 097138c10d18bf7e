"""A fit in float32 that rounding stopped too early is taken on in float64."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.arrays import Array, Features
from pipeline.errors import PipelineError
from pipeline.learning.objective import log_loss
from pipeline.learning.separation import LARGEST, LEAST_ROWS, ROWS_A_COLUMN, sample_of

EXPLAINED = 1e-5  # of the loss: what is left where rounding in float32 rightly ends a fit is less


def refined(state: Mapping[str, Array], Z: Features, y: Array, model: Any, optimizer: Any) -> Mapping[str, Array]:
    """The state itself or, where more than rounding explains is left of the loss, a point that float64 finds from it.

    Z (n, d) are the features in float32 that `model` trains on; state["theta"] stays in float32.
    """
    theta = state["theta"].astype(np.float64)
    if len(theta) > LARGEST or _decrement(state, Z, y, model.l2) <= EXPLAINED * float(state["loss"]):
        return state
    f, method = replace(model, dtype="float64").problem(Z.astype(np.float64), y.astype(np.float64), optimizer)
    before = f.loss(theta)
    try:
        there = method.start(f, theta)
        for epoch in range(optimizer.epochs):
            previous, there = there, method.step(f, there, epoch)
            if there is previous or np.abs(there["gradient"]).max() <= optimizer.tol:
                break
    except PipelineError:  # a step that overflows
        return state
    found = there["theta"].astype(np.float32)
    return {"theta": found} if f.loss(found.astype(np.float64)) < before else state


def _decrement(state: Mapping[str, Array], Z: Features, y: Array, l2: float) -> float:
    """Half the squared Newton decrement, with the Hessian of a sample."""
    theta, g = state["theta"].astype(np.float64), state["gradient"].astype(np.float64)
    rows = sample_of(y, max(LEAST_ROWS, ROWS_A_COLUMN * len(theta)))
    H = log_loss(Z[rows].astype(np.float64), y[rows], l2).hessian(theta)
    return float(g @ np.linalg.lstsq(H, g, rcond=None)[0]) / 2
