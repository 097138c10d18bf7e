"""A run's own records, downloaded, and the differences of two runs' metrics."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from pipeline.errors import CommandError, DataError, PipelineError
from pipeline.evaluation.comparison import Predictions, differences
from pipeline.evaluation.intervals import Difference
from pipeline.evaluation.metrics import COMPARED_METRICS
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

    def scores(self) -> Predictions:
        """Of the test table."""
        return Predictions.of(self.predictions, self.card.classes, self.decision.log_odds)


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


def compare(a: Records, b: Records) -> dict[str, Difference]:
    """b - a in each metric, with its interval. Raises CommandError unless both were tested on the same table."""
    both = f"{name_of(a.run)} and {name_of(b.run)}"
    if a.card.data.digest["test"] != b.card.data.digest["test"] or a.card.classes != b.card.classes:
        raise CommandError(f"two runs must have been tested on one table for their metrics to be compared; {both} were not")
    try:
        return differences([a.scores(), b.scores()])[0]
    except DataError:
        raise CommandError(f"the predictions of {both} must be of the same rows; one of them is damaged") from None
