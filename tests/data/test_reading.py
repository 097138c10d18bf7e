"""Files that cannot be read are refused in one sentence."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.data.reading import is_unchanged
from pipeline.data.sources.table import Table
from pipeline.errors import DataError, PipelineError
from tests.data.tables import write


def test_paths_that_no_file_has(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.csv").symlink_to("nowhere.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    for name, sentence in {
        "x" * 300 + ".csv": "must name a file that can be read: File name too long; got '.{60}[.]{3}'",
        "folder.csv": "is a folder",
        "link.csv": "there is none at .*link.csv, it is a link to nowhere.csv",
        "pipe.csv": "is a device or a pipe",
        "a\0b.csv": "path must be one line of text",
        "a\nb.csv": "path must be one line of text",
    }.items():
        with pytest.raises(PipelineError, match=sentence) as refused:
            Table(path=f"{tmp_path}/{name}" if len(name) < 300 else name, target="y").load()
        assert "\n" not in str(refused.value)


def test_a_missing_or_broken_file(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="there is none at"):
        Table(path=str(tmp_path / "no.csv"), target="y").load()
    (tmp_path / "broken.parquet").write_text("not parquet")
    with pytest.raises(PipelineError, match="could not be read as parquet"):
        Table(path=str(tmp_path / "broken.parquet"), target="y").load()
    with pytest.raises(PipelineError, match="data.positive must be one of no, yes; got maybe"):
        Table(path=write(tmp_path), target="y", positive="maybe").load()


@pytest.mark.parametrize("change", [lambda path: path.write_text("a,y\n1"), Path.unlink])
def test_a_change_is_said_where_it_is_why_a_file_cannot_be_read(tmp_path: Path, change: Callable[[Path], object]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,y\n1,2\n")
    malformed = DataError("every row must have as many fields as the header")

    def read(spoil: Callable[[Path], object]) -> None:
        with is_unchanged(str(path)):
            spoil(path)
            raise malformed

    with pytest.raises(DataError, match="t.csv must stay as it is while it is read; it has changed: run this again$"):
        read(change)
    path.write_text("a,y\n1,2\n")
    with pytest.raises(DataError, match="^every row must have as many fields as the header$"):
        read(Path.exists)
