"""A proxy before an `mlflow server` that fails as servers do."""

import http.client
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from benchmarks._server import Server

SLOW_SECONDS = 0.1  # a request


class Proxy:
    """Passes requests on to a server, or fails: `mode` is pass, slow, drop, lose (the answer alone) or an HTTP status."""

    def __init__(self, server: Server) -> None:
        self.mode: str | int = "pass"
        self.failed = threading.Event()  # some request has met an outage
        self._later: tuple[int, str | int] | None = None
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
        mode = self._next_mode()
        if mode == "slow":
            time.sleep(SLOW_SECONDS)
        elif mode != "pass":
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

    def fail_after(self, requests: int, mode: str | int) -> None:
        """Pass so many requests on, and fail from then on."""
        self.mode, self._later = "pass", (requests, mode)

    def _next_mode(self) -> str | int:
        if self._later:
            requests, mode = self._later
            self._later = (requests - 1, mode) if requests else None
            self.mode = self.mode if requests else mode
        return self.mode

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        headers = {key: value for key, value in request.headers.items() if key.lower() != "host"}
        with closing(http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)) as connection:
            connection.request(request.command, request.path, body, headers)
            with connection.getresponse() as answer:
                return answer.status, answer.read()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
