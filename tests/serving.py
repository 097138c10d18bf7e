"""`mlflow models serve`, asked as a user would."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import environment


def check_serving(repo: Path, uri: str, folder: Path) -> None:
    """`mlflow models serve` of a model's URI answers raw columns, as JSON and CSV, with what evaluate wrote in `folder`."""
    table = pd.read_parquet(repo / "out" / "data" / "test.parquet").head(3)
    expected = pd.read_parquet(folder / "predictions.parquet").head(3)
    bodies = {
        json.dumps({"dataframe_split": table[["x1", "x2"]].to_dict(orient="split")}): "application/json",
        json.dumps({"dataframe_records": table[["x2", "x1"]].to_dict(orient="records")}): "application/json",
        table.to_csv(index=False): "text/csv",
    }
    for answer in served(uri, repo / "mlruns" / "mlflow.db", bodies):
        assert [row["prediction"] for row in answer] == expected["predicted"].tolist()
        assert [row["probability"] for row in answer] == pytest.approx(expected["probability"].tolist(), abs=1e-15)


def served(uri: str, database: Path, bodies: Mapping[str, str]) -> list[list[dict[str, Any]]]:
    """The predictions that `mlflow models serve` answers to bodies of these content types."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = f"mlflow models serve -m {uri} --env-manager local --workers 1 --port {port}"
    env = environment(MLFLOW_TRACKING_URI=f"sqlite:///{database}")
    requests = [
        urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body.encode(), {"Content-Type": kind})
        for body, kind in bodies.items()
    ]
    with subprocess.Popen(
        command.split(), cwd=database.parent, env=env, stderr=subprocess.DEVNULL, start_new_session=True
    ) as server:
        try:
            return [json.loads(_answer(request))["predictions"] for request in requests]
        finally:
            os.killpg(server.pid, signal.SIGTERM)


def _answer(request: urllib.request.Request, seconds: float = 60) -> bytes:
    """The answer of a server that may still be starting."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return bytes(answer.read())
        except urllib.error.URLError:
            assert time.monotonic() < deadline
            time.sleep(0.3)
