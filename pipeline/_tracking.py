"""What a stage says of its run. A process beside it, `_publisher`, shows that in MLflow: the work neither waits for MLflow's
import nor stops with its server, and a run whose process dies is closed by one that lives.

The two speak JSON lines over a Unix socket: `open`, `loss`, `publish`, `close`, answered where a question was asked. One
publisher serves all stages of a `dvc repro`, whose process it outlives by nothing.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from pipeline import _terminal
from pipeline._config import Tracking, compose, read_tracking
from pipeline._files import ROOT
from pipeline._provenance import provenance
from pipeline.numerics import InvalidInput

PARENT = "PIPELINE_PARENT_RUN"  # the environment variable by which a sweep's jobs know their parent run
PATIENCE_SECONDS = 120.0
LONGEST_FOLDER = 60  # of the 104 bytes that a Unix socket's path may have
SQLITE = "sqlite:///"


def home() -> Path:
    """The repository that runs are logged in: the real one, also from DVC's throw-away copies."""
    return Path(os.environ.get("DVC_ROOT", ROOT))


def absolute_uri(uri: str) -> str:
    """A tracking URI with a relative SQLite path taken from `home`."""
    return f"{SQLITE}{home() / uri.removeprefix(SQLITE)}" if uri.startswith(SQLITE) else uri


def without_credentials(uri: str) -> str:
    """A URI as it may be shown."""
    return re.sub(r"//[^/@]*@", "//", uri)


def check_writable(tracking: Tracking) -> None:
    """Raise InvalidInput unless an SQLite store can be made or written to; a server is not asked."""
    if tracking.uri is None or not tracking.uri.startswith(SQLITE):
        return
    database = Path(absolute_uri(tracking.uri).removeprefix(SQLITE))
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
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


class Publisher:
    """This process's line to the publisher, which is started where none runs."""

    def __init__(self) -> None:
        owner = _terminal.owner().pid
        address = str(_private_folder() / f"{owner}.sock")
        self._line = socket.socket(socket.AF_UNIX)
        try:
            self._line.connect(address)
        except OSError:
            _start_publisher(address, owner)
            self._line.connect(address)
        self._answers = self._line.makefile(encoding="utf-8")

    def send(self, do: str, **content: Any) -> None:
        with suppress(OSError):  # it has died; `ask` says so
            self._line.sendall((json.dumps({"do": do, **content}) + "\n").encode())

    def ask(self, do: str, **content: Any) -> Any:
        """Send, and wait for the answer. Raises TrackingError with the publisher's reason."""
        self.send(do, **content)
        self._line.settimeout(PATIENCE_SECONDS)
        try:
            line = self._answers.readline()
        except OSError:
            line = ""
        if not line:
            _publishers.pop(os.getpid(), None)
            raise TrackingError(f"the process that speaks to MLflow ended or did not answer within {PATIENCE_SECONDS:.0f} s")
        answer = json.loads(line)
        if "error" in answer:
            raise TrackingError(answer["error"])
        return answer["value"]


def _private_folder() -> Path:
    """Where sockets lie: a folder that no other user can enter, with a path short enough for a socket's."""
    temporary = tempfile.gettempdir()
    folder = Path(temporary if len(temporary) < LONGEST_FOLDER else "/tmp") / f"pipeline-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise InvalidInput(f"{folder} must belong to this user; it does not")
    return folder


def _start_publisher(address: str, owner: int) -> None:
    """Listen at the address and hand the ear to a new process, so that a line opened at once waits for its answer."""
    Path(address).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(address)
        ear.listen()
        subprocess.Popen(
            [sys.executable, "-m", "pipeline._publisher", str(ear.fileno()), str(owner)],
            cwd=ROOT,
            pass_fds=[ear.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C stops the work; the publisher then says so in MLflow
        )


class TrackingError(Exception):
    """MLflow does not show what the files hold. The message says why."""


_publishers: dict[int, Publisher] = {}


def _publisher() -> Publisher:
    """This process's own. Raises TrackingError where it cannot be started."""
    pid = os.getpid()
    if pid not in _publishers:
        try:
            _publishers[pid] = Publisher()
        except OSError as error:
            raise TrackingError(f"the process that speaks to MLflow could not be started: {error}") from None
    return _publishers[pid]


def _behind(error: TrackingError) -> None:
    _terminal.warn(f"MLflow does not show this yet, the files are complete: {error}")


def _ending(error: BaseException) -> str:
    return "killed" if isinstance(error, KeyboardInterrupt | SystemExit) else "failed"


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
        self._publisher.send("loss", epoch=epoch, loss=loss, gradient_norm=gradient_norm, when=int(time.time() * 1000))

    def publish(self, folder: Path) -> None:
        self._publisher.send("publish", folder=str(folder.resolve()))


@contextmanager
def track(tracking: Tracking, stage: str, about: Mapping[str, Any]) -> Iterator[Tracker]:
    """The run of the model that `about` (the content of model.json) describes, open for one stage.

    The stage's end is the run's, whatever it is. Where MLflow cannot show it, a warning says so: the files are complete.
    """
    if tracking.uri is None:
        yield Untracked()
        return
    check_writable(tracking)
    try:
        publisher = _publisher()
    except TrackingError as error:
        _behind(error)
        yield Untracked()
        return
    where = {**asdict(tracking), "uri": absolute_uri(tracking.uri)}
    settings = {**asdict(tracking), "uri": without_credentials(tracking.uri)}
    family = {"parent": os.environ.get(PARENT), "provenance": provenance(), "settings": settings}
    publisher.send("open", tracking=where, stage=stage, about=about, **family)
    ending, reason = "finished", ""
    try:
        yield Run(publisher)
    except BaseException as error:
        ending = _ending(error)
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise
    finally:
        try:
            run_id = publisher.ask("close", ending=ending, reason=reason)
            if stage == "train":
                _terminal.say(f"in MLflow: runs:/{run_id}")
        except TrackingError as error:
            _behind(error)


@contextmanager
def sweep(tracking: Tracking, name: str) -> Iterator[None]:
    """A parent run for the jobs that start inside the block; FINISHED if none failed."""
    if tracking.uri is None:
        yield
        return
    check_writable(tracking)
    where = {**asdict(tracking), "uri": absolute_uri(tracking.uri)}
    tags = {**provenance(), "mlflow.source.name": f"python -m pipeline {' '.join(sys.argv[1:])}"}
    try:
        os.environ[PARENT] = _publisher().ask("open_sweep", tracking=where, name=name, tags=tags)
    except TrackingError as error:
        _behind(error)
        yield
        return
    ending = "finished"
    try:
        yield
    except BaseException as error:
        failed = isinstance(error, SystemExit) and error.code == _terminal.FAILED  # how Hydra ends when a job failed
        ending = "failed" if failed else _ending(error)
        raise
    finally:
        del os.environ[PARENT]
        try:
            _publisher().ask("close_sweep", ending=ending)
        except TrackingError as error:
            _behind(error)
