"""The objective against numerical derivatives, autograd and scikit-learn's own formula."""

import os
import signal
import threading
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest

from pipeline.arrays import Array
from pipeline.learning import parallel
from pipeline.learning.log_loss import LogLoss, log_loss
from pipeline.learning.losses import log_losses
from pipeline.learning.matrix import Augmented, Dense, Matrix, Sparse, matrix, with_ones
from pipeline.learning.torch_objective import TorchLogLoss
from pipeline.model.predictor import probability

OBJECTIVES = [log_loss, TorchLogLoss]


def csr(X: Array) -> Sparse:
    from scipy.sparse import csr_array

    return Sparse(csr_array(X))


def many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the blocks so short that a thousand rows have several."""
    for constant, value in (("CACHED_BYTES", 4096), ("MIN_ROWS", 64), ("SMALL", 0)):
        monkeypatch.setattr(f"pipeline.learning.matrix.{constant}", value)


def problem(n: int = 200, d: int = 4) -> tuple[Array, Array, Array]:
    """X (n, d), y (n,) and a theta (d+1,)."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, d)), (rng.random(n) < 0.4).astype(np.float64), rng.standard_normal(d + 1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("centre", [-800.0, -30.0, -3.0, 0.0, 3.0, 4.5, 6.0, 10.0, 20.0, 36.0, 80.0])
def test_the_mean_loss_is_exact_at_any_margins(centre: float, dtype: Any) -> None:
    """The loss of many rows comes from few logarithms, or where it is small from exact ones."""
    margins = (centre + np.random.default_rng(0).standard_normal(3000)).astype(dtype)
    with np.errstate(over="ignore"):
        found = LogLoss(Dense(margins[:, None]), np.ones(3000, dtype)).loss(np.array([1, 0], dtype))
    exact = np.logaddexp(0, -margins.astype(np.float64)).mean()
    assert found == pytest.approx(exact, rel=1e-13 if dtype == np.float64 else 1e-7, abs=0)


@pytest.mark.parametrize("centres", [[0.1, 4.4], [-30.0, 0.1, 20.0]])
@pytest.mark.parametrize("alike", [False, True])
def test_the_mean_losses_of_many_columns_are_exact(alike: bool, centres: list[float]) -> None:
    """Neither many rows nor a column whose losses are small cost a column its digits."""
    noise = np.random.default_rng(0).standard_normal((60_000, 1)) * (not alike)
    f = LogLoss(Augmented(np.hstack([noise, np.ones_like(noise)])), None, np.zeros(len(centres)))
    with np.errstate(over="ignore"):
        found = f.loss(np.vstack([np.ones(len(centres)), centres]))
    exact = np.logaddexp(0, -(noise + np.array(centres))).mean(axis=0)
    np.testing.assert_allclose(found, exact, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.bool_])
def test_labels_and_log_odds_may_be_whole_numbers(dtype: Any) -> None:
    X, y, theta = problem()
    assert log_loss(X, y.astype(dtype), 0.1).loss(theta) == log_loss(X, y, 0.1).loss(theta)
    np.testing.assert_array_equal(log_losses(theta, np.ones(5, dtype)), log_losses(theta, np.ones(5)))
    assert probability(np.array([0, 800]))[1] == 1


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_gradient_and_hessian_are_the_loss_s_derivatives(kind: Any) -> None:
    X, y, theta = problem()
    f, step = kind(X, y, 0.1), 1e-5
    for i, unit in enumerate(np.eye(len(theta))):
        slope = (f.loss(theta + step * unit) - f.loss(theta - step * unit)) / (2 * step)
        assert f.gradient(theta)[i] == pytest.approx(slope, abs=1e-8)
        second = (f.gradient(theta + step * unit) - f.gradient(theta - step * unit)) / (2 * step)
        np.testing.assert_allclose(f.hessian(theta)[i], second, atol=1e-8)


def test_numpy_and_autograd_agree() -> None:
    X, y, theta = problem()
    numpy, autograd = log_loss(X, y, 0.3), TorchLogLoss(X, y, 0.3)
    assert numpy.loss(theta) == pytest.approx(autograd.loss(theta), abs=1e-14)
    np.testing.assert_allclose(numpy.gradient(theta), autograd.gradient(theta), atol=1e-14)
    np.testing.assert_allclose(numpy.hessian(theta), autograd.hessian(theta), atol=1e-13)
    np.testing.assert_allclose(numpy.curvatures(), autograd.curvatures(), atol=1e-13)
    along = [f.slope_along(theta, np.ones_like(theta))(0.5) for f in (numpy, autograd)]
    assert along[0] == pytest.approx(along[1], abs=1e-14)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_the_intercept_is_not_penalised(kind: Any) -> None:
    X, y, theta = problem()
    only_b = np.zeros_like(theta)
    only_b[-1] = 3.0
    assert kind(X, y, 100.0).loss(only_b) == pytest.approx(kind(X, y, 0.0).loss(only_b))


def test_float32_stays_float32() -> None:
    X, y, theta = (part.astype(np.float32) for part in problem())
    f = log_loss(X, y, 0.1)
    assert f.gradient(theta).dtype == np.float32


@pytest.mark.parametrize("kind", [Dense, csr])
@pytest.mark.parametrize("threads", [2, 5])
def test_the_bits_do_not_depend_on_threads(kind: Any, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    many_blocks(monkeypatch)
    X, y, theta = problem(5000)
    found = []
    for count in (threads, 1):
        monkeypatch.setattr(parallel, "threads", lambda count=count: count)
        f = LogLoss(kind(X), 2 * y - 1, 0.1)
        assert len(f._tasks) > threads
        assert len(f._tasks[0]) > 1
        loss, gradient = f.loss_and_gradient(theta)
        slope = np.asarray(f.slope_along(theta, -gradient)(0.5))
        rest = (f.gradient(theta), f.hessian(theta), f.hessian_times(theta)(theta), f.curvatures(), slope)
        found.append([np.asarray(loss).tobytes(), gradient.tobytes(), *(part.tobytes() for part in rest)])
    assert found[0] == found[1]


def test_an_error_in_one_pass_leaves_the_next_one_right(monkeypatch: pytest.MonkeyPatch) -> None:
    many_blocks(monkeypatch)
    monkeypatch.setattr(parallel, "threads", lambda: 5)
    X, y, theta = problem(50_000)
    f = LogLoss(Dense(X), 2 * y - 1)
    right = f.gradient(theta)

    def interrupt(A: Matrix, s: Array, m: None, z: Array, p: Array) -> Array:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        time.sleep(1e-4)  # so that the other threads do not take all the work
        z[:] = np.nan
        return theta

    for _ in range(50):
        with pytest.raises(KeyboardInterrupt):
            f._sum(interrupt)
        np.testing.assert_array_equal(f.gradient(theta), right)


def test_a_pass_keeps_few_results_of_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "threads", lambda: 1)  # how many wait for one before them is a matter of time else
    X = np.random.default_rng(0).standard_normal((8192, 500))
    f = LogLoss(Dense(X), np.ones(8192))
    theta = np.zeros(501)
    assert len(f._tasks) > 10
    tracemalloc.start()
    hessian = f.hessian(theta)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 7 * hessian.nbytes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_forked_process_fits() -> None:
    X, y, theta = problem(100_000)
    f = LogLoss(Dense(X), 2 * y - 1)
    f.gradient(theta)
    child = os.fork()
    if not child:
        signal.alarm(30)
        f.gradient(theta)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("kind", [Augmented, Dense, csr])
def test_every_form_of_the_matrix_is_the_same(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    many_blocks(monkeypatch)
    X, y, theta = problem(1000)
    f = LogLoss(kind(with_ones(X) if kind is Augmented else X), 2 * y - 1, 0.1)
    z = X @ theta[:-1] + theta[-1]
    p, A = probability(z), with_ones(X)
    l2 = np.array([0.1] * 4 + [0])
    gradient, hessian = A.T @ (p - y) / len(y) + l2 * theta, (A.T * (p * (1 - p))) @ A / len(y) + np.diag(l2)
    loss = log_losses(z, y).mean() + 0.05 * theta[:-1] @ theta[:-1]
    for result in (f.loss(theta), f.loss_and_gradient(theta)[0]):
        assert result == pytest.approx(loss, abs=1e-14)
    for result in (f.gradient(theta), f.loss_and_gradient(theta)[1]):
        np.testing.assert_allclose(result, gradient, atol=1e-14)
    np.testing.assert_allclose(f.hessian(theta), hessian, atol=1e-14)
    np.testing.assert_allclose(f.hessian_times(theta)(theta), hessian @ theta, atol=1e-14)
    greatest = f.hessian(np.zeros_like(theta))
    np.testing.assert_allclose(f.curvatures(), [greatest.diagonal(), greatest[-1]], atol=1e-14)
    np.testing.assert_allclose(f.curvatures()[0], np.square(A).mean(axis=0) / 4 + l2, atol=1e-14)
    for t in (0.0, 0.7, 3.0):
        assert f.slope_along(theta, -gradient)(t) == pytest.approx(f.gradient(theta - t * gradient) @ -gradient, abs=1e-14)


@pytest.mark.parametrize(("d", "kind"), [(99, Augmented), (100, Dense)])
def test_a_matrix_is_small_by_the_elements_of_a(d: int, kind: Any) -> None:
    assert isinstance(matrix(np.zeros((2000, d))), kind)


@pytest.mark.parametrize("kind", [Augmented, Dense, csr])
def test_several_problems_at_once(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    many_blocks(monkeypatch)
    X, y, _ = problem(1000)
    A = kind(with_ones(X) if kind is Augmented else X)
    thetas, l2 = np.random.default_rng(1).standard_normal((5, 3)), np.array([0.0, 0.1, 1.0])
    together = LogLoss(A, 2 * y - 1, l2)
    assert len(together._tasks) > 1
    for i in range(3):
        alone = LogLoss(A, 2 * y - 1, l2[i])
        np.testing.assert_allclose(together.gradient(thetas)[:, i], alone.gradient(thetas[:, i].copy()), atol=1e-14)
        assert together.loss(thetas)[i] == pytest.approx(alone.loss(thetas[:, i].copy()), abs=1e-14)
