"""The log loss and its derivatives for each row, from log-odds or margins z. Nothing overflows or loses small values."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
ONE = {kind: np.ones((), kind) for kind in (SINGLE, DOUBLE)}  # else NumPy converts Python's 1 at each call
FACTORS = 64  # of a product of 1 + exp(z), which overflows at a mean z of 11
SMALL_LOSS = {SINGLE: 0.1, DOUBLE: 0.01}  # a mean loss below which log(1 + exp(z)) - z, rounded, is not exact enough for it


def wrong_class_probability(z: Array) -> Array:
    """p = sigmoid(-z), written to z."""
    return _probability_of(np.exp(z, z))


def _probability_of(odds: Array) -> Array:
    """p = 1 / (1 + odds) with odds = exp(z), written to `odds`."""
    one = ONE[odds.dtype]
    return np.divide(one, np.add(odds, one, odds), odds)


def log_losses(z: Array, y: Array) -> Array:
    """-[y log p + (1-y) log(1-p)] for each row, from log-odds z (n,) and labels y (n,) in {0, 1}."""
    return _losses(z * signs_of(y, z.dtype))


def signs_of(y: Array, dtype: np.dtype[Any]) -> Array:
    """s = 2y - 1."""
    return 2 * y.astype(dtype, copy=False) - 1


def _losses(z: Array) -> Array:
    """log(1 + exp(-z)), without overflow and without loss of small values."""
    return np.log1p(np.exp(-np.abs(z))) - np.minimum(z, 0)


def loss_and_probability(z: Array, p: Array, m: Array | None = None) -> tuple[Any, Array]:
    """The rows' sum of m log(1 + exp(-z)) in float64 (m (n,): row weights, or None), and p = sigmoid(-z), written to `p`.

    Without weights, from one exp: each loss is log(1 + exp(z)) - z. Where they are too small for the difference, or exp is too
    large, they are computed one by one.
    """
    if m is not None:
        np.copyto(p, z)
        return m @ _losses(z.astype(np.float64)), wrong_class_probability(p)
    np.exp(z, p)
    total = _sum_of_losses(z, np.add(p, ONE[z.dtype], dtype=np.float64))
    is_exact = (total >= len(z) * SMALL_LOSS[z.dtype]) & (total < np.inf)
    if not (is_exact.all() if z.ndim > 1 else is_exact):
        total = _losses(z.astype(np.float64)).sum(axis=0)
    return total, _probability_of(p)


def _sum_of_losses(z: Array, u: Array) -> Any:
    """The sum of log u - z over the rows of z and u (n, ...) in float64, by the logarithms of products, which are far fewer."""
    if z.ndim == 1:
        products = np.multiply.reduceat(u, _starts(len(u)))
        return np.add.reduce(np.log(products, products)) - np.add.reduce(z, dtype=np.float64)
    # NumPy adds columns one number after the other: sums of few, and of few small differences, keep their digits.
    end = len(z) - len(z) % FACTORS
    groups = [part[:end].reshape(FACTORS, -1, z.shape[1]) for part in (z, u)], [z[end:], u[end:]]
    losses = (np.log(np.multiply.reduce(u, axis=0)) - np.add.reduce(z, axis=0, dtype=np.float64) for z, u in groups)
    return sum(np.add.reduce(np.atleast_2d(part), axis=0) for part in losses)


@lru_cache(maxsize=8)
def _starts(n: int) -> NDArray[np.intp]:
    return np.arange(0, n, FACTORS)


def label_variance(z: Array) -> Array:
    """p (1 - p), the variance of the label, written to z."""
    p = wrong_class_probability(z)
    return np.subtract(p, p * p, p)
