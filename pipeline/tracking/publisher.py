"""MLflow in a process of its own, which does what the JSON lines of `_tracking` say. What MLflow does not take is tried again,
ever more rarely, until the stage ends. Where a connection breaks without `close`, its run or its sweep is marked as killed.

Nobody waits for it, so it outlives its command: by AFTERWARDS_SECONDS at most. What MLflow lacks then is kept as notes.

    python -m pipeline.tracking.publisher FD PID STARTED      listen on socket FD until that process has ended and all is done
"""

import json
import math
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError
from pipeline.processes import POLL_SECONDS, Process, is_alive
from pipeline.redaction import first_line
from pipeline.tracking import endings
from pipeline.tracking.client import project_root
from pipeline.tracking.pending import discard
from pipeline.tracking.provenance import lineage

if TYPE_CHECKING:
    from pipeline.tracking.mlflow_run import Lineage, Run

FLUSH_SECONDS = 1.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds between attempts
LAST_SECONDS = 2.0  # for further attempts where MLflow fails at a stage's end for the first time
AFTERWARDS_SECONDS = 8.0  # after the command's end
SETTLE_SECONDS = 1.0  # in which a server that answers again does what was asked of it before
LOST = "the process ended without a word, as after SIGKILL or for want of memory"
KILLED = {"ending": "killed", "reason": LOST, "traceback": ""}


class Listener:
    """Does what one connection says: in order, and again after a failure. Nothing is dropped before the stage's end."""

    def __init__(self, connection: socket.socket, earlier: Sequence["Listener"], wake: Callable[[], None]) -> None:
        """earlier: the listeners to connections that were made before; wake: let all others look whether it is their turn."""
        self._connection, self._earlier, self._wake_others = connection, earlier, wake
        self._said: queue.Queue[str | None] = queue.Queue()
        self._todo: deque[Callable[[], Any]] = deque()
        self._points: list[Mapping[str, Any]] = []  # that no run has yet
        self._run: Run | None = None
        self._opened: Mapping[str, Any] = {}  # what the stage said of itself
        self._ended: dict[str, str] = {}  # how, once that is known
        self._lineage: Lineage | None = None
        self._folder = ""
        self._sweep, self._sweep_run = "", ""  # its key, and its run's id
        self._tracking: Mapping[str, str] = {}  # where that run is
        self._run_id = ""
        self._failure, self._pause, self._next = "", FIRST_PAUSE, 0.0
        self.is_done = False

    def listen(self) -> None:
        """Until all is done that was said. What goes wrong here is told to the stage."""
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self._listen()
        except Exception as error:
            self._send({"error": f"{type(error).__name__}: {first_line(error)}"})
            self.keep_note()
        finally:
            self.is_done, self._earlier = True, ()
            self._wake_others()
            self._connection.close()

    def _listen(self) -> None:
        is_open = True
        while is_open or not self._is_my_turn():
            with suppress(queue.Empty):
                text = self._said.get(timeout=FLUSH_SECONDS)
                if text:
                    self._obey(**json.loads(text))
                is_open &= text is not None and not self._ended
            if time.monotonic() >= self._next and self._is_my_turn():
                self._attempt()
        if self._sweep:
            self._close_sweep(self._ended.get("ending", "killed"))
        elif self._opened:
            self._end(**(self._ended or KILLED))

    def _is_my_turn(self) -> bool:
        """Whether all is done that was said before of the same run, or of the sweep above it."""
        return not any(other.is_before(self._key(), self._opened.get("parent")) for other in self._earlier)

    def _key(self) -> tuple[Any, ...]:
        """Which run it is about; nothing as long as that was not said."""
        run = self._opened
        return (run["card"]["fingerprint"], run["parent"], *run["tracking"].values()) if run else (self._sweep,)

    def is_before(self, key: tuple[Any, ...], parent: str | None) -> bool:
        """Whether a later connection about this run, in the sweep `parent`, must wait for this one."""
        if self.is_done:
            return False
        if not (self._opened or self._sweep):
            return True
        return self._key() == key or (self._sweep == parent is not None and not self._sweep_run and not self._failure)

    def wake(self) -> None:
        """Look whether it is this one's turn."""
        self._said.put("")

    def _read(self) -> None:
        """Keep the connection empty, so that the stage never waits to speak."""
        with suppress(OSError), self._connection.makefile(encoding="utf-8") as lines:
            for text in lines:
                if text.endswith("\n"):  # else its process was killed while it spoke
                    self._said.put(text)
        self._said.put(None)

    def _obey(self, do: str, **content: Any) -> None:
        match do:
            case "open":
                self._opened = content
                if content["stage"] == "train":
                    with suppress(OSError):  # a full disk is met again, and told, when MLflow is to have it
                        self._look_at_code()  # as it is now, whenever MLflow answers
                self._todo.append(lambda: self._open(content))
            case "loss":
                self._points.append(content)
            case "publish":
                self._folder = content["folder"]
                self._todo.append(lambda: self._publish(Path(self._folder)))
            case "open_sweep":
                self._sweep, self._tracking = content["key"], content["tracking"]
                self._todo.append(lambda: self._open_sweep(**content))
            case "close" | "close_sweep":
                self._ended = content

    def _look_at_code(self) -> "Lineage":
        self._lineage = self._lineage or lineage()
        return self._lineage

    def _attempt(self) -> None:
        """All that is to do, as far as MLflow takes it."""
        try:
            while self._todo:
                self._todo[0]()
                self._todo.popleft()
            if self._run:
                self._hand_over(self._run)
                self._run.flush(FLUSH_SECONDS)
        except Exception as error:
            self._fall_behind(error)
            return
        if self._failure:
            self._send({"behind": ""})
        self._failure, self._pause = "", FIRST_PAUSE

    def _try_to_the_end(self) -> None:
        """All that is left to do: once more, and for a short while where MLflow fails only now."""
        deadline = time.monotonic() + (0 if self._failure else LAST_SECONDS)
        self._attempt()
        while self._todo and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            self._attempt()

    def _fall_behind(self, error: Exception) -> None:
        new = not self._failure
        self._failure = f"{type(error).__name__}: {first_line(error)}"
        self._next = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        if new:
            self._send({"behind": self._failure})

    def _open(self, content: Mapping[str, Any]) -> None:
        from pipeline.tracking.mlflow_run import connect, open_run

        notes = endings.kept()
        if self._failure or notes:
            connect(**content["tracking"])
        if self._failure:
            time.sleep(SETTLE_SECONDS)  # else a run whose making was asked for would be made twice
        with suppress(Exception):  # of the store; what is not told is kept
            for note in notes:
                with suppress(PipelineError):
                    endings.tell(note, content["tracking"]["uri"])
        self._run = open_run(**content, lineage=self._look_at_code)

    def _publish(self, folder: Path) -> None:
        assert self._run
        self._hand_over(self._run)
        self._run.publish(folder)

    def _hand_over(self, run: "Run") -> None:
        for point in self._points:
            run.loss(**point)
        self._points.clear()

    def _end(self, ending: str, reason: str, traceback: str = "") -> None:
        """Close the run. What MLflow did not take is tried for a short while; then the run says that it lacks it, and a note is
        kept of how it ended, unless the run could say it."""
        self._ended = {"ending": ending, "reason": reason, "traceback": traceback}
        self._todo.append(lambda: self._close(ending, reason, traceback))
        self._try_to_the_end()
        if not self._todo or (self._ended_without(ending, reason, traceback) and ending != "finished"):
            endings.drop(self._opened)  # an earlier attempt's
            discard(Path(self._folder), project_root())
        else:
            with suppress(OSError):
                self._look_at_code()
            self.keep_note()
        self._send({"error": self._failure} if self._failure else {"value": self._run_id})

    def keep_note(self) -> None:
        """Keep what the stage said and MLflow lacks, for later; a sweep's own folder has how it ended. Also while an attempt
        does not return."""
        self._hear_out()
        if self._opened:
            points, run = list(self._points), self._run  # an attempt may hand them over now: better twice than not at all
            curve = [*points, *(run.unsent() if run else [])]
            endings.keep(self._opened, self._lineage or ({}, {}), curve, self._folder, self._ended or KILLED)

    def _hear_out(self) -> None:
        """Take in what was said meanwhile: an attempt that does not return has kept this from it."""
        with suppress(queue.Empty):
            while True:
                if text := self._said.get_nowait():
                    self._obey(**json.loads(text))

    def _ended_without(self, ending: str, reason: str, traceback: str) -> bool:
        """Whether MLflow takes the run's end though it did not take something before."""
        if len(self._todo) > 1 and self._run:
            from pipeline.tracking.mlflow_run import UNPUBLISHED

            lacking = (UNPUBLISHED, self._failure, "") if ending == "finished" else (ending, reason, traceback)
            with suppress(Exception):
                self._close(*lacking)
                return True
        return False

    def _close(self, ending: str, reason: str, traceback: str) -> None:
        if self._run:
            self._hand_over(self._run)
            self._run_id = self._run.close(ending, reason, traceback)
            self._run = None

    def _open_sweep(self, **content: Any) -> None:
        from pipeline.tracking.mlflow_run import open_sweep

        self._sweep_run = open_sweep(**content)
        self._wake_others()

    def _close_sweep(self, ending: str) -> None:
        """Try for a short while; then `runs doctor` and `runs publish` know the ending by sweep.json."""
        from pipeline.tracking.mlflow_run import close_sweep

        self._todo.append(lambda: close_sweep(self._tracking, self._sweep_run, ending))
        self._try_to_the_end()
        self._send({"error": self._failure} if self._failure else {"value": ""})

    def _send(self, content: Mapping[str, Any]) -> None:
        with suppress(OSError):
            self._connection.sendall((json.dumps(content) + "\n").encode())


def serve(server: socket.socket, owner: Process) -> None:
    """A thread for each connection, until the owner has ended and all is done, or its time is over."""
    server.settimeout(POLL_SECONDS)
    listeners: list[Listener] = []

    def wake() -> None:
        for listener in list(listeners):
            listener.wake()

    deadline = math.inf
    while time.monotonic() < deadline:
        try:
            connection, _ = server.accept()
        except TimeoutError:
            listeners[:] = [listener for listener in listeners if not listener.is_done]
            if deadline == math.inf and not is_alive(owner):
                deadline = time.monotonic() + AFTERWARDS_SECONDS
            if deadline < math.inf and not listeners:
                break
            continue
        connection.setblocking(True)
        listeners.append(Listener(connection, tuple(listeners), wake))
        threading.Thread(target=listeners[-1].listen, daemon=True).start()
    for listener in listeners:
        if not listener.is_done:
            with suppress(Exception):  # one must not cost the others their notes
                listener.keep_note()
    Path(server.getsockname()).unlink(missing_ok=True)  # not before: `wait_for_publishers` waits for the notes, too
    os._exit(0)  # also where MLflow never answers


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    serve(socket.socket(fileno=int(sys.argv[1])), Process(int(sys.argv[2]), sys.argv[3]))
