"""Describing files: JSON files that hold the digests of the files beside them, and of themselves.

schema.json describes the arrays in out/data/, model.json a fit, evaluation.json what was measured of it, figures.json what was
drawn of that, report.json the report. A stage reads the other files through these, so it sees what one stage wrote, or refuses.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from pipeline._files import (
    ABOUT,
    SCHEMA,
    SPARSE,
    Table,
    digest_of,
    file_digest,
    open_file,
    open_file_digest,
    parse_array,
    parse_csv,
    parse_numbers,
    parse_weights,
    read_json,
    write_json,
)
from pipeline.numerics import InvalidInput, require
from pipeline.numerics.matrix import Features
from pipeline.numerics.models import LogisticModel

EVALUATION, FIGURES, REPORT = "evaluation.json", "figures.json", "report.json"
REMEDIES = {  # what makes the files again that a describing file describes
    "schema.json": "run `python -m pipeline.generate` again",
    "model.json": "train again",
    EVALUATION: "run `python -m pipeline.evaluate` again",
    FIGURES: "run `python -m pipeline.plot` again",
    REPORT: "run `python -m pipeline.report` again",
}


def describe_files(folder: Path, content: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """`content` with the digests of these files in `folder`, and a checksum of it all: what a describing file holds."""
    described = {**content, "files": {name: file_digest(folder / name) for name in sorted(names)}}
    return {**described, "checksum": digest_of(json.loads(json.dumps(described)))}


def write_described(path: Path, content: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Write a describing file of these files beside it. Returns what it holds."""
    described = describe_files(path.parent, content, names)
    write_json(path, described)
    return described


@dataclass(frozen=True)
class Described:
    """A describing file, and the files beside it. Each reader raises InvalidInput where a file is not as described."""

    path: Path
    content: dict[str, Any]
    _mapped: dict[Path, os.stat_result] = field(default_factory=dict)  # as they were when they were held to their digests

    @property
    def checksum(self) -> str:
        """Tells this describing file, and so all files that it describes, from every other."""
        return str(self.content["checksum"])

    @property
    def names(self) -> list[str]:
        return list(self.content["files"])

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
        for name in self.names:
            self.open(name).close()

    def array(self, name: str, mapped: bool = False) -> np.ndarray[Any, np.dtype[Any]]:
        path = self.path.parent / name
        with self.open(name) as file:
            if mapped:
                self._mapped[path] = os.fstat(file.fileno())
            return parse_array(file, path, mapped)

    def features(self, part: str) -> Features:
        """What `write_features` wrote to the folder `part`, mapped."""
        if f"{part}/X.npy" in self.names:
            return self.array(f"{part}/X.npy", mapped=True)
        from scipy.sparse import csr_array

        data, indices, indptr = (self.array(f"{part}/X.{name}.npy", mapped=True) for name in SPARSE)
        try:
            X = csr_array((data, indices, indptr), shape=(len(indptr) - 1, len(self.content["features"])))
            X.check_format(full_check=True)
        except ValueError as error:
            raise InvalidInput(f"{self.path.parent}/{part}/X.*.npy must be a matrix in CSR format: {error}") from None
        return X

    def numbers(self, name: str, *keys: str) -> dict[str, float]:
        return parse_numbers(self.read(name), self.path.parent / name, *keys)

    def csv(self, name: str, *columns: str) -> Table:
        return parse_csv(self.read(name), self.path.parent / name, *columns)

    def weights(self, name: str) -> LogisticModel:
        """The weights and scaling in a model.npz."""
        path = self.path.parent / name
        with open_file(path) as file:
            content = file.read()
        model = parse_weights(content, path)
        self._require(hashlib.sha256(content).hexdigest(), name)
        return model

    def require_of(self, other: "Described", key: str) -> None:
        """Raise InvalidInput unless this describing file's content[key] names the other one's checksum."""
        same = self.content[key] == other.checksum
        require(same, f"{self.path} must be of the {other.path} that is there; {self._remedy}")

    def require_unchanged(self) -> None:
        """Raise InvalidInput where another process has replaced this describing file since it was read."""
        try:
            same = read_json(self.path, "checksum")["checksum"] == self.checksum
        except InvalidInput:
            same = False
        require(same, f"{self.path} must stay as it is during a stage; another process has replaced it: run this again")

    def require_steady(self) -> None:
        """Raise InvalidInput where a mapped file was written over in its place meanwhile. One put in its place does no harm."""
        for path, was in self._mapped.items():
            now = path.stat() if path.exists() else was
            same = not os.path.samestat(was, now) or (was.st_size, was.st_mtime_ns) == (now.st_size, now.st_mtime_ns)
            require(same, f"{path} must stay as it is during a stage; another process has written to it: {self._remedy}")

    def _require(self, digest: str, name: str) -> None:
        known = self.content["files"].get(name)
        require(digest == known, f"{self.path.parent / name} must be what {self.path.name} describes; {self._remedy}")

    @property
    def _remedy(self) -> str:
        return REMEDIES[self.path.name]


def read_described(path: Path, *keys: str) -> Described:
    """A describing file with these keys. Raises InvalidInput unless it is there, and as it was written."""
    content = read_json(path, *keys, "files", "checksum")
    written = {key: value for key, value in content.items() if key != "checksum"}
    same = content["checksum"] == digest_of(written) and isinstance(content["files"], dict)
    require(same, f"{path} must be as it was written; it is damaged: {REMEDIES[path.name]}")
    return Described(path, content)


def read_schema(data: Path) -> Described:
    return read_described(data / "schema.json", *SCHEMA)


def read_about(folder: Path) -> Described:
    return read_described(folder / "model.json", *ABOUT)


def read_evaluation(about: Described) -> Described:
    """evaluation.json beside a model.json. Raises InvalidInput where it is of another model."""
    evaluation = read_described(about.path.parent / EVALUATION, "model")
    evaluation.require_of(about, "model")
    return evaluation


def read_figures(evaluation: Described) -> Described:
    """figures/figures.json beside an evaluation.json. Raises InvalidInput where they were drawn of another evaluation."""
    figures = read_described(evaluation.path.parent / "figures" / FIGURES, "evaluation")
    figures.require_of(evaluation, "evaluation")
    return figures


def read_model(about: Described, data: Path) -> tuple[LogisticModel, Described]:
    """model.npz's weights and scaling, and schema.json. Raises InvalidInput where the model was not trained on `data`."""
    model, schema = about.weights("model.npz"), read_schema(data)
    same = schema.content["digest"] == about.content["data"]["digest"]
    require(same, f"{data} must be what {about.path.parent} was trained on; train again")
    return model, schema


def weights_digest(about: Mapping[str, Any]) -> str:
    """SHA-256 of the model.npz that a model.json describes; runs made before it had `files` have it under another name."""
    return str(about["files"]["model.npz"] if "files" in about else about["weights"])
