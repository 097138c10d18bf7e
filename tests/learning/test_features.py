"""Which data can be used, and the sentence for those that cannot."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from pipeline.errors import PipelineError
from pipeline.learning.logistic import fit
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.models.torch import TorchModel
from pipeline.learning.optimizers.auto import Auto
from pipeline.learning.optimizers.gd import GradientDescent

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
