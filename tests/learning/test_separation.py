"""Separation, held to linear programs (Konis 2007) that decide it another way."""

import re
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer

from pipeline.arrays import Array
from pipeline.data.sources.document import Textbook
from pipeline.learning import separation
from pipeline.learning.features import standardised
from pipeline.learning.logistic import fit
from pipeline.learning.models import LinearModel
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.models.torch import TorchModel
from pipeline.learning.optimizer import Optimizer
from pipeline.learning.optimizers.adam import Adam
from pipeline.learning.optimizers.auto import Auto
from pipeline.learning.optimizers.gd import GradientDescent
from pipeline.learning.optimizers.lbfgs import LBFGS
from pipeline.learning.optimizers.newton import Newton
from pipeline.learning.optimizers.sgd import StochasticGradientDescent
from pipeline.learning.separation import Separation, find, find_complete
from pipeline.model.card import separation_sentence


def by_linear_programs(X: Array, y: Array) -> str | None:
    """The kind of separation: whether some v, at most 1 in size, has s A v >= 0 and not 0, or > 0 in all rows."""
    A = (2 * y - 1)[:, None] * np.c_[X / np.maximum(abs(X).max(axis=0), 1e-300), np.ones(len(X))]
    box, gap = [(-1, 1)] * A.shape[1], np.zeros(A.shape[1])
    weak = linprog(-A.sum(axis=0), A_ub=-A, b_ub=np.zeros(len(A)), bounds=box)
    if -weak.fun < 1e-6:
        return None
    strict = linprog([*gap, -1], A_ub=np.c_[-A, np.ones(len(A))], b_ub=np.zeros(len(A)), bounds=[*box, (None, 1)])
    return "complete" if -strict.fun > 1e-7 else "quasi-complete"


def table(rng: np.random.Generator) -> tuple[Array, Array]:
    """Numbers, counts, categories with or without a reference level, rare flags or collinear columns, and labels of any
    strength; in some the cells of a category hold one class alone, in some the columns are of very different sizes."""
    n, d, kind = int(rng.integers(4, 250)), int(rng.integers(1, 7)), int(rng.integers(6))
    X, group, levels = rng.standard_normal((n, d)), rng.integers(0, 4, n), 4
    if kind in (1, 2):
        X = np.c_[X[:, :2], (group[:, None] == np.arange(kind - 1, levels)).astype(float)]
    elif kind == 3:
        X = rng.integers(0, 3, (n, d)).astype(float)
    elif kind == 4:
        X = (rng.random((n, d)) < 0.1).astype(float)
    elif kind == 5:
        X = np.c_[X, 2 * X[:, 0] + 1]
    z = (X - X.mean(axis=0)) @ (rng.standard_normal(X.shape[1]) * rng.choice([0.1, 1, 3, 10]))
    y = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(float)
    if rng.random() < 0.3:
        y[group == 0] = rng.integers(2)
    y[:2] = 0, 1
    if rng.random() < 0.3:
        X *= 10.0 ** rng.integers(-9, 10, X.shape[1])
    return X, y


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_what_linear_programs_find_is_found_and_nothing_else(first: int) -> None:
    for seed in range(first, first + 50):
        X, y = table(np.random.default_rng(seed))
        truth, d = by_linear_programs(X, y), X.shape[1]
        _, mean, scale = standardised(X, np.float64)
        models = {
            "standardised": LinearModel(mean, scale, np.zeros(d), 0.0),
            "after a fit": fit(X, y, NumpyModel(), Auto()).model,
            "after a short fit in float32": fit(X, y, NumpyModel(dtype="float32"), GradientDescent(epochs=5)).model,
        }
        for name, model in models.items():
            found = find(X, y, model)
            assert (found and found.kind) == truth, (seed, name)
        scaled = replace(models["standardised"], mean=np.zeros(d))
        found = find(csr_array(X), y, scaled)
        assert (found and found.kind) == truth, (seed, "sparse")


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("kind", [NumpyModel, TorchModel])
def test_a_rare_flag_of_one_class_is_named_at_any_size(kind: Any, standardize: bool, form: Any, unit: float) -> None:
    """Though 28 rows of 30 lie on the boundary."""
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((300, 3)), (rng.random(300) < 0.5).astype(float)
    X[:, 1] = 0
    X[np.flatnonzero(y == 1)[:20], 1] = unit
    result = fit(form(X), y, kind(standardize=standardize), Auto())
    assert find(form(X), y, result.model) == Separation("quasi-complete", True, (1,))
    y[np.flatnonzero(X[:, 1])[0]] = 0
    assert find(form(X), y, fit(form(X), y, kind(standardize=standardize), Auto()).model) is None


@pytest.mark.parametrize(
    "optimizer",
    [GradientDescent(), Adam(), StochasticGradientDescent(), LBFGS(), Newton(), Auto()],
    ids=lambda o: type(o).__name__,
)
@pytest.mark.parametrize("kind", [NumpyModel, TorchModel])
def test_every_optimizer_s_fit_to_the_cancer_table_tells(kind: Any, optimizer: Optimizer | Auto) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    found = find(X, y.astype(float), fit(X, y.astype(float), kind(), optimizer).model)
    assert found is not None
    assert (found.kind, found.alone) == ("complete", False)


@pytest.mark.parametrize("kind", [NumpyModel, TorchModel])
def test_the_document_s_classes_can_be_separated_by_both_columns(kind: Any) -> None:
    part = Textbook().load().train
    model = fit(part.X, part.y, kind(), GradientDescent()).model
    assert (model.log_odds(part.X) * (2 * part.y - 1)).min() < 0, "the fit itself separates them, so this shows little"
    assert find(part.X, part.y, model) == Separation("complete", False, (1, 0))


@pytest.mark.parametrize("optimizer", [Newton(), LBFGS(), Auto()], ids=lambda o: type(o).__name__)
def test_a_column_far_from_zero_for_its_spread_hides_nothing(optimizer: Optimizer | Auto) -> None:
    """All numbers are exact: the columns differ by 1 and 0 to 3 units in the last place, of which 2 and 3 are one class."""
    step = np.arange(40) % 8 * 2.0**-40
    last = np.random.default_rng(0).integers(0, 4, 40)
    X, y = np.c_[step, 1 + step + last * 2.0**-52], (last >= 2).astype(float)
    assert np.array_equal(X[:, 1] - X[:, 0] - 1, last * 2.0**-52)
    found = find(X, y, fit(X, y, NumpyModel(), optimizer).model)
    assert found is not None
    assert (found.kind, found.alone) == ("complete", False)


def test_a_category_that_the_columns_leave_out_may_be_what_separates() -> None:
    """The reference level's cell holds one class: no column separates, all the others together do."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, 3, 400)
    X, y = (group[:, None] == [1, 2]).astype(float), (rng.random(400) < 0.5).astype(float)
    y[group == 0] = 0
    found = find(X, y, fit(X, y, NumpyModel(), LBFGS()).model)
    assert found is not None
    assert (found.kind, found.alone, sorted(found.columns)) == ("quasi-complete", False, [0, 1])


def test_one_row_beyond_all_others_hides_nothing_and_raises_no_alarm() -> None:
    rng = np.random.default_rng(0)
    X = np.c_[rng.standard_cauchy(400) ** 3, rng.standard_normal(400)]
    X[0, 0] = 1e13
    y = (rng.random(400) < 1 / (1 + np.exp(-X[:, 1]))).astype(float)
    for dtype in ("float64", "float32"):
        assert find(X, y, fit(X, y, NumpyModel(dtype=dtype), Auto()).model) is None
    X[y == 1, 1] += 20
    assert find(X, y, fit(X, y, NumpyModel(), Auto()).model) == Separation("complete", True, (1,))


def test_in_many_rows_few_of_a_class_or_one_flag_are_seen() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40_000, 4)), (rng.random(40_000) < 0.5).astype(float)
    X[:, 3] = 0
    X[[5, 17], 3], y[[5, 17]] = 1, 1
    zeros = LinearModel(np.zeros(4), np.ones(4), np.zeros(4), 0.0)
    assert find(X, y, zeros) == Separation("quasi-complete", True, (3,))
    y[5] = 0
    assert find(X, y, zeros) is None
    line = (X[:, 0] + 0.3 * X[:, 1] > 3).astype(float)
    found = find(X, line, fit(X, line, NumpyModel(), GradientDescent(epochs=3)).model)
    assert found is not None
    assert (found.kind, found.alone, found.columns[0]) == ("complete", False, 0)
    line[np.argmax(X[:, 0])] = 0
    assert find(X, line, fit(X, line, NumpyModel(), Auto()).model) is None


def test_beyond_a_thousand_columns_the_fit_s_own_direction_and_single_columns_are_tried() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 1200)), (rng.random(50) < 0.5).astype(float)
    found = find(X, y, fit(X, y, NumpyModel(), Auto()).model)
    assert found is not None
    assert found.kind == "complete"
    flags = np.zeros((3000, 1100))
    flags[np.arange(3000), rng.integers(0, 1100, 3000)] = 1
    labels = (np.arange(3000) % 2).astype(float)
    assert find(flags, labels, LinearModel(np.zeros(1100), np.ones(1100), np.zeros(1100), 0.0)) is not None


@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_the_first_rows_alone_do_not_decide(form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = dict[int, Separation | None]()
    for rows in (1, 6, 10_000):
        monkeypatch.setattr(separation, "FIRST_ROWS", rows)
        for seed in range(40):
            X, y = table(np.random.default_rng(seed))
            order = np.argsort(y, kind="stable") if seed % 2 else np.arange(len(y))
            d = X.shape[1]
            model = LinearModel(np.zeros(d), np.ones(d), np.zeros(d), 0.0)
            entry = find_complete(form(X[order]), y[order], model)
            assert found.setdefault(seed, entry) == entry
    assert 0 < sum(entry is not None for entry in found.values()) < 40


def test_a_large_well_posed_table_costs_a_few_hundredths_of_its_fit() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200_000, 40))
    y = (rng.random(len(X)) < 1 / (1 + np.exp(-X[:, 0]))).astype(float)
    start = time.process_time()
    model = fit(X, y, NumpyModel(), GradientDescent()).model
    fitted = time.process_time()
    assert find(X, y, model) is None
    assert time.process_time() - fitted < (fitted - start) / 2  # 0.02 of it, on an idle machine


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"kind": "complete", "alone": True, "columns": ["a"]}, "separated by a$"),
        ({"kind": "complete", "alone": True, "columns": ["a", "b", "c"]}, r"separated by a \(and each of 2 more columns\)$"),
        (
            {"kind": "quasi-complete", "alone": False, "columns": ["a", "b"]},
            "all but .*, by a combination in which a ",
        ),
    ],
)
def test_the_sentence_names_what_separates(entry: dict[str, Any], said: str) -> None:
    assert re.search(said, separation_sentence(entry))
