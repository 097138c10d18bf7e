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
from pipeline.learning.logistic import fit
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.models.torch import TorchModel
from pipeline.learning.optimizers import OPTIMIZERS
from pipeline.learning.optimizers.auto import Auto
from pipeline.learning.optimizers.lbfgs import LBFGS
from pipeline.learning.optimizers.newton import Newton
from pipeline.learning.suboptimality import distance
from pipeline.learning.weights import training_rows

KINDS: dict[str, Any] = {"numpy": NumpyModel, "torch": TorchModel}
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


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    tables(),
    st.sampled_from(["gd", "adam", "lbfgs", "newton", "auto"]),
    st.sampled_from(["float32", "float64"]),
    st.sampled_from([0.0, 1e-6, 1.0]),
    st.booleans(),
    st.sampled_from([None, 0.0, 1.0, 30.0, 300.0]),
    st.sampled_from(["none", "balanced", "{1: 1e9}"]),
)
def test_a_finite_model_or_a_sentence(
    table: tuple[Any, Array],
    optimizer: str,
    dtype: str,
    l2: float,
    standardize: bool,
    spread: float | None,
    class_weight: str,
) -> None:
    """spread: of the weights' exponents; every fifth row has none."""
    X, y = table
    weight = None if spread is None else 10.0 ** np.random.default_rng(0).uniform(-spread, spread, len(y))
    if weight is not None:
        weight[::5] = 0
    model = NumpyModel(dtype=dtype, l2=l2, standardize=standardize, class_weight=class_weight)
    try:
        result = fit(X, y, model, OPTIMIZERS[optimizer](epochs=60), weight=weight)
        X, y, m = training_rows(X, y, weight, class_weight, (0, 1))
    except PipelineError:
        return
    assert np.isfinite(result.model.w).all()
    assert np.isfinite(result.model.b)
    assert np.isfinite(result.loss)
    assert result.loss <= np.log(2) + 1e-6 or optimizer in ("gd", "adam")
    separation.find(X, y, result.model)
    assert distance(X, y, result.model, l2, m).decrease >= 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", [Auto(tol=1e-8), Newton(), LBFGS()], ids=lambda o: type(o).__name__)
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
