"""Close what is RUNNING in MLflow though its process is gone, as killed or as a sweep's own record says; check the store."""

import argparse
import logging
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from mlflow.entities import Run, RunTag

from pipeline.runs import _process
from pipeline.runs._find import GONE, Store, name_of, open_store, sweep_ending, tracked_to
from pipeline.runs._late import tell_kept
from pipeline.tracking.client import database_of
from pipeline.tracking.sqlite_store import damage_of

logger = logging.getLogger(__name__)

LEFT = {
    "alive": "its process works at it",
    "elsewhere": "it is of another machine, {host}; only a doctor there can tell",
    "unknown": "it does not name its process; only whoever started it can tell",
}


def run(args: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Whether all is well in the end, and what was found."""
    _, uri = tracked_to()
    if damage := damage_of(database_of(uri)):
        logger.info(f"the database is damaged: {damage}; put a copy back, or remove it and `runs publish`")
        return False, {"dry_run": args.dry_run, "damage": damage, "closed": [], "missing_artifacts": [], "left_running": {}}
    store = open_store()
    if not args.dry_run:
        tell_kept()  # what is known to have ended needs no guess
    running = _search(store, "attributes.status = 'RUNNING'")
    states = {found.info.run_id: _process.state(found.data.tags) for found in running}
    closed = [found for found in running if states[found.info.run_id] == "gone"]
    for found in running:
        _tell(found, states[found.info.run_id], args.dry_run)
    if not args.dry_run:
        for found in closed:
            close(store, found)
    missing = [found for found in _search(store, "tags.`stage.train` = 'finished'") if _is_missing(found)]
    for found in missing:
        logger.info(f"{name_of(found)}: its artifacts are gone; `runs publish` sends what out/ has of it")
    left = {run_id: state for run_id, state in states.items() if state != "gone"}
    unsure = [run_id for run_id, state in left.items() if state != "alive"]
    if not (missing or closed or unsure):
        logger.info(f"{store.place} is healthy")
    ids = {"closed": closed, "missing_artifacts": missing}
    found_ids = {key: [found.info.run_id for found in runs] for key, runs in ids.items()}
    content = {"dry_run": args.dry_run, "damage": "", **found_ids, "left_running": left}
    return not (missing or unsure or (args.dry_run and closed)), content


def _search(store: Store, condition: str) -> list[Run]:
    """Every run that fits, page by page."""
    found: list[Run] = []
    token: str | None = ""
    while token is not None:
        page = store.client.search_runs(store.experiments, condition, page_token=token or None)
        found += page
        token = page.token or None
    return found


def _tell(found: Run, state: str, dry: bool) -> None:
    if state == "gone":
        ending = sweep_ending(found) or "killed"
        logger.info(f"{name_of(found)}: {'would be closed' if dry else 'closed'} as {ending.upper()}, its process is gone")
    else:
        why = LEFT[state].format(host=found.data.tags.get("process.host", "").split(" ")[0])
        logger.info(f"{name_of(found)}: left RUNNING, {why}")


def close(store: Store, found: Run) -> None:
    """End the run as KILLED, with the reason, and its stages that were running; a sweep as it has ended."""
    ending = sweep_ending(found) or "killed"
    if ending == "killed":
        stages = {key: ending for key, value in found.data.tags.items() if key.startswith("stage.") and value == "running"}
        tags = [RunTag(key, value) for key, value in {**stages, "reason": GONE}.items()]
        store.client.log_batch(found.info.run_id, tags=tags)
    store.client.set_terminated(found.info.run_id, ending.upper())


def _is_missing(found: Run) -> bool:
    """Whether the folder of a run's artifacts is gone from this disk."""
    place = urlparse(found.info.artifact_uri)
    return place.scheme in ("", "file") and not Path(unquote(place.path)).is_dir()
