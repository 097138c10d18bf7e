"""Manifests: JSON files that hold the digests of the files beside them, and of themselves.

schema.json describes the arrays in out/data/, model.json a fit, evaluation.json what was measured of it, figures.json what was
drawn of that, report.json the report. A stage reads the other files through these, so it sees what one stage wrote, or refuses.
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

from pipeline.arrays import Arrays, Features
from pipeline.errors import ArtifactError, PipelineError
from pipeline.files import (
    SPARSE,
    Table,
    digest_of,
    file_digest,
    open_file,
    open_file_digest,
    parse_array,
    parse_arrays,
    parse_csv,
    parse_numbers,
    read_json,
    write_json,
)

EVALUATION, FIGURES, REPORT = "evaluation.json", "figures.json", "report.json"
REMEDIES = {  # what makes the files again that a manifest describes
    "schema.json": "run `python -m pipeline.stages.generate` again",
    "model.json": "train again",
    EVALUATION: "run `python -m pipeline.stages.evaluate` again",
    FIGURES: "run `python -m pipeline.stages.plot` again",
    REPORT: "run `python -m pipeline.stages.report` again",
}
T = TypeVar("T")
Source = TypeVar("Source")


def write_manifest(path: Path, content: Mapping[str, Any], names: Iterable[str]) -> str:
    """Write a manifest of these files beside it. Returns its checksum."""
    described = {**content, "files": {name: file_digest(path.parent / name) for name in sorted(names)}}
    checksum = digest_of(json.loads(json.dumps(described)))
    write_json(path, {**described, "checksum": checksum})
    return checksum


@dataclass(frozen=True)
class Manifest(Generic[T]):
    """A manifest and the files beside it. Each reader raises ArtifactError where a file is not as described."""

    path: Path
    content: T
    files: dict[str, str]  # SHA-256 by name
    checksum: str  # tells this manifest, and so all files that it describes, from every other
    _mapped: dict[Path, os.stat_result] = field(default_factory=dict)  # as they were when they were held to their digests

    def read(self, name: str) -> bytes:
        path = self.path.parent / name
        with open_file(path) as file:
            content = file.read()
        self._require(hashlib.sha256(content).hexdigest(), name)
        return content

    def open(self, name: str) -> BufferedReader:
        file = open_file(self.path.parent / name)
        try:
            self._require(open_file_digest(file), name)
        except BaseException:
            file.close()
            raise
        return file

    def verify(self) -> None:
        """Hold every file to its digest."""
        for name in self.files:
            self.open(name).close()

    def array(self, name: str, mapped: bool = False) -> np.ndarray[Any, np.dtype[Any]]:
        path = self.path.parent / name
        with self.open(name) as file:
            if mapped:
                self._mapped[path] = os.fstat(file.fileno())
            return parse_array(file, path, mapped)

    def features(self, part: str, columns: int) -> Features:
        """What `write_features` wrote of so many columns to the folder `part`, mapped."""
        if f"{part}/X.npy" in self.files:
            return self.array(f"{part}/X.npy", mapped=True)
        from scipy.sparse import csr_array

        data, indices, indptr = (self.array(f"{part}/X.{name}.npy", mapped=True) for name in SPARSE)
        try:
            X = csr_array((data, indices, indptr), shape=(len(indptr) - 1, columns))
            X.check_format(full_check=True)
        except ValueError as error:
            raise ArtifactError(f"{self.path.parent}/{part}/X.*.npy must be a matrix in CSR format: {error}") from None
        return X

    def numbers(self, name: str, *keys: str) -> dict[str, float]:
        return parse_numbers(self.read(name), self.path.parent / name, *keys)

    def csv(self, name: str, *columns: str) -> Table:
        return parse_csv(self.read(name), self.path.parent / name, *columns)

    def arrays(self, name: str) -> Arrays:
        """Those of a .npz file."""
        return parse_arrays(self.read(name), self.path.parent / name)

    def require_unchanged(self) -> None:
        """Raise ArtifactError where another process has replaced this manifest since it was read."""
        try:
            same = read_json(self.path, "checksum")["checksum"] == self.checksum
        except PipelineError:
            same = False
        if not same:
            raise ArtifactError(
                f"{self.path} must stay as it is during a stage; another process has replaced it: run this again"
            )

    def require_steady(self) -> None:
        """Raise ArtifactError where a mapped file was written over in its place meanwhile. One put in its place is harmless."""
        for path, was in self._mapped.items():
            now = path.stat() if path.exists() else was
            same = not os.path.samestat(was, now) or (was.st_size, was.st_mtime_ns) == (now.st_size, now.st_mtime_ns)
            if not same:
                raise ArtifactError(
                    f"{path} must stay as it is during a stage; another process has written to it: {self._remedy}"
                )

    def _require(self, digest: str, name: str) -> None:
        known = self.files.get(name)
        if digest != known:
            raise ArtifactError(f"{self.path.parent / name} must be what {self.path.name} describes; {self._remedy}")

    @property
    def _remedy(self) -> str:
        return REMEDIES[self.path.name]


def read_manifest(path: Path, parse: Callable[[Mapping[str, Any]], T]) -> Manifest[T]:
    """Raises ArtifactError unless it is there, as it was written, and `parse` takes its content."""
    content = read_json(path, "files", "checksum")
    written = {key: value for key, value in content.items() if key != "checksum"}
    if content["checksum"] != digest_of(written) or not isinstance(content["files"], dict):
        raise ArtifactError(f"{path} must be as it was written; it is damaged: {REMEDIES[path.name]}")
    try:
        parsed = parse(content)
    except ArtifactError as error:
        raise ArtifactError(f"{path} is of no use: {error}; {REMEDIES[path.name]}") from None
    return Manifest(path, parsed, content["files"], content["checksum"])


def read_made_of(path: Path, key: str, source: Manifest[Source]) -> Manifest[Mapping[str, Any]]:
    """A manifest of what was made of another. Raises ArtifactError unless its content[key] is the checksum of that."""
    made = read_manifest(path, lambda content: content)
    if made.content.get(key) != source.checksum:
        raise ArtifactError(f"{path} must be of the {source.path} that is there; {REMEDIES[path.name]}")
    return made


def read_evaluation(model: Manifest[Source]) -> Manifest[Mapping[str, Any]]:
    """evaluation.json beside a model.json."""
    return read_made_of(model.path.parent / EVALUATION, "model", model)


def read_figures(evaluation: Manifest[Source]) -> Manifest[Mapping[str, Any]]:
    """figures/figures.json beside an evaluation.json."""
    return read_made_of(evaluation.path.parent / "figures" / FIGURES, "evaluation", evaluation)
