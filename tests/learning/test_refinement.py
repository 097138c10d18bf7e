"""Rounding does not end a fit in float32 too early."""

from typing import Any

import numpy as np
import pytest

from pipeline.arrays import Array
from pipeline.learning.features import standardised
from pipeline.learning.logistic import fit
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.models.torch import TorchModel
from pipeline.learning.optimizer import Optimizer
from pipeline.learning.optimizers.lbfgs import LBFGS
from pipeline.learning.optimizers.newton import Newton


def labelled(X: Array, seed: int = 0) -> Array:
    z = X[:, -1] - X[:, -1].mean()
    return np.asarray(np.random.default_rng(seed).random(len(X)) < 1 / (1 + np.exp(-2 * z / z.std())), float)


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
