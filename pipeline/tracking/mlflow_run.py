"""MLflow: the store, and one run in it. Whatever is done here can be done again: nothing is then there twice."""

import logging
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Metric, Param, RunTag
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

from pipeline.errors import StoreError
from pipeline.files import HISTORY, file_digest
from pipeline.flatten import flatten
from pipeline.model.card import ModelCard
from pipeline.processes import Process
from pipeline.tracking.events import Opened
from pipeline.tracking.names import DATA_TAG, SWEEP_NAME_TAG, SWEEP_TAG, SWEPT_TAG, dataset_name, run_name, sweep_name, text
from pipeline.tracking.sqlite_store import artifacts, make, relocate
from pipeline.tracking.store import database_of, store_lock
from pipeline.tracking.views import views

CURVE = {f"train/{name}": name for name in HISTORY[1:]}  # the metrics with a point an epoch, and the events' names for them
LOSS = next(iter(CURVE))  # by whose points it is known which were sent
MAX_METRICS, MAX_PARAMS, MAX_PARAM = 1000, 100, 6000  # that MLflow takes in one call; letters of a parameter
KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on runs, not on chat traces
DESCRIBED = "mlflow.source.name"  # a run with this tag has its provenance
PARENT_RUN, SWEEP_KEY = "mlflow.parentRunId", "sweep.run"  # tags: of a job, the run above it; of that run, the sweep's key
USER = "mlflow.user"  # the tag
NO_SWEEP = ""
Point = tuple[str, float, int, float]  # key, value, step, and the time in seconds

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


def share_views(client: MlflowClient, experiment: str) -> None:
    """Write the views of the experiment's runs that it lacks, or has otherwise."""
    known = client.get_experiment(experiment).tags
    for key, value in views().items():
        if known.get(key) != value:
            client.set_experiment_tag(experiment, key, value)


def run_with(client: MlflowClient, experiment: str, fingerprint: str, *parents: str | None) -> MlflowRun | None:
    """The run of this fingerprint below one of these parents (None: of no sweep); None where there is none. One that was made
    before MLflow had its sweep's run has the sweep's key for a parent."""
    found = client.search_runs([experiment], f"tags.fingerprint = '{fingerprint}'")
    wanted = [parent for parent in parents if parent] or [NO_SWEEP]
    return next((run for run in found if run.data.tags.get(PARENT_RUN, NO_SWEEP) in wanted), None)


def sweep_run(client: MlflowClient, experiment: str, key: str) -> MlflowRun | None:
    """The run above a sweep's jobs; None where MLflow does not have it."""
    found = client.search_runs([experiment], f"tags.`{SWEEP_KEY}` = '{key}'", max_results=1)
    return found[0] if found else None


def find(client: MlflowClient, experiment: str, fingerprint: str, sweep: str) -> tuple[str, MlflowRun | None, dict[str, str]]:
    """The parent that a run of this fingerprint is to have, the run (None where there is none), and the parent's tags."""
    above = sweep_run(client, experiment, sweep) if sweep else None
    parent, tags = (str(above.info.run_id), above.data.tags) if above else (sweep, {})
    return parent, run_with(client, experiment, fingerprint, sweep, parent), tags


def is_below(run: MlflowRun, parent: str) -> bool:
    return bool(run.data.tags.get(PARENT_RUN, NO_SWEEP) == parent)


def find_or_create(client: MlflowClient, experiment: str, first: Opened, last: Opened) -> MlflowRun:
    """The run whose first and last attempts these are: a model's, below its sweep's run if it has one, or a sweep's."""
    if last.run_id:
        return client.get_run(last.run_id)
    if last.card:
        card = ModelCard.from_dict(last.card)
        parent, found, above = find(client, experiment, card.fingerprint, last.sweep)
        name = run_name(card, last.candidate or first.candidate, above.get(SWEPT_TAG, "").split())
        below = {PARENT_RUN: parent} if parent else {}
        below |= {SWEEP_TAG: above[SWEEP_NAME_TAG]} if SWEEP_NAME_TAG in above else {}
        if found and not is_below(found, parent):
            set_tags(client, found, below)
            client.update_run(found.info.run_id, name=name)
        tags = {"fingerprint": card.fingerprint, DATA_TAG: dataset_name(card), **below}
    else:
        found = sweep_run(client, experiment, last.sweep)
        label = sweep_name(last.name, last.swept, last.sweep)
        name, tags = f"sweep {label}", {SWEEP_KEY: last.sweep, SWEEP_NAME_TAG: label, SWEPT_TAG: " ".join(last.swept)}
    tags |= Process(*last.process).tags
    if USER in first.tags:
        tags[USER] = first.tags[USER]
    return found or client.create_run(experiment, round(first.time * 1000), tags, name)


def log_points(client: MlflowClient, run_id: str, points: Sequence[Point], **of: str) -> None:
    """of: what MLflow's entity of a metric has besides: of which logged model and data set it is."""
    for i in range(0, len(points), MAX_METRICS):
        metrics = [Metric(key, value, round(time * 1000), step, **of) for key, value, step, time in points[i : i + MAX_METRICS]]
        client.log_batch(run_id, metrics=metrics)


def missing_metrics(run: MlflowRun, metrics: Mapping[str, float]) -> dict[str, float]:
    """Those that the run, as it was read, has otherwise. nan is for one that it had and has no more: MLflow deletes none."""
    known = run.data.metrics
    return {
        key: value
        for key, value in metrics.items()
        if (not math.isnan(known.get(key, math.nan)) if math.isnan(value) else known.get(key) != value)
    }


def params_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Every leaf of a configuration. A value too long for MLflow is cut; config.yaml has all of it."""
    return {key: text(value)[:MAX_PARAM] for key, value in flatten(config)}


def log_params(client: MlflowClient, run: MlflowRun, config: Mapping[str, Any]) -> None:
    """Those of a configuration that the run lacks."""
    params = [Param(key, value) for key, value in params_of(config).items() if key not in run.data.params]
    for i in range(0, len(params), MAX_PARAMS):
        client.log_batch(run.info.run_id, params=params[i : i + MAX_PARAMS])


def set_tags(client: MlflowClient, run: MlflowRun, tags: Mapping[str, str]) -> None:
    """Those that `run`, as it was read, has otherwise."""
    changed = [RunTag(key, value) for key, value in tags.items() if run.data.tags.get(key) != value]
    if changed:
        client.log_batch(run.info.run_id, tags=changed)


def log_texts(client: MlflowClient, run_id: str, texts: Mapping[str, str]) -> None:
    """Artifacts by their path; surrogates stand for bytes that are no UTF-8."""
    if not texts:
        return
    with tempfile.TemporaryDirectory() as temporary:
        for name, content in texts.items():
            path = Path(temporary, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode(errors="surrogateescape"))
        client.log_artifacts(run_id, temporary)


def last_step(run: MlflowRun, key: str) -> int | None:
    """The greatest step at which the run, as it was read, has this metric."""
    return next((int(metric.step) for metric in run.data.to_proto().metrics if metric.key == key), None)


def times_of(run: MlflowRun, metrics: Mapping[str, float]) -> dict[str, float]:
    """When the metrics were logged that the run, as it was read, has with these values."""
    return {each.key: each.timestamp / 1000 for each in run.data.to_proto().metrics if metrics.get(each.key) == each.value}


def has_run(client: MlflowClient, run_id: str) -> bool:
    """Whether the store has the run, deleted or not. Raises what the store raises where it does not answer."""
    try:
        client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    return True


def has_file(client: MlflowClient, run_id: str, artifact: str, sha256: str) -> bool:
    """Whether MLflow has this very file. Raises what the store raises where it does not answer at all."""
    with tempfile.TemporaryDirectory() as temporary:
        try:
            return file_digest(Path(client.download_artifacts(run_id, artifact, temporary))) == sha256
        except Exception:
            client.get_run(run_id)
            return False


def models_of(client: MlflowClient, run: MlflowRun) -> list[LoggedModel]:
    """The run's models that were not deleted, the newest last."""
    found = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    return sorted(found, key=lambda model: model.creation_timestamp)


def has_model_files(client: MlflowClient, model: LoggedModel) -> bool:
    """Whether a model can be loaded."""
    return "MLmodel" in [item.path for item in client.list_logged_model_artifacts(model.model_id)]
