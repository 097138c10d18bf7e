"""How a stage failed while MLflow did not answer: kept in out/endings/ until the next stage or `runs publish` can tell it.

What succeeds needs no such note: its files say it all.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline._config import tracking_of
from pipeline._files import OUT, read_json, staged, write_json
from pipeline._tracking import home, store_of
from pipeline.numerics import InvalidInput

OPENED = ("stage", "about", "parent", "provenance", "settings", "process")  # what `_mlflow.open_run` takes, but for credentials
ENDED = ("ending", "reason", "traceback")


def keep(opened: Mapping[str, Any], **ended: str) -> None:
    """A stage's opening, as `_tracking.track` sent it, and its end. Nothing can be done where the disk is full."""
    with suppress(OSError, InvalidInput), staged(_folder()) as folder:
        write_json(folder / _name(opened), {"opened": {key: opened[key] for key in OPENED}, "ended": ended})


def drop(opened: Mapping[str, Any]) -> None:
    """Forget how a stage failed, since it has succeeded."""
    with suppress(OSError):
        (_folder() / _name(opened)).unlink()


def kept() -> list[Path]:
    return sorted(_folder().glob("*.json"))


def tell(note: Path, uri: str | None = None) -> str | None:
    """Show one in MLflow and drop it; the run's id. None if it belongs to another store than `uri`, where one is given.

    A later success that MLflow knows is not contradicted. Raises InvalidInput where the note is damaged, else MLflow's error.
    """
    from pipeline._mlflow import open_run

    content = read_json(note, "opened", "ended")
    opened, ended = ({key: content[part].get(key) for key in keys} for part, keys in (("opened", OPENED), ("ended", ENDED)))
    where = store_of(tracking_of(opened["settings"] or {}))
    if uri is not None and where["uri"] != uri:
        return None
    run_id = open_run(where, **opened).close(**ended)
    note.unlink(missing_ok=True)
    return run_id


def _name(opened: Mapping[str, Any]) -> str:
    return f"{opened['about']['fingerprint']}.{opened['stage']}.json"


def _folder() -> Path:
    return home() / OUT / "endings"
