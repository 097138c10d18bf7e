"""A run's own records, downloaded, and the differences of two runs' metrics."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.errors import CommandError, PipelineError
from pipeline.evaluation.intervals import Difference, paired_bootstrap
from pipeline.evaluation.metrics import COMPARED_METRICS
from pipeline.files import METRICS_FILE, OUT, PREDICTIONS_FILE
from pipeline.manifest import EVALUATION, read_made_of
from pipeline.model.card import ModelCard, read_card
from pipeline.redaction import first_line
from pipeline.runs._model_dirs import models_in
from pipeline.runs._store import MIN_FINGERPRINT, Store, find, name_of, open_store
from pipeline.stages import STAGES

if TYPE_CHECKING:
    from mlflow.entities import Run

SEED = 0  # of the bootstrap
TRAINING, EVALUATED = (STAGES[stage].artifacts for stage in ("train", "evaluate"))  # folders of artifacts
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Records:
    """Files of a run, in `folder`, and what they hold."""

    run: "Run"
    folder: Path
    card: ModelCard
    digests: dict[str, str]  # SHA-256 of model.npz and history.csv
    metrics: dict[str, float]  # metrics.json
    predictions: Columns  # predictions.parquet

    def scores(self) -> tuple[Array, Array]:
        """Log-odds z (n,) and labels y (n,) of the test table."""
        y = (self.predictions["actual"] == np.array(self.card.classes)[1]).astype(float)
        return log_odds(self.predictions["probability"]), y


def records(store: Store, run: "Run", temporary: Path) -> Records:
    """The run's records, copied into a folder of `temporary`. Raises CommandError where they are damaged, or not of one fit."""
    folder = temporary / run.info.run_id
    for artifacts in (TRAINING, EVALUATED):
        download(store, run, artifacts, folder)
    try:
        trained = read_card(folder / TRAINING)
        evaluation = read_made_of(folder / EVALUATED / EVALUATION, "model", trained)
        trained.verify()
        evaluation.verify()
        metrics = evaluation.numbers(METRICS_FILE, "rows", *COMPARED_METRICS)
    except PipelineError as error:
        reason = str(error).partition(";")[0].replace(f"{folder}/", "")
        raise CommandError(f"run {name_of(run)} must have its artifacts undamaged: {reason}") from None
    return Records(run, folder, trained.content, trained.files, metrics, read_predictions(folder / EVALUATED))


def download(store: Store, run: "Run", path: str, folder: Path) -> Path:
    """An artifact of the run, or a folder of them, copied into `folder`. Raises CommandError where it is gone."""
    from mlflow.exceptions import MlflowException

    folder.mkdir(parents=True, exist_ok=True)
    try:
        return Path(store.client.download_artifacts(run.info.run_id, path, str(folder)))
    except (MlflowException, OSError) as error:
        reason = first_line(error)
        raise CommandError(f"run {name_of(run)} must have its artifact {path}; it cannot be read: {reason}") from None


def model_folder(reference: str, temporary: Path) -> Path:
    """The folder of a model by its run id, fingerprint or alias: in out/ or, downloaded into `temporary`, of its run."""
    if re.fullmatch(f"[0-9a-f]{{{MIN_FINGERPRINT},64}}", reference):
        cards = {folder: read_card(folder).content.fingerprint for folder in models_in(OUT)}
        found = {fingerprint: folder for folder, fingerprint in cards.items() if fingerprint.startswith(reference)}
        if len(found) == 1:
            return next(iter(found.values()))
    store = open_store()
    return download(store, find(store, reference), TRAINING, temporary)


def read_predictions(folder: Path) -> Columns:
    """actual, predicted, probability and, if there are any, weight of each test row, from an evaluated model's folder."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / PREDICTIONS_FILE)
    return {name: table[name].to_numpy() for name in table.column_names}


def log_odds(p: Array) -> Array:
    """z (n,) of probabilities p (n,). One that was rounded to 1 counts as 1 - 2^-54, one rounded to 0 as the least float."""
    return np.asarray(np.log(np.maximum(p, np.nextafter(0, 1))) - np.log(np.maximum(1 - p, 2.0**-54)))


def compare(a: Records, b: Records) -> dict[str, Difference]:
    """b - a in each metric, with its interval. Raises CommandError unless both were tested on the same table."""
    both = f"{name_of(a.run)} and {name_of(b.run)}"
    if a.card.data.digest["test"] != b.card.data.digest["test"] or a.card.classes != b.card.classes:
        raise CommandError(f"two runs must have been tested on one table for their metrics to be compared; {both} were not")
    (z_a, y_a), (z_b, y_b) = a.scores(), b.scores()
    if y_a.tolist() != y_b.tolist():
        raise CommandError(f"the predictions of {both} must be of the same rows; one of them is damaged")
    return paired_bootstrap(z_a, z_b, y_a, seed=SEED, weight=a.predictions.get("weight"))
