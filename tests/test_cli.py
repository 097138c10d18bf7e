"""The command line: bad input ends in one sentence, sweeps have a parent, failures and kills have their status."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.conftest import Shell, environment
from tests.test_dag import runs_of


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("pipeline optimizer.lr=-1", "optimizer.lr must be > 0 and finite; got -1.0"),
        ("pipeline data=table data.path=no.csv data.target=y", "data.path must name a file; there is none at no.csv"),
        ("pipeline.generate data=table data.path=t.csv data.target=z", "there is no column z in t.csv; its columns are a, y"),
        ("pipeline.train", "there is no out/data/schema.json"),
        ("pipeline.evaluate numpy", "there is no out/numpy/model.json"),
        ("pipeline.plot numpy", "there is no out/numpy/model.json"),
        ("pipeline.report numpy", "there is no out/numpy/model.json"),
        ("pipeline.compose jax", "model=jax: there is no such model; choose numpy, torch"),
    ],
)
def test_one_sentence_and_nothing_half_written(repo: Path, shell: Shell, command: str, sentence: str) -> None:
    (repo / "t.csv").write_text("a,y\n1,0\n2,1\n")
    done = shell(f"python -m {command}", repo)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    made = [path for path in (repo / "out").rglob("*") if path.is_file() and path.name != "config.yaml"]
    assert made == []


def test_the_whole_traceback_on_request(repo: Path, shell: Shell) -> None:
    assert "Traceback" in shell("python -m pipeline optimizer.lr=-1", repo, HYDRA_FULL_ERROR="1").stderr


def test_overrides_must_be_a_list(repo: Path, shell: Shell) -> None:
    (repo / "overrides.yaml").write_text("overrides: optimizer.lr=1\n")
    assert "must be a list of strings" in shell("python -m pipeline.compose numpy", repo).stderr
    (repo / "overrides.yaml").write_text("overrides: [model=torch]\n")
    assert "model cannot be set in overrides.yaml" in shell("python -m pipeline.compose numpy", repo).stderr


def test_an_unwritable_store(repo: Path, shell: Shell) -> None:
    started = time.monotonic()
    (repo / "file").write_text("")
    assert shell("python -m pipeline.generate", repo).returncode == 0
    done = shell("python -m pipeline.train tracking.uri=sqlite:///file/mlflow.db", repo)
    assert done.returncode == 1
    assert "tracking.uri must be writable" in done.stderr
    assert not (repo / "out" / "numpy").exists()
    assert time.monotonic() - started < 10


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_has_a_parent(repo: Path, shell: Shell, launcher: str) -> None:
    done = shell(f"python -m pipeline -m hydra/launcher={launcher} optimizer.lr=0.1,0.2", repo)
    assert done.returncode == 0, done.stderr
    runs = runs_of(repo)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert [run.info.status for run in runs] == ["FINISHED"] * 3
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
    assert sorted(run.data.params["optimizer.lr"] for run in children) == ["0.1", "0.2"]


@pytest.mark.slow
def test_a_sweep_with_a_failed_job(repo: Path, shell: Shell) -> None:
    done = shell("python -m pipeline -m optimizer.lr=0.1,-1", repo)
    assert done.returncode == 1
    assert "optimizer.lr must be > 0" in done.stderr
    statuses = {run.info.status for run in runs_of(repo) if "mlflow.parentRunId" not in run.data.tags}
    assert statuses == {"FAILED"}


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_fit_is_not_finished(repo: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-m", "pipeline", "optimizer.epochs=100000000", "data.rows=100000"]
    with subprocess.Popen(command, cwd=repo, env=environment(), stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: bool(points(repo)))
        os.kill(process.pid, how)
        process.wait(20)
    wait_for(lambda: runs_of(repo)[0].info.status == "KILLED")
    run = runs_of(repo)[0]
    assert run.data.tags["stage.train"] == "killed"
    assert run.data.tags["reason"]


def points(repo: Path) -> list[object]:
    """The loss curve of the only run, so far."""
    client, runs = MlflowClient(f"sqlite:///{repo}/mlruns/mlflow.db"), runs_of(repo)
    return list(client.get_metric_history(runs[0].info.run_id, "loss")) if runs else []


def wait_for(condition: "object", seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    assert callable(condition)
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
