"""Fits: the document's losses, agreement of the two models, and scikit-learn's optimum."""

import re
from contextlib import ExitStack
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info, threadpool_limits

from pipeline.arrays import Array
from pipeline.data.sources.document import Textbook
from pipeline.determinism import one_thread
from pipeline.errors import PipelineError
from pipeline.learning.fit import MODELS, LogisticModel, Model, NumpyModel, Record, TorchModel, fit
from pipeline.learning.optimizers import (
    LBFGS,
    Adam,
    Auto,
    GradientDescent,
    Newton,
    Optimizer,
    StochasticGradientDescent,
    second_order,
)

DOCUMENT = {
    "numpy": "0.6931 0.5710 0.4932 0.4403 0.4019 0.3726 0.3495 0.3305 0.3147 0.3013",
    "torch": "0.6921 0.5684 0.4893 0.4356 0.3970 0.3678 0.3449 0.3263 0.3108 0.2977",
}
START = (0.041394, -0.194136, -0.495043)
L2 = 0.01


@pytest.fixture(scope="module")
def cancer() -> tuple[Array, Array]:
    X, y = load_breast_cancer(return_X_y=True)
    return X, y.astype(np.float64)


@pytest.fixture(scope="module")
def optimum(cancer: tuple[Array, Array]) -> Array:
    """scikit-learn's [w, b] on the standardised table."""
    X, y = cancer
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    peer = LogisticRegression(C=1 / (L2 * len(y)), tol=1e-12, solver="newton-cholesky", max_iter=1000).fit(Z, y)
    return np.append(peer.coef_[0], peer.intercept_)


def theta(model: LogisticModel) -> Array:
    return np.append(model.w, model.b)


@pytest.mark.parametrize(
    ("name", "model"),
    [("numpy", NumpyModel(standardize=False)), ("torch", TorchModel(standardize=False, init=START))],
)
def test_the_document_to_the_last_printed_digit(name: str, model: Model) -> None:
    data, history = Textbook().load(), list[Record]()
    fit(data.train.X, data.train.y, model, GradientDescent(), history.append)
    assert " ".join(f"{row.loss:.4f}" for row in history) == DOCUMENT[name]
    assert [row.epoch for row in history] == list(range(0, 100, 10))


@pytest.mark.parametrize(
    "optimizer",
    [
        GradientDescent(record_every=1),
        GradientDescent(record_every=1, momentum=0.9),
        GradientDescent(record_every=1, momentum=0.9, nesterov=True),
        Adam(record_every=1, epochs=100),
        StochasticGradientDescent(epochs=10, momentum=0.5),
        LBFGS(epochs=8),
        Newton(epochs=4),
    ],
    ids=lambda o: type(o).__name__,
)
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_numpy_and_torch_agree_at_every_epoch(optimizer: Optimizer, l2: float) -> None:
    data = Textbook().load()
    histories: list[list[Record]] = []
    for kind in (NumpyModel, TorchModel):
        histories.append([])
        model = kind(dtype="float64", init=START, l2=l2)
        fit(data.train.X, data.train.y, model, optimizer, histories[-1].append)
    for by_hand, autograd in zip(*histories, strict=True):
        assert by_hand.loss == pytest.approx(autograd.loss, abs=1e-12)
        assert by_hand.gradient_norm == pytest.approx(autograd.gradient_norm, abs=1e-12)


def table(n: int, d: int, density: float) -> tuple[Any, Array]:
    """X (n, d), sparse where some entries are to be 0, and y (n,)."""
    rng = np.random.default_rng(0)
    X = random_array((n, d), density=density, format="csr", rng=rng) if density < 1 else rng.standard_normal((n, d))
    return X, (rng.random(n) < 0.4).astype(np.float64)


SHORT = {"document": (1000, 2, 1.0), "wide": (30, 400, 1.0)}  # the tables whose epochs are short
LONG = {"dense": (200, 2000, 1.0), "sparse": (300, 20, 0.2)}  # of one block, and still not short


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("name", SHORT)
def test_epochs_that_nobody_looks_at_have_the_same_bits(dtype: str, l2: float, name: str) -> None:
    (X, y), model = table(*SHORT[name]), NumpyModel(dtype=dtype, l2=l2)
    ends = [fit(X, y, model, GradientDescent(epochs=307, record_every=every)) for every in (1, 10, 250)]
    assert len({(end.model.w.tobytes(), end.model.b, end.loss, end.epochs) for end in ends}) == 1


@pytest.mark.parametrize("name", SHORT | LONG)
def test_all_epochs_that_are_not_short_are_watched(name: str) -> None:
    seen: list[int] = []
    optimizer = GradientDescent(epochs=20, record_every=20)
    fit(*table(*(SHORT | LONG)[name]), NumpyModel(), optimizer, watch=lambda epoch, state: seen.append(epoch))
    assert seen == ([0] if name in SHORT else list(range(20)))


@pytest.mark.parametrize("kind", [NumpyModel, TorchModel])
@pytest.mark.parametrize(
    "optimizer",
    [GradientDescent(lr=1, epochs=20_000, tol=1e-9, momentum=0.9), LBFGS(tol=1e-9), Newton()],
    ids=lambda o: type(o).__name__,
)
def test_batch_optimizers_reach_scikit_learn(
    kind: type[NumpyModel], optimizer: Optimizer, cancer: tuple[Array, Array], optimum: Array
) -> None:
    result = fit(*cancer, kind(dtype="float64", init="zeros", l2=L2), optimizer)
    np.testing.assert_allclose(theta(result.model), optimum, atol=1e-6)


@pytest.mark.parametrize("kind", [NumpyModel, TorchModel])
@pytest.mark.parametrize(
    "optimizer", [GradientDescent(tol=0.05, epochs=500), LBFGS(), Newton()], ids=lambda o: type(o).__name__
)
def test_tol_that_is_reached_at_the_last_epoch_is_reached(
    kind: type[NumpyModel], optimizer: GradientDescent | LBFGS | Newton, cancer: tuple[Array, Array]
) -> None:
    needed = fit(*cancer, kind(dtype="float64", l2=L2), optimizer).epochs
    ends = [fit(*cancer, kind(dtype="float64", l2=L2), replace(optimizer, epochs=needed - short)) for short in (0, 1)]
    assert [end.stopped_by for end in ends] == ["tol", "epochs"]


def test_newton_takes_longer_steps_far_from_the_optimum(cancer: tuple[Array, Array]) -> None:
    """On the raw table a step of 1 leaves most of the slope: with the length sought, five steps do what took eight."""
    X, y = cancer
    model = NumpyModel(l2=1 / len(y), standardize=False)
    best = fit(X, y, model, Newton(tol=1e-14)).loss
    assert fit(X, y, model, Newton(epochs=5)).loss <= best * (1 + 1e-6)


@pytest.mark.parametrize("flat", [0.1, 0.5, 1.0, 1.7, 5.0])
def test_the_length_sought_is_where_the_slope_is_gone(flat: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the first trial is far too long and the slope there says nothing of where it vanishes."""
    found = []
    monkeypatch.setattr(second_order, "_search_line", lambda f, state, direction, length: found.append(length))
    steep = SimpleNamespace(slope_along=lambda theta, direction: lambda t: float(np.tanh(3 * (t - flat))))
    state = {"loss": np.array(1.0), "theta": np.zeros(1), "gradient": np.array([-np.tanh(3 * flat)])}
    second_order._step_along(steep, state, np.ones(1))
    assert found[0] == pytest.approx(flat, rel=0.25)


@pytest.mark.parametrize("slope", [np.inf, -np.inf, np.nan])
def test_a_slope_that_overflows_ends_the_search_for_a_length(slope: float, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    monkeypatch.setattr(second_order, "_search_line", lambda f, state, direction, length: found.append(length))
    steep = SimpleNamespace(slope_along=lambda theta, direction: lambda t: slope)
    state = {"loss": np.array(1.0), "theta": np.zeros(1), "gradient": np.array([-1.0])}
    second_order._step_along(steep, state, np.ones(1))
    assert found == [1.0]


@pytest.mark.parametrize(
    ("n", "d", "sparse", "picked"),
    [
        (569, 30, False, Newton()),
        (300, 200, False, Newton()),
        (402, 201, False, Newton()),
        (401, 201, False, LBFGS()),
        (1000, 900, False, LBFGS()),
        (10**6, 1000, False, Newton()),
        (10**6, 1001, False, LBFGS()),
        (10**6, 30, True, LBFGS(diagonal=True)),
    ],
)
def test_auto_picks_by_rows_columns_and_sparsity(n: int, d: int, sparse: bool, picked: Optimizer) -> None:
    found = Auto(epochs=picked.epochs, tol=picked.tol).pick(n, d, sparse)
    assert found == picked


@pytest.mark.parametrize("kind", [NumpyModel, TorchModel])
@pytest.mark.parametrize("optimizer", [Adam(), StochasticGradientDescent()], ids=lambda o: type(o).__name__)
def test_stochastic_optimizers_come_near(
    kind: type[NumpyModel], optimizer: Optimizer, cancer: tuple[Array, Array], optimum: Array
) -> None:
    best = fit(*cancer, NumpyModel(l2=L2, init=optimum.tolist()), Newton(epochs=1)).loss
    assert fit(*cancer, kind(dtype="float64", l2=L2), optimizer).loss < best + 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_one_step_from_raw_columns_ignores_their_units(name: str, cancer: tuple[Array, Array]) -> None:
    X, y = cancer
    model = MODELS[name](dtype="float64", l2=L2, init="zeros")  # type: ignore[call-arg]
    plain = fit(X, y, model, LBFGS()).model.predict_proba(X)
    scaled = fit(X * 1e3 + 7, y, model, LBFGS()).model.predict_proba(X * 1e3 + 7)
    np.testing.assert_allclose(plain, scaled, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_constant_column_has_no_say(name: str) -> None:
    data = Textbook().load()
    X = np.column_stack([data.train.X, np.full(len(data.train.y), 7.0)])
    model = fit(X, data.train.y, MODELS[name](init="uniform"), GradientDescent()).model  # type: ignore[call-arg]
    assert model.scale[2] == 1
    assert model.w[2] == 0


def test_raw_weights_are_the_same_model(cancer: tuple[Array, Array]) -> None:
    X, y = cancer
    model = fit(X, y, NumpyModel(l2=L2), Newton()).model
    w, b = model.raw_weights()
    np.testing.assert_allclose(X @ w + b, model.log_odds(X), atol=1e-9)


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
    model: Model, optimizer: GradientDescent, epochs: int, cancer: tuple[Array, Array]
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


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"dtype": "float16"}, "dtype must be one of float32, float64; got float16"),
        ({"l2": -1.0}, "l2 must be >= 0 and finite in float..; got -1.0"),
        ({"dtype": "float32", "l2": 1e39}, r"l2 must be >= 0 and finite in float32; got 1e\+39"),
        ({"init": "ones"}, "init must be one of zeros, uniform or a list"),
        ({"init": [1.0, float("nan")]}, "init must be one of zeros, uniform or a list"),
        ({"dtype": "float32", "init": [1e39]}, r"or a list of d \+ 1 numbers, each finite in float32; got \[1e\+39\]"),
    ],
)
def test_impossible_values(name: str, wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        MODELS[name](**wrong)


@pytest.mark.parametrize(
    "optimizer",
    [GradientDescent(), Adam(), StochasticGradientDescent(epochs=5), LBFGS(), LBFGS(diagonal=True), Newton(), Auto(tol=1e-10)],
    ids=lambda o: type(o).__name__,
)
def test_sparse_and_dense_and_torch_and_numpy_agree(optimizer: Optimizer | Auto) -> None:
    rng = np.random.default_rng(0)
    X = random_array((300, 20), density=0.2, format="csr", rng=rng)
    y = (rng.random(300) < 0.4).astype(np.float64)
    expected = fit(X.toarray(), y, NumpyModel(l2=0.01, standardize=False), optimizer).model
    for kind in (NumpyModel, TorchModel):
        model = fit(X, y, kind(l2=0.01, standardize=False, dtype="float64", init="zeros"), optimizer).model
        np.testing.assert_allclose(model.w, expected.w, atol=1e-7)
        np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X.toarray()), atol=1e-7)


@pytest.mark.parametrize("kind", [GradientDescent, StochasticGradientDescent, Adam])
def test_a_float64_rate_does_not_widen_float32(kind: type[GradientDescent]) -> None:
    data = Textbook().load()
    model = NumpyModel(dtype="float32")
    wide, plain = (fit(data.train.X, data.train.y, model, kind(lr=lr, epochs=3)).model for lr in (np.float64(0.1), 0.1))
    assert wide.w.dtype == np.float32
    assert wide.w.tobytes() == plain.w.tobytes()


def test_a_device_that_is_not_there() -> None:
    data = Textbook().load()
    with pytest.raises(PipelineError, match=r"model\.device mps is not there for float64; there is .*cpu"):
        fit(data.train.X, data.train.y, TorchModel(dtype="float64", device="mps"), GradientDescent())
    with pytest.raises(PipelineError, match="device must be one of auto, cpu, cuda, mps; got tpu"):
        TorchModel(device="tpu")


@pytest.mark.slow
def test_compiled_is_the_same_model() -> None:
    data = Textbook().load()
    found = [fit(data.train.X, data.train.y, TorchModel(compile=c), GradientDescent()).model.w for c in (False, True)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_a_rate_that_float32_cannot_hold() -> None:
    data = Textbook().load()
    with pytest.raises(PipelineError, match=r"optimizer\.lr must be at most 3\.4e\+38 for torch"):
        fit(data.train.X, data.train.y, TorchModel(), GradientDescent(lr=1e300))


def test_an_initial_point_of_another_size() -> None:
    data = Textbook().load()
    with pytest.raises(PipelineError, match="init must have 3 numbers .* got 2"):
        fit(data.train.X, data.train.y, NumpyModel(init=[0.0, 0.0]), GradientDescent())


def test_blas_stays_on_one_thread_until_the_last_of_two_fits_ends() -> None:
    def counts() -> set[int]:
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    with threadpool_limits(2, "blas"), ExitStack() as first, ExitStack() as second:
        first.enter_context(one_thread)
        second.enter_context(one_thread)
        first.close()
        assert counts() == {1}
        second.close()
        assert counts() == {2}


@pytest.mark.parametrize("size", ["3e-09", "3e+09"])
@pytest.mark.parametrize("sparse", [False, True])
def test_raw_features_of_a_strange_size_are_warned_of(size: str, sparse: bool) -> None:
    data = Textbook().load().train
    X, model = np.hstack([data.X, float(size) / 3 * data.X]), NumpyModel(standardize=False)
    with pytest.warns(UserWarning, match=re.escape(f"features of a size of {size} to {size} that are not standardised")):
        fit(csr_array(X) if sparse else X, data.y, model, Newton())
    fit(X, data.y, replace(model, standardize=True), Newton())
