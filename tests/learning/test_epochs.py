"""A fit goes on from any of its checkpoints to the same bytes, and says why it diverges."""

import io
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from pipeline.arrays import Array
from pipeline.data.sources.document import Textbook
from pipeline.errors import PipelineError
from pipeline.learning.logistic import LogisticFit, fit
from pipeline.learning.model import Checkpoint, Observer, Record
from pipeline.learning.models import Logistic
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.models.torch import TorchModel
from pipeline.learning.optimizer import Optimizer
from pipeline.learning.optimizers import OPTIMIZERS
from pipeline.learning.optimizers.adam import Adam
from pipeline.learning.optimizers.gd import GradientDescent
from pipeline.learning.optimizers.lbfgs import LBFGS
from pipeline.learning.optimizers.newton import Newton
from pipeline.learning.optimizers.sgd import StochasticGradientDescent

METHODS: dict[str, Optimizer] = {
    "gd": GradientDescent(epochs=330, record_every=150),
    "gd, momentum": GradientDescent(epochs=40, momentum=0.9),
    "gd, nesterov, to tol": GradientDescent(epochs=200, momentum=0.9, nesterov=True, tol=1e-3),
    "sgd": StochasticGradientDescent(epochs=5, momentum=0.5),
    "adam": Adam(epochs=40),
    "lbfgs": LBFGS(epochs=25, memory=5),
    "lbfgs, diagonal": LBFGS(epochs=25, diagonal=True),
    "newton": Newton(),
    "newton, conjugate gradients": Newton(dense=0),
    "newton, sampled": Newton(sample=100),
}


@pytest.fixture(scope="module")
def table() -> tuple[Array, Array]:
    """The breast cancer table's first columns, often enough for a sample of it."""
    X, y = load_breast_cancer(return_X_y=True)
    noise = np.random.default_rng(0).standard_normal((2 * len(X), 4))
    return np.tile(X[:, :4], (2, 1)) + noise, np.tile(y, 2).astype(np.float64)


def test_every_optimizer_is_here() -> None:
    assert {type(method) for method in METHODS.values()} == {kind for name, kind in OPTIMIZERS.items() if name != "auto"}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", [NumpyModel(l2=0.01), NumpyModel(dtype="float32"), TorchModel(l2=0.01)], ids=repr)
def test_from_every_checkpoint_to_the_same_bytes(table: tuple[Array, Array], model: Logistic, method: str) -> None:
    X, y = table
    history: list[Record] = []
    states: list[tuple[int, bytes, list[Record]]] = []

    def callback(epoch: int, state: Mapping[str, Array]) -> None:
        states.append((epoch, written(state), [row for row in history if row.epoch < epoch]))

    alone = fit(X, y, model, METHODS[method], Observer(history.append, callback))
    assert len(states) > 2
    for epoch, file, rows in states[1 :: max(1, len(states) // 4)]:  # records, and epochs between them
        with np.load(io.BytesIO(file)) as arrays:
            checkpoint = Checkpoint(epoch, dict(arrays), rows)
        again: list[Record] = []
        fit(X, y, model, METHODS[method], Observer(resume=checkpoint))  # which leaves the checkpoint as it is
        resumed = fit(X, y, model, METHODS[method], Observer(again.append, resume=checkpoint))
        assert again == history
        assert parts(resumed) == parts(alone)


def written(state: Mapping[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **state)
    return file.getvalue()


def parts(result: LogisticFit) -> tuple[object, ...]:
    w = result.model.w.tobytes()
    return w, result.model.b, result.epochs, result.loss, result.gradient_norm, result.stopped_by


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
