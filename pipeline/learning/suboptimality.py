"""How far from the optimum a fit has ended. In float64."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.arrays import Array, Features
from pipeline.determinism import one_thread
from pipeline.learning.models import LinearModel
from pipeline.learning.separation import LARGEST, LEAST_ROWS, ROWS_A_COLUMN, SignedRows, sample_of
from pipeline.model.predictor import probability

FAR = 0.01  # of the loss, by which it must still be able to fall for a fit to have ended far from the optimum


@dataclass(frozen=True)
class Distance:
    """What there is between a fit's end and the optimum."""

    loss: float  # at the end
    decrease: float  # about so much of it is left to gain
    steepest: float  # the greatest eigenvalue that the Hessian may have; gradient descent copes with rates up to 2 / steepest

    @property
    def is_far(self) -> bool:
        return self.decrease > FAR * self.loss


def distance(X: Features, y: Array, model: LinearModel, l2: float) -> Distance:
    """Half the squared Newton decrement (Boyd and Vandenberghe, 9.5.1), by the gradient of all rows and a sample's Hessian.

    Beyond LARGEST columns it is what the best step along the gradient would gain, which is less.
    """
    with one_thread, np.errstate(all="ignore"):
        C, theta = SignedRows(X, y, model.mean, model.scale), np.append(model.w.astype(np.float64), model.b)
        penalty = np.append(np.full(len(model.w), l2), 0.0)
        margins = C.times(theta)
        loss = float(np.logaddexp(0, -margins).mean() + 0.5 * (penalty * theta) @ theta)
        gradient = penalty * theta - C.transposed_times(probability(-margins)) / len(y)
        chosen = sample_of(y, max(LEAST_ROWS, ROWS_A_COLUMN * len(theta)) if len(theta) <= LARGEST else LEAST_ROWS)
        B, p = C.take(chosen), probability(-margins[chosen])
        shares = _shares(y, chosen)
        if len(theta) > LARGEST:
            along = B @ gradient
            curvature = shares * p * (1 - p) @ along**2 + penalty @ gradient**2
            steepest = float(shares @ np.square(B).sum(axis=1)) / 4 + l2
            gain = 0.5 * (gradient @ gradient) ** 2 / curvature if curvature else 0.0
            return Distance(loss, float(min(loss, gain)), steepest)
        hessian, largest = _gram(B, shares * p * (1 - p)) + np.diag(penalty), _gram(B, shares / 4) + np.diag(penalty)
        return Distance(loss, min(loss, _decrement(hessian, gradient)), float(np.linalg.eigvalsh(largest)[-1]))


def _shares(y: Array, chosen: Any) -> Array:
    """What part of all rows each chosen one stands for, by its class."""
    ones = y[chosen] == 1
    share = np.count_nonzero(y == 1) / len(y)
    return np.where(ones, share / max(1, ones.sum()), (1 - share) / max(1, (~ones).sum()))


def _gram(B: Array, weights: Array) -> Array:
    S = B * np.sqrt(weights)[:, None]
    return S.T @ S


def _decrement(H: Array, g: Array) -> float:
    """g^T H^-1 g / 2, in the directions in which H is not 0."""
    unit = np.sqrt(np.diag(H))
    unit[unit == 0] = 1
    values, vectors = np.linalg.eigh(H / (unit[:, None] * unit))
    positive = values > 1e-12 * values[-1]
    return float(np.square((vectors.T @ (g / unit))[positive]) @ (1 / values[positive])) / 2
