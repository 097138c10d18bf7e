"""Files read back exactly, have the same bytes each time, and are refused where they are damaged."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import files
from pipeline.errors import PipelineError


def read_array(path: Path) -> object:
    with files.open_file(path) as file:
        return files.map_array(file, path)


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


def test_npz_and_parquet_have_stable_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        files.write_parquet(tmp_path / f"{name}.parquet", {"x": np.arange(3.0), "y": np.array(["u", "v", "w"])})
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize("text", ["", "epoch\n", "epoch,loss\n1,", "epoch,loss\n1,x\n", "epoch\n1\n"])
def test_a_damaged_csv(tmp_path: Path, text: str) -> None:
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(PipelineError, match="must be a CSV file of numbers with epoch, loss; it is damaged"):
        files.read_csv(tmp_path / "history.csv", "epoch", "loss")


def test_a_large_file_is_read_once_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = tmp_path / "X.npy", hashlib.file_digest
    reads: list[object] = []

    def counting(file: Any, kind: Any) -> Any:
        reads.append(file)
        return real(file, kind)

    monkeypatch.setattr("pipeline.files.MIN_CACHED_BYTES", 1000)
    monkeypatch.setattr(hashlib, "file_digest", counting)
    np.save(path, np.arange(1000.0))
    first = files.file_digest(path)
    os.replace(path, tmp_path / "moved.npy")
    assert files.file_digest(tmp_path / "moved.npy") == first
    assert len(reads) == 1
    os.utime(tmp_path / "moved.npy", ns=(0, 0))
    assert files.file_digest(tmp_path / "moved.npy") == first
    assert len(reads) == 2
