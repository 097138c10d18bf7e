"""Predicting a table with a model's folder, from the command line."""

import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.config import compose
from pipeline.config.tracking import Tracking
from pipeline.errors import PipelineError
from pipeline.learning.prediction import load_predictor
from pipeline.model.card import read_card
from pipeline.stages.evaluate import evaluate
from pipeline.stages.generate import generate
from pipeline.stages.predict import main
from pipeline.stages.train import train
from tests.chain import made
from tests.typed import made as made_typed
from tests.typed import people


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("chain"), until="evaluate")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_what_evaluate_predicts_is_predicted_again(root: Path, suffix: str, tmp_path: Path) -> None:
    table = pd.read_parquet(root / "data" / "test.parquet")
    path = tmp_path / f"table.{suffix}"
    shuffled = table[table.columns[::-1]].assign(note="x")
    if suffix == "csv":
        shuffled.to_csv(path, index=False)
    else:
        shuffled.to_parquet(path)
    main([str(root / "models" / "numpy"), str(path), "--out", str(tmp_path / "answer.csv")])
    answer, expected = pd.read_csv(tmp_path / "answer.csv"), pd.read_parquet(root / "models" / "numpy" / "predictions.parquet")
    assert answer.columns.tolist() == ["prediction", "probability"]
    assert answer["prediction"].tolist() == expected["predicted"].tolist()
    np.testing.assert_array_equal(answer["probability"], expected["probability"])


def test_a_fingerprint_names_the_model_wherever_in_out_it_is(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the report's page names it; not where copies of it have different thresholds."""
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("x2,x1\n0,9\n9,0\n")
    name = read_card(root / "models" / "numpy").content.fingerprint[:12]
    run, job = (Path("out", *parts, "models", "numpy") for parts in (("runs", "2026-01-01"), ("sweeps", "2026-01-01", "0")))
    for folder in (run, job):
        shutil.copytree(root / "models" / "numpy", folder)
        main([name, "t.csv"])
        assert pd.read_csv(StringIO(capsys.readouterr().out))["prediction"].tolist() == [1, 0]
    evaluate(root / "data", job, Tracking(None, "t"), {"evaluation": {"threshold": 0.3}})
    with pytest.raises(PipelineError, match=f"must be named by its folder; {name} may be any of {run}, {job}$"):
        main([name, "t.csv"])


def test_without_a_file_the_answer_goes_to_stdout(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("x2,x1\n0,9\n9,0\n")
    main([str(root / "models" / "numpy"), str(tmp_path / "t.csv")])
    assert pd.read_csv(StringIO(capsys.readouterr().out))["prediction"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("x1\n1\n", "it lacks x2$"),
        ("x1,x2\n1,\n1,2\n", "column x2 in row 0 is nan$"),
        ("x1,x2\n1,often\n", "cells must be of the type that the model was trained on in .*t.csv; line 2 has 'often' in x2$"),
        ("x1,x2\n1,2\n1,2,3\n", "every row must have as many fields as the header in .*t.csv; .* line 3 has 3"),
        ("", "there are no rows in .*t.csv: it is empty$"),
    ],
)
def test_a_table_without_an_answer(root: Path, content: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(PipelineError, match=sentence) as raised:
        main([str(root / "models" / "numpy"), str(tmp_path / "t.csv")])
    assert "\n" not in str(raised.value)


def test_no_table_and_no_model(root: Path, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="TABLE must name a file; there is none at .*t.csv$"):
        main([str(root / "models" / "numpy"), str(tmp_path / "t.csv")])
    (tmp_path / "t.parquet").write_text("no Parquet")
    with pytest.raises(PipelineError, match="t.parquet could not be read as parquet"):
        main([str(root / "models" / "numpy"), str(tmp_path / "t.parquet")])
    with pytest.raises(PipelineError, match="there is no .*model.json"):
        main([str(tmp_path), str(tmp_path / "t.parquet")])
    with pytest.raises(PipelineError, match="a model must be a folder, a candidate in out/models, .*; there is no .*/nothing$"):
        main([str(tmp_path / "nothing"), str(tmp_path / "t.parquet")])


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_typed(tmp_path_factory.mktemp("typed"), until="train")


def test_the_columns_that_name_the_rows_are_kept(typed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = people()[0].append_column("note", pa.array([f"0{i}" for i in range(300)]))
    pq.write_table(table, tmp_path / "t.parquet")
    caplog.set_level("INFO")
    folder, answer = str(typed / "models" / "numpy"), str(tmp_path / "answer.parquet")
    main([folder, str(tmp_path / "t.parquet"), "--out", answer, "--id", "note", "--id", "age"])
    got = pq.read_table(answer)
    assert got.column_names == ["note", "age", "row", "prediction", "probability"]
    assert got["note"].to_pylist() == table["note"].to_pylist()
    assert [int(row) for row in got["row"].to_pylist()] == table["row"].to_pylist()
    assert [age and int(age) for age in got["age"].to_pylist()] == table["age"].to_pylist()
    assert "300 rows of" in caplog.text
    assert "without same, which the model does not take" in caplog.text
    pq.write_table(table.slice(0, 2).append_column("key", pa.array(["a\rb", "c"])), tmp_path / "t.parquet")
    main([folder, str(tmp_path / "t.parquet"), "--out", str(tmp_path / "answer.csv"), "--id", "key"])
    assert pd.read_csv(tmp_path / "answer.csv")["key"].tolist() == ["a\rb", "c"]
    with pytest.raises(PipelineError, match="--id must name a column of .*; there is no id: its columns are row, age"):
        main([folder, str(tmp_path / "t.parquet"), "--id", "id"])


def test_a_table_is_predicted_in_chunks(typed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same bits, and nothing left of an answer where a later chunk has none."""
    table = people()[0]
    expected = load_predictor(read_card(typed / "models" / "numpy")).predict(table)["probability"].tolist()
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=70)
    main([str(typed / "models" / "numpy"), str(tmp_path / "t.parquet"), "--out", str(tmp_path / "answer.csv")])
    assert pd.read_csv(tmp_path / "answer.csv")["probability"].tolist() == expected
    (tmp_path / "answer.csv").unlink()
    lines = ["age,income,job,town,member,signup,notes", *["30,1.5,cook,t1,true,2024-05-06,paid late"] * 200_000, "x,1,,,,,"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(PipelineError, match="line 200002 has 'x' in age"):
        main([str(typed / "models" / "numpy"), str(tmp_path / "t.csv"), "--out", str(tmp_path / "answer.csv")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.parquet"]


def test_missing_cells_and_unknown_categories_are_counted_by_column(
    typed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = {step["column"]: step for step in read_card(typed / "models" / "numpy").content.encoder or []}
    known = steps["town"]["levels"][0]
    rows = [f"30,1.5,cook,{known},true,2024-05-06,paid late", f",1.5,pilot,{known},NA,,", "?,1.5,,nowhere,true,,x"]
    rows.append(f"9,1,pilot,{known},1,,")
    (tmp_path / "t.csv").write_text("\n".join(["age,income,job,town,member,signup,notes", *rows]))
    caplog.set_level("INFO")
    main([str(typed / "models" / "numpy"), str(tmp_path / "t.csv"), "--out", str(tmp_path / "answer.csv")])
    missing = "9 cells are missing: 2 in age, 1 in job, 1 in member, 3 in signup, 2 in notes"
    unknown = "3 cells are no category of the model, so rare or new: 2 in job, 1 in town"
    assert [record.getMessage() for record in caplog.records][:2] == [missing, unknown]
    capsys.readouterr()
    main([str(typed / "models" / "numpy"), str(tmp_path / "t.csv")])
    told = capsys.readouterr()
    assert told.err == f"warning: {missing}\nwarning: {unknown}\n"
    assert told.out == (tmp_path / "answer.csv").read_text()


def test_columns_that_lack_or_are_of_another_type_are_named_before_any_work(typed: Path, tmp_path: Path) -> None:
    folder, table = str(typed / "models" / "numpy"), people()[0]
    pq.write_table(table.drop_columns(["age", "job"]), tmp_path / "t.parquet")
    with pytest.raises(PipelineError, match="it lacks age, job$"):
        main([folder, str(tmp_path / "t.parquet")])
    pq.write_table(table.set_column(table.column_names.index("age"), "age", table["job"]), tmp_path / "t.parquet")
    with pytest.raises(PipelineError, match="age"):
        main([folder, str(tmp_path / "t.parquet")])


def trained(folder: Path, path: Path, *overrides: str) -> Path:
    """The folder of a model of the table at `path`, whose target is y."""
    config = compose(("data=table", f"data.path={path}", "data.target=y", "optimizer=newton", "model.l2=0.01", *overrides))
    generate(config.data, config.to_dict()["data"], folder / "data")
    groups = {group: config.to_dict()[group] for group in ("model", "optimizer")}
    train(groups, folder / "data", folder / "model", Tracking(None))
    return folder / "model"


def predicted(model: Path, table: Path) -> list[float]:
    main([str(model), str(table), "--out", str(table.with_name("answer.csv"))])
    return list(pd.read_csv(table.with_name("answer.csv"))["probability"])


def frame(**more: Any) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=120).round(2)
    return pd.DataFrame({"x": x, **more, "y": np.where(x + rng.normal(size=120) > 0, "yes", "no")})


def test_a_level_of_a_parquet_file_is_no_missing_value_in_a_csv_file(tmp_path: Path) -> None:
    table = frame(alley=["None", "NA", "gravel"] * 40)
    table.to_parquet(tmp_path / "t.parquet")
    table.to_csv(tmp_path / "t.csv", index=False)
    model = trained(tmp_path, tmp_path / "t.parquet")
    assert predicted(model, tmp_path / "t.csv") == predicted(model, tmp_path / "t.parquet")
    table.assign(x=["?", *table["x"][1:]]).to_csv(tmp_path / "t.csv", index=False)
    assert predicted(model, tmp_path / "t.csv")[1:] == predicted(model, tmp_path / "t.parquet")[1:]


def test_the_decimal_comma_of_the_training_file_is_known(tmp_path: Path) -> None:
    """So that 20.000, which meant twenty thousand, is not twenty."""
    table = frame(pay=[f"{10 + i % 7}.{i:03},50" for i in range(120)])
    table.to_csv(tmp_path / "t.csv", sep=";", index=False, decimal=",")
    model = trained(tmp_path, tmp_path / "t.csv")
    assert read_card(model).content.decimal == ","
    (tmp_path / "new.csv").write_text("x;pay\n1;20.000\n")
    with pytest.raises(PipelineError, match="a point in numbers must mean one thing in .*; line 2 has '20.000' in pay"):
        predicted(model, tmp_path / "new.csv")
    (tmp_path / "new.csv").write_text("x;pay\n1,0;20.000,0\n")
    (tmp_path / "same.csv").write_text("x,pay\n1,20000.0\n")
    assert predicted(model, tmp_path / "new.csv") == predicted(model, tmp_path / "same.csv")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_answer_for_no_rows_has_its_columns(typed: Path, tmp_path: Path, suffix: str) -> None:
    table, answer = people()[0].slice(0, 0), tmp_path / f"answer.{suffix}"
    pq.write_table(table, tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text(",".join(table.column_names) + "\n")
    for name in ("t.csv", "t.parquet"):
        main([str(typed / "models" / "numpy"), str(tmp_path / name), "--out", str(answer)])
        got = pd.read_csv(answer) if suffix == "csv" else pd.read_parquet(answer)
        assert got.columns.tolist() == ["row", "prediction", "probability"]
        assert len(got) == 0


def test_a_column_that_names_the_rows_may_be_called_prediction(tmp_path: Path) -> None:
    table = frame(prediction=[f"k{i}" for i in range(120)])
    table.to_csv(tmp_path / "t.csv", index=False)
    model = trained(tmp_path, tmp_path / "t.csv")
    main([str(model), str(tmp_path / "t.csv"), "--out", str(tmp_path / "answer.parquet")])
    assert pq.read_table(tmp_path / "answer.parquet").column_names == ["prediction", "probability"]
    with pytest.raises(PipelineError, match="--id must not name a column of the answer, .*; got prediction$"):
        main([str(model), str(tmp_path / "t.csv"), "--id", "prediction"])


def test_a_header_is_known_by_the_model_s_columns(tmp_path: Path) -> None:
    frame(job=["cook", "nurse"] * 60).drop(columns="x").to_csv(tmp_path / "t.csv", index=False)
    model = trained(tmp_path, tmp_path / "t.csv")
    (tmp_path / "new.csv").write_text("job,town\njob,town\n")
    assert len(predicted(model, tmp_path / "new.csv")) == 1


def test_numbers_that_are_codes_come_as_numbers_or_text(tmp_path: Path) -> None:
    """A gap makes pandas write 1.0; the frame itself has the same answer."""
    table = frame(grade=[None, 1, 2, 3] * 30, member=[True, False, False] * 40)
    table.to_csv(tmp_path / "t.csv", index=False)
    model = trained(tmp_path, tmp_path / "t.csv", "data.kinds={grade: category, member: category}")
    expected = predicted(model, tmp_path / "t.csv")
    for given in (table, table.convert_dtypes(), table.astype(object)):
        assert load_predictor(read_card(model)).predict(given)["probability"].tolist() == expected
    table.assign(grade=table["grade"].astype("Int64"), member=table["member"].astype(int)).to_csv(
        tmp_path / "new.csv", index=False
    )
    assert predicted(model, tmp_path / "new.csv") == expected
