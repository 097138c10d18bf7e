"""MLflow's UI over the repository's runs. When it answers, its address is printed and opened where there is a browser: that of
the view of the experiment that fits its latest run."""

import json
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from pipeline import console
from pipeline.config.config import compose
from pipeline.config.tracking import Tracking, stage_tracking
from pipeline.errors import CommandError
from pipeline.files import OUT
from pipeline.processes import supervising
from pipeline.tracking.sqlite_store import make, relocate
from pipeline.tracking.store import absolute_uri, check_writable, database_of, store_lock
from pipeline.tracking.views import SHARED, UI_HOST, UI_PORT, key_for, page

logger = logging.getLogger("pipeline.ui")

POLL_SECONDS = 0.3
ASK_SECONDS = 10.0
DISPLAYS = {"DISPLAY", "WAYLAND_DISPLAY"}  # environment variables, one of which is there where a browser has a screen
LIGHT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}


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
        if port_taken.connect_ex((UI_HOST, port)) == 0:
            raise CommandError(f"port {port} is taken by another program; choose one with --port")
    command = [sys.executable, "-m", "mlflow", "ui"]
    where = ["--host", UI_HOST, "--port", str(port), "--workers", "1"]
    logger.info("starting MLflow's UI; this takes a while")
    store = {"MLFLOW_BACKEND_STORE_URI": uri}  # which everybody would see among the arguments
    with supervising():
        server = subprocess.Popen([*command, *where], env={**os.environ, **LIGHT, **store}, stdout=subprocess.DEVNULL)
    try:
        while server.poll() is None and not _answers(port):
            time.sleep(POLL_SECONDS)
        if server.poll() is None:
            address = f"http://{UI_HOST}:{port}{_view(port, tracking.experiment)}"
            logger.info(f"{address}   (Ctrl-C ends it)")
            if sys.stdout.isatty() and (os.environ.keys() & DISPLAYS or sys.platform == "darwin"):
                webbrowser.open(address)
        return server.wait()
    finally:
        server.terminate()
        server.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{UI_HOST}:{port}/health", timeout=2) as page:
            return bool(page.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _view(port: int, experiment: str) -> str:
    """The page of the experiment's runs, below the server's address; empty where it has none yet."""
    with suppress(OSError, KeyError, IndexError):
        found = _ask(port, f"experiments/get-by-name?experiment_name={quote(experiment)}")["experiment"]
        known = {tag["key"] for tag in found["tags"]}
        wanted = {"experiment_ids": [found["experiment_id"]], "filter": "tags.fingerprint != ''", "max_results": 1}
        run = _ask(port, "runs/search", wanted)["runs"][0]
        key = key_for({tag["key"]: tag["value"] for tag in run["data"]["tags"]})
        return page(found["experiment_id"], key) if f"{SHARED}{key}" in known else ""
    return ""


def _ask(port: int, call: str, content: Mapping[str, Any] | None = None) -> Any:
    body = None if content is None else json.dumps(content).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://{UI_HOST}:{port}/api/2.0/mlflow/{call}", body, headers)
    with urllib.request.urlopen(request, timeout=ASK_SECONDS) as answer:
        return json.load(answer)


def main(argv: Sequence[str]) -> None:
    parser = console.parser("ui", __doc__, "--port 5001")
    parser.add_argument("--port", type=int, default=UI_PORT)
    args = parser.parse_args(argv)
    if not 0 < args.port < 2**16:
        raise CommandError(f"--port must be in 1 to {2**16 - 1}; got {args.port}")
    tracking = stage_tracking(OUT)
    code = serve(tracking if tracking.uri else compose().tracking, args.port)
    if code != 0:
        raise CommandError(f"MLflow's UI ended with exit code {code}")


if __name__ == "__main__":
    console.run(main)
