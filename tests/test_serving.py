"""The served model: what it takes, by which names, and its one sentence for each input that has no answer."""

import json
import re
import shutil
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel
from mlflow.pyfunc.scoring_server import invocations
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix, dok_array

from pipeline.config.config import compose
from pipeline.config.tracking import Tracking
from pipeline.files import read_json
from pipeline.model.card import read_card
from pipeline.stages.generate import generate
from pipeline.stages.train import train
from pipeline.tracking import provenance
from pipeline.tracking.client import store_of
from pipeline.tracking.mlflow_run import open_run
from pipeline.tracking.serving import LogisticRegression

NARROW, WIDE = 3, 1200


@pytest.fixture
def served() -> LogisticRegression:
    model = LogisticRegression()
    model.about = {"features": ["x1", "x2"], "classes": ["no", "yes"]}
    model.weights = {"mean": np.zeros(2), "scale": np.ones(2), "w": np.array([1.0, -1.0]), "b": np.array(0.5)}
    return model


@pytest.fixture(scope="module")
def logged(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], tuple[PyFuncModel, Path]]:
    """A function of a number of columns: a model that was trained on so many, as MLflow loads it, and its table."""
    made: dict[int, tuple[PyFuncModel, Path]] = {}

    def log(columns: int) -> tuple[PyFuncModel, Path]:
        if columns not in made:
            made[columns] = _logged(columns, tmp_path_factory.mktemp(f"wide{columns}"), store)
        return made[columns]

    return log


def _logged(columns: int, folder: Path, store: Path) -> tuple[PyFuncModel, Path]:
    rng = np.random.default_rng(columns)
    counts = rng.integers(0, 9, (60, columns))
    table = pd.DataFrame(counts, columns=[f"site {i}" for i in range(columns)])
    table["site 1"] = table["site 1"] > 4
    table["open"] = np.where(counts[:, 0] + rng.normal(0, 2, 60) > 4, "late", "early")
    path = folder / "table.csv"
    table.to_csv(path, index=False)
    plain = compose(["data=table", f"data.path={path}", "data.target=open", "optimizer=auto", "model.l2=0.01"])
    generate(plain.data, plain.to_dict()["data"], folder / "data")
    groups = {group: plain.to_dict()[group] for group in ("model", "optimizer")}
    train(groups, folder / "data", folder / "models" / "numpy", Tracking(None))
    uri = f"sqlite:///{shutil.copy(store, folder)}"
    run = open_run(
        store_of(Tracking(uri)),
        "train",
        read_card(folder / "models" / "numpy").content.to_dict(),
        None,
        {},
        {},
        provenance.process(),
    )
    run.publish(folder / "models" / "numpy")
    run.close("finished", "")
    mlflow.set_tracking_uri(uri)
    return mlflow.pyfunc.load_model(f"runs:/{run.id}/model"), path


def test_a_missing_value_has_no_answer(served: LogisticRegression) -> None:
    table = pd.DataFrame({"x1": [1.0, 2.0], "x2": [0.0, np.nan]})
    sentence = "every value must be a finite number; column x2 in row 1 is nan"
    with pytest.raises(MlflowException, match=sentence):
        served.predict(None, table)
    with pytest.raises(MlflowException, match=sentence):
        served.predict(None, table.to_numpy())  # type: ignore[arg-type]
    with pytest.raises(MlflowException, match="column x1 in row 1 is inf"):
        served.predict(None, csr_matrix([[1.0, 2.0], [np.inf, 0.0]]))
    assert served.predict(None, table[:1])["prediction"].tolist() == ["yes"]
    with pytest.raises(MlflowException, match="the log-odds of row 0 is"):
        served.predict(None, pd.DataFrame({"x1": [1e308], "x2": [-1e308]}))


@pytest.mark.parametrize("columns", [NARROW, WIDE])
def test_columns_are_found_by_name_at_any_width(logged: Callable[[int], tuple[PyFuncModel, Path]], columns: int) -> None:
    model, path = logged(columns)
    table = pd.read_csv(path)  # with the target in it
    answer = model.predict(table)
    weights = read_json(path.parent / "models" / "numpy" / "model.json")
    assert list(weights["features"]) == [f"site {i}" for i in range(columns)]
    assert np.mean(answer["prediction"] == table["open"]) > 0.7
    features = table.drop(columns="open")
    shuffled = features[np.random.default_rng(0).permutation(features.columns)].set_index(features.index[::-1] * 10)
    for form in (shuffled, shuffled.astype("float32"), shuffled.convert_dtypes(), shuffled.astype("int8").astype(object)):
        got = model.predict(form)
        assert np.array_equal(got["probability"], answer["probability"])
        assert got.index.equals(shuffled.index)
    for by_position in (features.to_numpy(), csr_array(features.to_numpy(float)), csc_array(features.to_numpy(float))):
        assert np.allclose(model.predict(by_position)["probability"], answer["probability"], rtol=1e-12)
    sparse = shuffled.astype(float).astype(pd.SparseDtype(float, 0))
    assert np.allclose(model.predict(sparse)["probability"], answer["probability"], rtol=1e-12)
    width = f"must have 2 dimensions and {columns} columns; got the shape \\(60, {columns + 1}\\)"
    refused = {
        "the table must have every column that the model was trained on; it lacks site 2$": features.drop(columns="site 2"),
        "it lacks site 0, site 1, site 2": pd.DataFrame(features.to_numpy()),
        "column names must be unique; the table repeats site 1$": pd.concat([features, features[["site 1"]]], axis=1),
        width: np.ones((60, columns + 1)),
        f"{width}$": csr_array((60, columns + 1)),
    }
    for sentence, form in refused.items():
        with pytest.raises(MlflowException, match=sentence):
            model.predict(form)


def test_mlflow_shows_the_file_and_what_was_overridden(logged: Callable[[int], tuple[PyFuncModel, Path]]) -> None:
    model, path = logged(NARROW)
    client = MlflowClient(f"sqlite:///{path.with_name('mlflow.db')}")
    run = client.get_run(model.metadata.run_id)
    fingerprint = read_json(path.parent / "models" / "numpy" / "model.json")["fingerprint"]
    assert run.info.run_name == f"l2=0.01 numpy auto table.csv open {fingerprint[:6]}"
    assert [given.dataset.name for given in run.inputs.dataset_inputs] == ["table.csv"]
    described = client.get_logged_model(model.model_id).tags["mlflow.note.content"]
    assert "training rows of `table.csv`" in described
    assert "It takes the columns `site 0`, `site 1`, `site 2` and gives the prediction, `early` or `late`" in described


def test_a_row_of_many_columns_does_not_wait(served: LogisticRegression) -> None:
    """Some 20 milliseconds, where MLflow's enforcement of as many names takes more than a second."""
    names = [f"x{i}" for i in range(20_000)]
    served.about["features"] = names
    served.weights |= {"mean": np.zeros(20_000), "scale": np.ones(20_000), "w": np.ones(20_000)}
    row = pd.DataFrame(np.ones((1, 20_000)), columns=names[::-1])
    started = time.monotonic()
    assert served.predict(None, row)["prediction"].tolist() == ["yes"]
    assert time.monotonic() - started < 1


def test_one_row_is_a_table(served: LogisticRegression) -> None:
    expected = served.predict(None, pd.DataFrame({"x1": [3.0], "x2": [1.0]}))
    for row in ({"x2": True, "x1": 3}, {"x2": "1", "x1": Decimal(3)}, [{"x1": 3, "x2": 1}], [[3, 1]]):
        assert served.predict(None, row).equals(expected)  # type: ignore[arg-type]


def test_what_stands_beside_the_features_may_be_anything(served: LogisticRegression) -> None:
    table = pd.DataFrame([[1, "a", None, 2.0, "b"]], columns=["x1", "note", "note", "x2", 7])
    assert served.predict(None, table)["prediction"].tolist() == ["no"]


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
def test_every_kind_of_number_is_one(served: LogisticRegression, form: str) -> None:
    expected = served.predict(None, pd.DataFrame({"x1": [3.0, 0.0], "x2": [1.0, 0.0]}))
    assert served.predict(None, EQUAL[form])["probability"].tolist() == expected["probability"].tolist()


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
def test_what_is_no_number_is_named_by_column_and_row(served: LogisticRegression, name: str) -> None:
    values, shown = NO_NUMBERS[name]
    sentence = f"every value must be a finite number; column x2 in row 1 is {re.escape(shown)}$"
    with pytest.raises(MlflowException, match=sentence):
        served.predict(None, pd.DataFrame({"x1": [1, 2], "x2": values}, index=["a", "b"]))


@pytest.mark.parametrize("values", [pd.to_datetime(["2024-05-06"]), pd.to_timedelta([1]), pd.period_range("2024", periods=1)])
def test_times_are_no_numbers(served: LogisticRegression, values: Any) -> None:
    with pytest.raises(MlflowException, match="column x2 in row 0 is "):
        served.predict(None, pd.DataFrame({"x1": [1], "x2": values}))


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
def test_what_is_no_table_is_refused_in_a_sentence(served: LogisticRegression, name: str) -> None:
    given, sentence = REFUSED[name]
    with pytest.raises(MlflowException, match=sentence) as raised:
        served.predict(None, given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "given",
    [{"x1": 3, "x2": 1}, {"x2": np.array(1), "x1": np.array(3)}, dok_array([[3.0, 1.0]]), {"x1": {"a": 3}, "x2": {"a": 1}}],
    ids=["a row", "a row of MLflow's server", "a matrix that is a mapping", "columns that are mappings"],
)
def test_mappings(served: LogisticRegression, given: Any) -> None:
    assert served.predict(None, given)["probability"].tolist() == pytest.approx([1 / (1 + np.exp(-2.5))])


@pytest.mark.parametrize("empty", [pd.DataFrame(columns=["x2", "x1"]), np.empty((0, 2)), csr_array((0, 2))])
def test_no_rows_have_no_answers(served: LogisticRegression, empty: Any) -> None:
    answer = served.predict(None, empty)
    assert answer.columns.tolist() == ["prediction", "probability"]
    assert len(answer) == 0


ROWS = [{"site 2": 3, "site 0": 8.5, "site 1": True, "note": "x"}, {"site 2": 0, "site 0": 1, "site 1": False, "note": "y"}]
BODIES: dict[str, tuple[str, str]] = {
    "csv": ("text/csv", "site 2,site 0,site 1,note\n3,8.5,True,x\n0,1,False,y\n"),
    "split": ("application/json", json.dumps({"dataframe_split": pd.DataFrame(ROWS).to_dict(orient="split")})),
    "records": ("application/json", json.dumps({"dataframe_records": ROWS})),
    "instances": ("application/json; charset=utf-8", json.dumps({"instances": ROWS})),
    "inputs": ("application/json", json.dumps({"inputs": pd.DataFrame(ROWS).to_dict(orient="list")})),
    "by position": ("application/json", json.dumps({"inputs": [[8.5, 1, 3], [1, 0, 0]]})),
}


@pytest.mark.parametrize("body", BODIES)
def test_the_scoring_server_takes_every_format(logged: Callable[[int], tuple[PyFuncModel, Path]], body: str) -> None:
    model, _ = logged(NARROW)
    kind, data = BODIES[body]
    answer = invocations(data.encode() if kind == "text/csv" else data, kind, model, model.metadata.get_input_schema())
    assert answer.status == 200
    assert json.loads(answer.response)["predictions"] == model.predict(pd.DataFrame(ROWS)).to_dict(orient="records")


def test_the_scoring_server_says_what_is_wrong(logged: Callable[[int], tuple[PyFuncModel, Path]]) -> None:
    model, _ = logged(NARROW)
    bodies = {
        "column site 1 in row 1 is 'often'": ("text/csv", b"site 0,site 1,site 2\n1,1,1\n2,often,2\n"),
        "column site 1 in row 0 is None": (
            "application/json",
            '{"dataframe_records": [{"site 0": 1, "site 1": null, "site 2": 1}]}',
        ),
        "it lacks site 1, site 2": ("text/csv", b"site 0\n1\n"),
    }
    for sentence, (kind, data) in bodies.items():
        with pytest.raises(MlflowException, match=sentence) as raised:
            invocations(data, kind, model, model.metadata.get_input_schema())
        assert raised.value.get_http_status_code() == 400
