"""Close what is RUNNING in MLflow though its process is gone, as its journal says or as killed; check the store."""

import argparse
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from pipeline.config.tracking import Tracking
from pipeline.processes import Process
from pipeline.runs._command import Subparsers, add_command
from pipeline.runs._journals import sync_all
from pipeline.tracking.events import KILLED, Closed
from pipeline.tracking.journal import Journal, new_attempt
from pipeline.tracking.runs import Store, name_of, open_store, tracked_to
from pipeline.tracking.sqlite_store import damage_of
from pipeline.tracking.store import database_of

if TYPE_CHECKING:
    from mlflow.entities import Run

logger = logging.getLogger(__name__)

GONE = "its process ended without giving a reason; closed by `runs doctor`"  # the reason of a run that was closed
LEFT_RUNNING = {
    "alive": "its process is alive",
    "elsewhere": "it is of another machine, {host}; only a doctor there can tell",
    "unknown": "it does not name its process; only whoever started it can tell",
}


def add_parser(subparsers: Subparsers) -> None:
    codes = "0 healthy, or mended; 1 something is left that needs you, or with --dry-run would be closed"
    command = add_command(subparsers, run, __doc__, ["", "--dry-run"], codes)
    command.add_argument("--dry-run", action="store_true", help="only list what would be closed")


def run(args: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Whether all is well in the end, and what was found."""
    tracking, uri = tracked_to()
    content = {"dry_run": args.dry_run, "damage": "", "closed": [], "missing_artifacts": [], "left_running": {}}
    if damage := damage_of(database_of(uri)):
        logger.info(f"the database is damaged: {damage}; put a copy back, or remove it and `runs publish`")
        return False, {**content, "damage": damage}
    store = open_store()
    running = [(found, process_state(found)) for found in store.search("attributes.status = 'RUNNING'")]
    results = [] if args.dry_run else sync_all()  # what is known to have ended needs no guess
    skipped = [result["folder"] for result in results if result["how"] == "skipped"]
    for found, state in running:
        if state == "gone":
            ended = "would be closed" if args.dry_run else f"closed as {_close(store, tracking, found)}"
            logger.info(f"{name_of(found)}: {ended}, its process is gone")
        else:
            process = Process.from_tags(found.data.tags)
            why = LEFT_RUNNING[state].format(host=process.host.split(" ")[0] if process else "")
            logger.info(f"{name_of(found)}: left RUNNING, {why}")
    missing = [found for found in store.search("tags.`stage.train` = 'finished'") if _is_missing(found)]
    for found in missing:
        logger.info(f"{name_of(found)}: its artifacts are gone; `runs publish` sends what out/ has of it")
    closed = [found.info.run_id for found, state in running if state == "gone"]
    left = {found.info.run_id: state for found, state in running if state != "gone"}
    is_unsure = not set(left.values()) <= {"alive"}
    if not (missing or closed or is_unsure or skipped):
        logger.info(f"{store.place} is healthy")
    content |= {"closed": closed, "missing_artifacts": [found.info.run_id for found in missing], "left_running": left}
    return not (missing or is_unsure or skipped or (args.dry_run and closed)), {**content, "skipped_journals": skipped}


def process_state(found: "Run") -> str:
    """Of the process that the run names: alive, gone, elsewhere or unknown."""
    process = Process.from_tags(found.data.tags)
    return process.state() if process else "unknown"


def _close(store: Store, tracking: Tracking, found: "Run") -> str:
    """End a run, as KILLED with its stages that were running unless a journal has ended it; its status then."""
    from pipeline.tracking.sync import sync

    if store.client.get_run(found.info.run_id).info.status == "RUNNING":
        process = Process.from_tags(found.data.tags)
        assert process
        settings, run_id = tracking.to_dict(), found.info.run_id
        journal = Journal.of(settings, run_id=run_id)
        stages = [key for key, value in found.data.tags.items() if key.startswith("stage.") and value == "running"]
        for stage in stages or ["stage.sweep"]:
            opened = replace(new_attempt(stage.removeprefix("stage."), settings, run_id=run_id), process=list(process))
            journal.append(opened, Closed(opened.attempt, KILLED, time.time(), GONE))
        sync(journal)
    return str(store.client.get_run(found.info.run_id).info.status)


def _is_missing(found: "Run") -> bool:
    """Whether the folder of a run's artifacts is gone from this disk."""
    place = urlparse(found.info.artifact_uri)
    return place.scheme in ("", "file") and not Path(unquote(place.path)).is_dir()
