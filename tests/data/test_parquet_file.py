"""Parquet files: damaged ones, stored indices, and folders with meaning."""

from datetime import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data.sources.table import Table
from pipeline.data.table_file import open_table
from pipeline.errors import PipelineError
from tests.data.tables import AGES, LABELS, cells, load, refusal, types


def test_a_parquet_file_that_is_cut_or_damaged(tmp_path: Path) -> None:
    load(tmp_path, pa.table({"a": AGES, "y": LABELS}))
    path = tmp_path / "t.parquet"
    sound = path.read_bytes()
    for end in range(0, len(sound), 50):
        path.write_bytes(sound[:end])
        with pytest.raises(PipelineError, match="no rows|could not be read as parquet: "):
            Table(path=str(path), target="y").load()
    assert "no columns" in refusal(tmp_path, pa.table({}))


def test_the_folders_above_a_parquet_file_add_no_columns(tmp_path: Path) -> None:
    folder = tmp_path / "year=2024"
    folder.mkdir()
    assert load(folder, pa.table({"a": AGES, "y": LABELS})).features == ["a"]


def test_the_stored_index_of_a_frame(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": AGES, "who": AGES[::-1], "y": LABELS}).set_index("who")
    frame.to_parquet(tmp_path / "f.parquet")
    data = Table(path=str(tmp_path / "f.parquet"), target="y").load()
    assert data.features == ["a"]
    assert "left out: who (the stored index)" in data.notes[1]
    assert Table(path=str(tmp_path / "f.parquet"), target="y", keep=["who"]).load().features == ["a", "who"]


def test_a_folder_and_a_pattern_of_files(tmp_path: Path) -> None:
    table = pa.table({"a": AGES, "b": [age / 4 for age in AGES], "y": LABELS})
    folder = tmp_path / "parts.v1"
    (folder / "more").mkdir(parents=True)
    narrow = pa.schema([("y", pa.int8()), ("b", "float"), ("a", "float")])
    last = folder / "more" / "part-1.parquet"
    pq.write_table(table[:5], folder / "a.parquet")
    pq.write_table(table[5:].select(["y", "b", "a"]).cast(narrow), last)
    (folder / "_SUCCESS").touch()
    whole = load(tmp_path, table)
    for path in (folder, folder / "**" / "*.parquet"):
        data = Table(path=str(path), target="y").load()
        assert data.train.X.cast(whole.train.X.schema).equals(whole.train.X)
    pq.write_table(table[5:].rename_columns(["a", "c", "y"]), last)
    with pytest.raises(PipelineError, match="all files of .* must have the same columns; . is not both in"):
        Table(path=str(folder), target="y").load()
    pq.write_table(table[5:].set_column(0, "a", pa.array(["x"] * 7)), last)
    with pytest.raises(PipelineError, match="could not be read as parquet"):
        Table(path=str(folder), target="y").load()
    for path in (tmp_path / "none*.parquet", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(PipelineError, match="a Parquet file, a folder of such, or a pattern of names; there is none"):
            Table(path=str(path), target="y").load()


def test_the_names_of_folders_are_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": AGES, "a.b": AGES[::-1], "town": ["Bad Ems", "Ulm", None] * 4, "y": LABELS})
    frame.to_parquet(tmp_path / "parts", partition_cols=["town"])
    data = Table(path=str(tmp_path / "parts"), target="y").load()
    assert types(data) == {"a": "integer", "a.b": "integer", "town": "text"}
    assert cells(data, "town") == ["Bad Ems"] * 4 + ["Ulm"] * 4 + [None] * 4
    (tmp_path / "parts" / "part.parquet").write_bytes((next((tmp_path / "parts").rglob("*.parquet"))).read_bytes())
    with pytest.raises(PipelineError, match="must lie in folders of the same names; .*parquet does not"):
        Table(path=str(tmp_path / "parts"), target="y").load()


def test_labels_that_are_not_a_number_are_missing(tmp_path: Path) -> None:
    labels = pa.array([*map(float, LABELS[:-1]), float("nan")])
    assert "1 are missing, the first in row 12" in refusal(tmp_path, pa.table({"a": AGES, "y": labels}))


def test_chunks_have_the_types_that_are_asked_for(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array(AGES, pa.int16()), "n": ["x", "y"] * 6})
    pq.write_table(table, tmp_path / "t.parquet")
    file = open_table(str(tmp_path / "t.parquet"))
    (chunk,) = file.chunks({"n": "text", "a": "number"})
    assert chunk.schema == pa.schema([("n", "string"), ("a", "double")])
    with pytest.raises(PipelineError, match="of the type that the model was trained on in .*; n is of text, not of"):
        [*file.chunks({"n": "number"})]


def test_decimals_are_the_numbers_that_they_are_nearest_to(tmp_path: Path) -> None:
    cents = [Decimal(cent) / 100 for cent in range(10_000)]
    table = pa.table({"a": pa.array(cents, pa.decimal128(9, 2)), "y": [0, 1] * 5000})
    assert cells(load(tmp_path, table), "a") == [*map(float, cents)]


@pytest.mark.parametrize("kind", [pa.time32("s"), pa.time64("us"), pa.time64("ns")])
def test_times_of_day_are_text(tmp_path: Path, kind: pa.DataType) -> None:
    times = pa.array([time(hour // 2, 5) for hour in range(12)], pa.time64("us")).cast(kind)
    data = load(tmp_path, pa.table({"a": times, "y": LABELS}))
    assert cells(data, "a") == [f"{hour // 2:02}:05:00" for hour in range(12)]


def test_the_files_of_a_folder_may_have_dictionaries_or_not(tmp_path: Path) -> None:
    town = pd.Series(["Ulm", "Bern", None] * 4)
    folder = tmp_path / "parts"
    folder.mkdir()
    kinds: list[Any] = ["category", object, "string[pyarrow]"]
    for i, cells_type in enumerate(kinds):
        pd.DataFrame({"town": town.astype(cells_type), "a": AGES, "y": LABELS}).to_parquet(folder / f"{i}.parquet")
    data = Table(path=str(folder), target="y").load()
    assert types(data) == {"town": "text", "a": "integer"}
    assert cells(data, "town") == ["Bern"] * 12 + ["Ulm"] * 12 + [None] * 12


def test_a_field_of_a_struct_and_a_column_of_its_name(tmp_path: Path) -> None:
    table = pa.table({"a.b": AGES, "a": [{"b": 1, "c": 2}] * 12, "y": LABELS})
    assert "column names must be unique; " in refusal(tmp_path, table)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    table = pa.table({"a": AGES, "photo": [b"\xff\xd8"] * 12, "y": LABELS})
    assert "must be text in UTF-8 in " in (sentence := refusal(tmp_path, table))
    assert sentence.endswith("photo is not: data.drop=[NAME] leaves it out")
    assert load(tmp_path, table, drop=["photo"]).features == ["a"]
