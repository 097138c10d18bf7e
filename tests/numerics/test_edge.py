"""Whatever numbers a user brings: the right answer or one clear sentence, never NaN weights, never an endless loop."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from pipeline.arrays import Array
from pipeline.errors import PipelineError
from pipeline.learning import separation
from pipeline.learning.fit import MODELS, LogisticModel, NumpyModel, fit
from pipeline.learning.optimizers import LBFGS, OPTIMIZERS, Auto, GradientDescent, Newton, Optimizer
from pipeline.learning.suboptimality import distance

DTYPES = ("float16", "float32", "float64", "int8", "int64", "uint8", "bool")


@st.composite
def tables(draw: st.DrawFn) -> tuple[Any, Array]:
    """X of any size, dtype, layout and scale, perhaps with constant, equal or collinear columns, and labels of any kind."""
    n, d = draw(st.integers(1, 30)), draw(st.integers(0, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X = rng.standard_normal((n, d)) * 10.0 ** draw(st.sampled_from([-200, -30, -3, 0, 3, 30, 150]))
    if d > 1 and draw(st.booleans()):
        X[:, 0] = X[:, 1] * draw(st.sampled_from([0, 1, -2]))
    y = (rng.random(n) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))).astype(np.float64)
    if draw(st.booleans()) and d:
        y = (X[:, 0] > 0).astype(np.float64)  # separable
    with np.errstate(all="ignore"):
        X = X.astype(draw(st.sampled_from(DTYPES)))
    layout = draw(st.sampled_from(["C", "F", "reversed", "read-only", "sparse"]))
    if layout == "sparse" and X.dtype != np.float16:
        return csr_array(X), y
    X = np.asfortranarray(X) if layout == "F" else X[::-1] if layout == "reversed" else X
    X.flags.writeable = layout != "read-only"
    return X, y


@pytest.mark.filterwarnings("ignore:features of a size")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    tables(),
    st.sampled_from(["gd", "adam", "lbfgs", "newton", "auto"]),
    st.sampled_from(["float32", "float64"]),
    st.sampled_from([0.0, 1e-6, 1.0]),
    st.booleans(),
)
def test_a_finite_model_or_a_sentence(
    table: tuple[Any, Array], optimizer: str, dtype: str, l2: float, standardize: bool
) -> None:
    X, y = table
    try:
        result = fit(X, y, NumpyModel(dtype=dtype, l2=l2, standardize=standardize), OPTIMIZERS[optimizer](epochs=60))  # type: ignore[call-arg]
    except PipelineError:
        return
    assert np.isfinite(result.model.w).all()
    assert np.isfinite(result.model.b)
    assert np.isfinite(result.loss)
    assert result.loss <= np.log(2) + 1e-6 or optimizer in ("gd", "adam")
    separation.find(X, y, result.model)
    assert distance(X, y, result.model, l2).decrease >= 0


@pytest.mark.parametrize("name", MODELS)
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
        fit(X, y, MODELS[name](), GradientDescent())


@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.parametrize("optimizer", [LBFGS(diagonal=True), Newton(sample=10), Newton(), Newton(dense=0)], ids=repr)
def test_nan_is_not_called_large(form: Any, optimizer: Any) -> None:
    X, y = np.ones((500, 2)), np.arange(500.0) % 2
    X[:, 0] = np.nan
    with pytest.raises(PipelineError, match="X must be finite"):
        fit(form(X), y, NumpyModel(standardize=False), optimizer)


@pytest.mark.parametrize("name", MODELS)
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
        fit(X, np.array([0.0, 1.0, 0.0, 1.0]), MODELS[name](), GradientDescent())


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "doubled"])
def test_predictions_take_any_sparse_form(form: str) -> None:
    X = csr_array((np.ones(5), [0, 0, 1, 2, 3], [0, 2, 3, 4, 5]), shape=(4, 4))
    model = LogisticModel(np.zeros(4), np.full(4, 2.0), np.arange(4.0) + 1, -1.0)
    np.testing.assert_array_equal(model.log_odds(X if form == "doubled" else X.asformat(form)), model.log_odds(X.toarray()))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", [Auto(), Newton(), LBFGS()], ids=lambda o: type(o).__name__)
def test_every_dtype_and_layout_gives_the_same_model(dtype: str, optimizer: Any) -> None:
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((200, 3)) * 2 + (1 if dtype.startswith("u") or dtype == "bool" else 0)).clip(0).astype(dtype)
    y = (rng.random(200) < 0.5).astype(np.float64)
    expected = fit(X.astype(np.float64), y, NumpyModel(l2=0.1), Newton()).model
    for same in (X, np.asfortranarray(X), X[::-1][::-1], *([] if dtype == "float16" else [csr_array(X)])):
        model = NumpyModel(l2=0.1) if isinstance(same, np.ndarray) else NumpyModel(l2=0.1, standardize=False)
        if not isinstance(same, np.ndarray):
            expected = fit(X.astype(np.float64), y, NumpyModel(l2=0.1, standardize=False), Newton()).model
        found = fit(same, y, model, optimizer).model
        np.testing.assert_allclose(found.w, expected.w, atol=1e-6)


@pytest.mark.parametrize("rare", [1, 5, 50])
@pytest.mark.parametrize("layout", ["random", "sorted", "duplicated"])
def test_a_sample_that_misleads_does_not_mislead_newton(rare: int, layout: str) -> None:
    rng = np.random.default_rng(0)
    n = 100_000
    X, y = rng.standard_normal((n, 5)), np.zeros(n)
    y[rng.choice(n, rare, replace=False)] = 1
    X[y == 1] += 1
    if layout == "sorted":
        order = np.argsort(X[:, 0] + 10 * y)
        X, y = X[order], y[order]
    if layout == "duplicated":
        X[: n // 2], y[: n // 2] = X[0], 0
    model = NumpyModel(l2=1e-4, standardize=False)
    sampled = fit(X, y, model, Newton(tol=1e-9, epochs=500))
    exact = fit(X, y, model, Newton(tol=1e-9, sample=n))
    assert sampled.stopped_by in ("tol", "precision")
    assert sampled.loss == pytest.approx(exact.loss, rel=1e-8)


def test_newton_without_the_hessian_reaches_the_same_point() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 40)) * np.logspace(-1, 1, 40)
    y = (rng.random(500) < 0.4).astype(np.float64)
    model = NumpyModel(l2=0.01, standardize=False)
    with_hessian, without = fit(X, y, model, Newton(tol=1e-9)), fit(X, y, model, Newton(tol=1e-9, dense=1))
    np.testing.assert_allclose(without.model.w, with_hessian.model.w, atol=1e-6)


TOO_LARGE: dict[str, Optimizer] = {
    "lbfgs": LBFGS(),
    "diagonal": LBFGS(diagonal=True),
    "newton": Newton(),
    "conjugate gradients": Newton(dense=0),
}


@pytest.mark.parametrize("kind", MODELS.values())
@pytest.mark.parametrize("optimizer", TOO_LARGE)
@pytest.mark.parametrize("init", ["zeros", "uniform"])
@pytest.mark.parametrize(("dtype", "scale"), [("float32", 1e27), ("float64", 1e200)])
def test_features_whose_step_overflows(kind: Any, optimizer: str, init: str, dtype: str, scale: float) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((100, 3)) * scale, (rng.random(100) < 0.4).astype(np.float64)
    with pytest.raises(PipelineError, match="the features are too large for a .*; standardise them"):
        fit(X, y, kind(dtype=dtype, init=init, standardize=False), TOO_LARGE[optimizer])
