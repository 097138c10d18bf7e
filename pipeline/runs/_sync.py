"""Sends what the journals in out/journal/ hold and MLflow lacks."""

import logging
import shutil
from typing import Any

from pipeline.errors import CommandError, PipelineError
from pipeline.redaction import first_line
from pipeline.tracking.delivery import Delivery
from pipeline.tracking.journal import Journal, folder, journals
from pipeline.tracking.sqlite_store import is_of_store
from pipeline.tracking.store import project_root
from pipeline.tracking.sync import open_sync

logger = logging.getLogger(__name__)


def sync_all() -> list[dict[str, Any]]:
    """Sync each journal that may hold more than MLflow has, and is not served by another process; what was done about it."""
    results, failing = list[dict[str, Any]](), dict[str, str]()
    for path in journals():
        if Delivery.read(path).is_complete(path.stat().st_size):
            continue
        shown = str(path.relative_to(project_root()))
        try:
            delivery = _sync(Journal(path), failing)
        except Exception as error:
            if not (isinstance(error, PipelineError | OSError) or is_of_store(error)):
                raise
            why = first_line(error)
            logger.info(f"{shown}: skipped, {why}; to forget it, remove the file")
            results.append({"folder": shown, "how": "skipped", "why": why})
        else:
            if delivery:
                logger.info(f"{shown} -> runs:/{delivery.run_id}: sent what MLflow lacked")
                results.append({"folder": shown, "how": "sent", "run": delivery.run_id})
    for kept in (folder() / "files").glob("*"):
        if not (folder() / f"{kept.name}.jsonl").exists():  # its journal was removed
            shutil.rmtree(kept, ignore_errors=True)
    return results


def _sync(journal: Journal, failing: dict[str, str]) -> Delivery | None:
    """None where the run is still being worked at. failing: the stores that do not answer, each of which is asked once."""
    journal.read()
    store = journal.opened.settings["uri"] if journal.opened else ""
    if store in failing:
        raise CommandError(failing[store])
    with open_sync(journal, wait=False) as sync:
        if sync is None:
            return None
        try:
            sync.deliver()
        except Exception as error:
            failing[store] = first_line(error)
            raise
        if sync.delivery.lacking:
            raise CommandError(next(iter(sync.delivery.lacking.values())))
        return None if sync.delivery.is_open else sync.delivery
