"""Fits: the document's losses, agreement of the two models, and scikit-learn's optimum."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import random_array
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from pipeline.arrays import Array
from pipeline.data.sources.document import Textbook
from pipeline.errors import PipelineError
from pipeline.learning.logistic import fit
from pipeline.learning.model import Observer, Record
from pipeline.learning.models import LinearModel, Logistic
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.models.torch import TorchModel
from pipeline.learning.optimizer import Optimizer
from pipeline.learning.optimizers.adam import Adam
from pipeline.learning.optimizers.auto import Auto
from pipeline.learning.optimizers.gd import GradientDescent
from pipeline.learning.optimizers.lbfgs import LBFGS
from pipeline.learning.optimizers.newton import Newton
from pipeline.learning.optimizers.sgd import StochasticGradientDescent
from pipeline.model.predictor import probability

DOCUMENT = {
    "numpy": "0.6931 0.5710 0.4932 0.4403 0.4019 0.3726 0.3495 0.3305 0.3147 0.3013",
    "torch": "0.6921 0.5684 0.4893 0.4356 0.3970 0.3678 0.3449 0.3263 0.3108 0.2977",
}
KINDS: dict[str, Any] = {"numpy": NumpyModel, "torch": TorchModel}
START = (0.041394, -0.194136, -0.495043)
L2 = 0.01
SHORT = {"document": (1000, 2, 1.0), "wide": (30, 400, 1.0)}  # the tables whose epochs are short
LONG = {"dense": (200, 2000, 1.0), "sparse": (300, 20, 0.2)}  # of one block, and still not short


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


def theta(model: LinearModel) -> Array:
    return np.append(model.w, model.b)


@pytest.mark.parametrize(
    ("name", "model"),
    [("numpy", NumpyModel(standardize=False)), ("torch", TorchModel(standardize=False, init=START))],
)
def test_the_document_to_the_last_printed_digit(name: str, model: Logistic) -> None:
    data, history = Textbook().load(), list[Record]()
    fit(data.train.X, data.train.y, model, GradientDescent(), Observer(history.append))
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
        fit(data.train.X, data.train.y, model, optimizer, Observer(histories[-1].append))
    for by_hand, autograd in zip(*histories, strict=True):
        assert by_hand.loss == pytest.approx(autograd.loss, abs=1e-12)
        assert by_hand.gradient_norm == pytest.approx(autograd.gradient_norm, abs=1e-12)


def table(n: int, d: int, density: float) -> tuple[Any, Array]:
    """X (n, d), sparse where some entries are to be 0, and y (n,)."""
    rng = np.random.default_rng(0)
    X = random_array((n, d), density=density, format="csr", rng=rng) if density < 1 else rng.standard_normal((n, d))
    return X, (rng.random(n) < 0.4).astype(np.float64)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("name", SHORT)
def test_fused_epochs_have_the_same_bits(dtype: str, l2: float, name: str) -> None:
    (X, y), model = table(*SHORT[name]), NumpyModel(dtype=dtype, l2=l2)
    ends = [fit(X, y, model, GradientDescent(epochs=307, record_every=every)) for every in (1, 10, 250)]
    assert len({(end.model.w.tobytes(), end.model.b, end.loss, end.epochs) for end in ends}) == 1


@pytest.mark.parametrize("name", SHORT | LONG)
def test_all_epochs_that_are_not_short_are_observed(name: str) -> None:
    seen: list[int] = []
    optimizer = GradientDescent(epochs=20, record_every=20)
    fit(*table(*(SHORT | LONG)[name]), NumpyModel(), optimizer, Observer(callback=lambda epoch, state: seen.append(epoch)))
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


@pytest.mark.parametrize("kind", [NumpyModel, TorchModel])
@pytest.mark.parametrize("optimizer", [Adam(), StochasticGradientDescent()], ids=lambda o: type(o).__name__)
def test_stochastic_optimizers_come_near(
    kind: type[NumpyModel], optimizer: Optimizer, cancer: tuple[Array, Array], optimum: Array
) -> None:
    best = fit(*cancer, NumpyModel(l2=L2, init=optimum.tolist()), Newton(epochs=1)).loss
    assert fit(*cancer, kind(dtype="float64", l2=L2), optimizer).loss < best + 1e-3


@pytest.mark.parametrize("name", KINDS)
def test_one_step_from_raw_columns_ignores_their_units(name: str, cancer: tuple[Array, Array]) -> None:
    X, y = cancer
    model = KINDS[name](dtype="float64", l2=L2, init="zeros")
    plain = probability(fit(X, y, model, LBFGS()).model.log_odds(X))
    scaled = probability(fit(X * 1e3 + 7, y, model, LBFGS()).model.log_odds(X * 1e3 + 7))
    np.testing.assert_allclose(plain, scaled, atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_a_constant_column_has_no_say(name: str) -> None:
    data = Textbook().load()
    X = np.column_stack([data.train.X, np.full(len(data.train.y), 7.0)])
    model = fit(X, data.train.y, KINDS[name](init="uniform"), GradientDescent()).model
    assert model.scale[2] == 1
    assert model.w[2] == 0


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"dtype": "float16"}, "dtype must be one of float32, float64; got float16"),
        ({"l2": -1.0}, "l2 must be >= 0 and finite in float.., or one of auto, cv, cv_1se; got -1.0"),
        ({"dtype": "float32", "l2": 1e39}, r"l2 must be >= 0 and finite in float32, or one of auto, cv, cv_1se; got 1e\+39"),
        ({"init": "ones"}, "init must be one of zeros, uniform or a list"),
        ({"init": [1.0, float("nan")]}, "init must be one of zeros, uniform or a list"),
        ({"dtype": "float32", "init": [1e39]}, r"or a list of d \+ 1 numbers, each finite in float32; got \[1e\+39\]"),
    ],
)
def test_impossible_values(name: str, wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        KINDS[name](**wrong)


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
        np.testing.assert_allclose(probability(model.log_odds(X)), probability(expected.log_odds(X.toarray())), atol=1e-7)


@pytest.mark.parametrize("kind", [GradientDescent, StochasticGradientDescent, Adam])
def test_a_float64_rate_does_not_widen_float32(kind: type[GradientDescent]) -> None:
    data = Textbook().load()
    model = NumpyModel(dtype="float32")
    wide, plain = (fit(data.train.X, data.train.y, model, kind(lr=lr, epochs=3)).model for lr in (np.float64(0.1), 0.1))
    assert wide.w.dtype == np.float32
    assert wide.w.tobytes() == plain.w.tobytes()


def test_a_device_that_is_not_there() -> None:
    data = Textbook().load()
    with pytest.raises(PipelineError, match=r"model\.device must be auto or one of .*cpu for float64 here; got mps"):
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
    with pytest.raises(PipelineError, match=r"optimizer\.lr must be at most 3\.4e\+38 for torch; got "):
        fit(data.train.X, data.train.y, TorchModel(), GradientDescent(lr=1e300))


def test_an_initial_point_of_another_size() -> None:
    data = Textbook().load()
    with pytest.raises(PipelineError, match="init must have 3 numbers .* got 2"):
        fit(data.train.X, data.train.y, NumpyModel(init=[0.0, 0.0]), GradientDescent())
