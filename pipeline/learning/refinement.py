"""A fit in float32 that rounding stopped too early goes on in float64."""

from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.arrays import Array, Features
from pipeline.errors import PipelineError
from pipeline.learning.models import LinearModel
from pipeline.learning.optimizer import Optimizer, State
from pipeline.learning.separation import LARGEST
from pipeline.learning.suboptimality import distance

EXPLAINED = 1e-5  # of the loss: what is left where rounding in float32 rightly ends a fit is less


def refined(state: State, Z: Features, y: Array, model: Any, optimizer: Optimizer) -> State:
    """The state itself or, where more than rounding explains is left of the loss, a point that float64 finds from it.

    Z (n, d) are the features in float32 that `model` trains on; state["theta"] stays in float32.
    """
    theta = state["theta"].astype(np.float64)
    d = len(theta) - 1
    left = distance(Z, y, LinearModel(np.zeros(d), np.ones(d), theta[:-1], theta[-1]), model.l2)
    if d >= LARGEST or left.decrease <= EXPLAINED * left.loss:
        return state
    f, method = replace(model, dtype="float64").objective(Z.astype(np.float64), y.astype(np.float64), optimizer)
    try:
        found = _minimised(f, method, theta).astype(np.float32)
    except PipelineError:  # a step that overflows
        return state
    return {"theta": found} if f.loss(found.astype(np.float64)) < f.loss(theta) else state


def _minimised(f: Any, method: Optimizer, theta: Array) -> Array:
    state = method.start(f, theta)
    for epoch in range(method.epochs):
        after = method.step(f, state, epoch)
        if after is None:
            break
        state = after
        if np.abs(state["gradient"]).max() <= method.tol:
            break
    return state["theta"]
