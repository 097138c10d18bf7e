"""Fits side by side give what each gives alone."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.data.sources.breast_cancer import BreastCancer
from pipeline.errors import PipelineError
from pipeline.learning.batch import Method, fit_together
from pipeline.learning.logistic import LogisticFit, fit
from pipeline.learning.model import Observer, Record
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.optimizers.adam import Adam
from pipeline.learning.optimizers.gd import GradientDescent

L2 = (0.0, 0.01, 1.0)
RATES = (0.03, 0.1, 0.3)


@pytest.mark.parametrize("method", [GradientDescent(epochs=200), GradientDescent(epochs=200, momentum=0.9), Adam(epochs=200)])
def test_each_column_is_the_fit_alone(method: Method) -> None:
    part = BreastCancer().load().train
    models = [NumpyModel(l2=l2) for l2 in L2]
    optimizers = [replace(method, lr=lr) for lr in RATES]
    histories: list[list[Record]] = [[], [], []]
    together = fit_together(part.X, part.y, models, optimizers, lambda column, row: histories[column].append(row))
    for model, optimizer, found, history in zip(models, optimizers, together, histories, strict=True):
        rows: list[Record] = []
        alone = fit(part.X, part.y, model, optimizer, Observer(rows.append))
        assert isinstance(found, LogisticFit)
        np.testing.assert_allclose(found.model.w, alone.model.w, atol=1e-12)
        assert found.model.b == pytest.approx(alone.model.b, abs=1e-12)
        assert (found.epochs, found.stopped_by, found.optimizer) == (alone.epochs, alone.stopped_by, alone.optimizer)
        assert [row.epoch for row in history] == [row.epoch for row in rows]
        np.testing.assert_allclose([row.loss for row in history], [row.loss for row in rows], atol=1e-12)


def test_a_column_that_diverges_leaves_the_others_alone() -> None:
    part = BreastCancer().load().train
    optimizers = [GradientDescent(lr=lr, epochs=300) for lr in (0.1, 1e308)]
    good, bad = fit_together(part.X, part.y, [NumpyModel(l2=1.0)] * 2, optimizers)
    assert isinstance(good, LogisticFit)
    assert good.loss == pytest.approx(fit(part.X, part.y, NumpyModel(l2=1.0), optimizers[0]).loss, abs=1e-12)
    assert isinstance(bad, PipelineError)
    assert "optimizer.lr than 1e+308" in str(bad)


def test_a_column_of_infinite_weights_is_no_fit() -> None:
    X, y = np.array([[-9.0], [9.0]]), np.array([0.0, 1.0])
    optimizers = [GradientDescent(lr=lr) for lr in (0.1, 1e308)]
    good, bad = fit_together(X, y, [NumpyModel(standardize=False)] * 2, optimizers)
    assert isinstance(good, LogisticFit)
    assert isinstance(bad, PipelineError)


@pytest.mark.parametrize(
    ("models", "optimizers", "sentence"),
    [
        ([NumpyModel()], [GradientDescent()] * 2, "as many models as optimizers; got 1 and 2"),
        ([NumpyModel(), NumpyModel(dtype="float32")], [GradientDescent()] * 2, "one dtype for all"),
        ([NumpyModel()] * 2, [GradientDescent(), Adam()], "one class for all"),
        ([NumpyModel()] * 2, [GradientDescent(), GradientDescent(epochs=7)], "one epochs for all; got 100 and 7"),
        ([NumpyModel()], [GradientDescent(tol=1e-3)], "tol must be 0; got 0.001"),
    ],
)
def test_columns_that_do_not_go_together(models: list[NumpyModel], optimizers: list[Method], sentence: str) -> None:
    part = BreastCancer().load().train
    with pytest.raises(PipelineError, match=sentence):
        fit_together(part.X, part.y, models, optimizers)
