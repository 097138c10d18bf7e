"""What the stages of one run have said, as JSON lines in out/journal/ of the real repository; `sync` brings MLflow up to date.

Each line is one event, appended whole under a lock. All stages and processes of a run share one file. The files that an event
names are kept beside it, as links, until MLflow has them: the next command may write over the originals, and DVC deletes the
copies of the repository that it runs experiments in. A link costs no space: files are replaced, never written into.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
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
ABANDONED_SECONDS = 3600.0  # after which kept files that no event names were left by a process that was killed
LOST = "the process ended without a word, as after SIGKILL or for want of memory"


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


class Journal:
    """A run's events so far. `read` takes in what was appended since; any number of processes may append."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0  # up to which it was read
        self.attempts: dict[str, Attempt] = {}  # by their ids, in the order of their opening
        self.points: dict[int, Epoch] = {}  # by epoch; the first line of each
        self.epoch_lines = 0  # all of them
        self.events = 0  # but for points
        self.damaged = 0  # lines that were skipped

    @classmethod
    def of(cls, settings: Mapping[str, Any], fingerprint: str = "", sweep: str = "", run_id: str = "") -> Self:
        """The journal of the run with this fingerprint, in a sweep or not; of a sweep; or of any run of MLflow's, by its id."""
        name = fingerprint[:LETTERS] or ("sweep" if sweep else "run")
        key = digest_of([settings["uri"], settings["experiment"], fingerprint, sweep, run_id])
        return cls(folder() / f"{name}-{key[:LETTERS]}.jsonl")

    @property
    def opened(self) -> Opened | None:
        """What the last attempt said of the run."""
        return list(self.attempts.values())[-1].opened if self.attempts else None

    def append(self, *events: Event) -> int:
        """Write the events in one piece, on a line of their own; where the journal ends after them. Raises OSError, and then
        nothing is written."""
        text = "".join(map(to_line, events)).encode()
        if not self.path.parent.exists():
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

    def read(self) -> None:
        """Take in the lines that are new. A line that is damaged, or of another version, is counted and skipped."""
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self.offset:  # it was deleted and made again
                    self.__init__(self.path)  # type: ignore[misc]
                file.seek(self.offset)
                content = file.read()
        except FileNotFoundError:
            return
        for line in content[: content.rfind(b"\n") + 1].splitlines(keepends=True):
            self.offset += len(line)
            if line.strip():
                try:
                    self._take(parse_line(line.decode().strip()))
                except (ValueError, TypeError, KeyError):
                    self.damaged += 1

    def _take(self, event: Event) -> None:
        self.events += not isinstance(event, Epoch)
        if isinstance(event, Opened):
            self.attempts.setdefault(event.attempt, Attempt(event))
            return
        attempt = self.attempts.get(event.attempt)
        if attempt is None:  # its opening is damaged
            return
        if isinstance(event, Epoch):
            self.points.setdefault(event.epoch, event)
            self.epoch_lines += 1
        elif isinstance(event, Files):
            if event not in [files for _, files in attempt.files]:  # a writer that was interrupted may write it again
                attempt.files.append((self.offset, event))
        elif isinstance(event, Closed) and not attempt.closed:
            attempt.closed = self.offset, event

    def close_dead(self) -> None:
        """Append the end of each attempt whose process is gone, and of a line that a killed writer left."""
        unclosed = [id for id, attempt in self.attempts.items() if not attempt.closed and attempt.process.state() == "gone"]
        with suppress(FileNotFoundError):
            if unclosed or self.path.stat().st_size > self.offset:
                self.append(*(Closed(id, KILLED, time.time(), LOST) for id in unclosed))
                self.read()

    def latest(self) -> dict[str, Attempt]:
        """The last attempt at each stage."""
        return {attempt.opened.stage: attempt for attempt in self.attempts.values()}

    def is_superseded(self, attempt: Attempt, files: Files) -> bool:
        """Whether a later attempt at the stage has made these files again."""
        later = list(self.attempts.values())
        later = later[later.index(attempt) + 1 :]
        return any(
            other.opened.stage == attempt.opened.stage and any(made.folder == files.folder for _, made in other.files)
            for other in later
        )

    # the files that events name

    @property
    def kept(self) -> Path:
        return self.path.parent / "files" / self.path.stem

    def place(self, files: Files) -> Path:
        """Where the files of an event are kept."""
        return self.kept / files.attempt / (files.folder or "root")

    def keep(self, attempt: str, artifacts: Artifacts, in_dvc: bool) -> Files:
        """The event of these files, which are linked. in_dvc: tags have the MD5 of outs, as dvc.lock has it."""
        tags = dict(artifacts.tags)
        if artifacts.are_outs and in_dvc:
            tags |= {f"dvc.md5.{path.name}": file_digest(path, "md5") for path in artifacts.paths}
        described = [{"name": p.name, "path": str(p.resolve()), "sha256": file_digest(p)} for p in artifacts.paths]
        metrics, texts = dict(artifacts.metrics), dict(artifacts.texts)
        more = (artifacts.table, artifacts.is_model)
        files = Files(attempt, artifacts.folder, time.time(), described, metrics, tags, texts, *more)
        self.restore(files)
        return files

    def restore(self, files: Files) -> list[Path]:
        """The kept files of an event. Where none is kept, as after delivery, originals that are still the same are linked:
        all at once, so that a process that is killed leaves no part, which would pass for all that there is."""
        place = self.place(files)
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

    def discard(self, delivered: set[str]) -> None:
        """Delete the kept files of these attempts, and old ones of no attempt."""
        for place in self.kept.glob("*"):
            with suppress(OSError):
                is_old = time.time() - place.stat().st_mtime > ABANDONED_SECONDS
                if place.name in delivered or (place.name not in self.attempts and is_old):
                    shutil.rmtree(place)
        with suppress(OSError):
            self.kept.rmdir()


def _link(original: Path, path: Path) -> None:
    try:
        os.link(original, path)
    except OSError:  # between file systems
        shutil.copyfile(original, path)


def folder() -> Path:
    return project_root() / OUT / "journal"


def damage_of(path: Path) -> str:
    return f"{path} must hold whole lines of this version; those that are not were skipped, and all others used"


def journals() -> Iterator[Path]:
    return iter(sorted(folder().glob("*.jsonl")))
