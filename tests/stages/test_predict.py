"""Predicting a table with a model's folder, from the command line."""

from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import PipelineError
from pipeline.stages.predict import main
from tests.chain import made


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
        ("x1,x2\n1,often\n", "column x2 in row 0 is 'often'$"),
        ("x1,x2\n1,2,3\n", "t.csv must be a table in CSV or, named .*.parquet, Parquet: .*Expected 2 columns, got 3"),
        ("", "t.csv must be a table in CSV or, .*Empty CSV file"),
    ],
)
def test_a_table_without_an_answer(root: Path, content: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(PipelineError, match=sentence) as raised:
        main([str(root / "models" / "numpy"), str(tmp_path / "t.csv")])
    assert "\n" not in str(raised.value)


def test_no_table_and_no_model(root: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        main([str(root / "models" / "numpy"), str(tmp_path / "t.csv")])
    (tmp_path / "t.parquet").write_text("no Parquet")
    with pytest.raises(PipelineError, match="t.parquet must be a table in CSV or"):
        main([str(root / "models" / "numpy"), str(tmp_path / "t.parquet")])
    with pytest.raises(PipelineError, match="there is no .*model.json"):
        main([str(tmp_path), str(tmp_path / "t.parquet")])
