"""MLflow in a process of its own, which obeys the JSON lines of `_tracking`. What MLflow does not take is tried again, ever
more rarely, until the stage ends. Where a line breaks without `close`, its run or its sweep is marked as killed.

    python -m pipeline._publisher FD PID      listen on the socket FD until the process PID has ended and all lines are closed
"""

import json
import queue
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from pipeline import _endings
from pipeline._provenance import lineage
from pipeline._secrets import first_line
from pipeline._terminal import POLL_SECONDS, lives
from pipeline.numerics import InvalidInput

if TYPE_CHECKING:
    from pipeline._mlflow import Run

FLUSH_SECONDS = 1.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds between attempts
LAST_SECONDS = 2.0  # for further attempts where MLflow fails at a stage's end for the first time
SETTLE_SECONDS = 1.0  # in which a server that answers again does what was asked of it before
LOST = "the process ended without a word, as after SIGKILL or for want of memory"


class Listener:
    """Does what the line of one stage says: in order, and again after a failure. Nothing is dropped before the stage's end."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._said: queue.Queue[str | None] = queue.Queue()
        self._todo: deque[Callable[[], Any]] = deque()
        self._points: list[Mapping[str, Any]] = []  # that no run has yet
        self._run: Run | None = None
        self._opened: Mapping[str, Any] = {}  # what the stage said of itself
        self._is_closed = False
        self._lineage, self._folder = cache(lineage), ""
        self._end_sweep: Callable[[str], None] | None = None
        self._run_id = ""
        self._failure, self._pause, self._next = "", FIRST_PAUSE, 0.0

    def listen(self) -> None:
        """Until the line is closed, or breaks. What goes wrong here is told to the stage, which then does not wait."""
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self._listen()
        except Exception as error:
            self._say({"error": f"{type(error).__name__}: {first_line(error)}"})
        finally:
            self._line.close()

    def _listen(self) -> None:
        while True:
            try:
                text = self._said.get(timeout=FLUSH_SECONDS)
            except queue.Empty:
                text = ""
            if text is None:
                break
            if text:
                self._obey(**json.loads(text))
            if time.monotonic() >= self._next:
                self._attempt()
        if self._run or self._todo:
            self._end(ending="killed", reason=LOST)
        with suppress(Exception):  # then `runs doctor` and `runs publish` know the ending by sweep.json
            self._close_sweep("killed")

    def _read(self) -> None:
        """Keep the line empty, so that the stage never waits to speak."""
        with suppress(OSError), self._line.makefile(encoding="utf-8") as lines:
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
                        self._lineage()  # as the code is now, whenever MLflow answers
                self._todo.append(lambda: self._open(content))
            case "loss":
                self._points.append(content)
            case "publish":
                self._folder = content["folder"]
                self._todo.append(lambda: self._publish(Path(self._folder)))
            case "close":
                if self._is_closed:  # and the stage was told to end before it heard so: its run ends as the stage did
                    self._todo.append(lambda: self._open(self._opened))
                self._is_closed = True
                self._end(**content)
                self._say({"error": self._failure} if self._failure else {"value": self._run_id})
            case "open_sweep":
                self._answer(lambda: self._open_sweep(**content))
            case "close_sweep":
                self._answer(lambda: self._close_sweep(content["ending"]))

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
            self._say({"behind": ""})
        self._failure, self._pause = "", FIRST_PAUSE

    def _fall_behind(self, error: Exception) -> None:
        new = not self._failure
        self._failure = f"{type(error).__name__}: {first_line(error)}"
        self._next = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        if new:
            self._say({"behind": self._failure})

    def _open(self, content: Mapping[str, Any]) -> None:
        from pipeline._mlflow import connect, open_run

        notes = _endings.kept()
        if self._failure or notes:
            connect(**content["tracking"])
        if self._failure:
            time.sleep(SETTLE_SECONDS)  # else a run whose making was asked for would be made twice
        with suppress(Exception):  # of the store; what is not told is kept
            for note in notes:
                with suppress(InvalidInput):
                    _endings.tell(note, content["tracking"]["uri"])
        self._run = open_run(**content, lineage=self._lineage)

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
        self._todo.append(lambda: self._close(ending, reason, traceback))
        deadline = time.monotonic() + (0 if self._failure else LAST_SECONDS)
        self._attempt()
        while self._todo and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            self._attempt()
        if not self._todo:
            _endings.drop(self._opened)  # an earlier attempt's
        elif not self._ended_without(ending, reason, traceback) or ending == "finished":
            curve = [*(self._run.unsent() if self._run else []), *self._points]
            ended = {"ending": ending, "reason": reason, "traceback": traceback}
            _endings.keep(self._opened, self._lineage(), curve, self._folder, ended)
        self._run = None
        self._todo.clear()

    def _ended_without(self, ending: str, reason: str, traceback: str) -> bool:
        """Whether MLflow takes the run's end though it did not take something before."""
        if len(self._todo) > 1 and self._run:
            lacking = ("unpublished", self._failure, "") if ending == "finished" else (ending, reason, traceback)
            with suppress(Exception):
                self._close(*lacking)
                return True
        return False

    def _close(self, ending: str, reason: str, traceback: str) -> None:
        if self._run:
            self._hand_over(self._run)
            self._run_id = self._run.close(ending, reason, traceback)
            self._run = None

    def _open_sweep(self, tracking: Mapping[str, str], **content: Any) -> str:
        from pipeline._mlflow import close_sweep, open_sweep

        run_id = open_sweep(tracking, **content)
        self._end_sweep = lambda ending: close_sweep(tracking, run_id, ending)
        return run_id

    def _close_sweep(self, ending: str) -> None:
        """Try for a short while. Raises MLflow's error."""
        close, self._end_sweep = self._end_sweep, None
        deadline = time.monotonic() + LAST_SECONDS
        while close:
            try:
                close(ending)
                break
            except Exception:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(POLL_SECONDS)

    def _answer(self, action: Callable[[], Any]) -> None:
        try:
            self._say({"value": action()})
        except Exception as error:
            self._say({"error": f"{type(error).__name__}: {first_line(error)}"})

    def _say(self, content: Mapping[str, Any]) -> None:
        with suppress(OSError):
            self._line.sendall((json.dumps(content) + "\n").encode())


def serve(ear: socket.socket, owner: int) -> None:
    """A thread for each line, until the owner has ended and no line is open or waits."""
    process = psutil.Process(owner) if psutil.pid_exists(owner) else None
    ear.settimeout(POLL_SECONDS)
    listeners: list[threading.Thread] = []
    while True:
        try:
            line, _ = ear.accept()
        except TimeoutError:
            if any(thread.is_alive() for thread in listeners) or (process and lives(process)):
                continue
            break
        line.setblocking(True)
        listeners.append(threading.Thread(target=Listener(line).listen))
        listeners[-1].start()
    Path(ear.getsockname()).unlink(missing_ok=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
