"""MLflow: one run per trained model, found by its fingerprint; a view of the files, which can be published again."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

import mlflow
import numpy as np
import pandas as pd
from filelock import FileLock
from mlflow import MlflowClient, pyfunc
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities import Run as MlflowRun
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType

from pipeline._config import leaves, to_yaml
from pipeline._files import read_csv, read_json
from pipeline._tracking import SQLITE
from pipeline.numerics import require

MOST_METRICS, MOST_PARAMS, LONGEST_PARAM = 1000, 100, 6000
WIDE = 1000  # columns above which a schema has no names
DIGEST_LETTERS = 12  # of a SHA-256, in the UI; MLflow takes 36 at most
KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on runs, not on chat traces
UNPUBLISHED = "unpublished"  # how a stage ends whose files MLflow could not take
About = Mapping[str, Any]


def connect(uri: str, experiment: str) -> tuple[MlflowClient, str]:
    """A client of the store and the experiment's id."""
    mlflow.set_tracking_uri(uri)
    with _alone(uri):  # a new SQLite store, migrated by two at once, breaks
        client = MlflowClient(uri)
        artifacts = (_folder(uri) / "artifacts" / quote(experiment, safe="")).as_uri() if uri.startswith(SQLITE) else None
        return client, _experiment(client, experiment, artifacts)


def _folder(uri: str) -> Path:
    """Where an SQLite store lies."""
    return Path(uri.removeprefix(SQLITE)).parent


def _alone(uri: str) -> AbstractContextManager[Any]:
    """One process at a time; a server sees to that itself."""
    return FileLock(_folder(uri) / ".lock") if uri.startswith(SQLITE) else nullcontext()


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

    def close(self, ending: str, reason: str) -> str:
        """End the stage: the run is FINISHED only if no stage's latest attempt ended otherwise. Returns the run's id."""
        self.flush()
        self.tags({f"stage.{self.stage}": ending, **({"reason": reason[:500]} if reason else {})})
        tags = self.client.get_run(self.id).data.tags
        stages = [value for key, value in tags.items() if key.startswith("stage.")]
        worst = next((bad for bad in ("failed", "killed", UNPUBLISHED) if bad in stages), "finished")
        self.client.set_terminated(self.id, "FAILED" if worst == UNPUBLISHED else worst.upper())
        return str(self.id)


def open_run(
    tracking: Mapping[str, str],
    stage: str,
    about: About,
    parent: str | None,
    provenance: Mapping[str, str],
    settings: Mapping[str, str],
) -> Run:
    """The run with this fingerprint (and parent, in a sweep), made where there is none, with `settings` as tracking's own."""
    client, experiment = connect(**tracking)
    with _alone(tracking["uri"]):
        made = _find(client, experiment, about["fingerprint"], parent)
        if made:
            client.update_run(made.info.run_id, status="RUNNING")
        else:
            made = client.create_run(experiment, run_name=_name(about), tags=_tags(about, parent))
            client.log_batch(made.info.run_id, params=[Param(f"tracking.{key}", value) for key, value in settings.items()])
    run = Run(client, made, stage, dvc="dvc.stage" in provenance)
    try:
        run.params(about["config"])
        run.tags({f"stage.{stage}": "running", **(provenance if stage == "train" else {})})
    except Exception:
        client.set_terminated(run.id, "FAILED")
        raise
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
    about, history = read_json(folder / "model.json"), read_csv(folder / "history.csv", "epoch", "loss", "gradient_norm")
    for epoch, loss, norm in zip(history["epoch"], history["loss"], history["gradient_norm"], strict=True):
        run.loss(int(epoch), float(loss), float(norm), _now())
    run.flush()
    fit = about["fit"]
    run.metrics({"train/loss": fit["loss"], "train/gradient_norm": fit["gradient_norm"], "train/epochs": fit["epochs"]})
    run.tags({"stopped_by": fit["stopped_by"], "mlflow.note.content": _note(about)})
    run.client.log_text(run.id, to_yaml(about["config"]), "config.yaml")
    _publish_files(run, [folder / name for name in ("model.json", "model.npz", "history.csv")], "training")
    _log_dataset(run, about, "training")
    if run.client.get_run(run.id).data.tags.get("model.sha256") != about["weights"]:
        _log_model(run, about, folder)
        run.tags({"model.sha256": about["weights"]})


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
    schema = Schema([ColSpec("double", name) for name in about["features"]] if columns <= WIDE else [_tensor(columns)])
    kind = "mlflow_colspec" if columns <= WIDE else "mlflow_tensorspec"
    dataset = Dataset(
        name=about["config"]["data"]["name"],
        digest=about["data"]["digest"][part][:DIGEST_LETTERS],
        source_type="local",
        source=json.dumps(about["config"]["data"]),
        schema=json.dumps({kind: schema.to_dict()}),
        profile=json.dumps({"num_rows": rows, "num_elements": rows * columns}),
    )
    run.client.log_inputs(run.id, [DatasetInput(dataset, [InputTag("mlflow.data.context", part)])])


def _log_model(run: Run, about: About, folder: Path) -> None:
    label = {bool: "boolean", int: "long", float: "double", str: "string"}[type(about["classes"][0])]
    columns = len(about["features"])
    signature = ModelSignature(
        # AnyType: whole numbers and booleans, too
        Schema([ColSpec(AnyType(), name) for name in about["features"]] if columns <= WIDE else [_tensor(columns)]),
        Schema([ColSpec(label, "prediction"), ColSpec("double", "probability")]),
    )
    with np.load(folder / "model.npz") as weights:
        mean = weights["mean"][None]
    example = pd.DataFrame(mean, columns=about["features"]) if columns <= WIDE else mean
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


def _tensor(columns: int) -> TensorSpec:
    """A table too wide for a name a column: an array or a SciPy CSR matrix."""
    return TensorSpec(np.dtype(np.float64), (-1, columns))


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


def _now() -> int:
    return int(time.time() * 1000)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
