"""Standard errors, p-values and intervals: statsmodels is the oracle."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import statsmodels.api as sm
from patsy import dmatrix
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
from pipeline.model.encoder import Encoder

NEWTON = Newton(tol=1e-12)
METHODS = [name for name in INFERENCES if name != "none"]
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


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


def peer(A: Array, y: Array, method: str, group: Array | None = None) -> Any:
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


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("load", [fair, spector, anes96])
def test_without_a_penalty_all_is_statsmodels(load: Callable[[], tuple[Array, Array]], method: str) -> None:
    X, y = load()
    group = np.arange(len(y)) * 7 % 11 if method == "cluster" else None
    expected = peer(sm.add_constant(X), y, method, group)
    for model in (NumpyModel(), NumpyModel(standardize=False), TorchModel(dtype="float64", init="zeros")):
        table, sentence = inferred(rows_of(X, y, group=group), replace(model, inference=method))
        assert_equal(table, expected)
        np.testing.assert_allclose(table["per_deviation"][1:], expected.params[1:] * X.std(axis=0), 1e-6)
        assert sentence.startswith("standard errors")


def test_hc0_is_that_of_statsmodels_logit() -> None:
    X, y = fair()
    expected = sm.Logit(y, sm.add_constant(X)).fit(disp=0, method="newton", tol=1e-12, cov_type="HC0")
    assert_equal(inferred(rows_of(X, y), NumpyModel(inference="HC0"))[0], expected)


@pytest.fixture(scope="module")
def jobs() -> tuple[TrainingRows, Encoder, pd.DataFrame]:
    """fair, with its occupations as categories, of which one is pooled, and a date."""
    data = sm.datasets.fair.load_pandas().data
    table = pa.table(
        {
            "job": pa.array([f"j{code:.0f}" for code in data["occupation"]]),
            "age": pa.array(data["age"]),
            "met": pa.array(np.datetime64("2020-01-01", "us") + np.arange(len(data)) * 7 % 331 * np.timedelta64(1, "D")),
        }
    )
    columns = [
        Column("job", "category", "text", 0, 6, ""),
        Column("age", "number", "number", 0, 6, ""),
        Column("met", "date", "date", 0, 331, ""),
    ]
    encoder = fit_encoder(table, columns, EncoderOptions(min_rows=100))
    X = encode(encoder, columns, table)
    frame = table.to_pandas().assign(month=lambda f: f["met"].dt.month, day=lambda f: f["met"].dt.day_of_week)
    return rows_of(X, (data["affairs"] > 0).to_numpy(np.float64), features=encoder.features), encoder, frame


@pytest.mark.parametrize("method", ["classic", "HC3"])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_levels_are_against_the_most_frequent_one(jobs: Any, method: str, is_sparse: bool) -> None:
    """No weight of a level alone is known where all levels have one, as the intercept then is their sum."""
    rows, encoder, frame = jobs
    rows = replace(rows, X=csr_array(rows.X)) if is_sparse else rows
    table, sentence = inferred(rows, NumpyModel(inference=method), encoder)
    frame["job"] = frame["job"].where(frame["job"] != "j1", "(other)")
    month, day = int(frame["month"].mode()[0]), int(frame["day"].mode()[0])
    A = dmatrix(
        f"age + C(job, Treatment('j3')) + C(month, Treatment({month})) + C(day, Treatment({day}))", frame, return_type="dataframe"
    )
    expected = peer(A.to_numpy(), rows.y, method)
    is_reference = table["standard_error"].isna()
    known = table[~is_reference]
    by_name = {
        "(intercept)": "Intercept",
        "age": "age",
        **{f"job={level}": f"C(job, Treatment('j3'))[T.{level}]" for level in frame["job"].unique()},
        **{f"met: month {m}": f"C(month, Treatment({month}))[T.{m}]" for m in range(1, 13)},
        **{f"met: {d}": f"C(day, Treatment({day}))[T.{i}]" for i, d in enumerate(DAYS)},
    }
    positions = [list(A).index(by_name[name]) for name in known.index]
    assert sorted(positions) == list(range(A.shape[1]))
    for name, values in {"per_unit": expected.params, "standard_error": expected.bse, "p": expected.pvalues}.items():
        np.testing.assert_allclose(known[name], np.asarray(values)[positions], 1e-6, err_msg=name)
    assert {*table.index[is_reference]} == {"job=j3", f"met: month {month}", f"met: {DAYS[day]}"}
    assert table["per_unit"][is_reference].tolist() == [0, 0, 0]
    assert table["odds_ratio"][is_reference].tolist() == [1, 1, 1]
    assert known["against"].to_dict() == {
        name: "j3" if "job=" in name else f"month {month}" if "month" in name else DAYS[day] if "met" in name else ""
        for name in known.index
    }
    assert "determine" not in sentence
