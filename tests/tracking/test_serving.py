"""The model that MLflow loads: the project's own predictor, by a package of its own, and MLflow's errors."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel
from mlflow.pyfunc.scoring_server import invocations
from scipy.sparse import csc_array, csr_array

from pipeline.config.config import compose
from pipeline.config.tracking import Tracking
from pipeline.files import read_json
from pipeline.learning.prediction import load_predictor
from pipeline.model.card import read_card
from pipeline.stages import STAGES
from pipeline.stages.evaluate import evaluate
from pipeline.stages.generate import generate
from pipeline.stages.predict import main
from pipeline.stages.train import train
from pipeline.tracking.journal import Journal, new_attempt
from pipeline.tracking.sync import sync
from tests.conftest import ROOT, environment
from tests.serving import served
from tests.typed import made, people

NARROW, WIDE = 3, 120


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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.tracking.logged_model.WIDE", WIDE - 1)  # of which MLflow makes less slow work
        return _load(folder, store), path


def _load(folder: Path, store: Path) -> PyFuncModel:
    """The model in folder/models/numpy and, if there is one, its evaluation, logged to a store of its own, and loaded."""
    uri = f"sqlite:///{shutil.copy(store, folder)}"
    card = read_card(folder / "models" / "numpy").content
    settings = Tracking(uri).to_dict()
    journal = Journal.of(settings, card.fingerprint)
    stages = ("train", "evaluate") if (folder / "models" / "numpy" / "evaluation.json").exists() else ("train",)
    for stage in stages:
        opened = new_attempt(stage, settings, card=card.to_dict())
        made = STAGES[stage].artifacts_of(folder / "models" / "numpy", in_dvc=False)
        journal.append(opened, journal.link(opened.attempt, made))
    run_id = sync(journal).run_id
    mlflow.set_tracking_uri(uri)
    return mlflow.pyfunc.load_model(f"runs:/{run_id}/model")


def _model_folder(model: PyFuncModel, path: Path) -> Path:
    location = MlflowClient(f"sqlite:///{path.with_name('mlflow.db')}").get_logged_model(model.model_id).artifact_location
    return Path(location.removeprefix("file://"))


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


@pytest.mark.parametrize("importable", [False, True])
def test_a_logged_model_needs_nothing_of_the_project(
    logged: Callable[[int], tuple[PyFuncModel, Path]], tmp_path: Path, importable: bool
) -> None:
    """Neither where there is none nor where another version of it can be imported; nor torch."""
    model, path = logged(NARROW)
    for name in ("pipeline", "torch"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("" if importable else "raise ImportError('it is not here')\n")
    code = (
        "import sys, mlflow, pandas as pd\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "print('ANSWER', model.predict(pd.read_csv(sys.argv[2])).to_json())\n"
        "assert 'pipeline' not in sys.modules or not hasattr(sys.modules['pipeline'], 'registry')\n"
    )
    command = [sys.executable, "-c", code, str(_model_folder(model, path)), str(path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = pd.DataFrame(json.loads(done.stdout.partition("ANSWER")[2])).reset_index(drop=True)
    pd.testing.assert_frame_equal(answer, model.predict(pd.read_csv(path)), check_exact=False, rtol=1e-12)


def test_what_predicts_is_logged_unchanged(logged: Callable[[int], tuple[PyFuncModel, Path]]) -> None:
    (package,) = (_model_folder(*logged(NARROW)) / "code").glob("served_*")
    sources = {
        **{package / f"{name}.py": f"model/{name}.py" for name in ("predictor", "encoder", "columns")},
        package / "models" / "numpy.py": "learning/models/numpy.py",
        package / "models" / "_linear.py": "learning/models/_linear.py",
    }
    assert {path for path in package.rglob("*.py") if path.name != "__init__.py"} == set(sources)
    for path, source in sources.items():
        assert path.read_bytes() == (ROOT / "pipeline" / source).read_bytes()


def test_mlflow_shows_the_file_and_what_was_overridden(logged: Callable[[int], tuple[PyFuncModel, Path]]) -> None:
    model, path = logged(NARROW)
    client = MlflowClient(f"sqlite:///{path.with_name('mlflow.db')}")
    run = client.get_run(model.metadata.run_id)
    fingerprint = read_json(path.parent / "models" / "numpy" / "model.json")["fingerprint"]
    assert run.info.run_name == f"table open | l2=0.01 | {fingerprint[:6]}"
    assert [given.dataset.name for given in run.inputs.dataset_inputs] == ["table open"]
    described = client.get_logged_model(model.model_id).tags["mlflow.note.content"]
    assert "training rows of `table.csv`" in described
    assert "It takes the columns `site 0`, `site 1`, `site 2` and gives the prediction, `early` or `late`" in described


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
        "column site 1 must be true or false, in row 1 it is 'often'": (
            "text/csv",
            b"site 0,site 1,site 2\n1,1,1\n2,often,2\n",
        ),
        "column site 0 must be a number, in row 0 it is 'often'": (
            "application/json",
            '{"dataframe_records": [{"site 0": "often", "site 1": null, "site 2": 1}]}',
        ),
        "it lacks site 1, site 2": ("text/csv", b"site 0\n1\n"),
    }
    for sentence, (kind, data) in bodies.items():
        with pytest.raises(MlflowException, match=sentence) as raised:
            invocations(data, kind, model, model.metadata.get_input_schema())
        assert raised.value.get_http_status_code() == 400


@pytest.fixture(scope="module")
def typed(store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[PyFuncModel, Path]:
    """A model of a table with columns of every kind and a threshold of 0.3, as MLflow loads it, and its folder."""
    folder = made(tmp_path_factory.mktemp("typed"), until="train")
    evaluate(folder / "data", folder / "models" / "numpy", Tracking(None), {"evaluation": {"threshold": "0.3"}})
    return _load(folder, store), folder / "models" / "numpy"


def json_rows(table: pa.Table) -> list[dict[str, Any]]:
    rows = [{**row, "signup": row["signup"] and row["signup"].isoformat()} for row in table.to_pylist()]
    read: list[dict[str, Any]] = json.loads(json.dumps(rows))
    return read


def test_one_table_gets_the_same_bits_by_every_way(
    typed: tuple[PyFuncModel, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder, MLflow, its scoring server, and the command line."""
    model, folder = typed
    table = people()[0]
    expected = load_predictor(read_card(folder)).predict(table)
    assert (expected["prediction"] == np.where(expected["probability"] > 0.3, "yes", "no")).all()
    assert expected["probability"].between(0.3, 0.5).any()
    rows = json_rows(table)
    frame = pd.DataFrame(rows)
    zoned = table.to_pandas()
    zoned["signup"] = zoned["signup"].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    answers = {
        "a frame": model.predict(table.to_pandas()),
        "a frame of nullable types": model.predict(table.to_pandas().convert_dtypes()),
        "a frame of Arrow's types": model.predict(table.to_pandas(types_mapper=pd.ArrowDtype)),
        "a frame of categories": model.predict(table.to_pandas().astype(dict.fromkeys(("age", "job", "notes"), "category"))),
        "a frame of objects": model.predict(table.to_pandas().astype(object)),
        "a frame of times with a zone": model.predict(zoned),
        "a frame of JSON rows": model.predict(frame),
        "JSON rows": model.predict(rows),
        "columns": model.predict(table.to_pandas().to_dict(orient="list")),
    }
    split = frame.astype(object).where(frame.notna(), None).to_dict(orient="split")
    bodies = {"dataframe_records": rows, "dataframe_split": split, "instances": rows}
    for name, content in bodies.items():
        body = json.dumps({name: content})
        answer = invocations(body, "application/json", model, model.metadata.get_input_schema())
        answers[name] = pd.DataFrame(json.loads(answer.response)["predictions"])
    pq.write_table(table, tmp_path / "table.parquet")
    pacsv.write_csv(table, tmp_path / "table.csv")
    caplog.set_level("INFO")
    for suffix in ("parquet", "csv"):
        main([str(folder), str(tmp_path / f"table.{suffix}"), "--out", str(tmp_path / f"answer.{suffix}")])
    assert caplog.messages.count("positive above p = 0.3 (given)") == 2
    answers["Parquet"] = pd.read_parquet(tmp_path / "answer.parquet")
    answers["CSV"] = pd.read_csv(tmp_path / "answer.csv")
    for name, answer in answers.items():
        assert answer["probability"].to_numpy().tobytes() == expected["probability"].to_numpy().tobytes(), name
        assert answer["prediction"].tolist() == expected["prediction"].tolist(), name
    for name in ("Parquet", "CSV"):
        assert answers[name]["row"].astype(int).tolist() == list(range(300))


@pytest.mark.slow
def test_served_over_http_json_rows_get_the_same_bits(typed: tuple[PyFuncModel, Path]) -> None:
    model, folder = typed
    expected = load_predictor(read_card(folder)).predict(people()[0])
    bodies = {json.dumps({name: json_rows(people()[0])}): "application/json" for name in ("dataframe_records", "instances")}
    for answer in served(f"models:/{model.model_id}", folder.parent.parent / "mlflow.db", bodies):
        assert [row["prediction"] for row in answer] == expected["prediction"].tolist()
        assert [row["probability"] for row in answer] == expected["probability"].tolist()


def test_whole_numbers_in_a_frame_are_numbers(typed: tuple[PyFuncModel, Path]) -> None:
    model, folder = typed
    rows = json_rows(people()[0])[:3]
    whole = pd.DataFrame([{**row, "income": 3} for row in rows])
    expected = load_predictor(read_card(folder)).predict([{**row, "income": 3.0} for row in rows])
    assert whole["income"].dtype == np.int64
    assert model.predict(whole)["probability"].tolist() == expected["probability"].tolist()


def test_a_model_of_a_column_that_is_empty(store: Path, tmp_path: Path) -> None:
    """Which data.keep may want, and which gives no example."""
    frame = pd.DataFrame({"job": ["cook", "nurse", "guard"] * 20, "free": [None] * 60, "late": [i % 2 for i in range(60)]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    base = ["data=table", f"data.path={tmp_path / 't.csv'}", "data.target=late", "data.keep=[free]", "optimizer=newton"]
    config = compose([*base, "model.l2=0.01"])
    generate(config.data, config.to_dict()["data"], tmp_path / "data")
    groups = {group: config.to_dict()[group] for group in ("model", "optimizer")}
    train(groups, tmp_path / "data", tmp_path / "models" / "numpy", Tracking(None))
    assert len(_load(tmp_path, store).predict(frame)) == 60


def test_the_signature_names_the_columns_and_the_metadata_their_types(typed: tuple[PyFuncModel, Path]) -> None:
    """Which MLflow would convert values to, some to others than were given, or refuse them."""
    model, folder = typed
    signature = model.metadata.signature
    types = {
        "age": "long",
        "income": "double",
        "job": "string",
        "town": "string",
        "member": "boolean",
        "signup": "datetime",
        "notes": "string",
    }
    assert signature.inputs.input_names() == [*types]
    assert {repr(column.type) for column in signature.inputs} == {"Any"}
    assert model.metadata.metadata == {"columns": types}
    assert signature.outputs.input_names() == ["prediction", "probability"]
    card = read_card(folder).content
    client = MlflowClient(f"sqlite:///{folder.parent.parent / 'mlflow.db'}")
    given = client.get_run(model.metadata.run_id).inputs.dataset_inputs[0]
    listed = {column["name"]: column["type"] for column in json.loads(given.dataset.schema)["mlflow_colspec"]}
    assert listed == types
    described = client.get_logged_model(model.model_id).tags["mlflow.note.content"]
    assert f"on {len(card.features)} features of 7 columns" in described
    assert "It takes the columns `age`, `income`, `job`" in described


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"age": "old"}, "column age must be a number, in row 1 it is 'old'"),
        ({"income": "much"}, "column income must be a number, in row 1 it is 'much'"),
        ({"age": 2.5, "member": "often"}, "column member must be true or false, in row 1 it is 'often'"),
        ({"signup": "05/06/2024"}, "column signup must be a date or time, .* in row 1 it is '05/06/2024'"),
        ({"job": 5}, "column job must be text, in row 1 it is 5"),
    ],
)
def test_a_served_batch_that_is_partly_bad_names_row_and_column(
    typed: tuple[PyFuncModel, Path], change: dict[str, Any], sentence: str
) -> None:
    model, _ = typed
    good = json_rows(people()[0])[3]
    body = json.dumps({"dataframe_records": [good, {**good, **change}]})
    with pytest.raises(MlflowException, match=sentence) as raised:
        invocations(body, "application/json", model, model.metadata.get_input_schema())
    assert raised.value.get_http_status_code() == 400
    lacking = [{name: value for name, value in good.items() if name != "age"}]
    with pytest.raises(MlflowException, match="it lacks age"):
        model.predict(lacking)
