"""What a fit says of its end; the stage's own lines are in tests/stages/test_train.py."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer

from pipeline.learning.diagnosis import indistinct_columns
from pipeline.learning.features import standardised
from pipeline.learning.logistic import fit
from pipeline.learning.model import Observer, Record
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.models.torch import TorchModel
from pipeline.learning.optimizers.auto import Auto
from pipeline.learning.optimizers.gd import GradientDescent
from pipeline.learning.optimizers.newton import Newton

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 2))
Y = (RNG.random(300) < 1 / (1 + np.exp(-X[:, 0]))).astype(float)


@pytest.mark.parametrize("model", [NumpyModel(), TorchModel()], ids=lambda model: type(model).__name__)
def test_a_good_fit_says_nothing_and_is_the_fit_itself(model: Any) -> None:
    rows: list[Record] = []
    result = model.fit(X, Y, Newton(tol=1e-6), ["a", "b"], Observer(rows.append))
    alone = fit(X, Y, model, Newton(tol=1e-6))
    assert (result.warnings, result.separation) == ((), None)
    assert (result.epochs, result.loss, result.stopped_by) == (alone.epochs, alone.loss, alone.stopped_by)
    assert {name: array.tobytes() for name, array in result.arrays.items()} == {
        name: array.tobytes() for name, array in alone.arrays.items()
    }
    assert rows[0].epoch == 0


@pytest.mark.parametrize("size", ["3e-09", "3e+09"])
@pytest.mark.parametrize("sparse", [False, True])
def test_raw_features_of_an_extreme_size_are_named(size: str, sparse: bool) -> None:
    scaled, model = np.hstack([X, float(size) / abs(X[:, :1]).max() * X[:, :1]]), NumpyModel(standardize=False)
    of = re.escape(f"{size} to {size}")
    sentence = f"features of a size of {of} that are not standardised: gradients, .* far from the best one"
    found = model.fit(csr_array(scaled) if sparse else scaled, Y, Newton()).warnings
    assert re.fullmatch(sentence, found[0])
    assert not replace(model, standardize=True).fit(scaled, Y, Newton()).warnings


@pytest.mark.parametrize(("names", "said"), [(["a", "b", "c"], "c"), ([], "column 3")])
def test_a_constant_column_is_named(names: list[str], said: str) -> None:
    found = NumpyModel().fit(np.c_[X, np.ones(300)], Y, Auto(), names).warnings
    assert found == (f"constant in the training table, so without effect on the model: {said}",)


def test_a_loss_that_ends_above_its_start() -> None:
    found = NumpyModel(l2=0.1).fit(X, Y, GradientDescent(lr=8, epochs=1)).warnings
    assert re.fullmatch(
        r"the loss ended at .*, above its start of 0\.6931: try a smaller optimizer\.lr, or standardise", found[0]
    )


def test_what_separates_is_named_and_recorded() -> None:
    y = (X[:, 1] > 0).astype(float)
    result = NumpyModel().fit(X, y, GradientDescent(), ["a", "b"])
    assert result.separation == {"kind": "complete", "alone": True, "columns": ["b"]}
    assert [sentence.partition(",")[0] for sentence in result.warnings] == ["the classes can be separated by b"]
    assert NumpyModel(l2=0.1).fit(X, y, Auto(), ["a", "b"]).separation is None


@pytest.mark.parametrize(
    ("optimizer", "named"),
    [(GradientDescent(lr=1e-4), True), (GradientDescent(lr=1.0, epochs=2), False), (Newton(epochs=1), False)],
)
def test_the_rate_is_among_the_remedies_where_it_is_one(optimizer: Any, named: bool) -> None:
    raw, y = load_breast_cancer(return_X_y=True)
    (found,) = NumpyModel(l2=0.01).fit(raw, y.astype(float), optimizer).warnings
    assert found.startswith("stopped by the epoch limit far from the optimum")
    assert ("an optimizer.lr of up to 0.3" in found) == named


def test_a_column_that_float32_does_not_hold_is_found_and_no_other() -> None:
    rng = np.random.default_rng(0)
    flags, counts = rng.random(3000) < 0.01, rng.poisson(3, 3000)
    outlier, years = rng.standard_normal(3000), 2000 + rng.integers(0, 30, 3000)
    outlier[7] = 1e12
    X = np.c_[rng.standard_normal(3000) * 1e-30, flags, counts, outlier, years, 1.7e9 + rng.random(3000) * 1e4]
    _, mean, scale = standardised(X, np.float64)
    assert indistinct_columns(X, mean, scale, "float32") == [3]
    assert indistinct_columns(X, mean, scale, "float64") == []
    assert indistinct_columns(X, np.zeros(6), np.ones(6), "float32") == [5]
    X[7, 3] = 1e30
    _, mean, scale = standardised(X, np.float64)
    assert indistinct_columns(X, mean, scale, "float64") == [3]
    assert indistinct_columns(csr_array(X), mean, scale, "float32") == []
