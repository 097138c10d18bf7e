"""MLflow's UI over the repository's runs; the address is printed when the page answers."""

import logging
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

from pipeline import console
from pipeline.config.config import compose
from pipeline.config.tracking import Tracking, stage_tracking
from pipeline.errors import CommandError
from pipeline.files import OUT
from pipeline.processes import supervising
from pipeline.tracking.sqlite_store import make, relocate
from pipeline.tracking.store import absolute_uri, check_writable, database_of, store_lock

logger = logging.getLogger("pipeline.ui")

HOST = "127.0.0.1"
POLL_SECONDS = 0.3
LIGHT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


def serve(tracking: Tracking, port: int) -> int:
    """Run the server until it ends; its exit code."""
    if tracking.uri is None:
        raise CommandError("tracking.uri is null, so there are no runs to show")
    check_writable(tracking)
    uri = absolute_uri(tracking.uri)
    if database := database_of(uri):
        with store_lock(uri):
            make(database)
    relocate(uri)
    with socket.socket() as port_taken:
        if port_taken.connect_ex((HOST, port)) == 0:
            raise CommandError(f"port {port} is taken by another program; choose one with --port")
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "ui"]
    address = ["--host", HOST, "--port", str(port), "--workers", "1"]
    logger.info("starting MLflow's UI; this takes a while")
    store = {"MLFLOW_BACKEND_STORE_URI": uri}  # which everybody would see among the arguments
    with supervising():
        server = subprocess.Popen([*command, *address], env={**os.environ, **LIGHT, **store}, stdout=subprocess.DEVNULL)
    try:
        while server.poll() is None and not _answers(port):
            time.sleep(POLL_SECONDS)
        if server.poll() is None:
            logger.info(f"http://{HOST}:{port}   (Ctrl-C ends it)")
        return server.wait()
    finally:
        server.terminate()
        server.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=2) as page:
            return bool(page.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def main(argv: Sequence[str]) -> None:
    parser = console.parser("ui", __doc__, "--port 5001")
    parser.add_argument("--port", type=int, default=5000)
    args = parser.parse_args(argv)
    if not 0 < args.port < 2**16:
        raise CommandError(f"--port must be in 1 to {2**16 - 1}; got {args.port}")
    tracking = stage_tracking(OUT)
    code = serve(tracking if tracking.uri else compose().tracking, args.port)
    if code != 0:
        raise CommandError(f"MLflow's UI ended with exit code {code}")


if __name__ == "__main__":
    console.run(main)
