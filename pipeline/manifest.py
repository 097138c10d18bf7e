"""Manifests: JSON files that hold the digests of the files beside them, and of themselves.

schema.json describes the arrays in out/data/, validation.json what was predicted before a model's fit, model.json the fit,
evaluation.json what was measured of it, figures.json what was drawn of that, report.json the report. A stage reads the other
files through these, so it sees what one stage wrote, or refuses.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from pipeline import files
from pipeline.arrays import Array, Arrays, Features
from pipeline.errors import ArtifactError
from pipeline.files import Table

SCHEMA, CARD, EVALUATION, FIGURES, REPORT = "schema.json", "model.json", "evaluation.json", "figures.json", "report.json"
VALIDATION = "validation.json"
DECISION = "decision.json"  # no manifest, but in every folder that EVALUATION describes
T = TypeVar("T")
Source = TypeVar("Source")


def write_manifest(path: Path, stage: str, content: Mapping[str, Any], names: Iterable[str]) -> str:
    """Write a manifest of these files beside it, which this stage made. Returns its checksum."""
    described = {**content, "stage": stage, "files": {name: files.file_digest(path.parent / name) for name in sorted(names)}}
    checksum = files.digest_of(json.loads(json.dumps(described)))
    files.write_json(path, {**described, "checksum": checksum})
    return checksum


@dataclass(frozen=True)
class Manifest(Generic[T]):
    """A manifest and the files beside it. Each reader raises ArtifactError where a file is not as described."""

    path: Path
    content: T
    stage: str  # the one that made it
    files: dict[str, str]  # SHA-256 by name
    checksum: str  # identifies this manifest, and so the bytes of all files that it describes
    _mapped: dict[Path, os.stat_result] = field(default_factory=dict)  # by path: as the file was when its digest was checked

    @property
    def remedy(self) -> str:
        return f"run `python -m pipeline.stages.{self.stage}` again"

    def read(self, name: str) -> bytes:
        with files.open_file(self.path.parent / name) as file:
            content = file.read()
        self._check(name, hashlib.sha256(content).hexdigest())
        return content

    def open(self, name: str) -> BufferedReader:
        file = files.open_file(self.path.parent / name)
        try:
            self._check(name, files.open_file_digest(file))
        except BaseException:
            file.close()
            raise
        return file

    def verify(self) -> None:
        """Check every file's digest."""
        for name in self.files:
            self.open(name).close()

    def array(self, name: str) -> np.ndarray[Any, np.dtype[Any]]:
        """That of a .npy file, mapped into memory."""
        path = self.path.parent / name
        with self.open(name) as file:
            self._mapped[path] = os.fstat(file.fileno())
            return files.map_array(file, path)

    def table(self, name: str) -> Any:
        """The pyarrow Table of a Parquet file."""
        from pyarrow import ArrowException, parquet

        path = self.path.parent / name
        with self.open(name) as file:
            self._mapped[path] = os.fstat(file.fileno())
            try:
                return parquet.ParquetFile(file).read()
            except (ArrowException, OSError) as error:
                raise ArtifactError(f"{path} must be a Parquet file; it cannot be read: {error}") from None

    def features(self, part: str, columns: int) -> Features:
        """What `write_features` wrote of so many columns to the folder `part`, mapped."""
        if f"{part}/X.npy" in self.files:
            return self.array(f"{part}/X.npy")
        from scipy.sparse import csr_array

        data, indices, indptr = (self.array(f"{part}/X.{name}.npy") for name in files.SPARSE)
        try:
            X = csr_array((data, indices, indptr), shape=(len(indptr) - 1, columns))
            X.check_format(full_check=True)
        except ValueError as error:
            raise ArtifactError(f"{self.path.parent}/{part}/X.*.npy must be a matrix in CSR format: {error}") from None
        return X

    def weight(self, part: str) -> Array | None:
        """The weights (n,) of the rows of `part`, mapped; None where they have none."""
        return self.optional_array(f"{part}/weight.npy")

    def optional_array(self, name: str) -> np.ndarray[Any, np.dtype[Any]] | None:
        """That of a .npy file, mapped into memory; None where there is no such file."""
        return self.array(name) if name in self.files else None

    def numbers(self, name: str, *keys: str) -> dict[str, float]:
        """The numbers of a JSON file: finite, or nan where they are undefined."""
        return files.read_numbers(self.path.parent / name, *keys, content=self.read(name))

    def json(self, name: str, *keys: str) -> dict[str, Any]:
        """The object in a JSON file, with these keys."""
        return files.read_json(self.path.parent / name, *keys, content=self.read(name))

    def csv(self, name: str, *columns: str) -> Table:
        return files.read_csv(self.path.parent / name, *columns, content=self.read(name))

    def arrays(self, name: str) -> Arrays:
        """Those of a .npz file."""
        return files.parse_arrays(self.read(name), self.path.parent / name)

    def check_not_replaced(self) -> None:
        """Raise ArtifactError where another process has replaced this manifest since it was read."""
        try:
            unchanged = files.read_json(self.path, "checksum")["checksum"] == self.checksum
        except ArtifactError:
            unchanged = False
        if not unchanged:
            rule = f"{self.path} must stay as it is during a stage"
            raise ArtifactError(f"{rule}; another process has replaced it: run this again")

    def check_not_modified(self) -> None:
        """Raise ArtifactError where a mapped file was written to since. Another file in its place does no harm."""
        for path, before in self._mapped.items():
            now = path.stat() if path.exists() else before
            unchanged = (before.st_size, before.st_mtime_ns) == (now.st_size, now.st_mtime_ns)
            if os.path.samestat(before, now) and not unchanged:
                rule = f"{path} must stay as it is during a stage"
                raise ArtifactError(f"{rule}; another process has written to it: {self.remedy}")

    def _check(self, name: str, digest: str) -> None:
        if digest != self.files.get(name):
            raise ArtifactError(f"{self.path.parent / name} must be what {self.path.name} describes; {self.remedy}")


def read_manifest(path: Path, parse: Callable[[Mapping[str, Any]], T]) -> Manifest[T]:
    """Raises ArtifactError unless it is there, as it was written, and `parse` takes its content."""
    content = files.read_json(path, "stage", "files", "checksum")
    described = {key: value for key, value in content.items() if key != "checksum"}
    if content["checksum"] != files.digest_of(described) or not isinstance(content["files"], dict):
        raise ArtifactError(f"{path} must be as it was written; it is damaged: {files.REMEDY}")
    try:
        return Manifest(path, parse(content), content["stage"], content["files"], content["checksum"])
    except ArtifactError as error:
        raise ArtifactError(f"{path} cannot be used: {error}; {files.REMEDY}") from None


def read_made_of(path: Path, key: str, source: Manifest[Source]) -> Manifest[Mapping[str, Any]]:
    """A manifest of what was made of another. Raises ArtifactError unless its content[key] is the checksum of that."""
    made = read_manifest(path, lambda content: content)
    if made.content.get(key) != source.checksum:
        raise ArtifactError(f"{path} must be of the {source.path} that is there; {made.remedy}")
    return made


def read_validation(folder: Path, fingerprint: str | None = None) -> Manifest[Mapping[str, Any]]:
    """validation.json in a candidate's folder. Raises ArtifactError unless it is of the model with this fingerprint."""
    validation = read_manifest(folder / VALIDATION, lambda content: content)
    if fingerprint not in (None, validation.content.get("fingerprint")):
        raise ArtifactError(f"{validation.path} must be of the model beside it; {validation.remedy}")
    return validation


def read_evaluation(model: Manifest[Source]) -> Manifest[Mapping[str, Any]]:
    """evaluation.json beside a model.json."""
    return read_made_of(model.path.parent / EVALUATION, "model", model)


def read_figures(evaluation: Manifest[Source]) -> Manifest[Mapping[str, Any]]:
    """figures/figures.json beside an evaluation.json."""
    return read_made_of(evaluation.path.parent / "figures" / FIGURES, "evaluation", evaluation)
