"""The journal of a run: what its stages did, as JSON lines in out/journal/ of the real repository; `sync` sends it to MLflow.

Each line is one event, appended in one piece under a lock; all stages and processes of a run share one file. The files that an
event names are linked beside it until MLflow has them: the next command may replace the originals, and DVC deletes the copies
of the repository that it runs experiments in. A link costs no space: files are replaced, never written into.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from pipeline.errors import PipelineError
from pipeline.files import OUT, digest_of, file_digest
from pipeline.processes import Process, supervisor, this_process
from pipeline.tracking.delivery import delivery_file
from pipeline.tracking.events import KILLED, Artifacts, Closed, Epoch, Event, Files, Opened, parse_line, to_line
from pipeline.tracking.store import project_root

LETTERS = 12  # of a fingerprint and of a digest, in a journal's name
SWEEP = "sweep"  # begins the name of a sweep's journal
ABANDONED_SECONDS = 3600.0  # after which linked files that no event names were left by a process that was killed
LOST = "the process ended without giving a reason, as after SIGKILL or for want of memory"


def new_attempt(stage: str, settings: Mapping[str, Any], **more: Any) -> Opened:
    """This process begins a stage."""
    return Opened(uuid4().hex, stage, time.time(), list(this_process()), list(supervisor()), dict(settings), **more)


@dataclass
class Attempt:
    """All events of one attempt at a stage. An event stands with the place of its end in the journal."""

    opened: Opened
    files: list[tuple[int, Files]] = field(default_factory=list)
    closed: tuple[int, Closed] | None = None

    @property
    def process(self) -> Process:
        return Process(*self.opened.process)

    @property
    def ending(self) -> str:
        return self.closed[1].ending if self.closed else "running"


@dataclass
class Events:
    """The events of a journal, as far as it was read."""

    offset: int = 0  # up to which it was read
    attempts: dict[str, Attempt] = field(default_factory=dict)  # by their ids, in the order of their opening
    points: dict[int, Epoch] = field(default_factory=dict)  # by epoch; the first line of each
    epoch_lines: int = 0  # all of them
    others: int = 0  # events that are no points
    damaged: int = 0  # lines that were skipped

    @property
    def opened(self) -> Opened | None:
        """How the last attempt began."""
        return list(self.attempts.values())[-1].opened if self.attempts else None

    @property
    def is_open(self) -> bool:
        """Whether an attempt has not ended."""
        return any(not attempt.closed for attempt in self.attempts.values())

    def latest(self) -> dict[str, Attempt]:
        """The last attempt at each stage."""
        return {attempt.opened.stage: attempt for attempt in self.attempts.values()}

    def is_superseded(self, attempt: Attempt, files: Files) -> bool:
        """Whether a later attempt at the stage has made these files again."""
        attempts = list(self.attempts.values())
        return any(
            later.opened.stage == attempt.opened.stage and any(made.folder == files.folder for _, made in later.files)
            for later in attempts[attempts.index(attempt) + 1 :]
        )

    def add_line(self, line: bytes) -> None:
        """One that is damaged, or of another version, is counted and skipped."""
        self.offset += len(line)
        if line.strip():
            try:
                self._add(parse_line(line.decode().strip()))
            except (ValueError, TypeError, KeyError):
                self.damaged += 1

    def _add(self, event: Event) -> None:
        self.others += not isinstance(event, Epoch)
        if isinstance(event, Opened):
            self.attempts.setdefault(event.attempt, Attempt(event))
            return
        attempt = self.attempts.get(event.attempt)
        if attempt is None:  # the line of its opening is damaged
            return
        if isinstance(event, Epoch):
            self.points.setdefault(event.epoch, event)
            self.epoch_lines += 1
        elif isinstance(event, Files):
            if event not in [files for _, files in attempt.files]:  # a writer that was interrupted may write it again
                attempt.files.append((self.offset, event))
        elif isinstance(event, Closed) and not attempt.closed:
            attempt.closed = self.offset, event


@dataclass(frozen=True)
class Journal:
    """A run's file of events, to which any number of processes may append, and the files that the events name."""

    path: Path

    @classmethod
    def of(cls, settings: Mapping[str, Any], fingerprint: str = "", sweep: str = "", run_id: str = "") -> Self:
        """The journal of the run with this fingerprint, in a sweep or not; of a sweep; or of any run of MLflow's, by its id."""
        name = fingerprint[:LETTERS] or (SWEEP if sweep else "run")
        key = digest_of([settings["uri"], settings["experiment"], fingerprint, sweep, run_id])
        return cls(folder() / f"{name}-{key[:LETTERS]}.jsonl")

    def append(self, *events: Event) -> int:
        """Write the events in one piece, on lines of their own. Returns where the journal ends after them. Raises OSError, and
        then nothing is written."""
        text = "".join(map(to_line, events)).encode()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":  # its last writer was killed
                text = b"\n" + text
            if not size:
                delivery_file(self.path).unlink(missing_ok=True)  # of a journal that was removed
            left = text
            try:
                while left:  # a full disk takes a part, and refuses the rest
                    left = left[os.write(descriptor, left) :]
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
            return size + len(text)
        finally:
            os.close(descriptor)

    def read(self, before: Events | None = None) -> Events:
        """All events. before: what an earlier call returned, to which the lines that are new are added."""
        events = before or Events()
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < events.offset:  # it was deleted and made again
                    events = Events()
                file.seek(events.offset)
                content = file.read()
        except FileNotFoundError:
            return events
        for line in content[: content.rfind(b"\n") + 1].splitlines(keepends=True):
            events.add_line(line)
        return events

    def close_dead(self, events: Events) -> Events:
        """Append the end of each attempt whose process is gone, and of a line that a killed writer left; all events then."""
        unclosed = [id for id, attempt in events.attempts.items() if not attempt.closed and attempt.process.state() == "gone"]
        with suppress(FileNotFoundError):
            if unclosed or self.path.stat().st_size > events.offset:
                self.append(*(Closed(id, KILLED, time.time(), LOST) for id in unclosed))
                return self.read(events)
        return events

    @property
    def links(self) -> Path:
        """The folder of the linked files."""
        return self.path.parent / "files" / self.path.stem

    def link(self, attempt: str, artifacts: Artifacts) -> Files:
        """Link the files; the event that names them."""
        described = [{"name": p.name, "path": str(p.resolve()), "sha256": file_digest(p)} for p in artifacts.paths]
        metrics, tags, texts = dict(artifacts.metrics), dict(artifacts.tags), dict(artifacts.texts)
        more = (artifacts.table, artifacts.is_model)
        files = Files(attempt, artifacts.folder, time.time(), described, metrics, tags, texts, *more)
        self.linked(files)
        return files

    def linked(self, files: Files) -> list[Path]:
        """The links to an event's files. Where there are none, as after delivery, originals that are still the same are linked:
        all at once, so that a process that is killed leaves no part, which would pass for all that there is."""
        place = self.links / files.attempt / (files.folder or "root")
        if files.files and not place.exists():
            making = place.with_name(f".{uuid4().hex}")
            with suppress(OSError):
                making.mkdir(parents=True)
                for described in files.files:
                    with suppress(PipelineError):  # it is gone
                        if file_digest(Path(described["path"])) == described["sha256"]:
                            _link(Path(described["path"]), making / described["name"])
                making.rename(place)
        return [place / described["name"] for described in files.files]

    def discard(self, delivered: Collection[str], known: Collection[str]) -> None:
        """Delete the links of the attempts that are delivered, and old ones of no known attempt."""
        for place in self.links.glob("*"):
            with suppress(OSError):
                is_old = time.time() - place.stat().st_mtime > ABANDONED_SECONDS
                if place.name in delivered or (place.name not in known and is_old):
                    shutil.rmtree(place)
        with suppress(OSError):
            self.links.rmdir()


def _link(original: Path, path: Path) -> None:
    try:
        os.link(original, path)
    except OSError:  # between file systems
        shutil.copyfile(original, path)


def folder() -> Path:
    return project_root() / OUT / "journal"


def damage_of(path: Path) -> str:
    return f"{path} must hold undamaged lines of this version; those that are not were skipped, and all others used"


def journals() -> list[Path]:
    """Of all runs; sweeps first, since the runs of their jobs stand below theirs."""
    return sorted(folder().glob("*.jsonl"), key=lambda path: (not path.name.startswith(SWEEP), path))
