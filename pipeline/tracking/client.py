"""What a stage says of its run. A process beside it, `_publisher`, shows that in MLflow: the work neither waits for MLflow's
import logging
import nor stops with its server, and a run whose process dies is closed by one that lives.

The two speak JSON lines over a Unix socket, one connection a run: `open`, `loss`, `publish`, `close`, the last answered with
`value` or `error` when MLflow has it all. Unasked, the publisher says `behind` when MLflow first fails it. One publisher serves
all stages of a `dvc repro`, which it outlives by ten seconds at most. Only a command's end waits for it: see `wait_for_mlflow`.
"""

import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from pipeline import console
from pipeline.atomic import locked
from pipeline.config.tracking import Tracking
from pipeline.errors import StoreError
from pipeline.files import ROOT, digest
from pipeline.processes import NOBODY, POLL_SECONDS, Process, is_alive, supervising, supervisor, this_process
from pipeline.redaction import scrub
from pipeline.tracking.pending import link_files
from pipeline.tracking.provenance import process, provenance

if TYPE_CHECKING:
    from filelock import FileLock

logger = logging.getLogger(__name__)

PARENT = "PIPELINE_PARENT_RUN"  # the environment variable with a sweep's key: its run in MLflow has it as the tag `sweep.run`
WAIT_SECONDS = 4.5  # at a command's end, in all: with what it takes to start the publisher, less than five
FAILING_SECONDS = 3.0  # of them, where MLflow has failed
OUTLIVED_SECONDS = 10.0  # by which a publisher outlives its command, at most
LONGEST_FOLDER = 60  # of the 104 bytes that a Unix socket's path may have
SOCKET = ".sock"  # ends the name of a publisher's socket, after its command's PID and start
SQLITE = "sqlite:///"
IN_URIS = set("?#%")


def project_root() -> Path:
    """The repository that runs are logged in: the real one, also from DVC's throw-away copies."""
    return Path(os.environ.get("DVC_ROOT", ROOT))


def absolute_uri(uri: str) -> str:
    """A tracking URI with a relative SQLite path taken from `home`."""
    return sqlite_uri(project_root() / uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else uri


def sqlite_uri(database: Path) -> str:
    """The URI of an SQLite file; `database_of` is its inverse. A path with a character that means something in a URI is reached
    through a link, since SQLAlchemy takes such a path for another and MLflow makes a folder of the quoted one."""
    if not IN_URIS & set(str(database)):
        return f"{SQLITE}{database}"
    link = private_folder() / f"{digest(os.fsencode(database))[:16]}.db"
    with suppress(FileExistsError):
        link.symlink_to(database)
    return f"{SQLITE}{link}"


def database_of(uri: str) -> Path | None:
    """An SQLite store's file; None of a server."""
    if not uri.startswith(SQLITE):
        return None
    path = Path(uri.removeprefix(SQLITE))
    return path.readlink() if path.parent == private_folder() else path


def store_lock(uri: str) -> "FileLock":
    """One at a time with a store: among all processes that can lock its file or, with a server, among this user's here."""
    from filelock import FileLock  # its import is a tenth of a stage's

    database = database_of(uri)
    return FileLock(database.parent / ".lock" if database else private_folder() / f"{digest(uri.encode())[:16]}.lock")


def check_writable(tracking: Tracking) -> None:
    """Raise StoreError unless an SQLite store can be made or written to; a server is not asked."""
    database = tracking.uri and database_of(absolute_uri(tracking.uri))
    if not database:
        return
    try:
        if not database.parent.is_dir():
            database.parent.mkdir(parents=True)
            (database.parent / ".gitignore").write_text("*\n!.gitignore\n", encoding="utf-8")  # as git has it of mlruns/
        with tempfile.TemporaryFile(dir=database.parent):  # SQLite writes its journal there
            pass
        for path in (database.parent / ".lock", database):
            if path.exists():
                with path.open("r+b"):
                    pass
    except OSError as error:
        raise StoreError(f"tracking.uri must be writable; {database} is not: {error.strerror}") from None


class TrackingError(Exception):
    """MLflow does not show what the files hold. The message says why."""


class Publisher:
    """A connection to the publisher, which is started where none runs. Raises TrackingError where it cannot be."""

    def __init__(self) -> None:
        owner = supervisor()
        self._connection = socket.socket(socket.AF_UNIX)
        self._heard, self._behind, self._label = b"", "", console.job.get()
        try:
            address = str(private_folder() / f"{owner.pid}-{owner.started}{SOCKET}")
            if self._connection.connect_ex(address):
                with locked(private_folder()):  # of several that find none, the first starts it
                    if self._connection.connect_ex(address):
                        _start_publisher(address, owner)
                        self._connection.connect(address)
        except OSError as error:
            raise TrackingError(f"the process that speaks to MLflow could not be started: {error}") from None

    def close(self) -> None:
        """Hang up. Where `close` was not sent, the run was killed."""
        self._connection.close()

    def send(self, do: str, **content: Any) -> None:
        with suppress(OSError):  # it has died; `wait` says so
            self._connection.sendall((json.dumps({"do": do, **content}) + "\n").encode())
            while said := self._hear(0):
                self._heed(said)

    def wait(self, seconds: float) -> bool:
        """Wait so long for the answer to `close`, less where MLflow fails; whether there is one. Each is told once."""
        deadline = time.monotonic() + (min(seconds, FAILING_SECONDS) if self._behind else seconds)
        try:
            while reply := self._hear(deadline - time.monotonic()):
                if "value" in reply:
                    _tell_run(reply["value"], self._label)
                    return True
                if "error" in reply:
                    _say_behind(reply["error"])
                    return True
                self._heed(reply)
                if self._behind:
                    deadline = min(deadline, time.monotonic() + FAILING_SECONDS)
        except OSError:
            _say_behind("the process that speaks to MLflow has ended")
            return True
        return False

    def _heed(self, reply: dict[str, Any]) -> None:
        self._behind = reply.get("behind") or reply.get("error", "")
        if self._behind:
            _say_behind(self._behind)

    def _hear(self, seconds: float) -> dict[str, Any] | None:
        """What the publisher says within so many seconds. Raises OSError where it has ended."""
        self._connection.settimeout(seconds if seconds > 0 else None)
        try:
            while b"\n" not in self._heard:
                said = self._connection.recv(2**16, 0 if seconds > 0 else socket.MSG_DONTWAIT)
                if not said:
                    raise ConnectionResetError
                self._heard += said
        except (TimeoutError, BlockingIOError):
            return None
        line, _, self._heard = self._heard.partition(b"\n")
        return dict(json.loads(line))


_closed: list[Publisher] = []  # connections whose `close` has no answer yet
_told_runs: set[str] = set()


def wait_for_mlflow(seconds: float = WAIT_SECONDS) -> None:
    """Wait until MLflow shows what this process's stages have said, at most so long in all. What it lacks then is sent on by
    the publisher, for some seconds more, or later from the files and the notes in out/endings/."""
    deadline = time.monotonic() + seconds
    while _closed and _closed[0].wait(max(deadline - time.monotonic(), 0.0)):
        _closed.pop(0).close()
    if _closed:
        _say_behind("it takes longer than this command waits for it")
    while _closed:
        _closed.pop().close()


def _collect_answers() -> None:
    """Tell what has been answered, without waiting."""
    for publisher in [publisher for publisher in _closed if publisher.wait(0)]:
        _closed.remove(publisher)
        publisher.close()


def _tell_run(run_id: str, label: str) -> None:
    """Once a run; a sweep has none to tell."""
    global _said_behind
    _said_behind = False
    if run_id and run_id not in _told_runs:
        _told_runs.add(run_id)
        with console.job_context(label):
            logger.info(f"in MLflow: runs:/{run_id}")


_said_behind = False


def _say_behind(reason: object) -> None:
    """Once, until MLflow has caught up."""
    global _said_behind
    if not _said_behind:
        later = "the next stage or `python -m pipeline.runs publish` sends what it lacks"
        logger.warning(f"MLflow is behind, the work goes on and {later}: {reason}")
    _said_behind = True


def private_folder() -> Path:
    """Where sockets and locks lie: a folder that no other user can enter, with a path short enough for a socket's."""
    temporary = Path(os.environ.get("TMPDIR", ""))
    is_usable = temporary.is_absolute() and temporary.is_dir() and not IN_URIS & set(str(temporary))
    folder = (temporary if is_usable and len(str(temporary)) < LONGEST_FOLDER else Path("/tmp")) / f"pipeline-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise StoreError(f"{folder} must belong to this user; it does not")
    return folder


def wait_for_publishers() -> None:
    """Wait until what ended commands said has been sent, as far as it will be: see `publisher.AFTERWARDS_SECONDS`."""
    deadline = time.monotonic() + OUTLIVED_SECONDS
    for address in private_folder().glob(f"*-*{SOCKET}"):
        pid, started = address.name.removesuffix(SOCKET).split("-")
        if is_alive(Process(int(pid), started)):
            continue
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(address)):
                address.unlink(missing_ok=True)  # of a publisher that was killed
        while address.exists() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


_started: list[subprocess.Popen[bytes]] = []  # which outlive what started them, so nobody waits for them


def _start_publisher(address: str, owner: Process) -> None:
    """Listen at the address and hand the socket to a new process: a connection made at once then waits for its answer."""
    Path(address).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        _started.append(
            subprocess.Popen(
                [sys.executable, "-m", "pipeline.tracking.publisher", str(listener.fileno()), str(owner.pid), owner.started],
                cwd=ROOT,
                env={**os.environ, **NOBODY},
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None if os.environ.get("HYDRA_FULL_ERROR") == "1" else subprocess.DEVNULL,  # libraries' own lines
                start_new_session=True,  # Ctrl-C stops the work; the publisher then says so in MLflow
            )
        )


def ending_of(error: BaseException) -> str:
    """failed or killed. Work that failed may end its process by SystemExit, as Hydra does."""
    failed = isinstance(error, Exception) or getattr(error, "code", None) == console.FAILED
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
        self._publisher.send("publish", folder=str(link_files(folder.resolve(), project_root())))


@contextmanager
def track(tracking: Tracking, stage: str, card: dict[str, Any]) -> Iterator[Tracker]:
    """The run of the model that `card` (the content of model.json) describes, open for one stage.

    The stage's end is the run's, whatever it is. Where MLflow cannot show it, a warning says so: the files are complete.
    """
    publisher = _connect(tracking)
    if publisher is None:
        yield Untracked()
        return
    made = {"parent": os.environ.get(PARENT), "provenance": provenance(), "settings": tracking.to_dict(), "process": process()}
    publisher.send("open", tracking=store_of(tracking), stage=stage, card=card, **made)
    ended = {"ending": "finished", "reason": ""}
    try:
        yield Run(publisher)
    except BaseException as error:
        ended = _told(error)
        raise
    finally:
        _close(publisher, "close", **ended)


def _told(error: BaseException) -> dict[str, str]:
    """How a stage ended by an error, as MLflow is to show it."""
    reason = ": ".join(filter(None, [type(error).__name__, " ".join(str(error).split())]))
    return {"ending": ending_of(error), "reason": scrub(reason), "traceback": scrub(traceback.format_exc())}


def _connect(tracking: Tracking) -> Publisher | None:
    """A connection to the publisher, where there can be one and something is to be tracked."""
    if tracking.uri is None:
        return None
    check_writable(tracking)
    _collect_answers()
    try:
        return Publisher()
    except TrackingError as error:
        _say_behind(error)
        return None


def store_of(tracking: Tracking) -> dict[str, str]:
    """What MLflow is to be told of where runs are logged: the URI absolute, with its credentials."""
    return {**asdict(tracking), "uri": absolute_uri(tracking.uri or "")}


def _close(publisher: Publisher, do: str, **ending: str) -> None:
    """Say how a stage or a sweep ended; the answer is awaited at the command's end."""
    publisher.send(do, **ending)
    _closed.append(publisher)


def wait_at_end() -> None:
    """Wait for MLflow at the end of this process, unless a command above it goes on."""
    if supervisor() == this_process():
        wait_for_mlflow()


@contextmanager
def sweep(tracking: Tracking, name: str) -> Iterator[str]:
    """A parent run for the jobs that start inside the block, and that end with it; FINISHED if none failed. Yields its key."""
    with supervising(), _parent_run(tracking, name) as key:  # its publisher is the jobs': joblib kills what its workers started
        yield key


@contextmanager
def _parent_run(tracking: Tracking, name: str) -> Iterator[str]:
    publisher = _connect(tracking)
    key = os.environ[PARENT] = uuid4().hex  # for the jobs' processes
    if publisher:
        tags = {**provenance(), **process(), "mlflow.source.name": scrub(f"python -m pipeline {' '.join(sys.argv[1:])}")}
        publisher.send("open_sweep", tracking=store_of(tracking), key=key, name=scrub(name), tags=tags)
    ending = "finished"
    try:
        yield key
    except BaseException as error:
        ending = ending_of(error)
        raise
    finally:
        del os.environ[PARENT]
        if publisher:
            _close(publisher, "close_sweep", ending=ending)
