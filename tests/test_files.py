"""Files are whole or absent, read back exactly, and have the same bytes each time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline import files
from pipeline.atomic import atomic_dir
from pipeline.errors import PipelineError
from pipeline.redaction import without_credentials


def read_array(path: Path) -> object:
    with files.open_file(path) as file:
        return files.parse_array(file, path)


def test_a_failed_stage_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("old")

    def fail() -> None:
        with atomic_dir(tmp_path) as folder:
            (folder / "kept.txt").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
    assert (tmp_path / "kept.txt").read_text() == "old"


def test_a_finished_stage_replaces_files_and_folders(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with atomic_dir(tmp_path) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / text).write_text(text)
            (folder / "file").write_text(text)
    assert (tmp_path / "file").read_text() == "new"
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["new"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match="must be a folder that can be written to"), atomic_dir(tmp_path / "file"):
        pass


def test_csv_reads_back_exactly(tmp_path: Path) -> None:
    columns = {"epoch": [0, 10], "loss": [0.1 + 0.2, 1e-300]}
    files.write_csv(tmp_path / "t.csv", columns)
    back = files.read_csv(tmp_path / "t.csv", "epoch", "loss")
    assert {name: values.tolist() for name, values in back.items()} == columns


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.json"])
def test_damaged_and_missing_files(tmp_path: Path, name: str) -> None:
    readers: dict[str, Callable[[Path], object]] = {
        "a.npy": read_array,
        "a.npz": lambda path: files.parse_arrays(files.read_bytes(path), path),
        "a.json": files.read_json,
    }
    read = readers[name]
    with pytest.raises(PipelineError, match="there is no"):
        read(tmp_path / name)
    (tmp_path / name).write_bytes(b"damaged")
    with pytest.raises(PipelineError, match="damaged|must be a JSON file"):
        read(tmp_path / name)


def test_digests_tell_parts_apart() -> None:
    assert files.digest(b"ab", b"c") != files.digest(b"a", b"bc")
    assert files.digest_of({"a": 1, "b": 2}) == files.digest_of({"b": 2, "a": 1})


def test_the_code_s_hash_covers_what_trains_and_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = {path.name for path in files.sources("pipeline.learning.fit")}
    assert {"fit.py", "objective.py", "first_order.py", "second_order.py", "torch_model.py"} <= names
    assert not names & {"figures.py", "metrics.py", "client.py"}
    before = files.code_hash("pipeline.learning.fit")
    edited = tmp_path / "learning" / "objective.py"
    edited.parent.mkdir()
    edited.write_text("pass")
    monkeypatch.setattr("pipeline.files.sources", lambda _: (edited,))
    monkeypatch.setattr("pipeline.files.ROOT", tmp_path)
    assert files.code_hash("pipeline.learning.fit") != before


def test_npz_and_parquet_have_stable_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        files.write_parquet(tmp_path / f"{name}.parquet", {"x": np.arange(3.0), "y": np.array(["u", "v", "w"])})
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize("text", ["", "epoch\n", "epoch,loss\n1,", "epoch,loss\n1,x\n", "epoch\n1\n"])
def test_a_damaged_csv(tmp_path: Path, text: str) -> None:
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(PipelineError, match="must be a CSV file of numbers with epoch, loss; it is damaged"):
        files.read_csv(tmp_path / "history.csv", "epoch", "loss")


def test_a_uri_is_shown_without_its_credentials() -> None:
    assert without_credentials("https://ada:secret@host:5000/x@y") == "https://host:5000/x@y"
    assert without_credentials("sqlite:///mlruns/mlflow.db") == "sqlite:///mlruns/mlflow.db"
