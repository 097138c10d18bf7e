"""Which run a reference names, and what the run's own records hold."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.config.config import compose
from pipeline.config.tracking import Tracking, stage_tracking
from pipeline.errors import CommandError, PipelineError
from pipeline.evaluation.metrics import COMPARED_METRICS
from pipeline.files import OUT, file_digest, read_csv, read_json, read_numbers
from pipeline.model.card import ModelCard, read_card
from pipeline.redaction import first_line, without_credentials
from pipeline.tracking.mlflow_run import CURVE, PARENT_RUN, connect
from pipeline.tracking.publisher import wait_for_publishers
from pipeline.tracking.store import absolute_uri, check_writable, database_of

SHORTEST_FINGERPRINT, SHORT = 6, 8  # letters: taken, shown
MOST_LISTED = 10
GONE = "its process ended without a word; closed by `runs doctor`"  # the reason of a run that doctor closed
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Store:
    """The tracking store that the repository's stages log to; `experiment` is the name they log under."""

    client: MlflowClient
    uri: str
    experiment: str
    experiment_id: str

    @property
    def place(self) -> str:
        """Where it is, as it may be shown."""
        return str(database_of(self.uri) or without_credentials(self.uri))

    @property
    def experiments(self) -> list[str]:
        """The ids of all that are not deleted."""
        return [str(found.experiment_id) for found in self.client.search_experiments()]


def tracked_to() -> tuple[Tracking, str]:
    """Where the repository's stages log to, and the absolute URI of that. Commands that have ended are waited for, until all is
    sent. Raises CommandError where there is no store yet."""
    wait_for_publishers()
    tracking = stage_tracking(OUT)
    tracking = tracking if tracking.uri else compose().tracking
    assert tracking.uri is not None
    uri = absolute_uri(tracking.uri)
    database = database_of(uri)
    is_there = not database or (database.is_file() and database.stat().st_size > 0)
    if not is_there:
        raise CommandError(f"there are no runs yet: {database} does not exist; `dvc repro` makes it")
    check_writable(tracking)
    return tracking, uri


def open_store() -> Store:
    """Raises CommandError where there is none; none is made."""
    tracking, uri = tracked_to()
    client, experiment_id = connect(uri, tracking.experiment)
    return Store(client, uri, tracking.experiment, experiment_id)


def find(store: Store, reference: str) -> Run:
    """The run that a reference names; of several with one fingerprint, the one outside sweeps. Raises CommandError."""
    if "@" in reference:
        found = [store.client.get_run(_aliased(store, *reference.rpartition("@")[::2]))]
    else:
        ways = "a run must be given as run id, fingerprint (6 letters at least), prefix of either or @champion"
        if not re.fullmatch("[0-9a-f]{1,64}", reference):
            raise CommandError(f"{ways}; got {reference}")
        found = _starting(store, f"attributes.run_id LIKE '{reference}%'")
        if len(reference) >= SHORTEST_FINGERPRINT:
            found += _starting(store, f"tags.fingerprint LIKE '{reference}%'")
    outside = [run for run in found if PARENT_RUN not in run.data.tags]
    if len(outside) == 1 and len({run.data.tags.get("fingerprint") for run in found}) == 1:
        found = outside
    listed = ", ".join(map(_place_of, found[:MOST_LISTED])) + (", ..." if len(found) > MOST_LISTED else "")
    if not found:
        raise CommandError(
            f"a run must be in MLflow, and not deleted there; {reference} is not in {store.place}, where the DAG logs"
        )
    if len(found) != 1:
        raise CommandError(f"a run must be named unambiguously, as by its id; {reference} may be any of {listed}")
    ours = "a run must be of one model of this project, with its fingerprint"
    if "fingerprint" not in found[0].data.tags:
        raise CommandError(f"{ours}; {name_of(found[0])} has none: a sweep, or another project's")
    return found[0]


def _starting(store: Store, condition: str) -> list[Run]:
    return list(store.client.search_runs(store.experiments, condition, max_results=MOST_LISTED + 1))


def _aliased(store: Store, name: str, alias: str) -> str:
    name = name or store.experiment
    with suppress(MlflowException):
        return str(store.client.get_model_version_by_alias(name, alias).run_id)
    raise CommandError(f"{name}@{alias} must be a registered model's alias; there is none: `runs promote RUN` makes champion")


def models_of(client: MlflowClient, run: Run) -> list[LoggedModel]:
    """The run's models in MLflow that were not deleted, the newest last."""
    found = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    return sorted(found, key=lambda model: model.creation_timestamp)


def name_of(run: Run) -> str:
    """A run as it is shown: the beginning of its id, and its name."""
    return f"{run.info.run_id[:SHORT]} ({run.info.run_name})"


def _place_of(run: Run) -> str:
    """The same, and the sweep that it is a job of."""
    sweep = run.data.tags.get(PARENT_RUN)
    return name_of(run) + (f" in the sweep {sweep[:SHORT]}" if sweep else "")


@dataclass(frozen=True)
class Records:
    """A run's own records, as files: training/ and evaluation/ in `folder`."""

    run: Run
    folder: Path
    card: ModelCard
    metrics: dict[str, Any]  # metrics.json
    predictions: Columns  # predictions.parquet

    def scores(self) -> tuple[Array, Array]:
        """Log-odds z (n,) and labels y (n,) of the test table."""
        y = (self.predictions["actual"] == np.array(self.card.classes)[1]).astype(float)
        return log_odds(self.predictions["probability"]), y


def records(store: Store, run: Run, temporary: Path) -> Records:
    """The run's records, copied into a folder of `temporary`. Raises CommandError where they are not whole."""
    folder = temporary / run.info.run_id
    for artifacts in ("training", "evaluation"):
        download(store, run, artifacts, folder)
    try:
        trained = read_card(folder / "training")
        metrics = read_numbers(folder / "evaluation" / "metrics.json", "rows", *COMPARED_METRICS)
    except PipelineError as error:
        raise CommandError(f"run {name_of(run)} must have its artifacts whole: {_inside(error, folder)}") from None
    weights = folder / "training" / "model.npz"
    if not weights.is_file() or file_digest(weights) != trained.files["model.npz"]:
        raise CommandError(
            f"run {name_of(run)} must have its artifacts whole: training/model.npz is not what model.json describes"
        )
    predictions = read_predictions(folder / "evaluation" / "predictions.parquet", f"run {name_of(run)}")
    return Records(run, folder, trained.content, metrics, predictions)


def _inside(error: PipelineError, folder: Path) -> str:
    return str(error).partition(";")[0].replace(f"{folder}/", "")


def download(store: Store, run: Run, path: str, folder: Path) -> Path:
    """An artifact of the run, or a folder of them, copied into `folder`. Raises CommandError where it is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return Path(store.client.download_artifacts(run.info.run_id, path, str(folder)))
    except (MlflowException, OSError) as error:
        reason = first_line(error)
        raise CommandError(f"run {name_of(run)} must have its artifact {path}; it cannot be read: {reason}") from None


def read_predictions(path: Path, source: str) -> Columns:
    """The columns of predictions.parquet; source: whose they are, for the error."""
    import pyarrow.parquet as pq

    columns = ("actual", "predicted", "probability")
    try:
        table = pq.read_table(path)
        return {name: table[name].to_numpy() for name in columns}
    except Exception:  # a damaged Parquet file may raise anything
        raise CommandError(f"{source} must have {', '.join(columns)} in its {path.name}; it is damaged or gone") from None


def log_odds(p: Array) -> Array:
    """z (n,) of probabilities p (n,). One that was rounded to 1 counts as 1 - 2^-54, one rounded to 0 as the least float."""
    p = np.asarray(p, np.float64)
    return np.asarray(np.log(np.maximum(p, np.nextafter(0, 1))) - np.log(np.maximum(1 - p, 2.0**-54)))


def curve(folder: Path) -> dict[int, tuple[float, float]]:
    """The points of a fit, by epoch: history.csv, measured before an epoch's update, and the fit's end."""
    history, fit = read_csv(folder / "history.csv", "epoch", *CURVE), read_json(folder / "model.json", "fit")["fit"]
    rows = zip(*(history[name].tolist() for name in ("epoch", *CURVE)), strict=True)
    points = {int(epoch): (loss, norm) for epoch, loss, norm in rows}
    points.setdefault(fit["epochs"], (fit["loss"], fit["gradient_norm"]))
    return points


def sweep_record(root: Path) -> Path:
    """The sweep.json that lists the chain in `root` as a job; where none does, that of the folder above."""
    job, above = Path(os.path.relpath(root)), [folder / "sweep.json" for folder in root.parents]
    return next((record for record in (*above, *sorted(OUT.rglob("sweep.json"))) if job in jobs_in(record)), above[0])


def jobs_in(record: Path) -> list[Path]:
    """The folders of the jobs that a sweep.json lists."""
    with suppress(PipelineError):
        return [Path(job["folder"]) for job in read_json(record, "jobs")["jobs"]]
    return []
