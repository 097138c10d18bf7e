"""Newton's method: its steps' lengths, its sample, and features that are too large for it."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer

from pipeline.arrays import Array
from pipeline.errors import PipelineError
from pipeline.learning.logistic import fit
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.models.torch import TorchModel
from pipeline.learning.optimizer import Optimizer
from pipeline.learning.optimizers import newton
from pipeline.learning.optimizers.lbfgs import LBFGS
from pipeline.learning.optimizers.newton import Newton

KINDS: dict[str, Any] = {"numpy": NumpyModel, "torch": TorchModel}

TOO_LARGE: dict[str, Optimizer] = {
    "lbfgs": LBFGS(),
    "diagonal": LBFGS(diagonal=True),
    "newton": Newton(),
    "conjugate gradients": Newton(dense=0),
}


@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.parametrize("optimizer", [LBFGS(diagonal=True), Newton(sample=10), Newton(), Newton(dense=0)], ids=repr)
def test_nan_is_not_called_large(form: Any, optimizer: Any) -> None:
    X, y = np.ones((500, 2)), np.arange(500.0) % 2
    X[:, 0] = np.nan
    with pytest.raises(PipelineError, match="X must be finite"):
        fit(form(X), y, NumpyModel(standardize=False), optimizer)


@pytest.mark.parametrize("rare", [1, 5, 50])
@pytest.mark.parametrize("layout", ["random", "sorted", "duplicated"])
def test_a_sample_that_misleads_does_not_mislead_newton(rare: int, layout: str) -> None:
    rng = np.random.default_rng(0)
    n = 100_000
    X, y = rng.standard_normal((n, 5)), np.zeros(n)
    y[rng.choice(n, rare, replace=False)] = 1
    X[y == 1] += 1
    if layout == "sorted":
        order = np.argsort(X[:, 0] + 10 * y)
        X, y = X[order], y[order]
    if layout == "duplicated":
        X[: n // 2], y[: n // 2] = X[0], 0
    model = NumpyModel(l2=1e-4, standardize=False)
    sampled = fit(X, y, model, Newton(tol=1e-9, epochs=500))
    exact = fit(X, y, model, Newton(tol=1e-9, sample=n))
    assert sampled.stopped_by in ("tol", "precision")
    assert sampled.loss == pytest.approx(exact.loss, rel=1e-8)


def test_newton_without_the_hessian_reaches_the_same_point() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 40)) * np.logspace(-1, 1, 40)
    y = (rng.random(500) < 0.4).astype(np.float64)
    model = NumpyModel(l2=0.01, standardize=False)
    with_hessian, without = fit(X, y, model, Newton(tol=1e-9)), fit(X, y, model, Newton(tol=1e-9, dense=1))
    np.testing.assert_allclose(without.model.w, with_hessian.model.w, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS.values())
@pytest.mark.parametrize("optimizer", TOO_LARGE)
@pytest.mark.parametrize("init", ["zeros", "uniform"])
@pytest.mark.parametrize(("dtype", "scale"), [("float32", 1e27), ("float64", 1e200)])
def test_features_whose_step_overflows(kind: Any, optimizer: str, init: str, dtype: str, scale: float) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((100, 3)) * scale, (rng.random(100) < 0.4).astype(np.float64)
    with pytest.raises(PipelineError, match="the features are too large for a .*; standardise them"):
        fit(X, y, kind(dtype=dtype, init=init, standardize=False), TOO_LARGE[optimizer])


@pytest.fixture(scope="module")
def cancer() -> tuple[Array, Array]:
    X, y = load_breast_cancer(return_X_y=True)
    return X, y.astype(np.float64)


def test_newton_takes_longer_steps_far_from_the_optimum(cancer: tuple[Array, Array]) -> None:
    """On the raw table a step of 1 leaves most of the slope: with the length sought, five steps do what took eight."""
    X, y = cancer
    model = NumpyModel(l2=1 / len(y), standardize=False)
    best = fit(X, y, model, Newton(tol=1e-14)).loss
    assert fit(X, y, model, Newton(epochs=5)).loss <= best * (1 + 1e-6)


@pytest.mark.parametrize("flat", [0.1, 0.5, 1.0, 1.7, 5.0])
def test_the_length_sought_is_where_the_slope_is_gone(flat: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the first trial is far too long and the slope there says nothing of where it vanishes."""
    found = []
    monkeypatch.setattr(newton, "search", lambda f, state, direction, length: found.append(length))
    steep = SimpleNamespace(slope_along=lambda theta, direction: lambda t: float(np.tanh(3 * (t - flat))))
    state = {"loss": np.array(1.0), "theta": np.zeros(1), "gradient": np.array([-np.tanh(3 * flat)])}
    newton._step_along(steep, state, np.ones(1))
    assert found[0] == pytest.approx(flat, rel=0.25)


@pytest.mark.parametrize("slope", [np.inf, -np.inf, np.nan])
def test_a_slope_that_overflows_ends_the_search_for_a_length(slope: float, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    monkeypatch.setattr(newton, "search", lambda f, state, direction, length: found.append(length))
    steep = SimpleNamespace(slope_along=lambda theta, direction: lambda t: slope)
    state = {"loss": np.array(1.0), "theta": np.zeros(1), "gradient": np.array([-1.0])}
    newton._step_along(steep, state, np.ones(1))
    assert found == [1.0]
