"""Predictions from raw rows of a table with columns of every kind: the same bits, whatever holds them."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.learning.prediction import load_predictor
from pipeline.model import predictor as module
from pipeline.model.card import read_card
from pipeline.model.encoder import Category, Encoder, Number
from pipeline.model.predictor import PredictionError, Predictor
from tests.conftest import ROOT
from tests.typed import made, people

TABLE = people()[0]
NAMES = ["age", "income", "job", "town", "member", "signup", "notes"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("typed"), until="train") / "models" / "numpy"


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return load_predictor(read_card(folder))


def rows(table: pa.Table = TABLE) -> list[dict[str, Any]]:
    """As JSON has them."""
    cells = [{**row, "signup": row["signup"] and row["signup"].isoformat()} for row in table.to_pylist()]
    read: list[dict[str, Any]] = json.loads(json.dumps(cells))
    return read


FORMS: dict[str, Any] = {
    "another order": lambda: TABLE.select(TABLE.column_names[::-1]),
    "the columns alone": lambda: TABLE.select(NAMES),
    "rows": rows,
    "columns": lambda: {name: [row[name] for row in rows()] for name in NAMES},
    "columns of arrays": lambda: {name: np.array([row[name] for row in rows()], object) for name in NAMES},
    "a frame": lambda: TABLE.to_pandas().set_index("row"),
    "a frame of another order": lambda: TABLE.to_pandas()[NAMES[::-1]],
    "a frame of JSON rows": lambda: pd.DataFrame(rows()),
    "a frame of objects": lambda: TABLE.to_pandas().astype(object),
    "a frame of pyarrow's": lambda: TABLE.to_pandas(types_mapper=pd.ArrowDtype),
    "a frame of nullable types": lambda: TABLE.to_pandas().convert_dtypes(),
    "categories": lambda: TABLE.to_pandas().astype({"job": "category", "member": "category", "age": "category"}),
    "chunks": lambda: pa.concat_tables([TABLE.slice(0, 100), TABLE.slice(100)]),
    "dictionaries": lambda: pa.table({name: TABLE[name].combine_chunks() for name in NAMES}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_table_has_the_same_bits(predictor: Predictor, form: str) -> None:
    expected = predictor.log_odds(TABLE)
    assert len(set(expected.tolist())) > 200
    assert predictor.log_odds(FORMS[form]()).tobytes() == expected.tobytes()


def test_a_row_alone_has_the_same_bits_as_among_others(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = predictor.log_odds(TABLE)
    given = rows()
    for i in range(0, 300, 7):
        assert predictor.log_odds(given[i]).tobytes() == expected[i : i + 1].tobytes()
        assert predictor.log_odds(TABLE.to_pandas().iloc[i]).tobytes() == expected[i : i + 1].tobytes()
        assert predictor.log_odds(TABLE.slice(i, 5)).tobytes() == expected[i : i + 5].tobytes()
    assert len(predictor.predict(TABLE.to_pandas().iloc[3])) == 1
    monkeypatch.setattr(module, "BLOCK_VALUES", 50)
    for form in (TABLE, TABLE.to_pandas(), given):
        assert predictor.log_odds(form).tobytes() == expected.tobytes()


def test_a_frame_s_index_is_the_answer_s(predictor: Predictor) -> None:
    frame = TABLE.to_pandas().set_index("row")
    answer = predictor.predict(frame)
    assert answer.index.equals(frame.index)
    assert answer["prediction"].isin(["no", "yes"]).all()


def test_what_training_did_not_see_goes_to_the_pool(predictor: Predictor) -> None:
    assert "town=(other)" in predictor.features
    row = rows()[0]
    known = [name.removeprefix("town=") for name in predictor.features if name.startswith("town=")]
    rare = next(f"t{i}" for i in range(60) if f"t{i}" not in known)
    unseen = predictor.log_odds({**row, "town": "never seen"})
    assert unseen == predictor.log_odds({**row, "town": rare}) == predictor.log_odds({**row, "town": None})
    assert unseen != predictor.log_odds({**row, "town": known[0]})
    assert predictor.log_odds({**row, "job": None}) != predictor.log_odds({**row, "job": "a new one"})


def test_a_value_that_is_missing_where_training_had_none_is_the_median(predictor: Predictor) -> None:
    row = rows()[0]
    assert "income is missing" not in predictor.features
    assert predictor.encoder
    fill = next(step.fill for step in predictor.encoder.steps if isinstance(step, Number) and step.column == "income")
    assert predictor.log_odds({**row, "income": None}) == predictor.log_odds({**row, "income": fill})


def test_one_row_takes_less_than_5_milliseconds(predictor: Predictor) -> None:
    row = rows()[3]
    for given in (row, [row], pd.DataFrame([row]), TABLE.slice(3, 1)):
        predictor.predict(given)
        times = []
        for _ in range(20):
            started = time.process_time()
            predictor.predict(given)
            times.append(time.process_time() - started)
        assert sorted(times)[len(times) // 2] < 0.005


def test_each_feature_has_a_name_of_its_own() -> None:
    steps: list[Any] = [
        Number("age", 0.0, True),
        Number("age is missing", 0.0, True),
        Category("job", ["cook", "(other)"], False, True),
    ]
    names = ["age", "age is missing", "age is missing (2)", "age is missing is missing"]
    assert Encoder(steps).features == [*names, "job=cook", "job=(other)", "job=(other) (2)"]


def test_no_rows_have_no_answers(predictor: Predictor) -> None:
    for given in (TABLE.slice(0, 0), TABLE.to_pandas()[:0]):
        answer = predictor.predict(given)
        assert answer.columns.tolist() == ["prediction", "probability"]
        assert len(answer) == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"age": "old"}, "column age must be a number, in row 1 it is 'old'$"),
        ({"job": 5}, "column job must be text, in row 1 it is 5$"),
        ({"member": "often"}, "column member must be true or false, in row 1 it is 'often'$"),
        ({"signup": "05/06/2024"}, "column signup must be a date or time, such as 2024-05-06 .*, in row 1 it is '05/06/2024'$"),
        (
            {"age": "old", "job": 5},
            "column age must be a number, in row 1 it is 'old'; column job must be text, in row 1 it is 5$",
        ),
        ({"income": float("inf")}, "column income must be a number, in row 1 it is inf$"),
        ({name: [1] for name in NAMES}, "in row 1 it is .1.; so are 4 more columns$"),
    ],
)
def test_a_batch_that_is_partly_bad_names_row_and_column(predictor: Predictor, change: Any, sentence: str) -> None:
    good, bad = rows()[3], {**rows()[3], **change}
    for given in ([good, bad, good, bad], pd.DataFrame([good, bad], index=["a", "b"])):
        with pytest.raises(PredictionError, match=sentence) as raised:
            predictor.predict(given)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            TABLE.drop_columns(["age", "job"]),
            "the table must have every column that the model was trained on; it lacks age, job$",
        ),
        (TABLE.to_pandas().drop(columns="age"), "it lacks age$"),
        ([{"age": 1}], "it lacks income, job"),
        ({"age": 1}, "it lacks income, job"),
        (pd.concat([TABLE.to_pandas()] * 2, axis=1), "column names must be unique; the table repeats age, income"),
        (TABLE.append_column("age", TABLE["age"]), "column names must be unique; the table repeats age$"),
        ({**{name: [1, 2] for name in NAMES}, "age": [1]}, "the input must make a table; its columns have 1 to 2 rows"),
        (np.ones((2, 7)), "the input must be a table with named columns; got ndarray"),
        ("a,b", "the input must be a table with named columns; got str"),
        ([[1, 2]], "the input must be a table with named columns; got list"),
    ],
)
def test_what_is_no_table_of_the_columns_is_refused(predictor: Predictor, given: Any, sentence: str) -> None:
    with pytest.raises(PredictionError, match=sentence):
        predictor.predict(given)


def test_prediction_needs_neither_scikit_learn_nor_the_project(folder: Path, predictor: Predictor, tmp_path: Path) -> None:
    """As a logged model has them: the three files in a package."""
    package = tmp_path / "served"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name in ("predictor", "encoder", "columns"):
        (package / f"{name}.py").write_bytes((ROOT / "pipeline" / "model" / f"{name}.py").read_bytes())
    (package / "_linear.py").write_bytes((ROOT / "pipeline" / "learning" / "models" / "_linear.py").read_bytes())
    code = (
        "import json, sys, numpy as np\n"
        "from served._linear import log_odds\n"
        "from served.predictor import Predictor\n"
        "card = json.load(open(sys.argv[1] + '/model.json'))\n"
        "predictor = Predictor.from_card(card, dict(np.load(sys.argv[1] + '/model.npz')), log_odds)\n"
        "print(predictor.log_odds(json.loads(sys.argv[2])).tobytes().hex())\n"
        "assert not {'sklearn', 'pipeline'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", code, str(folder), json.dumps(rows()[3])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == predictor.log_odds(rows()[3]).tobytes().hex(), done.stderr
