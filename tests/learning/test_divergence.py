"""Fits that diverge, and what is said of them."""

import re

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from pipeline.arrays import Array
from pipeline.data.sources.document import Textbook
from pipeline.errors import PipelineError
from pipeline.learning.logistic import Logistic, fit
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.models.torch import TorchModel
from pipeline.learning.optimizers.gd import GradientDescent


@pytest.fixture(scope="module")
def cancer() -> tuple[Array, Array]:
    X, y = load_breast_cancer(return_X_y=True)
    return X, y.astype(np.float64)


@pytest.mark.parametrize("lr", [1e3, 1e308])
def test_divergence_names_the_learning_rate(lr: float) -> None:
    data = Textbook().load()
    with pytest.raises(PipelineError, match=rf"diverged.*optimizer\.lr than {re.escape(str(lr))}"):
        fit(data.train.X, data.train.y, NumpyModel(l2=1.0), GradientDescent(lr=lr, epochs=1000))


@pytest.mark.parametrize(
    ("optimizer", "epochs"),
    [(GradientDescent(lr=3.0, epochs=90), 90), (GradientDescent(lr=3.0, epochs=300, record_every=50), 300)],
)
@pytest.mark.parametrize("model", [NumpyModel(l2=1.0), TorchModel(dtype="float64", l2=1.0, init="zeros")])
def test_a_fit_that_ends_far_above_its_start_has_diverged(
    model: Logistic, optimizer: GradientDescent, epochs: int, cancer: tuple[Array, Array]
) -> None:
    """However few of its epochs were recorded."""
    with pytest.raises(
        PipelineError, match=rf"diverged: the loss has risen from 0\.69\d+ to .* at epoch {epochs}; .* than 3\.0"
    ):
        fit(*cancer, model, optimizer)


def test_a_loss_that_cannot_be_computed_at_all_is_no_rate_s_fault() -> None:
    X = np.array([[1e200], [-1e200]])
    with pytest.raises(PipelineError, match="at epoch 0; the features may be too large: standardise them"):
        fit(X, np.array([0.0, 1.0]), NumpyModel(init=[1e200, 0.0], standardize=False), GradientDescent())


@pytest.mark.parametrize("optimizer", [GradientDescent(lr=1e308), GradientDescent(lr=1e308, tol=1e-6)])
def test_infinite_weights_are_no_fit_however_small_their_loss(optimizer: GradientDescent) -> None:
    X, y = np.array([[-9.0], [9.0]]), np.array([0.0, 1.0])
    with pytest.raises(PipelineError, match=r"diverged: the .* at epoch \d+; try a smaller optimizer\.lr than 1e\+308"):
        fit(X, y, NumpyModel(standardize=False), optimizer)
