"""The process beside the work: it syncs the journals that its command's stages write, and those that earlier commands left.

What MLflow does not take is tried again, ever more rarely. Nobody waits for this process, so it outlives its command: by
AFTERWARDS_SECONDS at most. What MLflow lacks then stays in the journals.

    python -m pipeline.tracking.publisher FD PID STARTED      FD: the file that is locked while it runs
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.files import ROOT, digest
from pipeline.processes import NOBODY, Process, is_alive
from pipeline.tracking.delivery import Delivery
from pipeline.tracking.journal import Events, Journal, journals
from pipeline.tracking.provenance import capture_lineage
from pipeline.tracking.store import private_folder, project_root

if TYPE_CHECKING:
    from pipeline.tracking.sync import RunSync

POLL_SECONDS = 0.1
READ_BYTES = 2**22  # of journals that were never read, in each round: a quarter of a second
FLUSH_SECONDS = 1.0  # between points of the curve
FIRST_PAUSE, MAX_PAUSE = 0.5, 10.0  # seconds between attempts
LAST_SECONDS = 2.0  # after the command's end, for a store that fails
AFTERWARDS_SECONDS = 8.0  # after the command's end, at most
OUTLIVED_SECONDS = 10.0  # the same, with what it takes to end
RUNNING = ".publisher"  # ends the name of the file that a publisher locks, after its command's PID and start


def ensure_publisher(supervisor: Process) -> None:
    """Start a publisher for this command where none runs. Raises OSError where it cannot be."""
    descriptor = os.open(_lock_file(supervisor), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)  # handed on: of several that find none, one starts it
        started = subprocess.Popen(
            [sys.executable, "-m", "pipeline.tracking.publisher", str(descriptor), str(supervisor.pid), supervisor.started],
            cwd=ROOT,
            env={**os.environ, **NOBODY},
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None if os.environ.get("HYDRA_FULL_ERROR") == "1" else subprocess.DEVNULL,  # libraries' own lines
            start_new_session=True,  # Ctrl-C stops the work; the publisher then says so in MLflow
        )
        started.returncode = 0  # it outlives this process, which does not wait for it
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)


def _lock_file(supervisor: Process) -> Path:
    """The file that the publisher of this command and repository has locked while it runs."""
    return private_folder() / f"{supervisor.pid}-{supervisor.started}-{_suffix(project_root())}"


def _suffix(root: Path) -> str:
    return f"{digest(os.fsencode(root))[:8]}{RUNNING}"


def wait_for_publishers(root: Path) -> None:
    """Wait until the publishers of ended commands of the repository `root` have ended, too: see AFTERWARDS_SECONDS."""
    deadline = time.monotonic() + OUTLIVED_SECONDS
    for path in private_folder().glob(f"*-{_suffix(root)}"):
        pid, started, _ = path.name.split("-")
        while not is_alive(Process(int(pid), started)) and time.monotonic() < deadline and _is_locked(path):
            time.sleep(POLL_SECONDS)


def _is_locked(path: Path) -> bool:
    """Whether a publisher runs. The file of one that was killed is deleted."""
    try:
        with path.open("rb") as file:
            flock(file, LOCK_EX | LOCK_NB)
            path.unlink()
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


@dataclass
class _Served:
    """What the publisher knows of a run's journal."""

    journal: Journal
    events: Events
    idle_size: int = -1  # of the file when MLflow lacked nothing of it
    sync: "RunSync | None" = None  # while an attempt is open
    others: int = 0  # `Events.others` at the last attempt to send
    due: float = 0.0  # when more points are sent

    @property
    def store(self) -> str:
        return str(self.events.opened.settings["uri"]) if self.events.opened else ""


class Publisher:
    """Syncs journals, one after another."""

    def __init__(self, supervisor: Process) -> None:
        self._supervisor = supervisor
        self._served: dict[Path, _Served] = {}
        self._pauses: dict[str, tuple[float, float]] = {}  # of stores that fail: how long, and until when
        self._answering: set[str] = set()  # stores that took something

    @property
    def is_failing(self) -> bool:
        return bool(self._pauses)

    def poll(self) -> bool:
        """One round over the journals: all of the command's own, then one that an earlier command left, so that they do not
        wait for many of these. Whether there is more to do."""
        own, others, is_all = self._changed()
        for served in own:  # the code as it is now, whenever MLflow answers
            served.events = capture_lineage(served.journal, served.events)
        sweeps_first = sorted(own, key=lambda each: bool(each.events.opened and each.events.opened.card))
        is_more = [self._sync(served) for served in sweeps_first]
        left = [served for served in others if self._is_left(served) and self._is_due(served)]
        if left:
            self._sync(left[0])
        return any(is_more) or len(left) > 1 or not is_all

    def _changed(self) -> tuple[list[_Served], list[_Served], bool]:
        """The journals of which MLflow may lack something: the command's own, others, and whether those are all. The latest are
        read first, as the command's own are; after READ_BYTES those that were never read wait for the next round."""
        own, others, unread = list[_Served](), list[_Served](), 0
        for _, size, path in _latest_first():
            is_new = path not in self._served
            if is_new and unread > READ_BYTES:
                continue
            served = self._served.setdefault(path, _Served(Journal(path), Events()))
            if is_new and Delivery.read(path).is_complete(size):
                served.idle_size = size
            if served.idle_size != size:
                unread += size if is_new else 0
                with suppress(OSError):  # what cannot be read keeps nothing else back
                    served.events = served.journal.read(served.events)
                    (own if self._is_own(served.events) else others).append(served)
        return own, others, unread <= READ_BYTES

    def _is_own(self, events: Events) -> bool:
        return any(Process(*attempt.opened.supervisor) == self._supervisor for attempt in events.attempts.values())

    def _is_left(self, served: _Served) -> bool:
        """Whether an earlier command left it, for a store that answers."""
        open_attempts = (attempt for attempt in served.events.attempts.values() if not attempt.closed)
        return (
            served.events.opened is not None
            and served.store in self._answering
            and all(attempt.process.state() == "gone" for attempt in open_attempts)
        )

    def _is_due(self, served: _Served) -> bool:
        """At once where an event is new; points and what failed wait."""
        pause = self._pauses.get(served.store, (0.0, 0.0))[1]
        return served.others != served.events.others or time.monotonic() >= max(served.due, pause)

    def _sync(self, served: _Served) -> bool:
        """Whether there is more to do."""
        if not self._is_due(served):
            return True
        from pipeline.tracking.sync import RunSync  # imports MLflow, which takes seconds

        store = served.store
        served.others, served.due = served.events.others, time.monotonic() + FLUSH_SECONDS
        try:
            sync = served.sync = served.sync or RunSync(served.journal)
            was_asked = sync.deliver(served.events, wait=False)
        except BlockingIOError:  # another publisher sends it
            return True
        except Exception:  # it is in the journal's Delivery
            pause = min(2 * self._pauses.get(store, (FIRST_PAUSE / 2, 0.0))[0], MAX_PAUSE)
            self._pauses[store] = (pause, time.monotonic() + pause)
            return True
        if was_asked:
            self._pauses.pop(store, None)
            self._answering.add(store)
        served.events, delivery = sync.events, sync.delivery
        served.due = time.monotonic() + (MAX_PAUSE if delivery.lacking else FLUSH_SECONDS)
        if delivery.is_complete(served.events.offset):
            served.idle_size = served.events.offset
        if not delivery.is_open:
            served.sync = None
        return delivery.is_open


def _latest_first() -> list[tuple[float, int, Path]]:
    """(Time of the last change, size, path) of each journal."""
    found = list[tuple[float, int, Path]]()
    for path in journals():
        with suppress(OSError):
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    return sorted(found, reverse=True)


def serve(supervisor: Process) -> None:
    """Until the supervisor has ended and all is sent that can be, or the time for that is over."""
    publisher, ended, is_left = Publisher(supervisor), 0.0, True
    threading.Thread(target=_exit_after, args=[supervisor], daemon=True).start()
    while True:
        with suppress(OSError):  # of a full disk
            is_left = publisher.poll()
        if not ended and not is_alive(supervisor):
            ended = time.monotonic()
        elif ended and (not is_left or (publisher.is_failing and time.monotonic() > ended + LAST_SECONDS)):
            return
        time.sleep(POLL_SECONDS)


def _exit_after(supervisor: Process) -> None:
    """Exit some time after the supervisor, also where MLflow never answers."""
    while is_alive(supervisor):
        time.sleep(POLL_SECONDS)
    time.sleep(AFTERWARDS_SECONDS)
    _exit(supervisor)


def _exit(supervisor: Process) -> None:
    """At once, without what libraries do at the end."""
    _lock_file(supervisor).unlink(missing_ok=True)
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    serve(Process(int(sys.argv[2]), sys.argv[3]))
    _exit(Process(int(sys.argv[2]), sys.argv[3]))
