"""Standard errors, p-values and intervals: statsmodels is the oracle."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import statsmodels.api as sm
from scipy.sparse import csr_array

from pipeline.arrays import Array
from pipeline.learning.coefficients import coefficients
from pipeline.learning.encoding import encode, fit_encoder
from pipeline.learning.inference import SENTENCES, Inference, infer
from pipeline.learning.logistic import INFERENCES
from pipeline.learning.model import TrainingRows
from pipeline.learning.models import EncoderOptions, Logistic
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.models.torch import TorchModel
from pipeline.learning.optimizers.gd import GradientDescent
from pipeline.learning.optimizers.newton import Newton
from pipeline.model.columns import Column
from pipeline.model.encoder import WEEKDAYS, Category, Encoder, Number

NEWTON = Newton(tol=1e-12)
METHODS = [name for name in INFERENCES if name not in ("auto", "none")]


def fair() -> tuple[Array, Array]:
    data = sm.datasets.fair.load_pandas()
    return data.exog.to_numpy(), (data.endog > 0).to_numpy(np.float64)


def spector() -> tuple[Array, Array]:
    data = sm.datasets.spector.load_pandas()
    return data.exog.to_numpy(), data.endog.to_numpy()


def anes96() -> tuple[Array, Array]:
    data = sm.datasets.anes96.load_pandas().data
    return data[["logpopul", "TVnews", "selfLR", "age", "educ", "income"]].to_numpy(), data["vote"].to_numpy()


def rows_of(X: Any, y: Array, **others: Any) -> TrainingRows:
    return replace(TrainingRows(X, y, None, [f"x{j}" for j in range(X.shape[1])], (0, 1)), **others)


def inferred(rows: TrainingRows, model: Logistic, encoder: Encoder | None = None) -> tuple[pd.DataFrame, str]:
    """The table, by the features' names, and the sentence."""
    fit = model.fit(rows.X, rows.y, NEWTON, rows.features, weight=rows.weight)
    table, summary = coefficients(rows, model, fit, encoder)
    assert summary is not None
    texts = ["column", "level", "against"]
    frame = pd.DataFrame(table).set_index("feature")
    return frame.astype({name: float for name in frame if name not in texts}), summary["sentence"]


def peer(A: Array, y: Array, method: str, group: Any = None) -> Any:
    """statsmodels' results for A = [1, X]. Its Logit gives HC0 for all of HC0 to HC3, so these are those of its weighted least
    squares, which at the optimum has the same sums."""
    if method == "cluster":
        return sm.Logit(y, A).fit(disp=0, method="newton", tol=1e-12, cov_type="cluster", cov_kwds={"groups": group})
    fit = sm.Logit(y, A).fit(disp=0, method="newton", tol=1e-12)
    if method == "classic":
        return fit
    p = fit.predict()
    weighted = sm.WLS(A @ fit.params + (y - p) / (p * (1 - p)), A, p * (1 - p))
    return weighted.fit(cov_type=method, use_t=False)


def assert_equal(table: pd.DataFrame, expected: Any, rtol: float = 1e-6) -> None:
    low, high = expected.conf_int().T
    for name, values in {
        "per_unit": expected.params,
        "standard_error": expected.bse,
        "z": expected.tvalues,
        "p": expected.pvalues,
        "per_unit_low": low,
        "per_unit_high": high,
        "odds_ratio": np.exp(expected.params),
        "odds_ratio_low": np.exp(low),
        "odds_ratio_high": np.exp(high),
    }.items():
        np.testing.assert_allclose(table[name], values, rtol, err_msg=name)


@pytest.mark.parametrize("standardize", [True, False])
def test_a_deviation_is_of_the_rows_whatever_their_classes_weigh(standardize: bool) -> None:
    """By the weights of the rows, which are numbers of rows; the training itself standardises by the classes' weights, too."""
    rng = np.random.default_rng(0)
    y = (rng.random(500) < 0.1).astype(np.float64)
    X, weight = rng.standard_normal((500, 1)) + 3 * y[:, None], rng.integers(0, 4, 500)
    rows = rows_of(X, y, weight=weight.astype(np.float64))
    table, _ = inferred(rows, NumpyModel(inference="HC1", standardize=standardize, class_weight="balanced"))
    deviation = table["per_deviation"].iloc[1] / table["per_unit"].iloc[1]
    assert deviation == pytest.approx(np.repeat(X, weight).std(), rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("load", [fair, spector, anes96])
def test_without_a_penalty_all_is_statsmodels(load: Callable[[], tuple[Array, Array]], method: str) -> None:
    X, y = load()
    group = np.arange(len(y)) * 7 % 11 if method == "cluster" else None
    expected = peer(sm.add_constant(X), y, method, group)
    for standardize in (True, False):
        table, sentence = inferred(rows_of(X, y, group=group), NumpyModel(inference=method, standardize=standardize))
        assert_equal(table, expected)
        np.testing.assert_allclose(table["per_deviation"][1:], expected.params[1:] * X.std(axis=0), 1e-6)
        assert sentence.startswith("standard errors")


def test_rows_of_groups_may_be_alike_unless_another_method_is_asked_for() -> None:
    X, y = fair()
    group = np.arange(len(y)) * 7 % 50
    table, sentence = inferred(rows_of(X, y, group=group), NumpyModel())
    assert_equal(table, peer(sm.add_constant(X), y, "cluster", group))
    assert sentence == SENTENCES["cluster"]
    for method in ("classic", "HC1"):
        table, sentence = inferred(rows_of(X, y, group=group), NumpyModel(inference=method))
        assert_equal(table, peer(sm.add_constant(X), y, method))
        assert sentence.endswith("; they take the rows of a group as independent, which model.inference=cluster does not")


def test_the_torch_model_s_are_the_same() -> None:
    X, y = spector()
    model = TorchModel(dtype="float64", init="zeros")
    assert_equal(inferred(rows_of(X, y), model)[0], peer(sm.add_constant(X), y, "classic"))
    single = inferred(rows_of(X, y), TorchModel())[0]  # in float32
    assert_equal(single, peer(sm.add_constant(X), y, "classic"), rtol=1e-2)


def test_hc0_is_that_of_statsmodels_logit() -> None:
    X, y = fair()
    expected = sm.Logit(y, sm.add_constant(X)).fit(disp=0, method="newton", tol=1e-12, cov_type="HC0")
    assert_equal(inferred(rows_of(X, y), NumpyModel(inference="HC0"))[0], expected)


@pytest.fixture(scope="module")
def jobs() -> tuple[TrainingRows, Encoder, pd.DataFrame]:
    """fair, with its occupations as categories, of which one is pooled, and a date; and A, with an indicator of each level but
    the most frequent ones."""
    data = sm.datasets.fair.load_pandas().data
    days = np.datetime64("2020-01-01", "us") + np.arange(len(data)) * 7 % 331 * np.timedelta64(1, "D")
    table = pa.table({"job": [f"j{code:.0f}" for code in data["occupation"]], "age": data["age"], "met": days})
    kinds = {"job": ("category", "text"), "age": ("number", "number"), "met": ("date", "date")}
    columns = [Column(name, *kind, 0, 6, "") for name, kind in kinds.items()]
    encoder = fit_encoder(table, columns, EncoderOptions(min_rows=100))
    X, times = encode(encoder, columns, table), pd.Series(days).dt
    levels = pd.DataFrame(
        {
            "job=": table["job"].to_pandas().replace("j1", "(other)"),
            "met: month ": times.month,
            "met: ": times.day_of_week.map(dict(enumerate(WEEKDAYS))),
        }
    )
    A = pd.concat([pd.Series(1.0, levels.index, name="(intercept)"), data["age"], *map(dummies, levels.items())], axis=1)
    return rows_of(X, (data["affairs"] > 0).to_numpy(np.float64), features=encoder.features), encoder, A


def dummies(part: tuple[Any, Any]) -> pd.DataFrame:
    """An indicator of each level but the most frequent one."""
    name, levels = part
    found: pd.DataFrame = pd.get_dummies(levels, dtype=float).drop(columns=levels.mode()[0]).add_prefix(name)
    return found


@pytest.mark.parametrize("method", ["classic", "HC3"])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_levels_are_against_the_most_frequent_one(jobs: Any, method: str, is_sparse: bool) -> None:
    """No weight of a level alone is known where all levels have one, as they then sum to what the intercept is of."""
    rows, encoder, A = jobs
    rows = replace(rows, X=csr_array(rows.X)) if is_sparse else rows
    table, sentence = inferred(rows, NumpyModel(inference=method), encoder)
    is_reference = table["standard_error"].isna()
    known = table[~is_reference]
    assert {*known.index} == {*A}
    assert_equal(known, peer(A[known.index].to_numpy(), rows.y, method))
    references = table[is_reference]
    assert references["level"].tolist() == ["j3", "month 1", "Wednesday"]
    assert references[["per_unit", "odds_ratio"]].to_numpy().tolist() == [[0, 1]] * 3
    assert {*known["against"]} == {"", "j3", "month 1", "Wednesday"}
    assert known["against"][["job=(other)", "met: month 7", "met: Friday", "age"]].tolist() == [*references["level"], ""]
    assert sentence == SENTENCES["classic"] if method == "classic" else method in sentence


def test_whole_weights_are_repeated_rows() -> None:
    X, y = anes96()
    weight = np.random.default_rng(0).integers(0, 4, len(y)).astype(np.float64)
    rows = np.repeat(np.arange(len(y)), weight.astype(int))
    group = np.arange(len(y)) % 13
    for method in METHODS:
        of = {} if method != "cluster" else {"group": group}
        repeated = {} if method != "cluster" else {"group": group[rows]}
        model = NumpyModel(inference=method, standardize=method != "classic")
        weighted, _ = inferred(rows_of(X, y, weight=weight, **of), model)
        expected, _ = inferred(rows_of(X[rows], y[rows], **repeated), model)
        for name in ("standard_error", "per_deviation_low"):
            np.testing.assert_allclose(weighted[name], expected[name], 1e-8, err_msg=method)


def test_weights_of_any_scale_and_of_classes_have_robust_standard_errors_alone() -> None:
    X, y = anes96()
    weight = np.random.default_rng(0).random(len(y))
    A = sm.add_constant(X)
    for model, rows in (
        (NumpyModel(), rows_of(X, y, weight=weight)),
        (NumpyModel(class_weight="{1: 2.5}"), rows_of(X, y)),
    ):
        table, sentence = inferred(rows, model)
        assert sentence.endswith("model.inference=HC1 allows for that")
        assert table["standard_error"].isna().all()
        m = weight if rows.weight is not None else np.where(y == 1, 2.5, 1.0)
        fit = sm.GLM(y, A, sm.families.Binomial(), freq_weights=m).fit(tol=1e-12, maxiter=50)
        p = fit.predict()
        bread = np.linalg.inv((A.T * (m * p * (1 - p))) @ A)
        expected = np.sqrt(np.diag(bread @ (A.T * np.square(m * (y - p))) @ A @ bread))
        for scale in (1.0, 1e-3):
            scaled = rows if rows.weight is None else replace(rows, weight=scale * weight)
            found, _ = inferred(scaled, replace(model, inference="HC0"))
            np.testing.assert_allclose(found["per_unit"], fit.params, 1e-6)
            np.testing.assert_allclose(found["standard_error"], expected, 1e-6)


@pytest.mark.parametrize("unit", ["rows", "groups"])
def test_with_a_penalty_the_intervals_are_a_bootstrap_s(unit: str) -> None:
    """Those of fits to 300 resamples, within what so few can tell; a penalty makes them narrower."""
    X, y = anes96()
    size = 1 if unit == "rows" else 3
    X, group = X[:300], np.arange(300) // size
    y = y[size * group]
    model = NumpyModel(l2=0.05)
    table, sentence = inferred(rows_of(X, y, group=group), model)
    assert sentence == f"{SENTENCES['bootstrap']}; whole groups are drawn"
    assert table[["standard_error", "z", "p"]].isna().all(axis=None)
    np.testing.assert_allclose(table["per_unit"][1:], table["weight"][1:] / X.std(axis=0), 1e-12)
    rng, Z = np.random.default_rng(1), (X - X.mean(axis=0)) / X.std(axis=0)
    drawn = []
    for _ in range(300):
        rows = (size * rng.integers(300 // size, size=300 // size)[:, None] + np.arange(size)).ravel()
        fitted = replace(model, standardize=False).fit(Z[rows], y[rows], NEWTON)
        drawn.append(fitted.arrays["w"])
    width = np.subtract(*np.quantile(drawn, [0.975, 0.025], axis=0))
    found = (table["per_deviation_high"] - table["per_deviation_low"])[1:]
    np.testing.assert_allclose(found, width, rtol=0.25)
    strong, _ = inferred(rows_of(X, y, group=group), replace(model, l2=1.0))
    assert ((strong["per_unit_high"] - strong["per_unit_low"])[1:] < (table["per_unit_high"] - table["per_unit_low"])[1:]).all()


def test_many_rows_are_resampled_in_bins() -> None:
    """Hardly a penalty: the intervals are HC0's."""
    X, y = fair()
    drawn, _ = inferred(rows_of(X, y), NumpyModel(l2=1e-7))
    exact, _ = inferred(rows_of(X, y), NumpyModel(inference="HC0"))
    width, expected = (table["per_unit_high"] - table["per_unit_low"] for table in (drawn, exact))
    np.testing.assert_allclose(width, expected, rtol=0.1)


def test_columns_that_others_determine_are_left_out_and_named() -> None:
    X, y = anes96()
    both = np.column_stack([X[:, :2], 3 - 2 * X[:, 1], X[:, 2:], X[:, 0] + X[:, 1]])
    penalised, _ = inferred(rows_of(np.column_stack([X, np.full(len(y), 7)]), y), NumpyModel(l2=0.1))
    assert penalised["per_unit_low"].isna().tolist() == [False] * 7 + [True]
    table, sentence = inferred(rows_of(both, y), NumpyModel())
    assert "nothing is known of x2, x7, which other columns determine" in sentence
    of_estimates = table.columns.difference(["column", "level", "against", "weight"])
    assert table.loc[["x2", "x7"], of_estimates].isna().to_numpy().all()
    assert table["weight"].notna().all()
    assert_equal(table.drop(["x2", "x7"]), peer(sm.add_constant(X), y, "classic"))


def test_a_level_is_against_the_one_that_its_weight_is_the_difference_to() -> None:
    """Where a column stands for a, the most frequent level, that is c."""
    rng = np.random.default_rng(0)
    level = rng.choice(3, 500, p=[0.5, 0.3, 0.2])
    X = np.column_stack([level == 0, *(level == code for code in range(3))]).astype(np.float64)
    y = (rng.random(500) < 0.3 + 0.2 * (level == 1)).astype(np.float64)
    encoder = Encoder([Number("is_a", 0.0, False), Category("job", ["a", "b", "c"], False, False)])
    table, sentence = inferred(rows_of(X, y, features=encoder.features), NumpyModel(), encoder)
    assert "nothing is known of job=a, which" in sentence
    assert table["against"].to_dict() == dict.fromkeys(table.index, "") | {"job=b": "c"}
    assert table["odds_ratio"]["job=c"] == 1
    assert_equal(table.drop(["job=a", "job=c"]), peer(sm.add_constant(X[:, [0, 2]]), y, "classic"))


def test_where_nothing_is_known_the_weights_stand_alone_and_a_sentence_says_why() -> None:
    X, y = spector()
    rng = np.random.default_rng(0)
    too_weak = "columns are combinations of others, and the penalty is too weak to tell them apart"
    too_many = "there are 1000 features, and the matrix of second derivatives is made of fewer than 1000"
    wide = rows_of(csr_array(rng.random((300, 1000)) < 0.01, dtype=np.float64), (rng.random(300) < 0.5).astype(np.float64))
    separated = rows_of(np.column_stack([X, y]), y)
    cases: list[tuple[TrainingRows, Logistic, str]] = [
        (separated, NumpyModel(), "the classes can be separated by x3, so the best weights are infinite"),
        (rows_of(X, y), NumpyModel(inference="none"), "model.inference is none"),
        (wide, NumpyModel(l2=0.1), too_many),
        (rows_of(X, y, group=np.ones(32)), NumpyModel(inference="cluster"), "all training rows are of one group"),
        (rows_of(X[:, [0, 0]], y), NumpyModel(l2=1e-13), too_weak),
    ]
    for rows, model, why in cases:
        table, sentence = inferred(rows, model)
        assert f"no standard errors or intervals: {why}" in sentence
        assert table[["per_unit_low", "standard_error", "p"]].isna().all(axis=None)
        assert table[["weight", "per_unit", "odds_ratio"]].notna().all(axis=None)
    rows = rows_of(X, y)
    for model in (NumpyModel(), NumpyModel(l2=0.01)):
        fit = model.fit(X, y, GradientDescent(epochs=20), rows.features)
        assert re.search(r"the fit ended \d\.\d standard errors from the optimum", infer(rows, model, fit).sentence)


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30_000, 10))
    rows = rows_of(X, (rng.random(30_000) < 1 / (1 + np.exp(-X[:, 0]))).astype(np.float64))
    for model in (NumpyModel(inference="HC3"), NumpyModel(l2=0.01)):
        fit = model.fit(rows.X, rows.y, NEWTON, rows.features)
        found: list[Inference] = []
        for threads in (1, 4):
            monkeypatch.setattr("pipeline.learning.parallel.threads", lambda threads=threads: threads)
            found.append(infer(rows, model, fit))
        for name in ("value", "low", "high", "standard_error"):
            assert getattr(found[0], name).tobytes() == getattr(found[1], name).tobytes()


def coverage(simulations: int) -> dict[str, float]:
    """How often the intervals of the slopes hold the true ones."""
    rng, true = np.random.default_rng(0), np.array([0.5, -1.0])
    held = dict.fromkeys(("classic", "HC3"), 0)
    for _ in range(simulations):
        X = rng.standard_normal((300, 2))
        rows = rows_of(X, (rng.random(300) < 1 / (1 + np.exp(-X @ true))).astype(np.float64))
        for method in held:
            model = NumpyModel(inference=method)
            found = infer(rows, model, model.fit(X, rows.y, NEWTON))
            held[method] += int(((found.low[:2] < true) & (true < found.high[:2])).sum())
    return {method: count / (2 * simulations) for method, count in held.items()}


def test_most_intervals_hold_the_true_weight() -> None:
    assert all(share > 0.9 for share in coverage(60).values())


@pytest.mark.evidence
def test_95_of_100_intervals_hold_the_true_weight() -> None:
    assert coverage(2000) == pytest.approx({"classic": 0.95, "HC3": 0.95}, abs=0.012)
