"""A run's own records, downloaded, and the differences of two runs' metrics."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.errors import CommandError, PipelineError
from pipeline.evaluation.intervals import Difference, paired_bootstrap
from pipeline.evaluation.metrics import COMPARED_METRICS, METRICS
from pipeline.files import CHECKS_FILE, METRICS_FILE, PREDICTIONS_FILE, read_json, read_parquet
from pipeline.manifest import EVALUATION, read_made_of
from pipeline.model.card import ModelCard, read_card
from pipeline.model.decision import Decision, decision_of
from pipeline.stages import STAGES
from pipeline.tracking.names import CHOSEN
from pipeline.tracking.provenance import ENVIRONMENT, LINEAGE_DIR
from pipeline.tracking.runs import Store, download, name_of

if TYPE_CHECKING:
    from mlflow.entities import Run

SEED = 0  # of the bootstrap
SURELY_BETTER = "surely better"  # a verdict
TRAINING, EVALUATED = (STAGES[stage].artifacts for stage in ("train", "evaluate"))  # folders of artifacts
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Records:
    """Files of a run, in `folder`, and what they hold."""

    run: "Run"
    folder: Path
    card: ModelCard
    digests: dict[str, str]  # SHA-256 of model.npz and history.csv
    decision: Decision
    metrics: dict[str, float]  # metrics.json
    predictions: Columns  # predictions.parquet
    checks: list[dict[str, Any]] | None = None  # checks.json; None of a run that is older
    environment: dict[str, str] | None = None  # lineage/environment.json; None of a run that `publish` made

    def scores(self) -> tuple[Array, Array]:
        """Log-odds z (n,) and labels y (n,) of the test table."""
        y = (self.predictions["actual"] == np.array(self.card.classes)[1]).astype(float)
        return log_odds(self.predictions["probability"]), y


def records(store: Store, run: "Run", temporary: Path) -> Records:
    """The run's records, copied into a folder of `temporary`. Raises CommandError where they are damaged, or not of one fit."""
    if run.data.tags.get(CHOSEN) == "false":
        raise CommandError(f"run {name_of(run)} must have a model; the sweep that it is a job of chose another job")
    folder = temporary / run.info.run_id
    for artifacts in (TRAINING, EVALUATED):
        download(store, run, artifacts, folder)
    try:
        trained = read_card(folder / TRAINING)
        evaluation = read_made_of(folder / EVALUATED / EVALUATION, "model", trained)
        trained.verify()
        evaluation.verify()
        decision = decision_of(evaluation)
        metrics = evaluation.numbers(METRICS_FILE, "rows", *COMPARED_METRICS)
        checks = evaluation.json(CHECKS_FILE, "checks")["checks"] if CHECKS_FILE in evaluation.files else None
    except PipelineError as error:
        reason = str(error).partition(";")[0].replace(f"{folder}/", "")
        raise CommandError(f"run {name_of(run)} must have its artifacts undamaged: {reason}") from None
    predictions = read_predictions(folder / EVALUATED)
    environment = _environment(store, run, folder)
    return Records(run, folder, trained.content, trained.files, decision, metrics, predictions, checks, environment)


def _environment(store: Store, run: "Run", folder: Path) -> dict[str, str] | None:
    """The versions of libraries, and the machine, where they were recorded."""
    if ENVIRONMENT not in [item.path for item in store.client.list_artifacts(run.info.run_id, LINEAGE_DIR)]:
        return None
    return read_json(download(store, run, ENVIRONMENT, folder))


def read_predictions(folder: Path) -> Columns:
    """actual, predicted, probability and, if there are any, weight and group of each test row, from an evaluated folder."""
    return read_parquet(folder / PREDICTIONS_FILE)


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
    cuts = a.decision.log_odds, b.decision.log_odds
    weight, group = (a.predictions.get(column) for column in ("weight", "group"))
    return paired_bootstrap(z_a, z_b, y_a, seed=SEED, weight=weight, cuts=cuts, group=group)


def verdict(metric: str, difference: Difference) -> str:
    """What the difference b - a in a metric says of b, in words."""
    if np.isnan(difference.low):
        return "not known to differ, since the difference has no interval"
    greater_is_better = METRICS[metric].greater_is_better
    if not difference.sign:
        return "not surely different"
    if greater_is_better is None:
        return "surely higher" if difference.sign > 0 else "surely lower"
    return SURELY_BETTER if (difference.sign > 0) == greater_is_better else "surely worse"
