"""A real `mlflow server`."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Server:
    """`mlflow server` over an SQLite store, new or a copy of `store`, and artifacts of its own in `folder`."""

    def __init__(self, folder: Path, store: Path | None = None) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        if store:
            shutil.copy(store, folder / "mlflow.db")

    def start(self) -> None:
        """Returns at once; `wait` until it answers."""
        store = [
            "--backend-store-uri",
            f"sqlite:///{self.folder}/mlflow.db",
            "--artifacts-destination",
            f"{self.folder}/artifacts",
        ]
        argv = ["-W", "ignore", "-m", "mlflow", "server", *store, "--port", str(self.port), "--workers", "1"]
        env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([sys.executable, *argv], env=env, start_new_session=True, **quiet)  # type: ignore[call-overload]

    def wait(self, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                assert time.monotonic() < deadline
                time.sleep(0.2)

    def signal(self, how: signal.Signals) -> None:
        os.killpg(self._process.pid, how)

    def stop(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.wait()
