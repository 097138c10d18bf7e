"""A user's own table: which columns are features, which are left out, and what cannot be used."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.data.sources.table import Table
from pipeline.errors import PipelineError
from tests.data.tables import AGES, LABELS, ROWS, csv_text, load, refusal, write


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table(tmp_path: Path, name: str) -> None:
    data = Table(path=write(tmp_path, name), target="y").load()
    assert data.features == ["a", "b"]
    assert data.classes == ("no", "yes")
    other = Table(path=write(tmp_path, name), target="y", positive="no").load()
    assert other.classes == ("yes", "no")
    np.testing.assert_array_equal(np.sort(other.train.y), np.sort(1 - data.train.y))


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"a": [], "y": []}, "no rows"),
        ({"y": [0, 1]}, "no column beside the target y"),
        ({"a": [1, 2], "y": [1, 1]}, "must have two classes; got 1: 1"),
        ({"a": [1, 2, 3], "y": [0, 1, 2]}, "must have two classes; got 3: 0, 1, 2"),
        ({"a": [1, 2, 3], "y": [0, 1, None]}, "must have a value in every row; 1 are missing"),
        ({"a": [1, 2], "word": ["u", "v"], "day": ["m", "t"], "y": [0, 1]}, "must be numeric .* these are not: word, day"),
        ({"a": [1, None, 3], "y": [0, 1, 0]}, "no missing values .* these have some: a"),
        ({"a": [1, float("inf"), 3, 4], "y": [0, 1, 0, 1]}, "must be finite .* a"),
        ({"a": [1, 2, 3], "y": [0, 1, 0]}, "at least 2 rows"),
        ({"a": [1, 2, 3], "y": [10**19, 1, 1]}, "numbers of 64 bits; got 10000000000000000000"),
        ({"a": [1, 2, 3], "y": [float("inf"), 1, 1]}, "numbers of 64 bits; got inf"),
        ({"a": [1, 2, 3], "z": [0, 1, 0]}, "no column y in .* its columns are a, z"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path: Path, columns: dict[str, object], sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        Table(path=write(tmp_path, columns=columns), target="y").load()


def test_columns_that_say_which_row_it_is_are_left_out_and_named(tmp_path: Path) -> None:
    content = csv_text(",id,a,Unnamed: 7,y", AGES, [*range(1, ROWS + 1)], AGES, AGES, LABELS)
    data = load(tmp_path, content)
    assert data.features == ["a"]
    left_out = "left out: Unnamed: 0 (has no name), Unnamed: 7 (has no name), id (counts the rows)"
    assert data.notes[1] == f"{left_out}; 'data.keep=[Unnamed: 0]' keeps it"
    kept = load(tmp_path, content, keep=["id", "Unnamed: 0"], drop=["a"])
    assert kept.features == ["Unnamed: 0", "id"]
    assert "left out by data.drop: a" in kept.notes


@pytest.mark.parametrize("first", [0, 1])
def test_a_count_in_parquet(tmp_path: Path, first: int) -> None:
    counted = pa.table({"n": pa.array(range(first, first + ROWS), pa.int16()), "a": AGES, "y": LABELS})
    assert load(tmp_path, counted).features == ["a"]
    assert load(tmp_path, counted, keep=["n"]).features == ["n", "a"]
    measured = pa.table({"n": pa.array(np.arange(first, first + ROWS, dtype=float)), "a": AGES, "y": LABELS})
    assert load(tmp_path, measured).features == ["n", "a"]


@pytest.mark.parametrize("kind", [pa.int32(), pa.decimal128(10, 0)], ids=str)
def test_a_count_from_another_number(tmp_path: Path, kind: Any) -> None:
    for rows, features in ((36, ["a"]), (12, ["n", "a"])):  # a few, such as years, are more likely measured
        numbers = pa.array([*range(1001, 1001 + rows)]).cast(pa.decimal128(19, 0)).cast(kind)
        table = pa.table({"n": numbers, "a": (AGES * 3)[:rows], "y": (LABELS * 3)[:rows]})
        assert load(tmp_path, table).features == features
        assert load(tmp_path, table, keep=["n"]).features == ["n", "a"]


def test_a_target_is_never_left_out(tmp_path: Path) -> None:
    assert "must have two classes; got 12: 0, 1, 2" in refusal(tmp_path, csv_text("a,y", AGES, [*range(ROWS)]))
    frame = pd.DataFrame({"a": AGES, "y": LABELS}).set_index("y")
    frame.to_parquet(tmp_path / "f.parquet")
    assert Table(path=str(tmp_path / "f.parquet"), target="y").load().features == ["a"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"drop": ["b"]}, "data.drop must name columns of .*; there is no b: its columns are a, y"),
        ({"keep": ["b"]}, "data.keep must name columns of .*; there is no b: its columns are a, y"),
        ({"drop": ["y"]}, "data.drop must not name the target; got y"),
        ({"drop": ["a"], "keep": ["a"]}, "must not name the same column; both have a"),
        ({"drop": ["a"]}, "no column beside the target y"),
        ({"drop": [["a"]]}, "drop must be a list of text"),
        ({"target": "z"}, "there is no column z in .*; its columns are a, y"),
    ],
)
def test_names_that_are_not_there(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        load(tmp_path, csv_text("a,y", AGES, LABELS), **options)
