"""L-BFGS on the metric of centred columns."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from pipeline.learning.logistic import fit
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.models.torch import TorchModel
from pipeline.learning.optimizers._line_search import centred_solve
from pipeline.learning.optimizers.lbfgs import LBFGS
from pipeline.learning.optimizers.newton import Newton


@pytest.mark.parametrize("kind", [NumpyModel, TorchModel])
def test_categories_whose_levels_add_up_to_the_intercept_cost_no_epochs(kind: Any) -> None:
    rng = np.random.default_rng(0)
    levels = [rng.integers(0, 8, 600) for _ in range(6)]
    X = np.hstack([(column[:, None] == np.arange(8)).astype(float) for column in levels])
    y = (rng.random(600) < 1 / (1 + np.exp(-X @ rng.standard_normal(48)))).astype(float)
    found = fit(csr_array(X), y, kind(l2=1 / 600), LBFGS(tol=1e-8, diagonal=True))
    best = fit(csr_array(X), y, NumpyModel(l2=1 / 600), Newton(tol=1e-12))
    assert found.epochs < 40  # 61 on a metric that is diagonal without centring
    np.testing.assert_allclose(found.model.log_odds(X), best.model.log_odds(X), atol=1e-5)


def test_the_metric_is_the_inverse_of_a_matrix_with_the_hessian_s_diagonal_and_border() -> None:
    rng = np.random.default_rng(0)
    A = np.c_[rng.normal([0, 3, -9], 1, (50, 3)), np.ones(50)]
    H = A.T @ A / 200
    inverse = np.column_stack([centred_solve(np.stack([H.diagonal(), H[-1]]), unit) for unit in np.eye(4)])
    M = np.linalg.inv(inverse)
    np.testing.assert_allclose(M.diagonal(), H.diagonal())
    np.testing.assert_allclose(M[-1], H[-1], atol=1e-12)
    np.testing.assert_allclose(inverse, inverse.T, atol=1e-12)
