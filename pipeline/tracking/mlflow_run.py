"""MLflow: one run per trained model, found by its fingerprint; a view of the files, which can be published again."""

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # it may hold a password
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # the publisher tries again itself
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.entities import Run as MlflowRun

from pipeline.config.files import to_yaml
from pipeline.errors import StoreError
from pipeline.files import file_digest, read_csv, read_json
from pipeline.flatten import flatten
from pipeline.manifest import EVALUATION, REPORT, read_evaluation, read_figures, read_manifest
from pipeline.model.card import ModelCard, read_card
from pipeline.redaction import scrub
from pipeline.tracking.client import database_of, store_lock
from pipeline.tracking.logged_model import log_dataset, log_model
from pipeline.tracking.names import NOTE, note, run_name, text
from pipeline.tracking.sqlite_store import artifacts, make, relocate

CURVE = ("loss", "gradient_norm")  # the metrics with a point an epoch
MOST_METRICS, MOST_PARAMS, LONGEST_PARAM = 1000, 100, 6000
KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on runs, not on chat traces
UNPUBLISHED = "unpublished"  # how a stage ends whose files MLflow could not take
STARTED = "process.started"  # the tag with the time at which the process started that works, or of it and a stage
DESCRIBED = "version.python"  # a run with this tag has its provenance
PARENT_RUN, SWEEP_KEY = "mlflow.parentRunId", "sweep.run"  # tags: of a job, the run above it; of that run, the sweep's key
NO_SWEEP = ""
Lineage = tuple[Mapping[str, str], Mapping[str, bytes]]  # tags, and artifacts by their names in lineage/

for noisy in ("alembic", "mlflow"):
    logging.getLogger(noisy).setLevel(logging.WARNING)


def connect(uri: str, experiment: str) -> tuple[MlflowClient, str]:
    """A client of the store and the experiment's id."""
    mlflow.set_tracking_uri(uri)
    database = database_of(uri)
    with store_lock(uri):  # a new SQLite store, migrated by two at once, breaks
        if database:
            make(database)
        relocate(uri)
        client = MlflowClient(uri)
        folder = (artifacts(database) / quote(experiment, safe="")).as_uri() if database else None
        return client, _experiment(client, experiment, folder)


def _experiment(client: MlflowClient, name: str, folder: str | None) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, folder, KIND))
    if found.lifecycle_stage != "active":
        raise StoreError(f"the experiment {name} was deleted in MLflow; restore it or take another")
    return str(found.experiment_id)


class Run:
    """An open MLflow run in one stage. Whatever failed here can be done again: nothing is then there twice."""

    def __init__(self, client: MlflowClient, run: MlflowRun, stage: str, dvc: bool, process: Mapping[str, str]) -> None:
        self.client, self.id, self.stage, self.dvc = client, run.info.run_id, stage, dvc
        self._started, self._when = float(process.get(STARTED, "inf")), run.info.start_time
        self._curve: dict[int, tuple[float, float]] = {}
        self._sent: set[int] = set()
        self._uploaded: set[Path] = set()
        self.recall()
        self._flushed = time.monotonic()

    def recall(self) -> None:
        """Ask MLflow which points of the curve it has."""
        self._sent |= {point.step for point in self.client.get_metric_history(self.id, "loss")}

    def loss(self, epoch: int, loss: float, gradient_norm: float) -> None:
        """Keep one point of the curve, unless MLflow has it."""
        if epoch not in self._sent:
            self._curve.setdefault(epoch, (loss, gradient_norm))

    def unsent(self) -> list[dict[str, Any]]:
        """The points kept, as `loss` takes them."""
        points = list(self._curve.items())  # at once, since another thread may send them meanwhile
        return [{"epoch": epoch, "loss": loss, "gradient_norm": norm} for epoch, (loss, norm) in points]

    def flush(self, patience: float = 0.0) -> None:
        """Send the points kept, if the last were sent longer ago than `patience` seconds."""
        if time.monotonic() - self._flushed < patience or not self._curve:
            return
        if self.superseded():
            self._curve.clear()
        while self._curve:
            part = list(islice(self._curve.items(), MOST_METRICS // 2))
            self._log([(key, value, epoch) for epoch, pair in part for key, value in zip(CURVE, pair, strict=True)])
            for epoch, _ in part:
                self._sent.add(epoch)
                del self._curve[epoch]
        self._flushed = time.monotonic()

    def superseded(self) -> bool:
        """Whether a younger process has the run open, or has done this stage. It does the same work, so it alone speaks."""
        run = self.client.get_run(self.id)
        return self._is_younger(run, f"{STARTED}.{self.stage}") or (
            run.info.status == "RUNNING" and self._is_younger(run, STARTED)
        )

    def redone(self) -> bool:
        """Whether a younger process has done this stage, or is at it."""
        return self._is_younger(self.client.get_run(self.id), f"{STARTED}.{self.stage}")

    def _is_younger(self, run: MlflowRun, tag: str) -> bool:
        return float(run.data.tags.get(tag, "-inf")) > self._started

    def metrics(self, values: Mapping[str, float]) -> None:
        """Log each value at step 0, unless it is there already."""
        known = self.client.get_run(self.id).data.metrics
        self._log([(key, float(value), 0) for key, value in values.items() if known.get(key) != value])

    def _log(self, points: Sequence[tuple[str, float, int]]) -> None:
        """Keys, values and steps. Their time is the run's start, whoever sends them: MLflow knows by it what it has already."""
        self.client.log_batch(self.id, metrics=[Metric(key, value, self._when, step) for key, value, step in points])

    def params(self, config: Mapping[str, Any]) -> None:
        """Every leaf of a configuration. A value too long for MLflow is cut there; the artifact config.yaml has it whole."""
        params = [Param(key, text(value)[:LONGEST_PARAM]) for key, value in flatten(config)]
        for i in range(0, len(params), MOST_PARAMS):
            self.client.log_batch(self.id, params=params[i : i + MOST_PARAMS])

    def tags(self, tags: Mapping[str, str]) -> None:
        self.client.log_batch(self.id, tags=[RunTag(key, value) for key, value in tags.items()])

    def files(self, paths: Iterable[Path], folder: str) -> None:
        for path in paths:
            if path not in self._uploaded:
                self.client.log_artifact(self.id, str(path), folder)
                self._uploaded.add(path)

    def texts(self, texts: Mapping[str, bytes]) -> None:
        """Artifacts by their path."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in texts.items():
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            self.client.log_artifacts(self.id, folder)

    def publish(self, folder: Path) -> None:
        """Show this stage's files in `folder`, and those of earlier stages that MLflow does not have."""
        if self.superseded():
            return
        tags = self.client.get_run(self.id).data.tags
        is_own = read_card(folder).content.fingerprint == tags["fingerprint"]
        if not is_own:
            raise StoreError(f"{folder} must hold the model of its run; it holds another one by now")
        for stage, publish in PUBLISHERS.items():
            if stage == self.stage:
                publish(self, folder)
                break
            known = tags.get(f"stage.{stage}")
            if known != "finished" and (folder / MADE[stage]).exists():
                publish(self, folder)
                if known not in ("failed", "killed"):  # what failed must succeed itself
                    self.tags({f"stage.{stage}": "finished"})

    def close(self, ending: str, reason: str, traceback: str = "") -> str:
        """End the stage: the run is FINISHED only if no stage's latest attempt ended otherwise. Returns the run's id."""
        self.flush()
        if self.superseded():
            return str(self.id)
        if traceback:
            self.texts({f"lineage/traceback.{self.stage}.txt": traceback.encode()})
        self.tags({f"stage.{self.stage}": ending, **({"reason": reason[:500]} if reason else {})})
        tags = self.client.get_run(self.id).data.tags
        stages = [value for key, value in tags.items() if key.startswith("stage.")]
        worst = next((bad for bad in ("failed", "killed", UNPUBLISHED) if bad in stages), "finished")
        if worst == "finished" and "reason" in tags:
            self.client.delete_tag(self.id, "reason")
        self.client.set_terminated(self.id, "FAILED" if worst == UNPUBLISHED else worst.upper())
        return str(self.id)


def open_run(
    tracking: Mapping[str, str],
    stage: str,
    card: dict[str, Any],
    parent: str | None,
    provenance: Mapping[str, str],
    settings: Mapping[str, str | None],
    process: Mapping[str, str] | None = None,
    lineage: Callable[[], Lineage] | None = None,
) -> Run:
    """The run with this fingerprint, made where there is none, with `settings` as tracking's own. parent: the key of the sweep
    that it is a job of.

    `process` are the tags of the process that works. `provenance` and `lineage` are of the stage that trains or, if MLflow
    was not there then, of the first after it.
    """
    opened = ModelCard.from_dict(card)
    client, experiment = connect(**tracking)
    with store_lock(tracking["uri"]):
        above = sweep_run(client, experiment, parent) if parent else None
        made = run_with(client, experiment, opened.fingerprint, parent, above) or client.create_run(
            experiment, run_name=run_name(opened), tags={**_tags(opened, above or parent), **(process or {})}
        )
        if above and made.data.tags.get(PARENT_RUN) != above:
            client.set_tag(made.info.run_id, PARENT_RUN, above)
        run = Run(client, made, stage, "dvc.stage" in provenance, process or {})
        if run.superseded():
            return run
        started = {f"{STARTED}.{stage}": process[STARTED]} if process else {}
        run.tags({**(process or {}), **started, f"stage.{stage}": "running"})
        client.update_run(run.id, status="RUNNING")
    try:
        if "tracking.uri" not in made.data.params:
            client.log_batch(run.id, params=[Param(f"tracking.{key}", str(value)) for key, value in settings.items()])
        run.params(opened.config)
        if stage == "train" or DESCRIBED not in made.data.tags:
            _describe(run, provenance, lineage)
    except Exception:
        with suppress(Exception):  # the first failure is the one to tell
            client.set_terminated(run.id, "FAILED")
        raise
    return run


def _describe(run: Run, provenance: Mapping[str, str], lineage: Callable[[], Lineage] | None) -> None:
    tags, texts = lineage() if lineage else ({}, {})
    run.texts({f"lineage/{name}": content for name, content in texts.items()})
    run.tags({**tags, **provenance})


def run_with(client: MlflowClient, experiment: str, fingerprint: str, *parents: str | None) -> MlflowRun | None:
    """The run of this fingerprint below one of these parents (None: of no sweep); None where there is none. One that was made
    before MLflow had its sweep's run has the sweep's key for a parent."""
    found = client.search_runs([experiment], f"tags.fingerprint = '{fingerprint}'")
    wanted = [parent for parent in parents if parent] or [NO_SWEEP]
    return next((run for run in found if run.data.tags.get(PARENT_RUN, NO_SWEEP) in wanted), None)


def sweep_run(client: MlflowClient, experiment: str, key: str) -> str | None:
    """The id of the run above a sweep's jobs; None where MLflow does not have it."""
    found = client.search_runs([experiment], f"tags.`{SWEEP_KEY}` = '{key}'", max_results=1)
    return str(found[0].info.run_id) if found else None


def _tags(card: ModelCard, parent: str | None) -> dict[str, str]:
    parts = {f"fingerprint.{part}": value for part, value in card.fingerprint_of.items()}
    names = {group: card.config[group]["name"] for group in ("data", "model", "optimizer")}
    family = {PARENT_RUN: parent} if parent else {}
    return {"fingerprint": card.fingerprint, **parts, **names, **family}


def _publish_training(run: Run, folder: Path) -> None:
    trained = read_card(folder)
    trained.verify()
    card, fit = trained.content, trained.content.ended
    run.recall()
    for epoch, pair in curve(folder).items():
        run.loss(epoch, *pair)
    run.flush()
    run.metrics({f"train/{name}": getattr(fit, name) for name in ("loss", "gradient_norm", "epochs")})
    run.tags({"fitted_by": fit.optimizer, "stopped_by": fit.stopped_by, NOTE: note(card)})
    if found := fit.separation:
        run.tags({"separation": f"{found['kind']}: {', '.join(found['columns'])}"[:500]})
    run.client.log_text(run.id, to_yaml(card.config), "config.yaml")
    _publish_files(run, [folder / name for name in ("model.json", "model.npz", "history.csv")], "training")
    log_dataset(run.client, run.id, card, "training")
    log_model(run.client, run.id, card, folder)
    run.tags({"model.sha256": trained.files["model.npz"]})


def curve(folder: Path) -> dict[int, tuple[float, float]]:
    """The points of a fit, by epoch: history.csv, measured before an epoch's update, and the fit's end."""
    history, fit = read_csv(folder / "history.csv", "epoch", *CURVE), read_json(folder / "model.json", "fit")["fit"]
    rows = zip(*(history[name].tolist() for name in ("epoch", *CURVE)), strict=True)
    points = {int(epoch): (loss, norm) for epoch, loss, norm in rows}
    points.setdefault(fit["epochs"], (fit["loss"], fit["gradient_norm"]))
    return points


def _publish_evaluation(run: Run, folder: Path) -> None:
    read_evaluation(read_card(folder)).verify()
    metrics = folder / "metrics.json"
    run.metrics({f"test/{name}": value for name, value in read_json(metrics).items()})
    _publish_files(
        run, [folder / EVALUATION, metrics, folder / "predictions.parquet", *sorted(folder.glob("curves.*"))], "evaluation"
    )
    log_dataset(run.client, run.id, read_card(folder).content, "test")


def _publish_figures(run: Run, folder: Path) -> None:
    read_figures(read_evaluation(read_card(folder))).verify()
    run.files(sorted((folder / "figures").glob("*.png")), "figures")


def _publish_report(run: Run, folder: Path) -> None:
    """The page and, since this stage is the last, what dvc.lock has on all that led to it."""
    if not reported(folder):
        raise StoreError("the report must be of this model; it is of another")
    run.files([folder.parent.parent / "report" / "index.html"], "report")
    if run.dvc:
        locked = yaml.safe_load((folder.parents[2] / "dvc.lock").read_text(encoding="utf-8"))["stages"]
        stages = {name: entry for name, entry in locked.items() if name.partition("@")[2] == folder.name or name in SHARED}
        run.texts({"lineage/dvc.lock.yaml": scrub(to_yaml(stages)).encode()})
        outs = [out for entry in stages.values() for out in entry.get("outs", [])]
        run.tags({f"dvc.md5.{Path(out['path']).name}": out["md5"] for out in outs if _is_here(folder.parents[2], out)})


def reported(folder: Path) -> bool:
    """Whether the report beside a model's folder is of that model."""
    report = read_manifest(folder.parent.parent / "report" / REPORT, lambda content: content)
    report.verify()
    return bool(report.content["models"].get(folder.name) == read_card(folder).checksum)


def _is_here(root: Path, out: Mapping[str, str]) -> bool:
    """Whether an out of dvc.lock is what lies there; of a folder, whether it is there."""
    path = root / out["path"]
    return path.is_dir() or (path.is_file() and file_digest(path, "md5") == out["md5"])


PUBLISHERS: dict[str, Callable[[Run, Path], None]] = {
    "train": _publish_training,
    "evaluate": _publish_evaluation,
    "plot": _publish_figures,
    "report": _publish_report,
}
MADE = {"train": "model.json", "evaluate": EVALUATION, "plot": "figures"}  # what shows that an earlier stage has run
SHARED = ("compose", "generate")  # the stages that all models have in common


def _publish_files(run: Run, paths: list[Path], folder: str) -> None:
    """As artifacts; in a DVC stage their MD5, as dvc.lock has it, as tags."""
    run.files(paths, folder)
    if run.dvc:
        run.tags({f"dvc.md5.{p.name}": file_digest(p, "md5") for p in paths})


def open_sweep(tracking: Mapping[str, str], key: str, name: str, tags: Mapping[str, str]) -> str:
    """A parent run for the jobs of the sweep with this key; its id."""
    client, experiment = connect(**tracking)
    with store_lock(tracking["uri"]):
        known = sweep_run(client, experiment, key)
        tags = {SWEEP_KEY: key, **tags}
        return known or str(client.create_run(experiment, run_name=f"sweep {name}", tags=tags).info.run_id)


def close_sweep(tracking: Mapping[str, str], run_id: str, ending: str) -> None:
    client, _ = connect(**tracking)
    client.set_terminated(run_id, ending.upper())
