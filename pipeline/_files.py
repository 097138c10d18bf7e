"""The disk: where files lie, how they are written whole or not at all, and what the code's hash is."""

import ast
import csv
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.numerics import InvalidInput, require
from pipeline.numerics.matrix import Features
from pipeline.numerics.models import LogisticModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
OUT = Path("out")
SCHEMA = ("features", "target", "classes", "rows", "digest", "source")  # keys of schema.json
SPARSE = ("data", "indices", "indptr")  # the arrays of a CSR matrix
ABOUT = ("fingerprint", "features", "target", "classes", "data", "config", "weights", "fit")  # of model.json


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A temporary folder whose files are renamed into `target` when the block ends, and dropped when it fails."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".writing-", dir=target))
    except OSError as error:
        raise InvalidInput(f"{target} must be a folder that can be written to: {error.strerror}") from None
    try:
        yield folder
        for made in sorted(folder.iterdir()):
            final = target / made.name
            if final.is_dir():
                shutil.rmtree(final)
            os.replace(made, final)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Indented, keys in the order given, the same bytes for the same content."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path, *keys: str) -> dict[str, Any]:
    """Raises InvalidInput where there is no such file, or no JSON object with these keys in it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidInput(f"there is no {path}; an earlier stage makes it: run `dvc repro` or `python -m pipeline`") from None
    except ValueError:
        raise InvalidInput(f"{path} must be a JSON file; it is not") from None
    whole = isinstance(content, dict) and set(keys) <= set(content)
    require(whole, f"{path} must hold a JSON object with {', '.join(keys) or 'any keys'}; it does not")
    return dict(content)


def read_array(path: Path, mapped: bool = False) -> np.ndarray[Any, np.dtype[Any]]:
    """The array in a .npy file; `mapped` leaves it on the disk until it is read."""
    try:
        return np.asanyarray(np.load(path, mmap_mode="r" if mapped else None))
    except FileNotFoundError:
        raise InvalidInput(f"there is no {path}; `python -m pipeline.generate` makes it") from None
    except (ValueError, EOFError):
        raise InvalidInput(f"{path} must be a .npy file; it is damaged") from None


def write_features(folder: Path, X: Features) -> None:
    """X as X.npy or, if it is sparse, as X.data.npy, X.indices.npy and X.indptr.npy: files to be mapped into memory."""
    if isinstance(X, np.ndarray):
        np.save(folder / "X.npy", X)
        return
    for name in SPARSE:
        np.save(folder / f"X.{name}.npy", getattr(X, name))


def read_features(folder: Path, columns: int) -> Features:
    """What `write_features` wrote, mapped; `columns` is a sparse X's d."""
    if not (folder / "X.indptr.npy").exists():
        return read_array(folder / "X.npy", mapped=True)
    from scipy.sparse import csr_array

    data, indices, indptr = (read_array(folder / f"X.{name}.npy", mapped=True) for name in SPARSE)
    try:
        X = csr_array((data, indices, indptr), shape=(len(indptr) - 1, columns))
        X.check_format(full_check=True)
    except ValueError as error:
        raise InvalidInput(f"{folder}/X.*.npy must be a matrix in CSR format: {error}") from None
    return X


def file_digest(path: Path, kind: str = "sha256") -> str:
    """A digest of a file's bytes; md5 is what DVC takes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def read_model(folder: Path, data: Path) -> tuple[dict[str, Any], LogisticModel]:
    """model.json's content and model.npz's weights and scaling. Raises InvalidInput where they are not of one fit to `data`."""
    about, path = read_json(folder / "model.json", *ABOUT), folder / "model.npz"
    model = read_weights(path)
    require(file_digest(path) == about["weights"], f"{path} must be what model.json describes; train again")
    same = read_json(data / "schema.json", *SCHEMA)["digest"] == about["data"]["digest"]
    require(same, f"{data} must be what {folder} was trained on; train again")
    return about, model


def read_weights(path: Path) -> LogisticModel:
    """The weights and scaling in a model.npz."""
    try:
        with np.load(path) as arrays:
            return LogisticModel(arrays["mean"], arrays["scale"], arrays["w"], float(arrays["b"]))
    except FileNotFoundError:
        raise InvalidInput(f"there is no {path}; `python -m pipeline.train` makes it") from None
    except Exception:  # there is no end to what a damaged zip file may raise
        raise InvalidInput(f"{path} must be a model's .npz file; it is damaged") from None


def write_parquet(path: Path, columns: Mapping[str, Any]) -> None:
    """Columns by name, without pandas metadata, so that equal columns give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(dict(columns)), path)


def lists(ends: NDArray[Any], values: NDArray[Any]) -> Any:
    """A column whose cells are lists: values[ends[i]:ends[i + 1]]."""
    import pyarrow as pa

    return pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), pa.array(values))


def write_csv(path: Path, columns: Mapping[str, Any]) -> None:
    """Columns by name. Floats are written so that they read back exactly."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(np.asarray(values).tolist() for values in columns.values()), strict=True))


def read_csv(path: Path, *columns: str) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """These columns of a CSV file of numbers."""
    try:
        with path.open(encoding="utf-8") as file:
            names = file.readline().rstrip("\n").split(",")
            table = np.array([row.split(",") for row in file.read().splitlines()], float, ndmin=2)
        return {name: table[:, names.index(name)] for name in columns}
    except FileNotFoundError:
        raise InvalidInput(f"there is no {path}; an earlier stage makes it") from None
    except (ValueError, IndexError):
        raise InvalidInput(f"{path} must be a CSV file of numbers with {', '.join(columns)}; it is damaged") from None


def write_figure(path: Path, figure: "Figure") -> None:
    """A PNG without a time or a version in it."""
    figure.savefig(path, dpi=120, metadata={"Software": None})


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


@cache
def sources(module: str) -> tuple[Path, ...]:
    """The project's files that a module is made of: its own and all that it imports, at any depth, anywhere in the code."""
    found: set[Path] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        path = _source(name)
        if path is None or path in found:
            continue
        found.add(path)
        todo.append(name.rpartition(".")[0])
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                todo += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                todo += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(sorted(found))


def _source(module: str) -> Path | None:
    """The file of one of the project's modules; None for anything else."""
    if module.partition(".")[0] != "pipeline":
        return None
    path = ROOT.joinpath(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def code_hash(module: str) -> str:
    """SHA-256 of the project's files that a module is made of, and of where they lie in the repository."""
    files = sources(module)
    return digest(*(part for file in files for part in (file.relative_to(ROOT).as_posix().encode(), file.read_bytes())))
