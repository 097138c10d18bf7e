"""Sends what the journals in out/journal/ hold and MLflow lacks."""

import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.config.tracking import tracking_of
from pipeline.errors import CommandError, PipelineError
from pipeline.redaction import first_line
from pipeline.tracking.delivery import Delivery
from pipeline.tracking.journal import Journal, folder, journals
from pipeline.tracking.sqlite_store import is_of_store
from pipeline.tracking.store import absolute_uri, database_of, project_root

logger = logging.getLogger(__name__)

Result = dict[str, Any]  # how: sent, there, open, untracked or skipped; why; the run; the stages that were sent


def sync_all() -> list[Result]:
    """Sync each journal of which MLflow may lack something, or whose run is gone from its store; what was done about each."""
    from pipeline.tracking.sync import RunSync

    results, clients, failing = list[Result](), dict[str, Any](), dict[str, str]()
    for path in journals():
        journal, delivery, size = Journal(path), Delivery.read(path), path.stat().st_size
        is_complete = delivery.is_complete(size)
        is_gone = is_complete and _is_gone(delivery, clients, failing)
        if size and (is_gone or not is_complete):
            remedy = "; to forget it, remove the file"
            results.append(attempt(path.relative_to(project_root()), partial(_sync, journal, is_gone, failing), remedy))
        elif journal.links.exists():  # left by a sync that was killed
            with suppress(BlockingIOError):
                RunSync(journal).deliver(wait=False)
    for links in (folder() / "files").glob("*"):
        if not (folder() / f"{links.name}.jsonl").exists():  # its journal was removed
            shutil.rmtree(links, ignore_errors=True)
    return results


def unsent() -> int:
    """How many runs have a journal with something in it that MLflow lacks."""
    deliveries = ((Delivery.read(path), path.stat().st_size) for path in journals())
    return sum(bool(delivery.delivered != size or delivery.lacking) for delivery, size in deliveries)


def _is_gone(delivery: Delivery, clients: dict[str, Any], failing: dict[str, str]) -> bool:
    """Whether the store has no such run, as after its database was removed; false where it does not answer.

    clients, failing: the stores that were asked and those that do not answer, by their URIs in the journals; filled here.
    """
    from pipeline.tracking.mlflow_run import connect, has_run

    uri = delivery.settings.get("uri")
    if not uri or uri in failing:
        return False
    try:
        tracking = tracking_of(delivery.settings)
        absolute = absolute_uri(tracking.uri or "")
        if (database := database_of(absolute)) and not database.exists():
            return True
        if uri not in clients:
            clients[uri], _ = connect(absolute, tracking.experiment)
        return not has_run(clients[uri], delivery.run_id)
    except Exception as error:
        failing[uri] = _reason(error)
        return False


def _reason(error: Exception) -> str:
    """Why a store failed or a file cannot be used. Raises any other error."""
    if not (isinstance(error, PipelineError | OSError) or is_of_store(error)):
        raise error
    return first_line(error)


def attempt(source: Path, send: Callable[[], Result], remedy: str = "") -> Result:
    """Send what a file or folder holds, and log what was done, if anything; what cannot be sent is skipped."""
    try:
        result = send()
    except Exception as error:
        result = {"how": "skipped", "why": _reason(error)}
    texts = {
        "sent": f"sent {', '.join(result.get('stages', [])) or 'what MLflow lacked'}",
        "open": "its run is still being worked at",
        "skipped": f"skipped, {result.get('why')}{remedy}",
    }
    run = f" -> runs:/{result['run']}" if result.get("run") else ""
    if text := texts.get(result["how"]):
        logger.info(f"{source}{run}: {text}")
    return {"folder": str(source), **result}


def _sync(journal: Journal, is_gone: bool, failing: dict[str, str]) -> Result:
    """failing: the stores that do not answer, each of which is asked once."""
    from pipeline.tracking.sync import RunSync

    events = journal.read()
    if events.opened is None:
        raise CommandError("no line of it is undamaged and of this version")
    store = events.opened.settings["uri"]
    if store in failing:
        raise CommandError(failing[store])
    opened = RunSync(journal)
    try:
        opened.deliver(events, wait=False, again=is_gone)
    except BlockingIOError:
        return {"how": "open"}
    except Exception as error:
        failing[store] = first_line(error)
        raise
    if opened.delivery.lacking:
        raise CommandError(next(iter(opened.delivery.lacking.values())))
    return {"how": "open" if opened.delivery.is_open else "sent", "run": opened.delivery.run_id}
