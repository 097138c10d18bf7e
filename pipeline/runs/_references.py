"""Which run a reference names: RUN on the command line."""

import re
from typing import TYPE_CHECKING

from pipeline.errors import CommandError
from pipeline.runs._store import ID_LETTERS, Store, name_of
from pipeline.text import join_limited

if TYPE_CHECKING:
    from mlflow.entities import Run

MIN_FINGERPRINT = 6  # letters


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
