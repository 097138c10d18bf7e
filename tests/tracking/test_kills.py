"""Whoever is killed, with the store up, down or slow: one sync later each value is there once and the status is true."""

import json
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from mlflow import MlflowClient

from benchmarks._server import Server
from pipeline.files import ROOT, read_json
from pipeline.tracking.mlflow_run import CURVE
from tests.conftest import environment
from tests.servers import Proxy

MODES = ("pass", "pass", "slow", "drop", "lose", 500)


@pytest.mark.slow
def test_ten_kills(fitted: Path, server: Server, proxy: Proxy) -> None:
    check_kills(fitted, server, proxy, seed=0, kills=10)


@pytest.mark.evidence
@pytest.mark.parametrize("seed", range(4))
def test_two_hundred_kills(fitted: Path, server: Server, proxy: Proxy, seed: int) -> None:
    check_kills(fitted, server, proxy, seed, 200)


def check_kills(fitted: Path, server: Server, proxy: Proxy, seed: int, kills: int) -> None:
    over, rng = threading.Event(), random.Random(seed)

    def disturb() -> None:
        while not over.wait(rng.uniform(0.1, 0.6)):
            proxy.mode = rng.choice(MODES)

    disturber = threading.Thread(target=disturb)
    disturber.start()
    model = fitted / "models" / "numpy" / "model.json"
    argv = [
        "-m",
        "tests.tracking.kill_journal",
        str(seed),
        str(kills),
        f"http://127.0.0.1:{proxy.port}",
        str(model),
        str(fitted),
    ]
    env = environment(DVC_ROOT=os.environ["DVC_ROOT"], MLFLOW_HTTP_REQUEST_TIMEOUT="5")
    ways = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, *argv], cwd=ROOT, env=env, **ways) as driver:  # type: ignore[call-overload]
        print(driver.stdout.readline())
        over.set()
        disturber.join()
        proxy.mode = "pass"
        out, _ = driver.communicate("\n")
    assert driver.returncode == 0
    check_run(server, read_json(model)["fingerprint"], json.loads(out))


def check_run(server: Server, fingerprint: str, expected: dict[str, object]) -> None:
    client = MlflowClient(server.uri)
    (run,) = client.search_runs(["1"], f"tags.fingerprint = '{fingerprint}'")
    points = expected["points"]
    assert isinstance(points, list)
    for key, name in CURVE.items():
        shown = Counter((p.step, p.value, p.timestamp) for p in client.get_metric_history(run.info.run_id, key))
        assert shown == Counter((point["epoch"], point[name], round(1000 * point["time"])) for point in points)
    stages = expected["stages"]
    assert isinstance(stages, dict)
    assert {stage: run.data.tags[f"stage.{stage}"] for stage in stages} == stages
    assert (run.info.status, run.data.tags.get("reason", "")) == (expected["status"], expected["reason"])
    for stage in ("train", "evaluate"):
        history = client.get_metric_history(run.info.run_id, f"{stage}/x")
        files = client.list_artifacts(run.info.run_id, stage)
        assert len(history) == len(files) <= 1
        assert stages[stage] != "finished" or len(files) == 1
    print(expected["status"], expected["reason"], len(points), "points")
