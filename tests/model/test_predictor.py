"""What a predictor takes, by which names, and its one sentence for each input that has no answer."""

import re
import time
import tracemalloc
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.sparse import coo_array, csr_array, csr_matrix, dok_array

from pipeline.learning.models.numpy import log_odds
from pipeline.model.predictor import PredictionError, Predictor, _values, probability

ARRAYS = {"mean": np.zeros(2), "scale": np.ones(2), "w": np.array([1.0, -1.0]), "b": np.array(0.5)}


@pytest.fixture
def predictor() -> Predictor:
    return Predictor(["x1", "x2"], ["no", "yes"], ARRAYS, log_odds)


def test_a_missing_value_has_no_answer(predictor: Predictor) -> None:
    table = pd.DataFrame({"x1": [1.0, 2.0], "x2": [0.0, np.nan]})
    sentence = "every value must be a finite number; column x2 in row 1 is nan"
    with pytest.raises(PredictionError, match=sentence):
        predictor.predict(table)
    with pytest.raises(PredictionError, match=sentence):
        predictor.predict(table.to_numpy())
    with pytest.raises(PredictionError, match="column x1 in row 1 is inf"):
        predictor.predict(csr_matrix([[1.0, 2.0], [np.inf, 0.0]]))
    assert predictor.predict(table[:1])["prediction"].tolist() == ["yes"]
    with pytest.raises(PredictionError, match="the log-odds of row 0 is"):
        predictor.predict(pd.DataFrame({"x1": [1e308], "x2": [-1e308]}))


def test_a_row_of_many_columns_does_not_wait() -> None:
    """Some 20 milliseconds, where MLflow's enforcement of as many names takes more than a second."""
    names = [f"x{i}" for i in range(20_000)]
    arrays = {"mean": np.zeros(20_000), "scale": np.ones(20_000), "w": np.ones(20_000), "b": np.array(0.5)}
    row = pd.DataFrame(np.ones((1, 20_000)), columns=names[::-1])
    started = time.process_time()
    assert Predictor(names, ["no", "yes"], arrays, log_odds).predict(row)["prediction"].tolist() == ["yes"]
    assert time.process_time() - started < 1


@pytest.mark.parametrize("z", [-1e308, -800.0, -36.0, -1.0, 0.0, 1.0, 36.0, 800.0])
def test_the_probability_is_exact_at_any_log_odds(z: float) -> None:
    assert probability(np.array([z]))[0] == pytest.approx(0.5 * (1 + np.tanh(z / 2)), abs=1e-15)


def test_an_array_is_not_copied_to_be_checked() -> None:
    X = np.ones((300_000, 2))
    tracemalloc.start()
    _values(X, ["x1", "x2"])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < X.nbytes / 2


@pytest.mark.parametrize("form", [np.asfortranarray, lambda X: np.repeat(X, 2, axis=0)[::2], lambda X: X.astype(np.float32)])
def test_the_bits_do_not_depend_on_how_an_array_lies_in_memory(predictor: Predictor, form: Any) -> None:
    X = np.random.default_rng(0).standard_normal((1000, 2)).astype(np.float32).astype(np.float64)
    assert predictor.log_odds(form(X)).tobytes() == predictor.log_odds(X).tobytes()


def test_one_row_is_a_table(predictor: Predictor) -> None:
    expected = predictor.predict(pd.DataFrame({"x1": [3.0], "x2": [1.0]}))
    for row in ({"x2": True, "x1": 3}, {"x2": "1", "x1": Decimal(3)}, [{"x1": 3, "x2": 1}], [[3, 1]]):
        assert predictor.predict(row).equals(expected)


def test_what_stands_beside_the_features_may_be_anything(predictor: Predictor) -> None:
    table = pd.DataFrame([[1, "a", None, 2.0, "b"]], columns=["x1", "note", "note", "x2", 7])
    assert predictor.predict(table)["prediction"].tolist() == ["no"]


EQUAL: dict[str, Any] = {  # to x1 = [3, 0], x2 = [1, 0]
    "nullable": pd.DataFrame({"x1": pd.array([3, 0], "Int16"), "x2": pd.array([True, False], "boolean")}),
    "of pyarrow": pd.DataFrame({"x1": [3, 0], "x2": [True, False]}).convert_dtypes(dtype_backend="pyarrow"),
    "decimals of pyarrow": pd.DataFrame({"x1": [Decimal("3.0"), Decimal(0)], "x2": [1, 0]}).astype(
        {"x1": pd.ArrowDtype(pa.decimal128(9, 1))}
    ),
    "mixed": pd.DataFrame({"x1": [Decimal(3), False], "x2": [np.float32(1), 0]}, dtype=object),
    "text": pd.DataFrame({"x1": ["3.0", " 0 "], "x2": ["+1e0", "-.0"]}),
    "a categorical": pd.DataFrame({"x1": pd.Categorical([3, 0]), "x2": [1, 0]}),
    "sparse": pd.DataFrame({"x1": [3, 0], "x2": [1, 0]}).astype(pd.SparseDtype(int, 3)),
    "sparse booleans": pd.DataFrame({"x1": [3, 0], "x2": [True, False]}).astype({"x1": "Sparse[int]", "x2": "Sparse[bool]"}),
    "pyarrow": pa.table({"x2": [1, 0], "x1": [3.0, 0.0]}),
    "columns": {"x2": [1, 0], "x1": (3, 0)},
    "series": {"x1": pd.Series([3, 0]), "x2": pd.Series([1, 0])},
    "rows": [{"x2": 1, "x1": 3}, {"x1": 0, "x2": 0}],
    "lists": [[3, 1], [0, 0]],
    "bytes": np.array([[3, 1], [0, 0]], np.int8),
    "objects": np.array([[3, "1"], [0.0, False]], object),
    "triples": coo_array(([3, 1], ([0, 0], [0, 1])), shape=(2, 2)),
}


@pytest.mark.parametrize("form", EQUAL)
def test_every_kind_of_number_is_one(predictor: Predictor, form: str) -> None:
    expected = predictor.predict(pd.DataFrame({"x1": [3.0, 0.0], "x2": [1.0, 0.0]}))
    assert predictor.predict(EQUAL[form])["probability"].tolist() == expected["probability"].tolist()


NO_NUMBERS: dict[str, tuple[Any, str]] = {  # as the second row of x2
    "NA": (pd.array([1, None], "Int64"), "<NA>"),
    "NA of text": (pd.array(["1", None], "string"), "<NA>"),
    "None": (["1", None], "nan"),
    "None among objects": (np.array([1, None], object), "None"),
    "words": (["1.5", "abc"], "'abc'"),
    "nothing": (["1.5", ""], "''"),
    "an underscore": (["1", "1_0"], "'1_0'"),
    "other digits": (["1", "\u0663"], "'\u0663'"),
    "a comma": (["1", "2,5"], "'2,5'"),
    "nan": (["1", "nan"], "'nan'"),
    "complex": (np.array([1, 2j], object), "2j"),
    "a list": ([1, [2, 3]], "[2, 3]"),
    "a time": ([1, pd.Timestamp("2024-05-06")], "2024-05-06 00:00:00"),
    "too great": (np.array([1, 10**400], object), "1" + "0" * 59 + "..."),
    "signalling": ([1, Decimal("sNaN")], "sNaN"),
    "lines": (["1", "a\nb"], r"'a\nb'"),
}


@pytest.mark.parametrize("name", NO_NUMBERS)
def test_what_is_no_number_is_named_by_column_and_row(predictor: Predictor, name: str) -> None:
    values, shown = NO_NUMBERS[name]
    sentence = f"every value must be a finite number; column x2 in row 1 is {re.escape(shown)}$"
    with pytest.raises(PredictionError, match=sentence):
        predictor.predict(pd.DataFrame({"x1": [1, 2], "x2": values}, index=["a", "b"]))


@pytest.mark.parametrize("values", [pd.to_datetime(["2024-05-06"]), pd.to_timedelta([1]), pd.period_range("2024", periods=1)])
def test_times_are_no_numbers(predictor: Predictor, values: Any) -> None:
    with pytest.raises(PredictionError, match="column x2 in row 0 is "):
        predictor.predict(pd.DataFrame({"x1": [1], "x2": values}))


REFUSED: dict[str, tuple[Any, str]] = {
    "a vector": (np.ones(2), r"must have 2 dimensions and 2 columns; got the shape \(2,\)"),
    "a sparse vector": (coo_array([1, 0]), r"must have 2 dimensions and 2 columns; got the shape \(2,\)"),
    "a cube": (np.ones((2, 2, 2)), "must have 2 dimensions"),
    "a ragged list": ([[1, 2], [3]], "the input must make a table; "),
    "columns of two lengths": ({"x1": [1, 2], "x2": [3]}, "the input must make a table; "),
    "nothing": (None, "must be a table with named columns, or .* with 2 columns; got NoneType"),
    "text": ("1,2", "must be a table with named columns, or .* with 2 columns; got str"),
    "masked": (np.ma.masked_array([[1, 2]], [[False, True]]), "column x2 in row 0 is nan"),
    "a complex matrix": (csr_array([[1j, 2]]), "a sparse matrix must hold real numbers; got complex128"),
    "a complex array": (np.array([[1, 2j]]), r"column x1 in row 0 is \(1\+0j\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_is_refused_in_a_sentence(predictor: Predictor, name: str) -> None:
    given, sentence = REFUSED[name]
    with pytest.raises(PredictionError, match=sentence) as raised:
        predictor.predict(given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "given",
    [{"x1": 3, "x2": 1}, {"x2": np.array(1), "x1": np.array(3)}, dok_array([[3.0, 1.0]]), {"x1": {"a": 3}, "x2": {"a": 1}}],
    ids=["a row", "a row of MLflow's server", "a matrix that is a mapping", "columns that are mappings"],
)
def test_mappings(predictor: Predictor, given: Any) -> None:
    assert predictor.predict(given)["probability"].tolist() == pytest.approx([1 / (1 + np.exp(-2.5))])


@pytest.mark.parametrize("empty", [pd.DataFrame(columns=["x2", "x1"]), np.empty((0, 2)), csr_array((0, 2))])
def test_no_rows_have_no_answers(predictor: Predictor, empty: Any) -> None:
    answer = predictor.predict(empty)
    assert answer.columns.tolist() == ["prediction", "probability"]
    assert len(answer) == 0
