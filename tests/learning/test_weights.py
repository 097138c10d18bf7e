"""The weights of rows: what whole numbers as weights give is what rows repeated so often give."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression

from pipeline.arrays import Array
from pipeline.errors import PipelineError
from pipeline.learning import separation
from pipeline.learning.batch import fit_together
from pipeline.learning.features import standardised
from pipeline.learning.log_loss import LogLoss, log_loss
from pipeline.learning.logistic import LogisticFit, fit
from pipeline.learning.matrix import Augmented, Dense, Sparse, with_ones
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
from pipeline.learning.suboptimality import distance
from pipeline.learning.torch_objective import TorchLogLoss
from pipeline.learning.weights import class_factors, training_rows

KINDS: dict[str, Any] = {"numpy": NumpyModel, "torch": TorchModel}
FORMS: dict[str, Any] = {"dense": np.asarray, "sparse": csr_array}
DETERMINISTIC: dict[str, Optimizer] = {
    "gd": GradientDescent(epochs=50),
    "gd, momentum": GradientDescent(epochs=50, momentum=0.9, nesterov=True),
    "adam": Adam(epochs=50),
    "lbfgs": LBFGS(),
    "lbfgs, diagonal": LBFGS(diagonal=True),
    "newton": Newton(),
    "newton, conjugate gradients": Newton(dense=0),
    "auto": Auto(tol=1e-10),
}


def table(n: int = 120, d: int = 3, seed: int = 0) -> tuple[Array, Array, Array]:
    """X (n, d) with some zeros, y (n,), and whole numbers from 0 to 4 as weights (n,)."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * (rng.random((n, d)) < 0.7) * np.arange(1, d + 1)
    y = (rng.random(n) < 1 / (1 + np.exp(-X[:, 0]))).astype(float)
    y[:4], weight = (0, 1, 0, 1), rng.integers(0, 5, n).astype(float)
    weight[:4] = 1
    return X, y, weight


def repeated(X: Array, y: Array, weight: Array) -> tuple[Array, Array]:
    rows = np.repeat(np.arange(len(y)), weight.astype(int))
    return X[rows], y[rows]


def small(X: Array, y: Array, m: Array | None) -> LogLoss:
    return log_loss(X, y, 0.1, m)


OBJECTIVES: dict[str, Any] = {
    "small": small,
    "torch": lambda X, y, m: TorchLogLoss(X, y, 0.1, m=m),
    "torch, sparse": lambda X, y, m: TorchLogLoss(csr_array(X), y, 0.1, m=m),
    "augmented": lambda X, y, m: LogLoss(Augmented(with_ones(X)), 2 * y - 1, 0.1, m),
    "folded": lambda X, y, m: LogLoss(Augmented(with_ones(X, 2 * y - 1)), None, 0.1, m),
    "dense": lambda X, y, m: LogLoss(Dense(X), 2 * y - 1, 0.1, m),
    "sparse": lambda X, y, m: LogLoss(Sparse(csr_array(X)), 2 * y - 1, 0.1, m),
}


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("kind", OBJECTIVES)
def test_every_part_of_the_objective_is_that_of_repeated_rows(kind: str, blocks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for constant, value in (("CACHED_BYTES", 4096), ("MIN_ROWS", 16), ("SMALL", 0)) if blocks else ():
        monkeypatch.setattr(f"pipeline.learning.matrix.{constant}", value)
    X, y, weight = table()
    theta, direction = np.random.default_rng(1).standard_normal((2, 4))
    f, g = OBJECTIVES[kind](*training_rows(X, y, weight, "none", (0, 1))), small(*repeated(X, y, weight), None)
    assert f.loss(theta) == pytest.approx(g.loss(theta), abs=1e-13)
    assert f.loss_and_gradient(theta)[0] == pytest.approx(g.loss(theta), abs=1e-13)
    for name in ("gradient", "hessian"):
        np.testing.assert_allclose(getattr(f, name)(theta), getattr(g, name)(theta), atol=1e-13)
    np.testing.assert_allclose(f.loss_and_gradient(theta)[1], g.gradient(theta), atol=1e-13)
    np.testing.assert_allclose(f.hessian_times(theta)(direction), g.hessian_times(theta)(direction), atol=1e-13)
    np.testing.assert_allclose(f.curvatures(), g.curvatures(), atol=1e-12)
    for t in (0.0, 0.5, 2.0):
        assert f.slope_along(theta, direction)(t) == pytest.approx(g.slope_along(theta, direction)(t), abs=1e-13)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(5, 60), st.integers(1, 5), st.sampled_from(["dense", "sparse"]))
def test_mean_and_scale_are_those_of_repeated_rows(seed: int, n: int, d: int, form: str) -> None:
    X, y, weight = table(n, d, seed)
    rows, _, m = training_rows(FORMS[form](X), y, weight, "none", (0, 1))
    Z, mean, scale = standardised(rows, np.float64, m=m)
    _, expected_mean, expected_scale = standardised(FORMS[form](repeated(X, y, weight)[0]), np.float64)
    np.testing.assert_allclose(mean, expected_mean, atol=1e-12)
    np.testing.assert_allclose(scale, expected_scale, rtol=1e-12)
    assert Z.shape[0] == np.count_nonzero(weight)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("optimizer", DETERMINISTIC)
def test_every_deterministic_fit_is_that_of_repeated_rows(optimizer: str, kind: str, standardize: bool, form: str) -> None:
    X, y, weight = table()
    model = KINDS[kind](dtype="float64", init="zeros", l2=0.05, standardize=standardize)
    found = fit(FORMS[form](X), y, model, DETERMINISTIC[optimizer], weight=weight)
    more, labels = repeated(X, y, weight)
    expected = fit(FORMS[form](more), labels, model, DETERMINISTIC[optimizer])
    assert found.loss == pytest.approx(expected.loss, abs=1e-12)
    np.testing.assert_allclose(found.model.w, expected.model.w, atol=1e-10)
    assert found.model.b == pytest.approx(expected.model.b, abs=1e-10)
    np.testing.assert_allclose(found.model.mean, expected.model.mean, atol=1e-12)
    assert found.stopped_by == expected.stopped_by


@pytest.mark.parametrize("kind", KINDS)
def test_a_factor_of_a_class_is_its_rows_repeated(kind: str) -> None:
    X, y, weight = table()
    model = KINDS[kind](dtype="float64", init="zeros", l2=0.05)
    expected = fit(*repeated(X, y, np.where(y == 1, 5 * weight, weight)), model, Newton()).model
    for class_weight, classes in (({"yes": 5}, ("no", "yes")), ({0: 2, "1": 10.0}, (0, 1)), ({"1": 5}, (-1.0, 1.0))):
        found = fit(X, y, replace(model, class_weight=class_weight), Newton(), weight=weight, classes=classes).model
        np.testing.assert_allclose(np.append(found.w, found.b), np.append(expected.w, expected.b), atol=1e-10)


def test_balanced_is_scikit_learn_s() -> None:
    X, y, weight = table(400)
    y[40:200] = 0
    for given_weight in (None, weight):
        counts = np.ones(400) if given_weight is None else given_weight
        factors = np.array([1 / counts[y == 0].sum(), 1 / counts[y == 1].sum()]) * counts.sum() / 2
        peer = LogisticRegression(C=1 / (0.05 * counts.sum()), tol=1e-10, solver="newton-cholesky", max_iter=100)
        peer.fit(X, y, counts * factors[y.astype(int)])
        model = NumpyModel(l2=0.05, standardize=False, class_weight="balanced")
        found = fit(X, y, model, Newton(), weight=given_weight).model
        np.testing.assert_allclose(np.append(found.w, found.b), np.append(peer.coef_[0], peer.intercept_), atol=1e-6)
        more, labels = repeated(X, y, counts)
        again = fit(more, labels, model, Newton()).model
        np.testing.assert_allclose(np.append(found.w, found.b), np.append(again.w, again.b), atol=1e-10)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-300, 1e-9, 3.0, 1e300]))
def test_only_the_ratios_of_weights_count(seed: int, unit: float) -> None:
    X, y, _ = table(60, 2, seed)
    weight = np.random.default_rng(seed).random(60) + 0.1
    expected = fit(X, y, NumpyModel(l2=0.1), Newton(), weight=weight).model
    found = fit(X, y, NumpyModel(l2=0.1), Newton(), weight=unit * weight).model
    np.testing.assert_allclose(np.append(found.w, found.b), np.append(expected.w, expected.b), atol=1e-9)


@pytest.mark.parametrize(("class_weight", "scale"), [("balanced", 1e-300), ("balanced", 1e300), ("{1: 1e300}", 1e-300)])
def test_weights_of_any_size(class_weight: str, scale: float) -> None:
    """A class's weights that are so much less are balanced, or made up for by its factor."""
    X, y, _ = table()
    weight = np.where(y == 1, scale, 1.0)
    model = NumpyModel(l2=0.1, class_weight=class_weight)
    found = fit(X, y, model, Newton(), weight=weight).model
    expected = fit(X, y, replace(model, class_weight="balanced" if class_weight == "balanced" else "none"), Newton()).model
    np.testing.assert_allclose(np.append(found.w, found.b), np.append(expected.w, expected.b), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.bool_])
def test_equal_weights_are_none_to_the_bit(kind: str, dtype: Any) -> None:
    X, y, _ = table()
    alone = fit(X, y, KINDS[kind](), Auto()).model
    found = fit(X, y, KINDS[kind](class_weight={0: 3, 1: 3}), Auto(), weight=np.full(120, 7).astype(dtype)).model
    assert (found.w.tobytes(), found.b) == (alone.w.tobytes(), alone.b)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_unbiased(kind: str) -> None:
    """The mean of an epoch's batch gradients at one point is the gradient of all rows."""
    X, y, weight = table()
    X, y, m = training_rows(X, y, weight + 1, "none", (0, 1))
    f, theta = OBJECTIVES["torch" if kind == "torch" else "dense"](X, y, m), np.ones(4)
    batches = [f.rows(rows).gradient(theta) for rows in StochasticGradientDescent(batch_size=30).batches(len(y), 0)]
    np.testing.assert_allclose(np.mean(batches, axis=0), f.gradient(theta), atol=1e-12)


def test_sgd_agrees_in_numpy_and_torch_and_comes_near() -> None:
    X, y, weight = table()
    ends = [
        fit(X, y, kind(dtype="float64", init="zeros", l2=0.1), StochasticGradientDescent(), weight=weight)
        for kind in KINDS.values()
    ]
    np.testing.assert_allclose(ends[0].model.w, ends[1].model.w, atol=1e-10)
    assert ends[0].loss < fit(X, y, NumpyModel(l2=0.1), Newton(), weight=weight).loss + 1e-3


def test_a_sampled_newton_reaches_the_weighted_optimum() -> None:
    X, y, weight = table(20_000)
    sampled, exact = (fit(X, y, NumpyModel(l2=0.01), Newton(sample=size, epochs=200), weight=weight) for size in (1000, 20_000))
    np.testing.assert_allclose(sampled.model.w, exact.model.w, atol=1e-8)


@pytest.mark.parametrize("method", [GradientDescent(epochs=60), Adam(epochs=60)], ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("form", FORMS)
def test_fits_together_are_the_fits_alone(method: Any, form: str) -> None:
    X, y, weight = table()
    models = [NumpyModel(l2=l2, class_weight="balanced") for l2 in (0.0, 0.1)]
    found = fit_together(FORMS[form](X), y, models, [method, replace(method, lr=0.05)], weight=weight)
    for model, lr, column in zip(models, (method.lr, 0.05), found, strict=True):
        alone = fit(FORMS[form](X), y, model, replace(method, lr=lr), weight=weight)
        assert isinstance(column, LogisticFit)
        assert column.loss == pytest.approx(alone.loss, abs=1e-12)
        np.testing.assert_allclose(column.model.w, alone.model.w, atol=1e-12)


def test_models_that_differ_in_the_classes_weights_are_not_fitted_together() -> None:
    X, y, _ = table()
    models = [NumpyModel(), NumpyModel(class_weight="balanced")]
    with pytest.raises(PipelineError, match="one class_weight for all; got none and balanced"):
        fit_together(X, y, models, [GradientDescent()] * 2)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_left_of_the_loss_is_that_of_repeated_rows(form: str) -> None:
    X, y, weight = table(3000)
    rows, labels, m = training_rows(FORMS[form](X), y, weight, "none", (0, 1))
    model = LinearModel(np.zeros(3), np.ones(3), np.zeros(3), 0.0)
    found, expected = distance(rows, labels, model, 0.1, m), distance(*repeated(X, y, weight), model, 0.1)
    assert found.loss == pytest.approx(expected.loss, abs=1e-12)
    assert found.decrease == pytest.approx(expected.decrease, rel=0.1)  # by samples of other rows
    wide = LinearModel(np.zeros(1001), np.ones(1001), np.zeros(1001), 0.0)
    X = np.random.default_rng(0).standard_normal((900, 1001))
    rows, labels, m = training_rows(X, y[:900], weight[:900], "none", (0, 1))
    found, expected = distance(rows, labels, wide, 0.1, m), distance(*repeated(X, y[:900], weight[:900]), wide, 0.1)
    assert (found.loss, found.decrease, found.steepest) == pytest.approx(
        (expected.loss, expected.decrease, expected.steepest), rel=0.1
    )


def test_rows_without_weight_do_not_keep_the_others_from_being_separated() -> None:
    X = table()[0]
    labels = (X[:, 0] > 0.5).astype(float)
    wrong = np.arange(120) % 10 == 0
    labels[wrong] = 1 - labels[wrong]
    assert NumpyModel().fit(X, labels, Auto()).separation is None
    found = NumpyModel().fit(X, labels, Auto(), weight=(~wrong).astype(float))
    assert found.separation == {"kind": "complete", "alone": True, "columns": ["column 1"]}
    assert separation.find(X[~wrong], labels[~wrong], LinearModel.from_arrays(found.arrays)) is not None


@pytest.mark.parametrize("kind", KINDS)
def test_float32_is_the_same_model(kind: str) -> None:
    X, y, weight = table()
    exact = fit(X, y, NumpyModel(l2=0.1), Newton(), weight=weight).model
    found = fit(X, y, KINDS[kind](dtype="float32", l2=0.1), Auto(), weight=weight).model
    assert found.w.dtype == np.float32
    np.testing.assert_allclose(found.w, exact.w, atol=1e-4)


BAD = np.ones(120)
BAD[6] = -1


@pytest.mark.parametrize(
    ("weight", "sentence"),
    [
        (BAD, r"^weight must be >= 0 and finite in every row; row 7 has -1\.0$"),
        (np.full(120, np.nan), "row 1 has nan$"),
        (np.full(120, np.inf), "row 1 has inf$"),
        (np.zeros(120), "^weight must be above 0 in some row; all 120 are 0$"),
        (np.ones(7), r"of shape \(120,\), as X has rows; got float64 of shape \(7,\)$"),
        ([1.0] * 120, "must be a NumPy array .* got list$"),
        (np.array(["1"] * 120), "got <U1 of shape"),
    ],
)
def test_weights_that_cannot_be_used(weight: Any, sentence: str) -> None:
    X, y, _ = table()
    for model in (NumpyModel(), TorchModel()):
        with pytest.raises(PipelineError, match=sentence):
            model.fit(X, y, Auto(), weight=weight)


def test_rows_with_a_weight_must_be_of_both_classes() -> None:
    X, y, _ = table()
    with pytest.raises(
        PipelineError, match="^rows of both classes must have a weight above 0; all [0-9]+ that have one are 1$"
    ):
        fit(X, y, NumpyModel(), Auto(), weight=y)


@pytest.mark.parametrize(
    "wrong",
    [
        "half",
        "{}",
        "{yes}",
        "{yes: a}",
        "{a: 1, a: 2}",
        "{a: 1 b}",
        "yes: 5",
        5,
        None,
        {},
        {"yes": 0},
        {"yes": -1.0},
        {"yes": "5"},
        {"yes": True},
        {"a": float("inf")},
    ],
)
def test_class_weights_that_are_impossible(wrong: Any) -> None:
    with pytest.raises(PipelineError, match="^class_weight must be none, balanced or a factor > 0 for .*; got "):
        NumpyModel(class_weight=wrong)


@pytest.mark.parametrize(
    ("text", "factors"),
    [
        ("{yes: 5}", {"yes": 5}),
        (" { no : 1 ,yes:0.5} ", {"no": 1, "yes": 0.5}),
        ("{>50K: 5, <=50K: 1e-3}", {">50K": 5, "<=50K": 1e-3}),
        ("{a:b: 2, 'x, y': 3, \"it's\": 4}", {"a:b": 2, "x, y": 3, "it's": 4}),
        ("{not sure: 5,}", {"not sure": 5}),
    ],
)
def test_the_text_of_class_weights(text: str, factors: dict[str, float]) -> None:
    assert class_factors(text) == factors


@pytest.mark.parametrize("names", [{"maybe": 2}, {"no": 1, "maybe": 2}, {"yes": 1, "YES": 2}, {"no": 1, "yes": 2, "maybe": 3}])
def test_class_weights_name_the_classes(names: dict[str, float]) -> None:
    X, y, _ = table()
    with pytest.raises(PipelineError, match="model.class_weight must name one or both of the classes no and yes; got "):
        fit(X, y, NumpyModel(class_weight=names), Auto(), classes=("no", "yes"))
