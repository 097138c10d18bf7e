"""What stages said at their end while MLflow did not answer, told now."""

from typing import Any

from pipeline import _endings, _terminal
from pipeline._secrets import first_line
from pipeline._store import is_of_store
from pipeline._tracking import home
from pipeline.numerics import InvalidInput, require


def tell_kept() -> list[dict[str, Any]]:
    """Tell each note of `_endings`; what was done about it."""
    results, away = list[dict[str, Any]](), dict[str, str]()
    for note in _endings.kept():
        shown = str(note.relative_to(home()))
        try:
            uri = _endings.store(note)["uri"]
            require(uri not in away, away.get(uri, ""))
            run_id = _endings.tell(note)
        except Exception as error:
            if not (isinstance(error, InvalidInput | OSError) or is_of_store(error)):
                raise
            why = first_line(error)
            if not isinstance(error, InvalidInput):
                away[uri] = why  # a server that hangs is asked once
            _terminal.say(f"{shown}: skipped, {why}; to forget it, remove the file")
            results.append({"folder": shown, "how": "skipped", "why": why})
        else:
            how = f"sent how the stage {_endings.stage_of(note)} ended" if run_id else "a later attempt stands"
            _terminal.say(f"{shown}{f' -> runs:/{run_id}' if run_id else ''}: {how}")
            results.append({"folder": shown, "how": "sent", "run": run_id} if run_id else {"folder": shown, "how": "there"})
    _endings.discard_forgotten_files()
    return results
