"""Recalibration: how log-odds z would have to be shifted and scaled to fit labels, in many resamples at once (Cox 1958)."""

import numpy as np

from pipeline.arrays import Array
from pipeline.learning.losses import log_losses, signs_of, wrong_class_probability

MAX_STEPS, MAX_HALVINGS = 100, 30
TOLERANCE = 1e-7  # log-odds; after a Newton step so small, the next would be about its square
SAFE = 1.0  # log-odds; a Newton step that changes none by more than this lowers the loss (Bach 2010)


@np.errstate(over="ignore", divide="ignore", invalid="ignore")
def shift(z: Array, y: Array, counts: Array) -> Array:
    """The a (B,) with which the mean of sigmoid(a + z) is the share of positives, by Newton's method between two bounds.

    z (g,) and y (g,) in {0, 1} of rows that count so often, counts (B, g); nan where those of one class alone count.
    """
    total = counts.sum(axis=1)
    share = counts @ y / total
    centre = np.log(share) - np.log1p(-share)
    low, high = centre - z.max(), centre - z.min()
    a = np.clip(0.0, low, high)
    for _ in range(MAX_STEPS):
        p = wrong_class_probability(-(a[:, None] + z))
        excess = np.einsum("ij,ij->i", counts, p) / total - share
        slope = np.einsum("ij,ij,ij->i", counts, p, 1 - p) / total
        low, high = np.where(excess < 0, a, low), np.where(excess > 0, a, high)
        newton = a - excess / slope
        following = np.where((newton >= low) & (newton <= high), newton, (low + high) / 2)
        is_done = ~(np.abs(following - a) > TOLERANCE)
        a = following
        if is_done.all():
            break
    return np.where(np.isfinite(centre), a, np.nan)


@np.errstate(over="ignore", divide="ignore", invalid="ignore")
def line(z: Array, y: Array, counts: Array, start: Array | None = None) -> Array:
    """(a, b) (B, 2) of the logistic regression a + b z of y, by Newton's method; nan where no finite best one exists.

    start: (2,), such as the solution on the whole table.
    """
    (least_0, greatest_0), (least_1, greatest_1) = (_range(z[y == label], counts[:, y == label]) for label in (0, 1))
    exists = (least_1 < greatest_0) & (least_0 < greatest_1)
    found = np.full((len(counts), 2), np.nan)
    if exists.any():
        centre, scale = z.mean(), z.std()
        x = (z - centre) / scale
        first = np.zeros(2) if start is None else np.array([start[0] + start[1] * centre, start[1] * scale])
        a, b = _newton(x, signs_of(y, z.dtype), counts[exists], first).T
        found[exists] = np.column_stack([a - b * centre / scale, b / scale])
    return found


def _range(z: Array, counts: Array) -> tuple[Array, Array]:
    """The least and the greatest z (B,) that counts."""
    return np.where(counts > 0, z, np.inf).min(axis=1), np.where(counts > 0, z, -np.inf).max(axis=1)


def _newton(x: Array, signs: Array, counts: Array, start: Array) -> Array:
    """(B, 2) from x (g,) of mean 0 and variance 1, and signs (g,), 1 for positives and -1 for negatives."""
    theta = np.tile(start, (len(counts), 1))
    design = np.column_stack([np.ones_like(x), x])  # (g, 2)
    products = np.column_stack([design, x * x])
    for _ in range(MAX_STEPS):
        p = wrong_class_probability(theta @ design.T * signs)
        part = counts * p
        g0, g1 = ((part * signs) @ design).T
        h0, h1, h2 = ((part - part * p) @ products).T
        step = np.column_stack([h2 * g0 - h1 * g1, h0 * g1 - h1 * g0]) / (h0 * h2 - h1 * h1)[:, None]
        largest = np.abs(step @ design.T).max(axis=1)
        if (is_far := largest > SAFE).any():
            step[is_far] = _halved(theta[is_far], step[is_far], design.T * signs, counts[is_far])
        theta += step
        if (largest <= TOLERANCE).all():
            break
    return theta


def _halved(theta: Array, step: Array, margins: Array, counts: Array) -> Array:
    """The steps (B, 2), each halved until it does not raise the loss; margins (2, g)."""

    def loss(theta: Array) -> Array:
        return np.einsum("ij,ij->i", counts, log_losses(theta @ margins, np.ones(1)))

    before, step = loss(theta), step.copy()
    for _ in range(MAX_HALVINGS):
        if not (raises := loss(theta + step) > before).any():
            break
        step[raises] /= 2
    return step
