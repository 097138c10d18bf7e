"""What stages said at their end while MLflow did not answer, told now."""

import logging
from typing import Any

from pipeline.errors import CommandError, PipelineError
from pipeline.redaction import first_line
from pipeline.tracking import endings
from pipeline.tracking.client import project_root
from pipeline.tracking.sqlite_store import is_of_store

logger = logging.getLogger(__name__)


def tell_kept() -> list[dict[str, Any]]:
    """Tell each note of `_endings`; what was done about it."""
    results, away = list[dict[str, Any]](), dict[str, str]()
    for note in endings.kept():
        shown = str(note.relative_to(project_root()))
        try:
            uri = endings.store(note)["uri"]
            if uri in away:
                raise CommandError(away.get(uri, ""))
            run_id = endings.tell(note)
        except Exception as error:
            if not (isinstance(error, PipelineError | OSError) or is_of_store(error)):
                raise
            why = first_line(error)
            if not isinstance(error, PipelineError):
                away[uri] = why  # a server that hangs is asked once
            logger.info(f"{shown}: skipped, {why}; to forget it, remove the file")
            results.append({"folder": shown, "how": "skipped", "why": why})
        else:
            how = f"sent how the stage {endings.stage_of(note)} ended" if run_id else "a later attempt stands"
            logger.info(f"{shown}{f' -> runs:/{run_id}' if run_id else ''}: {how}")
            results.append({"folder": shown, "how": "sent", "run": run_id} if run_id else {"folder": shown, "how": "there"})
    endings.discard_forgotten_files()
    return results
