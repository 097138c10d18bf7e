"""Close what is RUNNING in MLflow though its process is gone, as its journal says or as killed; check the store."""

import argparse
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from mlflow.entities import Run

from pipeline.config.tracking import Tracking
from pipeline.processes import Process
from pipeline.runs._find import GONE, Store, name_of, open_store, tracked_to
from pipeline.runs._sync import sync_all
from pipeline.tracking.events import KILLED, Closed
from pipeline.tracking.journal import Journal, new_attempt
from pipeline.tracking.sqlite_store import damage_of
from pipeline.tracking.store import database_of
from pipeline.tracking.sync import sync

logger = logging.getLogger(__name__)

LEFT = {
    "alive": "its process works at it",
    "elsewhere": "it is of another machine, {host}; only a doctor there can tell",
    "unknown": "it does not name its process; only whoever started it can tell",
}


def run(args: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Whether all is well in the end, and what was found."""
    tracking, uri = tracked_to()
    if damage := damage_of(database_of(uri)):
        logger.info(f"the database is damaged: {damage}; put a copy back, or remove it and `runs publish`")
        return False, {"dry_run": args.dry_run, "damage": damage, "closed": [], "missing_artifacts": [], "left_running": {}}
    store = open_store()
    running = _search(store, "attributes.status = 'RUNNING'")
    states = {found.info.run_id: _state(found) for found in running}
    if not args.dry_run:
        sync_all()  # what is known to have ended needs no guess
        for found in running:
            if states[found.info.run_id] == "gone" and store.client.get_run(found.info.run_id).info.status == "RUNNING":
                close(tracking, found)
    closed = [found for found in running if states[found.info.run_id] == "gone"]
    for found in running:
        _tell(store, found, states[found.info.run_id], args.dry_run)
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


def _state(found: Run) -> str:
    """Of the process that the run names: alive, gone, elsewhere or unknown."""
    process = Process.from_tags(found.data.tags)
    return process.state() if process else "unknown"


def _tell(store: Store, found: Run, state: str, dry: bool) -> None:
    if state == "gone":
        ended = "would be closed" if dry else f"closed as {store.client.get_run(found.info.run_id).info.status}"
        logger.info(f"{name_of(found)}: {ended}, its process is gone")
    else:
        why = LEFT[state].format(host=found.data.tags.get("process.host", "").split(" ")[0])
        logger.info(f"{name_of(found)}: left RUNNING, {why}")


def close(tracking: Tracking, found: Run) -> None:
    """End a run that has no journal here: as KILLED, with its stages that were running."""
    process = Process.from_tags(found.data.tags)
    assert process
    journal = Journal.of(tracking.to_dict(), run_id=found.info.run_id)
    stages = [key.removeprefix("stage.") for key, value in found.data.tags.items() if value == "running"]
    for stage in stages or ["sweep"]:
        opened = replace(new_attempt(stage, tracking.to_dict(), run_id=found.info.run_id), process=list(process))
        journal.append(opened, Closed(opened.attempt, KILLED, time.time(), GONE))
    sync(journal)


def _is_missing(found: Run) -> bool:
    """Whether the folder of a run's artifacts is gone from this disk."""
    place = urlparse(found.info.artifact_uri)
    return place.scheme in ("", "file") and not Path(unquote(place.path)).is_dir()
