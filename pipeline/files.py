"""Files: where they lie, how each format is written and read, and their digests. The same content has the same bytes."""

import csv
import hashlib
import io
import json
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Arrays, Features
from pipeline.errors import ArtifactError

Table = dict[str, NDArray[np.float64]]  # columns by name

ROOT = Path(__file__).resolve().parent.parent
OUT = Path("out")
MIN_CACHED_BYTES = 2**20  # of a file whose digest is cached
SPARSE = ("data", "indices", "indptr")  # the arrays of a CSR matrix
REMEDY = "an earlier stage makes it: run `dvc repro` or `python -m pipeline`"
HISTORY = ("epoch", "loss", "gradient_norm")  # the columns of HISTORY_FILE
WEIGHTS_FILE, HISTORY_FILE, METRICS_FILE, PREDICTIONS_FILE = "model.npz", "history.csv", "metrics.json", "predictions.parquet"
PENALTY_FILE, COEFFICIENTS_FILE, CHECKS_FILE = "penalty.csv", "coefficients.csv", "checks.json"
VALIDATION_PREDICTIONS_FILE, VALIDATION_HISTORY_FILE = "validation_predictions.parquet", "validation_history.csv"
INTERVALS_FILE = "intervals.json"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Indented, keys in the order given."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def nan_as_none(content: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name, or mappings of them, with None in place of nan, which JSON lacks."""

    def known(value: Any) -> Any:
        if isinstance(value, Mapping):
            return nan_as_none(value)
        return None if isinstance(value, float) and math.isnan(value) else value

    return {name: known(value) for name, value in content.items()}


def open_file(path: Path) -> BufferedReader:
    """A regular file to read. Raises ArtifactError where there is none; a FIFO is refused without waiting for its writer."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise ArtifactError(f"there is no {path}; {REMEDY}") from None
    except OSError as error:
        raise ArtifactError(f"{path} must be a file that can be read; it is not: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ArtifactError(f"{path} must be a file; it is a folder or a device")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path) -> bytes:
    with open_file(path) as file:
        return file.read()


def read_json(path: Path, *keys: str, content: bytes | None = None) -> dict[str, Any]:
    """The object in a JSON file. content: the file's bytes, where they were read already.

    Raises ArtifactError where there is no such file, or no JSON object with these keys in it.
    """
    content = read_bytes(path) if content is None else content
    try:
        parsed = json.loads(content.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ArtifactError(f"{path} must be a JSON file; it is not") from None
    if not isinstance(parsed, dict) or not set(keys) <= set(parsed):
        raise ArtifactError(f"{path} must hold a JSON object with {', '.join(keys) or 'any keys'}; it does not")
    return parsed


def read_numbers(path: Path, *keys: str, content: bytes | None = None) -> dict[str, float]:
    """The object in a JSON file, all of whose values are finite numbers or, as nan, null."""
    parsed = read_json(path, *keys, content=content)
    for name, value in parsed.items():
        if value is not None and (not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value)):
            raise ArtifactError(f"every value in {path} must be a finite number or null; {name} is not")
    return {name: math.nan if value is None else value for name, value in parsed.items()}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


def map_array(file: BufferedReader, path: Path) -> np.ndarray[Any, np.dtype[Any]]:
    """The array in the open .npy file `path`, mapped into memory. Pickles are refused."""
    try:
        np.lib.format.read_magic(file)
        shape, is_transposed, dtype = np.lib.format.read_array_header_1_0(file)
        return np.memmap(file, dtype, "r", file.tell(), shape, "F" if is_transposed else "C")
    except Exception:  # a damaged header may raise anything
        raise ArtifactError(f"{path} must be a .npy file; it is damaged") from None


def write_features(folder: Path, X: Features) -> None:
    """X as X.npy or, if it is sparse, as X.data.npy, X.indices.npy and X.indptr.npy: to be mapped into memory."""
    if isinstance(X, np.ndarray):
        np.save(folder / "X.npy", np.ascontiguousarray(X))
        return
    for name in SPARSE:
        np.save(folder / f"X.{name}.npy", getattr(X, name))


def file_digest(path: Path, kind: str = "sha256") -> str:
    """A digest of a file's bytes; md5 is what DVC takes."""
    with open_file(path) as file:
        return open_file_digest(file, kind)


def open_file_digest(file: BufferedReader, kind: str = "sha256") -> str:
    """The same of an open file. A large file that has not changed since is read once in a process."""
    status = os.fstat(file.fileno())
    opened = _Opened(kind, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns), file)
    # a small file may change within one tick of the file system's clock
    return _digest_of_opened(opened) if status.st_size >= MIN_CACHED_BYTES else _digest_of_opened.__wrapped__(opened)


@dataclass(frozen=True)
class _Opened:
    """An open file to digest; its content is that of any other file with this identity, size and time."""

    kind: str
    version: tuple[int, ...]
    file: BufferedReader = field(compare=False)


@lru_cache(maxsize=1000)
def _digest_of_opened(opened: _Opened) -> str:
    found = hashlib.file_digest(opened.file, lambda: hashlib.new(opened.kind, usedforsecurity=False)).hexdigest()
    opened.file.seek(0)
    return found


def parse_arrays(content: bytes, path: Path) -> Arrays:
    """The arrays in the bytes of the .npz file `path`."""
    try:
        with np.load(io.BytesIO(content)) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except Exception:  # NumPy and zipfile raise many kinds for a damaged file
        raise ArtifactError(f"{path} must be a model's .npz file; it is damaged") from None


def write_parquet(path: Path, columns: Mapping[str, Any]) -> None:
    """Columns by name, without pandas metadata, so that equal columns give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def column(values: Any) -> Any:
        """From the memory of an array of numbers, since `pa.array` imports pandas, which takes longer than most stages."""
        if not (isinstance(values, np.ndarray) and values.dtype.kind in "iuf"):
            return values
        memory = pa.py_buffer(np.ascontiguousarray(values))
        return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, memory])

    pq.write_table(pa.table({name: column(values) for name, values in columns.items()}), path)


def read_parquet(path: Path) -> dict[str, NDArray[Any]]:
    """The columns by name. Raises ArtifactError where they cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"{path} must be a Parquet file; it cannot be read: {error}") from None
    return {name: table[name].to_numpy() for name in table.column_names}


def list_column(ends: NDArray[Any], values: NDArray[Any]) -> Any:
    """A column whose cells are lists: values[ends[i]:ends[i + 1]]."""
    import pyarrow as pa

    return pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), pa.array(values))


def write_csv(path: Path, columns: Mapping[str, Any]) -> None:
    """Columns by name. Floats are written so that they read back exactly."""
    arrays = [np.asarray(values) for values in columns.values()]
    texts = (cell for array in arrays if array.dtype.kind in "UO" for cell in array.tolist() if isinstance(cell, str))
    has_return = any("\r" in text for text in texts)
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if has_return else csv.QUOTE_MINIMAL  # which leaves "\r" without quotes
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n", quoting=quoting)
        writer.writerow(columns)
        writer.writerows(zip(*(array.tolist() for array in arrays), strict=True))


def read_csv(path: Path, *columns: str, content: bytes | None = None) -> Table:
    """These columns of a CSV file of numbers. content: the file's bytes, where they were read already."""
    content = read_bytes(path) if content is None else content
    try:
        header, _, rows = content.partition(b"\n")
        names = header.decode().rstrip("\r").split(",")
        empty = np.empty((0, len(names)))
        table = np.loadtxt(io.BytesIO(rows), delimiter=",", comments=None, ndmin=2) if rows.strip() else empty
        return {name: table[:, names.index(name)] for name in columns}
    except (ValueError, IndexError):
        raise ArtifactError(f"{path} must be a CSV file of numbers with {', '.join(columns)}; it is damaged") from None


def write_figure(path: Path, figure: Any) -> None:
    """A matplotlib figure as PNG or SVG, by the path's end, without a time or a version in it."""
    hidden = {".png": ("Software",), ".svg": ("Creator", "Date")}[path.suffix]
    figure.savefig(path, dpi=120, metadata=dict.fromkeys(hidden))


def digest(*parts: bytes | memoryview) -> str:
    """SHA-256 over the parts in order, each preceded by its length."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "little"))
        sha.update(part)
    return sha.hexdigest()


def digest_of(content: Any) -> str:
    """SHA-256 of JSON-like content; the order of keys does not matter."""
    return digest(json.dumps(content, sort_keys=True).encode())
