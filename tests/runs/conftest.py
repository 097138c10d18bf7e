"""A repository with a DAG's runs, a single run and a sweep, made once and copied; and the commands."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient, pyfunc
from mlflow.entities import Run

from pipeline.tracking.mlflow_run import SWEEP_KEY, models_of
from pipeline.tracking.names import FINGERPRINT_LETTERS, SECONDS
from tests.conftest import copy_with_store, environment
from tests.forked import ForkServer


class Answer(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    stdout: str
    stderr: str


Commands = Callable[..., list[Answer]]


ONCE = ("requirements.txt", "environment.json", "code.diff", SECONDS)  # known while a model is trained, not from its files


@pytest.fixture
def runs(fork_server: ForkServer) -> Commands:
    """Run `python -m pipeline.runs` with the arguments of each line, one after another in one process."""

    def run(repo: Path, *lines: str) -> list[Answer]:
        ended = fork_server.run([["pipeline.runs", *line.split()] for line in lines], repo, environment())
        return [Answer(done.returncode, done.stdout, done.stderr) for done in ended]

    return run


@pytest.fixture
def made(tmp_path: Path, original: Path) -> Path:
    """A copy of `original`."""
    return copy_with_store(original, tmp_path / "made")


@pytest.fixture(scope="session")
def before(original: Path) -> dict[str, Any]:
    """All that the UI shows of each of its runs."""
    return shown(original)


def client_of(repo: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{repo}/mlruns/mlflow.db")


def all_runs(repo: Path) -> dict[str, Run]:
    """By folder: numpy and torch of the DAG, single, and the sweep's 0, 1 and parent."""
    client = client_of(repo)
    found = client.search_runs([client.get_experiment_by_name("logistic-regression").experiment_id])
    names: dict[str, Run] = {}
    for run in found:
        child = "mlflow.parentRunId" in run.data.tags
        lr = run.data.params.get("optimizer.lr")
        alone = "single" if lr == "0.5" else run.data.params.get("model.name", "parent")
        name = {"0.1": "0", "0.2": "1"}[str(lr)] if child else alone
        assert name not in names, "a run is there twice"
        names[name] = run
    return names


def all_runs_but(made: Path, other: str) -> dict[str, Run]:
    """The same where one run more, `other`, was made."""
    client_of(made).delete_run(other)
    found = all_runs(made)
    client_of(made).restore_run(other)
    return found


def shown(repo: Path) -> dict[str, Any]:
    """All that the UI shows of each run."""
    mlflow.set_tracking_uri(f"sqlite:///{repo}/mlruns/mlflow.db")
    found = all_runs(repo)
    named = {run.info.run_id: name for name, run in found.items()}
    return {name: _shown(client_of(repo), run, named) for name, run in found.items()}


def _shown(client: MlflowClient, run: Run, named: dict[str, str]) -> dict[str, Any]:
    data, run_id = run.data, run.info.run_id
    datasets = [(i.dataset.name, i.dataset.digest, i.dataset.source, i.dataset.profile) for i in run.inputs.dataset_inputs]
    kept = ("fingerprint", "stage.", "model", "data", "sweep.keys", "threshold", "checks", "mlflow.note")
    models = models_of(client, run)
    table = pd.DataFrame({"x1": [-1.0, 0.5, 2.0], "x2": [0.3, -0.7, 1.0]})
    return {
        "name": run.info.run_name.removesuffix(data.tags.get(SWEEP_KEY, "")[:FINGERPRINT_LETTERS]),
        "status": run.info.status,
        "parent": named.get(data.tags.get("mlflow.parentRunId", "")),
        "params": data.params,
        "tags": {key: value for key, value in data.tags.items() if key.startswith(kept)},
        "metrics": {key: _numbers(client, run_id, key) for key in data.metrics if key not in ONCE},
        "artifacts": _tree(client, run_id),
        "datasets": datasets,
        "models": [(m.name, m.params, str(m.status)) for m in models],
        "predictions": [pyfunc.load_model(m.model_uri).predict(table).to_dict() for m in models],
    }


def _numbers(client: MlflowClient, run_id: str, key: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run_id, key) if not isnan(point.value)]


def _tree(client: MlflowClient, run_id: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(client.download_artifacts(run_id, "", folder)) if client.list_artifacts(run_id) else Path(folder)
        files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.name not in ONCE]
        return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def files_of(repo: Path) -> dict[str, str]:
    """Every file of the working tree but the store, the journals, git's and DVC's own, by its bytes."""
    own = {".git", ".dvc", "mlruns", "__pycache__", "journal"}
    found = [path for path in sorted(repo.rglob("*")) if path.is_file() and own.isdisjoint(path.relative_to(repo).parts)]
    return {str(path.relative_to(repo)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def forget(repo: Path, store: Path) -> None:
    """rm -rf mlruns, and an empty store that is already migrated."""
    shutil.rmtree(repo / "mlruns" / "artifacts")
    shutil.copy(store, repo / "mlruns" / "mlflow.db")
