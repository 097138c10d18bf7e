"""MLflow, in a process of its own: one run per trained model, found by its fingerprint; a view of the files, which can be
published again. Obeys the JSON lines of `_tracking`; where a line breaks without `close`, the run is marked as killed.

    python -m pipeline._publisher FD PID      listen on the socket FD until the process PID has ended and all lines are closed
"""

import hashlib
import json
import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

import mlflow
import numpy as np
import pandas as pd
import psutil
from filelock import FileLock
from mlflow import MlflowClient, pyfunc
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities import Run as MlflowRun
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema

from pipeline._config import leaves, to_yaml
from pipeline._files import read_csv, read_json
from pipeline.numerics import require

FLUSH_SECONDS, POLL_SECONDS = 1.0, 0.1
MOST_METRICS, MOST_PARAMS, LONGEST_PARAM = 1000, 100, 6000
DIGEST_LETTERS = 12  # of a SHA-256, in the UI; MLflow takes 36 at most
KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on runs, not on chat traces
About = Mapping[str, Any]


def connect(uri: str, experiment: str) -> tuple[MlflowClient, str]:
    """A client of the store and the experiment's id. The first use of an SQLite store is one process's at a time."""
    mlflow.set_tracking_uri(uri)
    if not uri.startswith("sqlite:///"):
        client = MlflowClient(uri)
        return client, _experiment(client, experiment, None)
    folder = Path(uri.removeprefix("sqlite:///")).parent
    with FileLock(folder / ".lock"):
        client = MlflowClient(uri)
        return client, _experiment(client, experiment, f"{(folder / 'artifacts').as_uri()}/{experiment}")


def _experiment(client: MlflowClient, name: str, artifacts: str | None) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, artifacts, KIND))
    require(found.lifecycle_stage == "active", f"the experiment {name} was deleted in MLflow; restore it or take another")
    return str(found.experiment_id)


class Run:
    """An open MLflow run in one stage."""

    def __init__(self, client: MlflowClient, run: MlflowRun, stage: str, dvc: bool) -> None:
        self.client, self.id, self.stage, self.dvc = client, run.info.run_id, stage, dvc
        self._curve: dict[int, tuple[float, float, int]] = {}
        self._sent = {point.step for point in client.get_metric_history(self.id, "loss")}
        self._flushed = time.monotonic()

    def loss(self, epoch: int, loss: float, gradient_norm: float, when: int) -> None:
        """Keep one point of the curve, unless MLflow has it."""
        if epoch not in self._sent:
            self._curve[epoch] = (loss, gradient_norm, when)

    def flush(self, patience: float = 0.0) -> None:
        """Send the points kept, if the last were sent longer ago than `patience` seconds."""
        if time.monotonic() - self._flushed < patience or not self._curve:
            return
        points = [
            (key, value, when, epoch)
            for epoch, (loss, norm, when) in self._curve.items()
            for key, value in (("loss", loss), ("gradient_norm", norm))
        ]
        self._log(points)
        self._sent |= self._curve.keys()
        self._curve.clear()
        self._flushed = time.monotonic()

    def metrics(self, values: Mapping[str, float]) -> None:
        """Log each value at step 0, unless it is there already."""
        known = self.client.get_run(self.id).data.metrics
        self._log([(key, float(value), _now(), 0) for key, value in values.items() if known.get(key) != value])

    def _log(self, points: list[tuple[str, float, int, int]]) -> None:
        for i in range(0, len(points), MOST_METRICS):
            self.client.log_batch(self.id, metrics=[Metric(*point) for point in points[i : i + MOST_METRICS]])

    def params(self, config: About) -> None:
        """Every leaf of a configuration. A value too long for MLflow is cut there; the artifact config.yaml has it whole."""
        params = [Param(key, _text(value)[:LONGEST_PARAM]) for key, value in leaves(config)]
        for i in range(0, len(params), MOST_PARAMS):
            self.client.log_batch(self.id, params=params[i : i + MOST_PARAMS])

    def tags(self, tags: Mapping[str, str]) -> None:
        self.client.log_batch(self.id, tags=[RunTag(key, value) for key, value in tags.items()])

    def files(self, paths: Iterable[Path], folder: str) -> None:
        for path in paths:
            self.client.log_artifact(self.id, str(path), folder)

    def publish(self, folder: Path) -> None:
        """Show this stage's files in `folder`, and those of earlier stages that MLflow does not have."""
        tags = self.client.get_run(self.id).data.tags
        for stage, publish in PUBLISHERS.items():
            if stage == self.stage or tags.get(f"stage.{stage}") != "finished":
                publish(self, folder)
                if stage != self.stage:
                    self.tags({f"stage.{stage}": "finished"})
            if stage == self.stage:
                break

    def close(self, ending: str, reason: str) -> None:
        """End the stage: the run is FINISHED only if no stage's latest attempt ended otherwise."""
        self.flush()
        self.tags({f"stage.{self.stage}": ending, **({"reason": reason[:500]} if reason else {})})
        tags = self.client.get_run(self.id).data.tags
        stages = [value for key, value in tags.items() if key.startswith("stage.")]
        worst = next((bad for bad in ("failed", "killed") if bad in stages), "finished")
        self.client.set_terminated(self.id, worst.upper())


def open_run(tracking: Mapping[str, str], stage: str, about: About, parent: str | None, provenance: Mapping[str, str]) -> Run:
    """The run with this fingerprint (and parent, in a sweep), made where there is none."""
    client, experiment = connect(**tracking)
    made = _find(client, experiment, about["fingerprint"], parent)
    if made:
        client.update_run(made.info.run_id, status="RUNNING")
    else:
        made = client.create_run(experiment, run_name=_name(about), tags={**_tags(about, parent), **provenance})
    run = Run(client, made, stage, dvc="dvc.stage" in provenance)
    run.params(about["config"])
    run.tags({f"stage.{stage}": "running"})
    return run


def _find(client: MlflowClient, experiment: str, fingerprint: str, parent: str | None) -> MlflowRun | None:
    found = client.search_runs([experiment], f"tags.fingerprint = '{fingerprint}'")
    return next((run for run in found if run.data.tags.get("mlflow.parentRunId") == parent), None)


def _name(about: About) -> str:
    config = about["config"]
    return f"{config['model']['name']} {config['optimizer']['name']} {config['data']['name']} {about['fingerprint'][:6]}"


def _tags(about: About, parent: str | None) -> dict[str, str]:
    parts = {f"fingerprint.{part}": value for part, value in about["fingerprint_of"].items()}
    names = {group: about["config"][group]["name"] for group in ("data", "model", "optimizer")}
    family = {"mlflow.parentRunId": parent} if parent else {}
    return {"fingerprint": about["fingerprint"], **parts, **names, **family}


def _publish_training(run: Run, folder: Path) -> None:
    about, history = read_json(folder / "model.json"), read_csv(folder / "history.csv")
    for epoch, loss, norm in zip(history["epoch"], history["loss"], history["gradient_norm"], strict=True):
        run.loss(int(epoch), float(loss), float(norm), _now())
    run.flush()
    fit = about["fit"]
    run.metrics({"train/loss": fit["loss"], "train/gradient_norm": fit["gradient_norm"], "train/epochs": fit["epochs"]})
    run.tags({"stopped_by": fit["stopped_by"], "mlflow.note.content": _note(about)})
    run.client.log_text(run.id, to_yaml(about["config"]), "config.yaml")
    _publish_files(run, [folder / name for name in ("model.json", "model.npz", "history.csv")], "training")
    _log_dataset(run, about, "training")
    outputs = run.client.get_run(run.id).outputs
    if not (outputs and outputs.model_outputs):
        _log_model(run, about, folder)


def _publish_evaluation(run: Run, folder: Path) -> None:
    run.metrics({f"test/{name}": value for name, value in read_json(folder / "metrics.json").items()})
    made = [folder / "metrics.json", folder / "predictions.parquet", *sorted(folder.glob("curves.*"))]
    _publish_files(run, made, "evaluation")
    _log_dataset(run, read_json(folder / "model.json"), "test")


def _publish_figures(run: Run, folder: Path) -> None:
    run.files(sorted((folder / "figures").glob("*.png")), "figures")


PUBLISHERS: dict[str, Callable[[Run, Path], None]] = {
    "train": _publish_training,
    "evaluate": _publish_evaluation,
    "plot": _publish_figures,
}


def _publish_files(run: Run, paths: list[Path], folder: str) -> None:
    """As artifacts; in a DVC stage their MD5, as dvc.lock has it, as tags."""
    run.files(paths, folder)
    if run.dvc:
        run.tags({f"dvc.md5.{p.name}": hashlib.md5(p.read_bytes(), usedforsecurity=False).hexdigest() for p in paths})


def _log_dataset(run: Run, about: About, part: str) -> None:
    """The table that a stage read, as an MLflow dataset with its digest."""
    rows, columns = about["data"]["rows"][part], len(about["features"])
    colspec = [{"name": name, "type": "double", "required": True} for name in about["features"]]
    dataset = Dataset(
        name=about["config"]["data"]["name"],
        digest=about["data"]["digest"][part][:DIGEST_LETTERS],
        source_type="local",
        source=json.dumps(about["config"]["data"]),
        schema=json.dumps({"mlflow_colspec": colspec}),
        profile=json.dumps({"num_rows": rows, "num_elements": rows * columns}),
    )
    run.client.log_inputs(run.id, [DatasetInput(dataset, [InputTag("mlflow.data.context", part)])])


def _log_model(run: Run, about: About, folder: Path) -> None:
    label = {bool: "boolean", int: "long", float: "double", str: "string"}[type(about["classes"][0])]
    signature = ModelSignature(
        Schema([ColSpec("double", name) for name in about["features"]]),
        Schema([ColSpec(label, "prediction"), ColSpec("double", "probability")]),
    )
    with np.load(folder / "model.npz") as weights:
        example = pd.DataFrame(weights["mean"][None], columns=about["features"])
    info = run.client.get_run(run.id).info
    config = {key: _text(value) for key, value in leaves(about["config"])}
    logged = run.client.create_logged_model(info.experiment_id, name="model", source_run_id=run.id, params=config)
    Model.log(
        None,
        pyfunc,
        model_id=logged.model_id,
        run_id=run.id,
        python_model=str(Path(__file__).with_name("_serving.py")),
        artifacts={"about": str(folder / "model.json"), "weights": str(folder / "model.npz")},
        signature=signature,
        input_example=example,
        pip_requirements=[f"mlflow=={version('mlflow')}"],  # it brings numpy and pandas
    )


def _note(about: About) -> str:
    """The run's description, in Markdown."""
    fit, data, config = about["fit"], about["data"], about["config"]
    return (
        f"Logistic regression of **{about['target']}** on {len(about['features'])} features, "
        f"{data['rows']['training']} training rows of `{config['data']['name']}`. "
        f"`{config['optimizer']['name']}` in `{config['model']['name']}` stopped by {fit['stopped_by']} "
        f"after {fit['epochs']} epochs at loss {fit['loss']:.4f}.\n\nFingerprint `{about['fingerprint']}`"
    )


def open_sweep(tracking: Mapping[str, str], name: str, tags: dict[str, str]) -> str:
    """A parent run for the jobs of a sweep; its id."""
    client, experiment = connect(**tracking)
    return str(client.create_run(experiment, run_name=f"sweep {name}", tags=tags).info.run_id)


def close_sweep(tracking: Mapping[str, str], run_id: str, ending: str) -> None:
    client, _ = connect(**tracking)
    client.set_terminated(run_id, ending.upper())


class Listener:
    """Does what the lines of one stage say. A failure is kept, and is the answer to the next question."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._run: Run | None = None
        self._failure = ""
        self._said: queue.Queue[str | None] = queue.Queue()

    def listen(self) -> None:
        """Until the line is closed, or breaks."""
        threading.Thread(target=self._read, daemon=True).start()
        while True:
            try:
                text = self._said.get(timeout=FLUSH_SECONDS)
            except queue.Empty:
                self._attempt(lambda: self._run.flush() if self._run else None)
                continue
            if text is None:
                break
            self._obey(**json.loads(text))
        if self._run:
            self._run.close("killed", "the process ended without a word")

    def _read(self) -> None:
        """Keep the line empty, so that the stage never waits to speak."""
        with suppress(OSError), self._line.makefile(encoding="utf-8") as lines:
            for text in lines:
                self._said.put(text)
        self._said.put(None)

    def _obey(self, do: str, **content: Any) -> None:
        match do:
            case "open":
                self._failure, self._run = "", None
                self._run = self._attempt(lambda: open_run(**content))
            case "open_sweep":
                self._answer(lambda: open_sweep(**content))
            case "close_sweep":
                self._answer(lambda: close_sweep(**content))
            case "close":
                run, self._run = self._run, None
                self._answer(lambda: run.close(**content) if run else None)
            case _ if self._run:
                self._show(self._run, do, content)

    def _show(self, run: Run, do: str, content: Mapping[str, Any]) -> None:
        if do == "publish":
            self._attempt(lambda: run.publish(Path(content["folder"])))
        else:
            run.loss(**content)
            self._attempt(lambda: run.flush(FLUSH_SECONDS))

    def _attempt(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as error:
            self._failure = self._failure or f"{type(error).__name__}: {str(error).splitlines()[0]}"
            return None

    def _answer(self, action: Callable[[], Any]) -> None:
        """Print the action's value, or the first failure since the last answer."""
        value = self._attempt(action)
        answer = {"error": self._failure} if self._failure else {"value": value}
        with suppress(OSError):
            self._line.sendall((json.dumps(answer) + "\n").encode())
        self._failure = ""


def _now() -> int:
    return int(time.time() * 1000)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def serve(ear: socket.socket, owner: psutil.Process) -> None:
    """A thread for each line, until the owner has ended and no line is open."""
    ear.settimeout(POLL_SECONDS)
    listeners: list[threading.Thread] = []
    while any(thread.is_alive() for thread in listeners) or _lives(owner):
        try:
            line, _ = ear.accept()
        except TimeoutError:
            continue
        line.setblocking(True)
        listeners.append(threading.Thread(target=Listener(line).listen))
        listeners[-1].start()
    Path(ear.getsockname()).unlink(missing_ok=True)


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    serve(socket.socket(fileno=int(sys.argv[1])), psutil.Process(int(sys.argv[2])))
