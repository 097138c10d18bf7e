"""How far from the optimum a fit has ended, what float32 does not hold, and that rounding does not end a fit too early."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer

from pipeline.arrays import Array
from pipeline.learning.features import standardised
from pipeline.learning.logistic import fit
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.models.torch import TorchModel
from pipeline.learning.optimizer import Optimizer
from pipeline.learning.optimizers.auto import Auto
from pipeline.learning.optimizers.gd import GradientDescent
from pipeline.learning.optimizers.lbfgs import LBFGS
from pipeline.learning.optimizers.newton import Newton
from pipeline.learning.suboptimality import distance

L2 = 0.01


def labelled(X: Array, seed: int = 0) -> Array:
    z = X[:, -1] - X[:, -1].mean()
    return np.asarray(np.random.default_rng(seed).random(len(X)) < 1 / (1 + np.exp(-2 * z / z.std())), float)


@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.parametrize("rows", [569, 6000])
def test_what_is_left_of_the_loss_is_estimated(rows: int, form: Any) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    copies = np.random.default_rng(0).integers(len(y), size=rows)
    X, y = form(X[copies]), y[copies].astype(float)
    model = NumpyModel(l2=L2)
    best = fit(X, y, model, Newton()).loss
    for epochs in (100, 1000):
        end = fit(X, y, model, GradientDescent(epochs=epochs))
        left = distance(X, y, end.model, L2)
        assert left.loss == pytest.approx(end.loss, rel=1e-9)
        assert left.decrease == pytest.approx(end.loss - best, rel=0.6)
        assert left.is_far == (end.loss > 1.01 * best)
    assert not distance(X, y, fit(X, y, model, Auto()).model, L2).is_far


def test_the_rate_that_is_named_converges() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    model = NumpyModel(l2=L2)
    slow = fit(X, y.astype(float), model, GradientDescent())
    most = 1 / distance(X, y.astype(float), slow.model, L2).steepest
    assert 0.2 < most < 1
    quick = fit(X, y.astype(float), model, GradientDescent(lr=most, record_every=1))
    assert quick.loss < slow.loss


def test_beyond_a_thousand_columns_at_least_what_the_gradient_gains_is_left() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 1200))
    y = labelled(X)
    model = NumpyModel(l2=0.1)
    best, end = fit(X, y, model, LBFGS()), fit(X, y, model, GradientDescent(epochs=2))
    assert 0.01 * end.loss < distance(X, y, end.model, 0.1).decrease <= 1.01 * (end.loss - best.loss)
    assert not distance(X, y, best.model, 0.1).is_far


@pytest.mark.parametrize("kind", [NumpyModel, TorchModel])
@pytest.mark.parametrize("optimizer", [Newton(), LBFGS()], ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("power", [1, 5, 9])
def test_rounding_in_float32_does_not_end_a_fit_to_heavy_tails_early(kind: Any, optimizer: Optimizer, power: int) -> None:
    rng = np.random.default_rng(power)
    X = np.c_[np.sign(c := rng.standard_cauchy(500)) * abs(c) ** power, rng.standard_normal(500)]
    y = labelled(X)
    exact = fit(X, y, kind(dtype="float64", l2=1e-9), optimizer)
    end = fit(X, y, kind(dtype="float32", l2=1e-9), optimizer)
    Z, *_ = standardised(X, np.float32)
    possible = fit(Z.astype(np.float64), y, NumpyModel(standardize=False, l2=1e-9), Newton(epochs=500)).loss
    assert end.loss <= max(possible, exact.loss) * (1 + 2e-3)
    assert end.model.w.dtype == np.float32
