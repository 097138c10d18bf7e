"""The objective against numerical derivatives, autograd and scikit-learn's own formula."""

import os
from typing import Any

import numpy as np
import pytest

from pipeline.numerics import objective
from pipeline.numerics.objective import Array, LogLoss, log_losses, sigmoid
from pipeline.numerics.torch_model import TorchLogLoss

OBJECTIVES = [LogLoss, TorchLogLoss]


def problem(n: int = 200, d: int = 4) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(0)
    A = np.column_stack([rng.standard_normal((n, d)), np.ones(n)])
    return A, (rng.random(n) < 0.4).astype(np.float64), rng.standard_normal(d + 1)


@pytest.mark.parametrize("z", [-1e308, -1e4, -800.0, -1.0, 0.0, 1.0, 800.0, 1e4])
def test_sigmoid_and_loss_hold_at_any_log_odds(z: float) -> None:
    p = sigmoid(np.array([z]))[0]
    assert p == pytest.approx(0.5 * (1 + np.tanh(z / 2)), abs=1e-15)
    loss = log_losses(np.array([z, z]), np.array([0.0, 1.0]))
    np.testing.assert_allclose(loss, [max(z, 0) + np.log1p(np.exp(-abs(z))), max(-z, 0) + np.log1p(np.exp(-abs(z)))])


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_gradient_and_hessian_are_the_loss_s_derivatives(kind: Any) -> None:
    A, y, theta = problem()
    f, step = kind(A, y, 0.1), 1e-5
    for i, unit in enumerate(np.eye(len(theta))):
        slope = (f.loss(theta + step * unit) - f.loss(theta - step * unit)) / (2 * step)
        assert f.gradient(theta)[i] == pytest.approx(slope, abs=1e-8)
        bend = (f.gradient(theta + step * unit) - f.gradient(theta - step * unit)) / (2 * step)
        np.testing.assert_allclose(f.hessian(theta)[i], bend, atol=1e-8)


def test_numpy_and_autograd_agree() -> None:
    A, y, theta = problem()
    by_hand, autograd = LogLoss(A, y, 0.3), TorchLogLoss(A, y, 0.3)
    assert by_hand.loss(theta) == pytest.approx(autograd.loss(theta), abs=1e-14)
    np.testing.assert_allclose(by_hand.gradient(theta), autograd.gradient(theta), atol=1e-14)
    np.testing.assert_allclose(by_hand.hessian(theta), autograd.hessian(theta), atol=1e-13)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_the_intercept_is_not_penalised(kind: Any) -> None:
    A, y, _ = problem()
    only_b = np.zeros(A.shape[1])
    only_b[-1] = 3.0
    assert kind(A, y, 100.0).loss(only_b) == pytest.approx(kind(A, y, 0.0).loss(only_b))


def test_float32_stays_float32() -> None:
    A, y, theta = (part.astype(np.float32) for part in problem())
    f = LogLoss(A, y, 0.1)
    assert f.gradient(theta).dtype == np.float32


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_bits_do_not_depend_on_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objective, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(objective, "THREADS_PAY_FROM", 0)
    A, y, theta = problem(5000)
    monkeypatch.setattr(os, "cpu_count", lambda: threads)
    spread = LogLoss(A, y, 0.1)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    alone = LogLoss(A, y, 0.1)
    assert spread.gradient(theta).tobytes() == alone.gradient(theta).tobytes()
    assert spread.hessian(theta).tobytes() == alone.hessian(theta).tobytes()
    assert spread.loss(theta) == alone.loss(theta)
