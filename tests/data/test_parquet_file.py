"""Parquet files: damaged ones, stored indices, and folders with meaning."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from pipeline.data.sources.table import Table
from pipeline.errors import PipelineError
from tests.data.tables import AGES, LABELS, load, refusal


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
