"""Predicting a table with a model's folder, from the command line."""

from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import PipelineError
from pipeline.learning.prediction import load_predictor
from pipeline.model.card import read_card
from pipeline.stages.predict import main
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


def test_columns_that_lack_or_are_of_another_type_are_named_before_any_work(typed: Path, tmp_path: Path) -> None:
    folder, table = str(typed / "models" / "numpy"), people()[0]
    pq.write_table(table.drop_columns(["age", "job"]), tmp_path / "t.parquet")
    with pytest.raises(PipelineError, match="it lacks age, job$"):
        main([folder, str(tmp_path / "t.parquet")])
    pq.write_table(table.set_column(table.column_names.index("age"), "age", table["job"]), tmp_path / "t.parquet")
    with pytest.raises(PipelineError, match="age"):
        main([folder, str(tmp_path / "t.parquet")])
