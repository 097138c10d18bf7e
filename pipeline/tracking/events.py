"""The events of a run's journal, and its lines: JSON objects with the format's version and a checksum."""

import json
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

VERSION = 1
FINISHED, FAILED, KILLED = "finished", "failed", "killed"
CHECKSUM = ', "crc": "'  # begins the end of a line


@dataclass(frozen=True)
class Event:
    """Something that happened in an attempt at a stage."""

    kind: ClassVar[str]
    attempt: str


@dataclass(frozen=True)
class Opened(Event):
    """A stage begins. It belongs to the run of a model, or is a sweep, or (`run_id`) any run of MLflow's."""

    kind = "opened"
    stage: str
    time: float  # seconds since 1970, as all times here
    process: list[Any]  # processes.Process: the one that works
    supervisor: list[Any]  # the one whose end is the command's
    settings: dict[str, Any]  # of tracking: uri, without credentials, and experiment
    name: str = ""  # of a sweep, as the user typed it
    swept: dict[str, Any] = field(default_factory=dict)  # the keys of a sweep that have several values, and these as a text
    run_id: str = ""
    sweep: str = ""  # the key of the sweep that it is, or that it is a job of
    candidate: str = ""  # the model's name in the DAG
    card: dict[str, Any] = field(default_factory=dict)  # model.json; empty for a sweep
    tags: dict[str, Any] = field(default_factory=dict)  # provenance
    environment: dict[str, Any] = field(default_factory=dict)  # the versions of libraries, and the machine
    trains: bool = False  # its provenance is the run's


@dataclass(frozen=True)
class Epoch(Event):
    """One point of the curve, measured before the epoch's update."""

    kind = "epoch"
    epoch: int
    loss: float
    gradient_norm: float
    time: float | None = None  # None: not known


@dataclass(frozen=True)
class Files(Event):
    """Files for a folder of the run's artifacts, and what else they say. See `Artifacts`."""

    kind = "files"
    folder: str
    time: float
    files: list[Any]  # of dicts: name, path (the original's), sha256
    metrics: dict[str, Any]
    tags: dict[str, Any]
    texts: dict[str, Any]
    table: str
    is_model: bool


@dataclass(frozen=True)
class Closed(Event):
    """A stage has ended."""

    kind = "closed"
    ending: str  # FINISHED, FAILED or KILLED
    time: float
    reason: str = ""
    traceback: str = ""

    @classmethod
    def finished(cls, attempt: str) -> Self:
        return cls(attempt, FINISHED, time.time())


@dataclass(frozen=True)
class Artifacts:
    """What a stage has made, for MLflow to show."""

    folder: str  # of the artifacts
    paths: Sequence[Path] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)  # nan: in place of a number that the run had
    tags: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)  # further artifacts by their path; surrogates stand for bytes
    table: str = ""  # which table was read, to be listed as the run's data set: training or test
    is_model: bool = False  # the paths are a model's, to be loaded by MLflow


KINDS: dict[str, type[Event]] = {kind.kind: kind for kind in (Opened, Epoch, Files, Closed)}


def to_line(event: Event) -> str:
    body = json.dumps({"version": VERSION, "event": event.kind, **vars(event)})[:-1]
    return f'{body}{CHECKSUM}{zlib.crc32(body.encode()):08x}"}}\n'


def parse_line(line: str) -> Event:
    """Raises ValueError, TypeError or KeyError where the line is no event of this version."""
    body, _, checksum = line.rpartition(CHECKSUM)
    if checksum != f'{zlib.crc32(body.encode()):08x}"}}':
        raise ValueError("damaged")
    content = json.loads(body + "}")
    if content.pop("version") != VERSION:
        raise ValueError("of another version")
    return KINDS[content.pop("event")](**content)
