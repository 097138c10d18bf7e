"""The losses by epoch of a fold: those of fits that end there, of comparable numbers, and their mean."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.evaluation.course import Course
from pipeline.evaluation.curves import COURSE, mean_course
from pipeline.learning.logistic import fit
from pipeline.learning.losses import log_losses
from pipeline.learning.models import linear_model
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.optimizer import Optimizer
from pipeline.learning.optimizers.gd import GradientDescent
from pipeline.learning.optimizers.newton import Newton

RNG = np.random.default_rng(0)
X = 100 + RNG.standard_normal((90, 3))
Y = (X[:, 0] + RNG.logistic(size=90) > 100).astype(float)
WEIGHT = 1.0 + np.arange(90) % 3
ROWS, HELD_OUT = np.arange(60), np.arange(60, 90)


def loss(arrays: Any, rows: Any) -> float:
    model = linear_model(arrays)
    assert model
    return float(np.average(log_losses(model.log_odds(X[rows]), Y[rows]), weights=WEIGHT[rows]))


def fitted(model: NumpyModel, optimizer: Optimizer, course: Course | None = None) -> Any:
    observer = course.observer if course else None
    return fit(X[ROWS], Y[ROWS], model, optimizer, observer, weight=WEIGHT[ROWS])


def losses(model: NumpyModel, optimizer: Optimizer) -> Any:
    course = Course()
    end = fitted(model, optimizer, course)
    linear = linear_model(end.arrays)
    assert linear
    return course.losses(model, end, X[HELD_OUT], Y[HELD_OUT], WEIGHT[HELD_OUT], linear.log_odds(X[HELD_OUT]))


METHODS = {"newton": Newton(tol=1e-9), "gd": GradientDescent(lr=0.5, epochs=7, record_every=3)}


@pytest.mark.parametrize("optimizer", METHODS.values(), ids=METHODS)
def test_each_point_is_the_log_loss_of_a_fit_that_ends_there(optimizer: Any) -> None:
    model = NumpyModel(l2=0.3)
    found = losses(model, optimizer)
    assert tuple(found) == COURSE
    assert found["epoch"][-1] == fitted(model, optimizer).epochs
    assert len(found["epoch"]) == len({*found["epoch"]}) > 3
    for epoch, training, validation in list(zip(*found.values(), strict=True))[1:]:
        arrays = fitted(model, type(optimizer)(**{**vars(optimizer), "epochs": int(epoch)})).arrays
        assert (training, validation) == pytest.approx((loss(arrays, ROWS), loss(arrays, HELD_OUT)), abs=1e-12)
    assert (found["training"][0], found["validation"][0]) == pytest.approx((np.log(2), np.log(2)), abs=1e-12)


def test_of_long_fits_a_few_epochs_are_kept() -> None:
    epochs = losses(NumpyModel(), GradientDescent(epochs=500, record_every=1))["epoch"]
    assert epochs[:21].tolist() == list(range(21))
    assert epochs[-1] == 500
    assert 70 < len(epochs) < 90


def test_a_factor_of_a_class_leaves_the_training_loss_without_a_like() -> None:
    found = losses(NumpyModel(class_weight="balanced"), Newton())
    assert np.isnan(found["training"]).all()
    assert np.isfinite(found["validation"]).all()


def test_a_model_that_is_not_linear_has_none() -> None:
    course, model = Course(), NumpyModel()
    end = replace(fitted(model, Newton(), course), arrays={"w": np.zeros(1)})
    assert not any(len(values) for values in course.losses(model, end, X, Y, None, Y).values())


def test_the_mean_keeps_the_last_loss_of_a_fold_that_ended() -> None:
    short = {"epoch": np.array([0, 2]), "training": np.array([1.0, 0.5]), "validation": np.array([1.0, 0.8])}
    long = {"epoch": np.array([0, 1, 4]), "training": np.array([1.0, 0.9, 0.3]), "validation": np.array([1.0, 0.8, 0.2])}
    found = mean_course([short, long])
    assert found["epoch"].tolist() == [0, 1, 2, 4]
    assert found["training"] == pytest.approx([1.0, (0.75 + 0.9) / 2, (0.5 + 0.7) / 2, (0.5 + 0.3) / 2])
    assert found["validation"] == pytest.approx([1.0, (0.9 + 0.8) / 2, (0.8 + 0.6) / 2, (0.8 + 0.2) / 2])
