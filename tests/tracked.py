"""What tests ask of a tracking store, and of the processes that speak to it."""

import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run

from pipeline.config.tracking import Tracking
from pipeline.files import read_csv, read_json
from pipeline.model.card import read_card
from pipeline.stages.train import artifacts
from pipeline.tracking.client import track, wait_for_delivery
from pipeline.tracking.delivery import Delivery
from pipeline.tracking.journal import LETTERS, journals
from tests.observing import wait_for

EXPERIMENT = "logistic-regression"


def run_of(uri: str, folder: Path) -> Run:
    """The only run of the model in `folder`, once MLflow has all that was said of it."""
    wait_for_delivery()
    fingerprint = read_json(folder / "model.json")["fingerprint"]
    for path in journals():
        if path.name.startswith(fingerprint[:LETTERS]):
            wait_for(partial(is_delivered, path))
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    (run,) = client.search_runs([experiment.experiment_id], f"tags.fingerprint = '{fingerprint}'")
    return run


def is_delivered(path: Path) -> bool:
    """Whether MLflow has all of a journal."""
    return Delivery.read(path).is_complete(path.stat().st_size)


def retrain(folder: Path, tracking: Tracking, events: Mapping[int, Callable[[], object]], seconds: float = 30) -> None:
    """Tell of the fit in `folder` again, slowly where something is to happen at some of its epochs."""
    history = read_csv(folder / "history.csv", "epoch", "loss", "gradient_norm")
    rows = list(zip(history["epoch"], history["loss"], history["gradient_norm"], strict=True))
    card = read_card(folder).content
    with track(tracking, "train", card, folder.name, trains=True) as tracker:
        for epoch, loss, norm in [*rows, (card.ended.epochs, card.ended.loss, card.ended.gradient_norm)]:
            events.get(int(epoch), lambda: None)()
            tracker.epoch(int(epoch), float(loss), float(norm))
            time.sleep(0.02 if events else 0)
        tracker.files(lambda: artifacts(folder))
    wait_for_delivery(seconds)


def check_each_value_once(uri: str, folder: Path, evaluated: bool = True) -> None:
    """Nothing of what the files hold is missing in MLflow, and nothing is there twice."""
    client, run = MlflowClient(uri), run_of(uri, folder)
    history = read_csv(folder / "history.csv", "epoch", "loss", "gradient_norm")
    end = read_json(folder / "model.json")["fit"]
    expected = {
        f"train/{key}": [*zip(history["epoch"], history[key], strict=True), (end["epochs"], end[key])]
        for key in ("loss", "gradient_norm")
    }
    if evaluated:
        metrics = read_json(folder / "metrics.json")
        expected |= {f"test/{key}": [(0, value)] for key, value in metrics.items() if value is not None}
    wanted = Counter((key, int(step), float(value)) for key, points in expected.items() for step, value in points)
    points = (point for key in expected for point in client.get_metric_history(run.info.run_id, key))
    shown = Counter((point.key, point.step, point.value) for point in points if not math.isnan(point.value))
    lost, doubled = wanted - shown, shown - wanted
    print(f"{len(wanted)} values, {lost.total()} lost, {doubled.total()} doubled")
    assert not lost
    assert not doubled
    assert run.info.status == "FINISHED"
    assert len(run.inputs.dataset_inputs) == 1 + evaluated
    (model,) = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    assert model.status == "READY"
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    files = {
        item.path for name in ("training", "evaluation", "lineage") for item in client.list_artifacts(run.info.run_id, name)
    }
    assert {"training/model.npz", "lineage/requirements.txt"} <= files
    assert ("evaluation/predictions.parquet" in files) == evaluated


def publishers(of: int | None = None) -> list[psutil.Process]:
    """Those of the process with this PID, or all."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            argv = process.cmdline()
            if "pipeline.tracking.publisher" in argv and (of is None or str(of) in argv):
                found.append(process)
    return found


def are_gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def allow_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what runs in a shell's background ignores it
