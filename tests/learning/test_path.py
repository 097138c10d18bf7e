"""Every model of a path is the one that a fit of its own finds."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from pipeline.arrays import Array, Features
from pipeline.learning import path
from pipeline.learning.logistic import fit
from pipeline.learning.losses import log_losses
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.optimizers.auto import Auto
from pipeline.learning.path import fit_path

L2 = (30.0, 3.0, 0.3, 0.03, 1e-3, 1e-5)


def table(n: int, d: int, seed: int = 0) -> tuple[Array, Array]:
    """Correlated columns of several scales, and noisy labels."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, d)) @ (np.eye(d) + 0.3 * rng.standard_normal((d, d)))
    y = (rng.random(n) < 1 / (1 + np.exp(-Z[:, :3].sum(axis=1) - 1))).astype(float)
    return Z * np.logspace(-2, 2, d) + 5, y


def sparse_table() -> tuple[Any, Array]:
    X, y = table(800, 6)
    return csr_array(np.where(np.random.default_rng(1).random(X.shape) < 0.7, 0, X)), y


def check(X: Features, y: Array, m: Array | None = None, standardize: bool = True) -> None:
    """On rows that were not fitted, where errors count in the first order; and what was minimised."""
    fresh = np.arange(len(y)) % 5 == 0
    A, labels, weights = X[~fresh], y[~fresh], None if m is None else m[~fresh] / m[~fresh].mean()
    found = fit_path(A, labels, weights, L2, standardize)
    for z, theta, l2 in zip(found.log_odds(X).T, found.thetas.T, L2, strict=True):
        alone = fit(A, labels, NumpyModel(l2=l2, standardize=standardize), Auto(epochs=5000, tol=1e-10), weight=weights)
        expected = log_losses(alone.model.log_odds(X), y)[fresh].mean()
        assert log_losses(z, y)[fresh].mean() == pytest.approx(expected, rel=1e-4)
        objective = np.average(log_losses(z[~fresh], labels), weights=weights) + l2 / 2 * theta[:-1] @ theta[:-1]
        assert objective == pytest.approx(alone.loss, rel=1e-6)


@pytest.mark.parametrize(("n", "d"), [(40, 5), (300, 20), (80, 100), (60, 300), (3000, 40), (30_000, 12)])
def test_each_model_is_that_of_its_own_fit(n: int, d: int) -> None:
    check(*table(n, d))


def test_with_weights() -> None:
    X, y = table(500, 8)
    m = np.random.default_rng(2).integers(0, 4, len(y)) + 0.5
    check(X, y, m / m.mean())


def test_sparse_features() -> None:
    check(*sparse_table())


def test_without_standardising() -> None:
    X, y = table(300, 4)
    check((X - X.mean(axis=0)) / X.std(axis=0) * 2, y, standardize=False)


def test_separable_classes_and_a_constant_column() -> None:
    X, y = table(200, 5)
    X = np.column_stack([X, 10.0 * y + np.random.default_rng(0).random(len(y)), np.full(len(y), 3.0)])
    check(X, y)


def test_a_sampled_hessian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path, "SAMPLE", 100)
    monkeypatch.setattr(path, "ROWS_A_COLUMN", 50)
    check(*table(4000, 10))


def test_equal_inputs_give_equal_bytes() -> None:
    X, y = table(4000, 60)
    first, again = (fit_path(X, y, None, L2, standardize=True).thetas.tobytes() for _ in range(2))
    assert first == again
