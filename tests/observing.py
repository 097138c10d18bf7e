"""What tests see of a repository's runs and processes from outside."""

import time
from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Run


def client_of(repo: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{repo}/mlruns/mlflow.db")


def runs_of(repo: Path) -> list[Run]:
    client = client_of(repo)
    experiment = client.get_experiment_by_name("logistic-regression")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def points(repo: Path) -> list[Metric]:
    """The loss curves of all runs, so far."""
    client = client_of(repo)
    return [point for run in runs_of(repo) for point in client.get_metric_history(run.info.run_id, "train/loss")]


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Fails after so long, which a machine with other work to do may need."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
