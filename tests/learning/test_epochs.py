"""A fit that goes on from any of its checkpoints, written and read back, ends with the same bytes."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from pipeline.arrays import Array
from pipeline.learning.logistic import Logistic, LogisticFit, fit
from pipeline.learning.model import Checkpoint, Record
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
    kept: list[tuple[int, bytes, list[Record]]] = []

    def watch(epoch: int, state: Mapping[str, Array]) -> None:
        kept.append((epoch, written(state), [row for row in history if row.epoch < epoch]))

    whole = fit(X, y, model, METHODS[method], history.append, watch)
    assert len(kept) > 2
    for epoch, file, rows in kept[1 :: max(1, len(kept) // 4)]:  # records, and epochs between them
        with np.load(io.BytesIO(file)) as arrays:
            checkpoint = Checkpoint(epoch, dict(arrays), rows)
        again: list[Record] = []
        resumed = fit(X, y, model, METHODS[method], again.append, resume=checkpoint)
        assert again == history
        assert parts(resumed) == parts(whole)


def written(state: Mapping[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **state)
    return file.getvalue()


def parts(result: LogisticFit) -> tuple[object, ...]:
    w = result.model.w.tobytes()
    return w, result.model.b, result.epochs, result.loss, result.gradient_norm, result.stopped_by
