"""A real `mlflow server`, and a proxy before it that fails as servers do."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.conftest import environment


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
        words = ["-W", "ignore", "-m", "mlflow", "server", *store, "--port", str(self.port), "--workers", "1"]
        env = environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([sys.executable, *words], env=env, start_new_session=True, **quiet)  # type: ignore[call-overload]

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


class Proxy:
    """Passes requests on to a server, or fails: `mode` is pass, drop, lose (done, but the answer is lost) or an HTTP status."""

    def __init__(self, server: Server) -> None:
        self.mode: str | int = "pass"
        self.failed = threading.Event()  # some request has met an outage
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if self.raw_requestline and self.parse_request():
                    proxy.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server, self._http = server, ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        mode = self.mode
        if mode != "pass":
            self.failed.set()
        if mode == "drop":
            return
        status, content = (mode, b"{}") if isinstance(mode, int) else self._forward(request, body)
        if mode == "lose":
            return
        request.send_response(int(status))
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        headers = {key: value for key, value in request.headers.items() if key.lower() != "host"}
        with closing(http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)) as line:
            line.request(request.command, request.path, body, headers)
            with line.getresponse() as answer:
                return answer.status, answer.read()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
