"""The tracking store that the repository's stages log to, and its runs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.config.config import compose
from pipeline.config.tracking import Tracking, stage_tracking
from pipeline.errors import CommandError
from pipeline.files import OUT
from pipeline.redaction import without_credentials
from pipeline.tracking.publisher import wait_for_publishers
from pipeline.tracking.store import absolute_uri, check_writable, database_of, project_root

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

SHOWN_LETTERS = 8  # of a run id


@dataclass(frozen=True)
class Store:
    """`experiment` is the name that the stages log under."""

    client: "MlflowClient"
    uri: str
    experiment: str
    experiment_id: str

    @property
    def place(self) -> str:
        """Where it is, as it may be shown."""
        return str(database_of(self.uri) or without_credentials(self.uri))

    def search(self, condition: str) -> "list[Run]":
        """Every run, in any experiment, that fits a filter of MLflow's; deleted ones are left out."""
        experiments = [found.experiment_id for found in self.client.search_experiments()]
        runs: list[Run] = []
        token: str | None = None
        while token is None or token:
            page = self.client.search_runs(experiments, condition, page_token=token)
            runs += page
            token = page.token or ""
        return runs


def tracked_to() -> tuple[Tracking, str]:
    """Where the repository's stages log to, and the absolute URI of that. Commands that have ended are waited for, until all is
    sent. Raises CommandError where there is no store yet."""
    wait_for_publishers(project_root())
    tracking = stage_tracking(OUT)
    tracking = tracking if tracking.uri else compose().tracking
    assert tracking.uri is not None
    uri = absolute_uri(tracking.uri)
    database = database_of(uri)
    if database and not (database.is_file() and database.stat().st_size):
        raise CommandError(f"there are no runs yet: {database} does not exist; `dvc repro` makes it")
    check_writable(tracking)
    return tracking, uri


def open_store() -> Store:
    """Raises CommandError where there is none; none is made."""
    from pipeline.tracking.mlflow_run import connect

    tracking, uri = tracked_to()
    client, experiment_id = connect(uri, tracking.experiment)
    return Store(client, uri, tracking.experiment, experiment_id)


def name_of(run: "Run") -> str:
    """A run as it is shown: the beginning of its id, and its name."""
    return f"{run.info.run_id[:SHOWN_LETTERS]} ({run.info.run_name})"


def models_of(client: "MlflowClient", run: "Run") -> "list[LoggedModel]":
    """The run's models in MLflow that were not deleted, the newest last."""
    found = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    return sorted(found, key=lambda model: model.creation_timestamp)
