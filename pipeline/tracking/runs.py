"""The tracking store that the repository's stages log to, its runs, and which of them RUN on the command line names."""

import gc
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.config import compose
from pipeline.config.tracking import Tracking, stage_tracking
from pipeline.errors import CommandError, PipelineError
from pipeline.files import OUT
from pipeline.manifest import CARD, DECISION, EVALUATION
from pipeline.model.card import read_card
from pipeline.model.decision import read_decision
from pipeline.redaction import first_line, without_credentials
from pipeline.text import join_limited
from pipeline.tracking.publisher import wait_for_publishers
from pipeline.tracking.sqlite_store import count_runs
from pipeline.tracking.store import absolute_uri, check_writable, database_of, project_root

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

ID_LETTERS = 8  # of a run id, in sentences
PAGE = 1000  # runs asked for at once
MIN_FINGERPRINT = 6  # letters of a fingerprint that names a run


@dataclass(frozen=True)
class Store:
    """`experiment` is the name that the stages log under."""

    client: "MlflowClient"
    uri: str
    experiment: str
    experiment_id: str

    @property
    def place(self) -> str:
        """Where it is, without credentials."""
        return str(database_of(self.uri) or without_credentials(self.uri))

    def search(self, condition: str = "", experiments: Sequence[str] = (), limit: int = 0) -> "list[Run]":
        """The runs that fit a filter of MLflow's, the newest first; deleted ones are left out.

        experiments: the ids of those to search; all if none are given. limit: of runs; 0 for none.
        """
        places = list(experiments) or [found.experiment_id for found in self.client.search_experiments()]
        runs: list[Run] = []
        token: str | None = None
        with no_garbage_collection():
            while (token is None or token) and not 0 < limit <= len(runs):
                page = self.client.search_runs(places, condition, max_results=min(limit or PAGE, PAGE), page_token=token)
                runs += page
                token = page.token or ""
        return runs[: limit or None]

    def count(self) -> int:
        """How many runs the experiment has that are not deleted. MLflow itself counts none without reading them."""
        database = database_of(self.uri)
        return count_runs(database, self.experiment_id) if database else len(self.search("", [self.experiment_id]))


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Among the many objects that are made of runs, collections would take three quarters of the time, and find nothing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def tracked_to() -> tuple[Tracking, str]:
    """Where the repository's stages log to, or would by conf/ where they log nowhere, and the absolute URI of that.

    Publishers of commands that have ended are waited for. Raises CommandError where there is no store yet.
    """
    wait_for_publishers(project_root())
    tracking = stage_tracking(OUT)
    is_tracked = tracking.uri is not None
    tracking = tracking if is_tracked else compose().tracking
    if tracking.uri is None:
        raise CommandError("tracking.uri must not be null, so that there are runs; it is null")
    uri = absolute_uri(tracking.uri)
    database = database_of(uri)
    if database and not (database.is_file() and database.stat().st_size):
        remedy = "`dvc repro` makes it" if is_tracked else "it is made when stages run without tracking=none"
        raise CommandError(f"there are no runs yet: {database} does not exist; {remedy}")
    check_writable(tracking)
    return tracking, uri


def open_store() -> Store:
    """Raises CommandError where there is none; none is made."""
    from pipeline.tracking.mlflow_run import connect

    tracking, uri = tracked_to()
    client, experiment_id = connect(uri, tracking.experiment)
    return Store(client, uri, tracking.experiment, experiment_id)


def name_of(run: "Run") -> str:
    """A run in a sentence: the beginning of its id, and its name."""
    return f"{run.info.run_id[:ID_LETTERS]} ({run.info.run_name})"


def find(store: Store, reference: str) -> "Run":
    """The run that a reference names; of several with one fingerprint, the one outside sweeps. Raises CommandError."""
    from pipeline.tracking.mlflow_run import PARENT_RUN

    found = _matches(store, reference)
    outside = [run for run in found if PARENT_RUN not in run.data.tags]
    if len(outside) == 1 and len({run.data.tags.get("fingerprint") for run in found}) == 1:
        found = outside
    if not found:
        where = f"{store.place}, where the DAG logs"
        raise CommandError(f"a run must be in MLflow, and not deleted there; {reference} is not in {where}")
    if len(found) != 1:
        sweeps = [run.data.tags.get(PARENT_RUN, "")[:ID_LETTERS] for run in found]
        names = [name_of(run) + (f" in the sweep {sweep}" if sweep else "") for run, sweep in zip(found, sweeps, strict=True)]
        raise CommandError(f"a run must be named unambiguously, as by its id; {reference} may be any of {join_limited(names)}")
    if "fingerprint" not in found[0].data.tags:
        ours = "a run must be of one model of this project, with its fingerprint"
        raise CommandError(f"{ours}; {name_of(found[0])} has none: a sweep, or another project's")
    return found[0]


def _matches(store: Store, reference: str) -> "list[Run]":
    if "@" in reference:
        return [store.client.get_run(_aliased(store, *reference.rpartition("@")[::2]))]
    if not re.fullmatch("[0-9a-f]{1,64}", reference):
        ways = "a run must be given as run id, fingerprint (6 letters at least), prefix of either or @champion"
        raise CommandError(f"{ways}; got {reference}")
    found = store.search(f"attributes.run_id LIKE '{reference}%'")
    if len(reference) >= MIN_FINGERPRINT:
        found += store.search(f"tags.fingerprint LIKE '{reference}%'")
    return found


def _aliased(store: Store, name: str, alias: str) -> str:
    """The id of the run of a registered model's alias."""
    from mlflow.exceptions import MlflowException

    name = name or store.experiment
    try:
        return str(store.client.get_model_version_by_alias(name, alias).run_id)
    except MlflowException:
        raise CommandError(
            f"{name}@{alias} must be a registered model's alias; there is none: `runs promote RUN` makes champion"
        ) from None


def download(store: Store, run: "Run", path: str, folder: Path) -> Path:
    """An artifact of the run, or a folder of them, copied into `folder`. Raises CommandError where it is gone."""
    from mlflow.exceptions import MlflowException

    folder.mkdir(parents=True, exist_ok=True)
    try:
        return Path(store.client.download_artifacts(run.info.run_id, path, str(folder)))
    except (MlflowException, OSError) as error:
        reason = first_line(error)
        raise CommandError(f"run {name_of(run)} must have its artifact {path}; it cannot be read: {reason}") from None


def _local_folder(fingerprint: str) -> Path | None:
    """The folder in out/ of the one model whose fingerprint begins so. Raises CommandError where copies decide differently."""
    found: dict[str, dict[float, Path]] = {}  # by fingerprint and decision
    for path in sorted(OUT.rglob(f"models/*/{CARD}")):
        with suppress(PipelineError):  # of a damaged one
            model = read_card(path.parent)
            if model.content.fingerprint.startswith(fingerprint):
                found.setdefault(model.content.fingerprint, {})[read_decision(model).log_odds] = path.parent
    if len(found) != 1:
        return None
    (folders,) = found.values()
    if len(folders) > 1:
        ours = "a model whose copies decide by different thresholds must be named by its folder"
        raise CommandError(f"{ours}; {fingerprint} may be any of {join_limited([str(folder) for folder in folders.values()])}")
    return next(iter(folders.values()))


def model_folder(reference: str, artifacts: str, evaluation: str, temporary: Path) -> Path:
    """The folder of a model by its run id, fingerprint or alias: in out/ or, downloaded into `temporary`, of its run.

    artifacts: the folder of a run's artifacts that holds the model. evaluation: the one that holds its decision.
    """
    if re.fullmatch(f"[0-9a-f]{{{MIN_FINGERPRINT},64}}", reference) and (folder := _local_folder(reference)):
        return folder
    store = open_store()
    found = find(store, reference)
    folder = download(store, found, artifacts, temporary)
    for item in store.client.list_artifacts(found.info.run_id, evaluation):
        if Path(item.path).name in (EVALUATION, DECISION):
            download(store, found, item.path, temporary).rename(folder / Path(item.path).name)
    return folder
