"""MLflow in a process of its own, which obeys the JSON lines of `_tracking`. Where a line breaks without `close`, its run or
its sweep is marked as killed.

    python -m pipeline._publisher FD PID      listen on the socket FD until the process PID has ended and all lines are closed
"""

import json
import logging
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from pipeline._mlflow import UNPUBLISHED, Run, close_sweep, open_run, open_sweep
from pipeline._terminal import POLL_SECONDS, lives

FLUSH_SECONDS = 1.0


class Listener:
    """Does what the lines of one stage say. A failure is kept, and is the answer to the next question."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._run: Run | None = None
        self._end_sweep: Callable[[str], None] | None = None
        self._failure = ""
        self._said: queue.Queue[str | None] = queue.Queue()

    def listen(self) -> None:
        """Until the line is closed, or breaks."""
        threading.Thread(target=self._read, daemon=True).start()
        while True:
            try:
                text = self._said.get(timeout=FLUSH_SECONDS)
            except queue.Empty:
                self._attempt(lambda: self._run.flush() if self._run else None)
                continue
            if text is None:
                break
            self._obey(**json.loads(text))
        if run := self._run:
            self._attempt(lambda: run.close("killed", "the process ended without a word"))
        if self._end_sweep:
            self._end_sweep("killed")

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
                self._failure, self._run = "", None
                self._run = self._attempt(lambda: open_run(**content))
            case "open_sweep":
                self._answer(lambda: self._open_sweep(**content))
            case "close_sweep":
                close, self._end_sweep = self._end_sweep, None
                self._answer(lambda: close(content["ending"]) if close else None)
            case "close":
                run, self._run = self._run, None
                if self._failure and content["ending"] == "finished":
                    content.update(ending=UNPUBLISHED, reason=self._failure)
                self._answer(lambda: run.close(**content) if run else None)
            case _ if self._run:
                self._show(self._run, do, content)

    def _open_sweep(self, tracking: Mapping[str, str], **content: Any) -> str:
        run_id = open_sweep(tracking, **content)
        self._end_sweep = lambda ending: close_sweep(tracking, run_id, ending)
        return run_id

    def _show(self, run: Run, do: str, content: Mapping[str, Any]) -> None:
        if do == "publish":
            self._attempt(lambda: run.publish(Path(content["folder"])))
        else:
            run.loss(**content)
            self._attempt(lambda: run.flush(FLUSH_SECONDS))

    def _attempt(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as error:
            self._failure = self._failure or f"{type(error).__name__}: {str(error).splitlines()[0]}"
            return None

    def _answer(self, action: Callable[[], Any]) -> None:
        """Send the action's value, or the first failure since the last answer."""
        value = self._attempt(action)
        answer = {"error": self._failure} if self._failure else {"value": value}
        with suppress(OSError):
            self._line.sendall((json.dumps(answer) + "\n").encode())
        self._failure = ""


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
    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
