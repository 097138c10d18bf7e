"""A linear model's log-odds and raw weights."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer

from pipeline.arrays import Array
from pipeline.learning.logistic import fit
from pipeline.learning.models import LinearModel
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.optimizers.newton import Newton

L2 = 0.01


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "doubled"])
def test_predictions_take_any_sparse_form(form: str) -> None:
    X = csr_array((np.ones(5), [0, 0, 1, 2, 3], [0, 2, 3, 4, 5]), shape=(4, 4))
    model = LinearModel(np.zeros(4), np.full(4, 2.0), np.arange(4.0) + 1, -1.0)
    np.testing.assert_array_equal(model.log_odds(X if form == "doubled" else X.asformat(form)), model.log_odds(X.toarray()))


@pytest.fixture(scope="module")
def cancer() -> tuple[Array, Array]:
    X, y = load_breast_cancer(return_X_y=True)
    return X, y.astype(np.float64)


def test_raw_weights_are_the_same_model(cancer: tuple[Array, Array]) -> None:
    X, y = cancer
    model = fit(X, y, NumpyModel(l2=L2), Newton()).model
    w, b = model.raw_weights()
    np.testing.assert_allclose(X @ w + b, model.log_odds(X), atol=1e-9)
