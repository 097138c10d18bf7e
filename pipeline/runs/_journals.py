"""Sends what the journals in out/journal/ hold and MLflow lacks."""

import logging
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.errors import CommandError, PipelineError
from pipeline.redaction import first_line
from pipeline.tracking.delivery import Delivery
from pipeline.tracking.journal import Journal, folder, journals
from pipeline.tracking.sqlite_store import is_of_store
from pipeline.tracking.store import project_root

logger = logging.getLogger(__name__)

Result = dict[str, Any]  # how: sent, there, open, untracked or skipped; why; the run; the stages that were sent


def sync_all() -> list[Result]:
    """Sync each journal that may hold more than MLflow has, and is not served by another process; what was done about it."""
    results, failing = list[Result](), dict[str, str]()
    for path in journals():
        journal = Journal(path)
        if not Delivery.read(path).is_complete(path.stat().st_size) or journal.kept.exists():
            remedy = "; to forget it, remove the file"
            results.append(attempt(path.relative_to(project_root()), partial(_sync, journal, failing), remedy))
    for kept in (folder() / "files").glob("*"):
        if not (folder() / f"{kept.name}.jsonl").exists():  # its journal was removed
            shutil.rmtree(kept, ignore_errors=True)
    return results


def attempt(source: Path, send: Callable[[], Result], remedy: str = "") -> Result:
    """Send what a file or folder holds, and log what was done; what cannot be sent is skipped."""
    try:
        result = send()
    except Exception as error:
        if not (isinstance(error, PipelineError | OSError) or is_of_store(error)):
            raise
        result = {"how": "skipped", "why": first_line(error)}
    texts = {
        "sent": f"sent {', '.join(result.get('stages', [])) or 'what MLflow lacked'}",
        "there": "all is there",
        "open": "its run is being worked at",
        "untracked": "made with tracking=none, so not to be shown",
        "skipped": f"skipped, {result.get('why')}{remedy}",
    }
    run = f" -> runs:/{result['run']}" if result.get("run") else ""
    logger.info(f"{source}{run}: {texts[result['how']]}")
    return {"folder": str(source), **result}


def _sync(journal: Journal, failing: dict[str, str]) -> Result:
    """failing: the stores that do not answer, each of which is asked once."""
    from pipeline.tracking.sync import open_sync

    journal.read()
    store = journal.opened.settings["uri"] if journal.opened else ""
    if store in failing:
        raise CommandError(failing[store])
    with open_sync(journal, wait=False) as sync:
        if sync is None:
            return {"how": "open"}
        try:
            sync.deliver()
        except Exception as error:
            failing[store] = first_line(error)
            raise
        if sync.delivery.lacking:
            raise CommandError(next(iter(sync.delivery.lacking.values())))
        return {"how": "open" if sync.delivery.is_open else "sent", "run": sync.delivery.run_id}
