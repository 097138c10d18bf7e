"""How far from the optimum a fit has ended, in float64, and how one in float32 that rounding stopped too early goes on."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array, Features
from pipeline.determinism import one_thread
from pipeline.errors import PipelineError
from pipeline.learning.epochs import DivergenceMonitor, EpochLoop
from pipeline.learning.matrix import gram
from pipeline.learning.model import Observer
from pipeline.learning.models import LinearModel, Logistic
from pipeline.learning.optimizer import Optimizer, State
from pipeline.learning.separation import pseudo_solve
from pipeline.learning.signed_rows import MAX_COLUMNS, SignedRows, sample_of, sample_size
from pipeline.model.predictor import probability

FAR = 0.01  # of the loss, by which it must still be able to fall for a fit to have ended far from the optimum

ROUNDING_SHARE = 1e-5  # of the loss: what is left where rounding in float32 rightly ends a fit is less


@dataclass(frozen=True)
class Distance:
    """What there is between a fit's end and the optimum."""

    loss: float  # at the end
    decrease: float  # about so much of it is left to gain
    steepest: float  # the greatest eigenvalue that the Hessian may have; gradient descent copes with rates up to 2 / steepest

    @property
    def is_far(self) -> bool:
        return self.decrease > FAR * self.loss


def distance(X: Features, y: Array, model: LinearModel, l2: float, m: Array | None = None) -> Distance:
    """Half the squared Newton decrement (Boyd and Vandenberghe, 9.5.1), by the gradient of all rows and a sample's Hessian.

    Beyond MAX_COLUMNS columns it is what the best step along the gradient would gain, which is less. m: row weights (n,) of
    mean 1, or None.
    """
    with one_thread, np.errstate(all="ignore"):
        C, theta = SignedRows(X, y, model.mean, model.scale), model.theta
        penalty = np.append(np.full(len(model.w), l2), 0.0)
        margins = C.times(theta)
        loss = float(np.average(np.logaddexp(0, -margins), weights=m) + 0.5 * (penalty * theta) @ theta)
        wrong = probability(-margins)
        gradient = penalty * theta - C.transposed_times(wrong if m is None else m * wrong) / len(y)
        chosen = sample_of(y, sample_size(len(theta)))
        B, p = C.take(chosen), wrong[chosen]
        shares = _shares(y, m, chosen)
        if len(theta) > MAX_COLUMNS:
            along = B @ gradient
            curvature = shares * p * (1 - p) @ along**2 + penalty @ gradient**2
            steepest = float(shares @ np.square(B).sum(axis=1)) / 4 + l2
            gain = 0.5 * (gradient @ gradient) ** 2 / curvature if curvature else 0.0
            return Distance(loss, float(min(loss, gain)), steepest)
        hessian, largest = gram(B, shares * p * (1 - p)) + np.diag(penalty), gram(B, shares / 4) + np.diag(penalty)
        decrement = float(gradient @ pseudo_solve(hessian, gradient)) / 2
        return Distance(loss, min(loss, decrement), float(np.linalg.eigvalsh(largest)[-1]))


def refined(state: State, Z: Features, y: Array, m: Array | None, model: Logistic, optimizer: Optimizer) -> State:
    """The state itself or, where more than rounding explains is left of the loss, a point that float64 finds from it.

    Z (n, d) are the features in float32 that `model` trains on; state["theta"] stays in float32.
    """
    theta = state["theta"].astype(np.float64)
    d = len(theta) - 1
    left = distance(Z, y, LinearModel.at(theta, np.zeros(d), np.ones(d)), model.l2, m)
    if d >= MAX_COLUMNS or left.decrease <= ROUNDING_SHARE * left.loss:
        return state
    f, method = replace(model, dtype="float64").objective(Z.astype(np.float64), y.astype(np.float64), optimizer, m)
    try:
        end, *_ = EpochLoop(f, method, DivergenceMonitor(Z, optimizer.lr), Observer()).run(theta)
    except PipelineError:  # a step that overflows
        return state
    found = end["theta"].astype(np.float32)
    return {"theta": found} if f.loss(found.astype(np.float64)) < f.loss(theta) else state


def _shares(y: Array, m: Array | None, chosen: NDArray[np.intp]) -> Array:
    """What part of all rows' weight each chosen one stands for, by its class."""
    ones = y[chosen] == 1
    share = np.average(y == 1, weights=m)
    within = np.ones(len(chosen)) if m is None else m[chosen]
    totals = [max(within[part].sum(), np.finfo(np.float64).tiny) for part in (ones, ~ones)]
    return within * np.where(ones, share / totals[0], (1 - share) / totals[1])
