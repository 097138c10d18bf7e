"""Which data can be used, and the sentence for those that cannot."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from pipeline.errors import PipelineError
from pipeline.learning import features
from pipeline.learning.features import standardised
from pipeline.learning.logistic import fit
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.models.torch import TorchModel
from pipeline.learning.optimizers.auto import Auto
from pipeline.learning.optimizers.gd import GradientDescent
from pipeline.learning.optimizers.newton import Newton

KINDS: dict[str, Any] = {"numpy": NumpyModel, "torch": TorchModel}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("X", "y", "sentence"),
    [
        (np.ones((0, 2)), np.ones(0), "X must have rows"),
        (np.ones((3, 2)), np.ones(2), r"y must be of shape \(3,\)"),
        (np.ones(3), np.ones(3), r"X must be of shape \(n, d\)"),
        (np.ones((2, 1)), np.array([0, 2]), r"y must be 0 or 1 in every row"),
        (np.ones((2, 1)), np.array([1, 1]), "both classes"),
        (np.ones((2, 1)), [0, 1], "y must be a NumPy array; got list"),
        (np.ones((2, 1), complex), np.array([0, 1]), "X must be real numbers of at most 64 bits; got complex128"),
        (np.ones((2, 1), np.longdouble), np.array([0, 1]), "X must be real numbers of at most 64 bits; got float128"),
        (np.array([["a"], ["b"]]), np.array([0, 1]), "X must be real numbers"),
        (np.array([[np.nan], [1.0]]), np.array([0.0, 1.0]), "X must be finite"),
        (np.array([[np.inf], [1.0]]), np.array([0.0, 1.0]), "X must be finite"),
    ],
)
def test_data_that_cannot_be_used(name: str, X: Any, y: Any, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        fit(X, y, KINDS[name](), GradientDescent())


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("X", "sentence"),
    [
        (csr_array(np.eye(4)).tocsc(), "X must be a NumPy array or in SciPy's CSR format; got csc"),
        (csr_array(np.eye(4)).tocoo(), "CSR format; got coo"),
        ([[1.0]] * 4, "CSR format; got list"),
        (csr_array((np.ones(5), [0, 0, 1, 2, 3], [0, 2, 3, 4, 5])), r"none given twice; call X.sum_duplicates\(\) first"),
        (csr_array((np.ones(5), [3, 0, 1, 2, 3], [0, 2, 3, 4, 5])), "must be sorted"),
    ],
)
def test_sparse_features_of_another_form(name: str, X: Any, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        fit(X, np.array([0.0, 1.0, 0.0, 1.0]), KINDS[name](), GradientDescent())


@pytest.mark.parametrize("size", [1.7e308, 3e307])
@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_values_too_large_to_be_standardised_are_named(form: Any, size: float) -> None:
    X = np.c_[np.arange(8.0), np.repeat([size, size / 2], 4)]
    y = np.arange(8.0) % 2
    with pytest.raises(PipelineError, match="; column 2 of X has too large values$"):
        fit(form(X), y, NumpyModel(), Auto())
    with pytest.raises(PipelineError, match="; b has too large values$"):
        fit(form(X), y, NumpyModel(), Auto(), features=["a", "b"])
    X[0, 0] = np.nan
    with pytest.raises(PipelineError, match="X must be finite"):
        fit(form(X), y, NumpyModel(), Auto())


@pytest.mark.parametrize("model", [NumpyModel(l2=0.01), TorchModel(dtype="float64", l2=0.01)])
def test_a_sparse_matrix_has_the_best_model_of_a_dense_one(model: Any) -> None:
    """With a penalty, too: numbers far from 0, indicators, and columns that are constant or empty."""
    rng = np.random.default_rng(0)
    year, level = 2000 + rng.integers(0, 20, 400), rng.integers(0, 4, 400)
    X = np.column_stack([year, np.eye(4)[level], np.full(400, 7.0), np.zeros(400), rng.lognormal(size=400)])
    y = (rng.random(400) < 1 / (1 + np.exp(-0.2 * (year - 2010) - level + 1))).astype(float)
    dense, sparse = (fit(form(X), y, model, Newton(tol=1e-12)) for form in (np.asarray, csr_array))
    assert sparse.loss == pytest.approx(dense.loss, rel=1e-12)
    z = sparse.model.log_odds(csr_array(X))
    np.testing.assert_allclose(z, dense.model.log_odds(X), atol=1e-8)
    np.testing.assert_allclose(sparse.model.log_odds(X), z, atol=1e-11)


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_a_sparse_column_is_scaled_by_its_standard_deviation(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "BLOCK_ENTRIES", block)
    X = np.array([[1.0, 5.0, 0.0], [0.0, 6.0, 2.0], [3.0, 9.0, 0.0]])
    Z, mean, scale = standardised(csr_array(X), np.float64)
    np.testing.assert_allclose(scale, X.std(axis=0))
    np.testing.assert_allclose(mean, [0, X[:, 1].mean(), 0])
    assert not isinstance(Z, np.ndarray)
    np.testing.assert_allclose(Z.toarray(), ((X - mean) / scale).astype(float))


def test_zeros_that_a_sparse_matrix_stores_are_zeros() -> None:
    X = csr_array(np.array([[1.0, 5.0, 7.0], [4.0, 6.0, 7.0], [3.0, 9.0, 7.0]]))
    X.data[[0, 2]] = 0  # of columns that are stored in every row
    plain = csr_array(X.toarray())
    for m in (None, np.array([0.5, 1.0, 1.5])):
        (Z, *stored), (other, *plain_ones) = standardised(X, np.float64, m=m), standardised(plain, np.float64, m=m)
        np.testing.assert_array_equal(csr_array(Z).toarray(), csr_array(other).toarray())
        np.testing.assert_array_equal(stored, plain_ones)
    assert X.nnz == 9
