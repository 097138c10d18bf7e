"""An SQLite store that is made, cut short and moved."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from pipeline.tracking.mlflow_run import connect
from pipeline.tracking.store import sqlite_uri
from tests.conftest import Shell, environment
from tests.observing import runs_of, wait_for
from tests.tracked import EXPERIMENT

MAKER = """
import sys
from pathlib import Path
from pipeline.tracking.sqlite_store import make
make(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_store_whose_making_is_cut_short_is_made_anew(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    command = [sys.executable, "-c", MAKER, str(database)]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL) as first:
        wait_for(lambda: bool(list(tmp_path.glob(".making-*/mlflow.db"))))
        time.sleep(0.3)
        os.kill(first.pid, signal.SIGKILL)
    assert not database.exists()
    subprocess.run(command, env=environment(), check=True, capture_output=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
    assert MlflowClient(sqlite_uri(database)).search_experiments()


@pytest.mark.slow
def test_a_copied_and_a_renamed_repository(repo: Path, forked: Shell) -> None:
    assert forked("python -m pipeline", repo).returncode == 0
    (run,) = runs_of(repo)
    mlflow.set_tracking_uri(f"sqlite:///{repo}/mlruns/mlflow.db")
    mlflow.register_model(f"runs:/{run.info.run_id}/model", "m")
    copy = repo.with_name("a copy")
    shutil.copytree(repo, copy)
    before = {path: path.read_bytes() for path in repo.rglob("*") if path.is_file()}
    check_moved(copy, run.info.run_id)
    done = forked("python -m pipeline optimizer.lr=0.3", copy)
    assert done.returncode == 0, done.stderr
    assert all(
        Path(found.info.artifact_uri.removeprefix("file://").replace("%20", " ")).is_relative_to(copy)
        for found in runs_of(copy)
    )
    assert {path: path.read_bytes() for path in repo.rglob("*") if path.is_file()} == before
    check_moved(repo.rename(repo.with_name("renamed")), run.info.run_id)


def check_moved(repo: Path, run_id: str) -> None:
    uri = f"sqlite:///{repo}/mlruns/mlflow.db"
    client, _ = connect(uri, EXPERIMENT)
    assert "training/model.npz" in [item.path for item in client.list_artifacts(run_id, "training")]
    example = pd.DataFrame({"x1": [1.0], "x2": [2.0]})
    mlflow.set_tracking_uri(uri)
    served = [mlflow.pyfunc.load_model(name).predict(example) for name in (f"runs:/{run_id}/model", "models:/m/1")]
    assert served[0].equals(served[1])
    with closing(sqlite3.connect(repo / "mlruns" / "mlflow.db")) as store:
        elsewhere = f"{repo.parent}/repo/mlruns/artifacts"
        assert not [line for line in store.iterdump() if elsewhere in line]
