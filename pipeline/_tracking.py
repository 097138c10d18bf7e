"""What a stage says of its run. A process beside it, `_publisher`, shows that in MLflow: the work neither waits for MLflow's
import nor stops with its server, and a run whose process dies is closed by one that lives.

The two speak JSON lines over a Unix socket, one connection a run: `open`, `loss`, `publish`, `close`, the last answered with
`value` or `error`. Unasked, the publisher says `behind` when MLflow first fails it. One publisher serves all stages of a
`dvc repro`, whose process it outlives by nothing.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from pipeline import _terminal
from pipeline._config import Tracking, compose, read_tracking
from pipeline._files import ROOT
from pipeline._provenance import process, provenance
from pipeline._secrets import scrub
from pipeline.numerics import InvalidInput

PARENT = "PIPELINE_PARENT_RUN"  # the environment variable by which a sweep's jobs know their parent run
PATIENCE_SECONDS = 120.0
HASTE_SECONDS = 3.0  # how long a stage waits at its end once MLflow has failed
LONGEST_FOLDER = 60  # of the 104 bytes that a Unix socket's path may have
SQLITE = "sqlite:///"


def home() -> Path:
    """The repository that runs are logged in: the real one, also from DVC's throw-away copies."""
    return Path(os.environ.get("DVC_ROOT", ROOT))


def absolute_uri(uri: str) -> str:
    """A tracking URI with a relative SQLite path taken from `home`."""
    return f"{SQLITE}{home() / uri.removeprefix(SQLITE)}" if uri.startswith(SQLITE) else uri


def check_writable(tracking: Tracking) -> None:
    """Raise InvalidInput unless an SQLite store can be made or written to; a server is not asked."""
    if tracking.uri is None or not tracking.uri.startswith(SQLITE):
        return
    database = Path(absolute_uri(tracking.uri).removeprefix(SQLITE))
    try:
        if not database.parent.is_dir():
            database.parent.mkdir(parents=True)
            (database.parent / ".gitignore").write_text("*\n!.gitignore\n", encoding="utf-8")  # as git has it of mlruns/
        with tempfile.TemporaryFile(dir=database.parent):  # SQLite writes its journal there
            pass
        for path in (database.parent / ".lock", database):
            with path.open("r+b" if path.exists() else "ab"):
                pass
    except OSError as error:
        raise InvalidInput(f"tracking.uri must be writable; {database} is not: {error.strerror}") from None


def stage_tracking(out: Path) -> Tracking:
    """Where the stages that have no configuration of their own log: as `compose` wrote it, else conf/'s default."""
    written = out / "config" / "tracking.yaml"
    return read_tracking(written) if written.is_file() else compose().tracking


class TrackingError(Exception):
    """MLflow does not show what the files hold. The message says why."""


class Publisher:
    """A line to the publisher, which is started where none runs. Raises TrackingError where it cannot be."""

    def __init__(self) -> None:
        owner = _terminal.owner().pid
        self._line = socket.socket(socket.AF_UNIX)
        self._heard, self._behind = b"", ""
        try:
            address = str(private_folder() / f"{owner}.sock")
            try:
                self._line.connect(address)
            except OSError:
                _start_publisher(address, owner)
                self._line.connect(address)
        except OSError as error:
            raise TrackingError(f"the process that speaks to MLflow could not be started: {error}") from None

    def close(self) -> None:
        """Hang up. Where `close` was not sent, the run was killed."""
        self._line.close()

    def send(self, do: str, **content: Any) -> None:
        with suppress(OSError):  # it has died; `ask` says so
            self._line.sendall((json.dumps({"do": do, **content}) + "\n").encode())
            while said := self._hear(0):
                self._heed(said)

    def ask(self, do: str, **content: Any) -> Any:
        """Send, and wait for the answer. Raises TrackingError with the publisher's reason."""
        self.send(do, **content)
        deadline = time.monotonic() + (HASTE_SECONDS if self._behind else PATIENCE_SECONDS)
        try:
            while said := self._hear(deadline - time.monotonic()):
                if "value" in said:
                    return said["value"]
                self._heed(said)
                deadline = time.monotonic() + HASTE_SECONDS
        except OSError:
            raise TrackingError("the process that speaks to MLflow has ended") from None
        finally:
            self._line.settimeout(None)
        raise TrackingError(self._behind or f"the process that speaks to MLflow did not answer within {PATIENCE_SECONDS:.0f} s")

    def _heed(self, said: dict[str, Any]) -> None:
        if "error" in said:
            raise TrackingError(said["error"])
        self._behind = said["behind"]
        if self._behind:
            _say_behind(self._behind)

    def _hear(self, seconds: float) -> dict[str, Any] | None:
        """What the publisher says within so many seconds. Raises OSError where it has ended."""
        if seconds > 0:
            self._line.settimeout(seconds)
        try:
            while b"\n" not in self._heard:
                said = self._line.recv(2**16, 0 if seconds > 0 else socket.MSG_DONTWAIT)
                if not said:
                    raise ConnectionResetError
                self._heard += said
        except (TimeoutError, BlockingIOError):
            return None
        line, _, self._heard = self._heard.partition(b"\n")
        return dict(json.loads(line))


_said_behind = False


def _say_behind(reason: object) -> None:
    """Once, until MLflow has caught up."""
    global _said_behind
    if not _said_behind:
        later = "the next stage or `python -m pipeline.runs publish` sends what it lacks"
        _terminal.warn(f"MLflow is behind, the work goes on and {later}: {reason}")
    _said_behind = True


def private_folder() -> Path:
    """Where sockets and locks lie: a folder that no other user can enter, with a path short enough for a socket's."""
    temporary = tempfile.gettempdir()
    folder = Path(temporary if len(temporary) < LONGEST_FOLDER else "/tmp") / f"pipeline-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise InvalidInput(f"{folder} must belong to this user; it does not")
    return folder


_started: list[subprocess.Popen[bytes]] = []  # which outlive what started them, so nobody waits for them


def _start_publisher(address: str, owner: int) -> None:
    """Listen at the address and hand the ear to a new process, so that a line opened at once waits for its answer."""
    Path(address).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(address)
        ear.listen()
        _started.append(
            subprocess.Popen(
                [sys.executable, "-m", "pipeline._publisher", str(ear.fileno()), str(owner)],
                cwd=ROOT,
                pass_fds=[ear.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C stops the work; the publisher then says so in MLflow
            )
        )


def ending_of(error: BaseException) -> str:
    """failed or killed. Work that failed may end its process by SystemExit, as Hydra does."""
    failed = isinstance(error, Exception) or getattr(error, "code", None) == _terminal.FAILED
    return "failed" if failed else "killed"


class Tracker(Protocol):
    """What a stage may say."""

    def loss(self, epoch: int, loss: float, gradient_norm: float) -> None:
        """One point of the curve."""

    def publish(self, folder: Path) -> None:
        """The stage's files in `folder` are complete."""


class Untracked:
    """tracking=none."""

    def loss(self, epoch: int, loss: float, gradient_norm: float) -> None:
        pass

    def publish(self, folder: Path) -> None:
        pass


class Run:
    """The stage's run, in MLflow."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def loss(self, epoch: int, loss: float, gradient_norm: float) -> None:
        self._publisher.send("loss", epoch=epoch, loss=loss, gradient_norm=gradient_norm)

    def publish(self, folder: Path) -> None:
        self._publisher.send("publish", folder=str(folder.resolve()))


@contextmanager
def track(tracking: Tracking, stage: str, about: Mapping[str, Any]) -> Iterator[Tracker]:
    """The run of the model that `about` (the content of model.json) describes, open for one stage.

    The stage's end is the run's, whatever it is. Where MLflow cannot show it, a warning says so: the files are complete.
    """
    publisher = _line(tracking)
    if publisher is None:
        yield Untracked()
        return
    made = {"parent": os.environ.get(PARENT), "provenance": provenance(), "settings": tracking.plain, "process": process()}
    publisher.send("open", tracking=store_of(tracking), stage=stage, about=about, **made)
    ended = {"ending": "finished", "reason": ""}
    try:
        yield Run(publisher)
    except BaseException as error:
        ended = _told(error)
        raise
    finally:
        if (run_id := _close(publisher, "close", **ended)) and stage == "train":
            _terminal.say(f"in MLflow: runs:/{run_id}")


def _told(error: BaseException) -> dict[str, str]:
    """How a stage ended by an error, as MLflow is to show it."""
    reason = ": ".join(filter(None, [type(error).__name__, " ".join(str(error).split())]))
    return {"ending": ending_of(error), "reason": scrub(reason), "traceback": scrub(traceback.format_exc())}


def _line(tracking: Tracking) -> Publisher | None:
    """A line to the publisher, where it can be had and something is to be tracked."""
    if tracking.uri is None:
        return None
    check_writable(tracking)
    try:
        return Publisher()
    except TrackingError as error:
        _say_behind(error)
        return None


def store_of(tracking: Tracking) -> dict[str, str]:
    """What MLflow is to be told of where runs are logged: the URI absolute, with its credentials."""
    return {**asdict(tracking), "uri": absolute_uri(tracking.uri or "")}


def _close(publisher: Publisher, do: str, **ending: str) -> Any:
    """The publisher's answer; None where MLflow is behind."""
    global _said_behind
    try:
        answer = publisher.ask(do, **ending)
        _said_behind = False
        return answer
    except TrackingError as error:
        _say_behind(error)
        return None
    except (KeyboardInterrupt, SystemExit) as error:  # while it waited, all else being done
        if do == "close" and ending["ending"] == "finished":
            publisher.send(do, **_told(error))
        raise
    finally:
        publisher.close()


@contextmanager
def sweep(tracking: Tracking, name: str) -> Iterator[None]:
    """A parent run for the jobs that start inside the block, and that end with it; FINISHED if none failed."""
    os.environ[_terminal.SWEEP] = str(os.getpid())  # its publisher is the jobs', too: joblib kills what its workers started
    try:
        with _parent_run(tracking, name):
            yield
    finally:
        del os.environ[_terminal.SWEEP]


@contextmanager
def _parent_run(tracking: Tracking, name: str) -> Iterator[None]:
    publisher = _line(tracking)
    os.environ[PARENT] = uuid4().hex  # by which `runs publish` gives the jobs' runs their parent, should MLflow not answer now
    if publisher:
        tags = {**provenance(), **process(), "mlflow.source.name": scrub(f"python -m pipeline {' '.join(sys.argv[1:])}")}
        try:
            os.environ[PARENT] = publisher.ask("open_sweep", tracking=store_of(tracking), name=scrub(name), tags=tags)
        except TrackingError as error:
            publisher.close()
            publisher = None
            _say_behind(error)
    ending = "finished"
    try:
        yield
    except BaseException as error:
        ending = ending_of(error)
        raise
    finally:
        del os.environ[PARENT]
        if publisher:
            _close(publisher, "close_sweep", ending=ending)
