"""How a stage ended while MLflow did not answer, and by which code: kept in out/endings/ until the next stage, `runs publish`
or `runs doctor` can tell it."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from pipeline.atomic import atomic_dir
from pipeline.config.tracking import tracking_of
from pipeline.errors import PipelineError, StoreError
from pipeline.files import OUT, digest_of, read_json, write_json
from pipeline.tracking.client import project_root, store_of
from pipeline.tracking.pending import discard, discard_forgotten

if TYPE_CHECKING:
    from pipeline.tracking.mlflow_run import Lineage, Run

OPENED = (
    "stage",
    "card",
    "parent",
    "provenance",
    "settings",
    "process",
)  # what `mlflow_run.open_run` takes, but for credentials
BYTES = "latin-1"  # in which every byte is a letter
OVERWRITTEN = "its files were gone when MLflow answered again"
LETTERS = 8  # of the SHA-256 of where a run is, in its note's name


def keep(
    opened: Mapping[str, Any], lineage: "Lineage", curve: Sequence[Mapping[str, Any]], folder: str, ended: Mapping[str, str]
) -> None:
    """A stage's opening, as `client.track` sent it, the points that MLflow does not have, where its files lie, and its end:
    ending, reason and traceback. Nothing can be done where the disk is full."""
    tags, texts = lineage
    content = {
        "opened": {key: opened[key] for key in OPENED},
        "lineage": [dict(tags), {name: text.decode(BYTES) for name, text in texts.items()}],
        "curve": list(curve),
        "folder": folder,
        "ended": dict(ended),
    }
    with suppress(OSError, PipelineError), atomic_dir(_folder()) as made:
        write_json(made / _name(opened), {**content, "digest": digest_of(content)})


def drop(opened: Mapping[str, Any]) -> None:
    """Forget how an earlier attempt ended, since MLflow knows of a later one."""
    _forget(_folder() / _name(opened))


def _forget(note: Path) -> None:
    """Delete a note, and the files that were kept for it."""
    with suppress(PipelineError):
        discard(Path(read_json(note, "folder")["folder"]), project_root())
    with suppress(OSError):
        note.unlink()


def discard_forgotten_files() -> None:
    """Delete the files that were kept for MLflow and that no note names any more."""
    folders = []
    for note in kept():
        with suppress(PipelineError):
            folders.append(Path(read_json(note, "folder")["folder"]))
    discard_forgotten(folders, project_root())


def kept() -> list[Path]:
    """The notes."""
    return sorted(_folder().glob("*.json"))


def stage_of(note: Path) -> str:
    return note.name.split(".")[1]


def store(note: Path) -> dict[str, str]:
    """Where its run is. Raises PipelineError where the note is damaged."""
    return _store(_read(note))


def tell(note: Path, uri: str | None = None) -> str | None:
    """Show one in MLflow and drop it: the run's id, or None where a later attempt at the stage stands.

    Raises PipelineError where the note is damaged, where its run is being worked at and where it belongs to another store than
    `uri`, if one is given; else MLflow's error.
    """
    from pipeline.tracking.mlflow_run import UNPUBLISHED, open_run

    with FileLock(_folder() / ".lock"):
        if not note.exists():  # another process has told it
            return None
        content = _read(note)
        where = _store(content)
        if uri not in (None, where["uri"]):
            raise StoreError(f"a note must be of the store at hand; {note} is of another")
        tags, texts = content["lineage"]
        encoded = {name: text.encode(BYTES) for name, text in texts.items()}
        run = open_run(where, **content["opened"], lineage=lambda: (tags, encoded))
        stands = not run.redone()
        if stands:
            if run.superseded():
                raise StoreError("its run is still being worked at")
            for point in content["curve"]:
                run.loss(**point)
            shown = content["ended"]["ending"] != "finished" or _publish(run, Path(content["folder"]), content["opened"])
            run.close(**(content["ended"] if shown else {"ending": UNPUBLISHED, "reason": OVERWRITTEN}))
        _forget(note)
        return str(run.id) if stands else None


def _publish(run: "Run", folder: Path, opened: Mapping[str, Any]) -> bool:
    """Show a stage's files, unless they are gone."""
    try:
        same = read_json(folder / "model.json", "fingerprint")["fingerprint"] == opened["card"]["fingerprint"]
        if same:
            run.publish(folder)
    except (PipelineError, OSError):
        return False
    return bool(same)


def _read(note: Path) -> dict[str, Any]:
    content = read_json(note, "opened", "lineage", "curve", "folder", "ended", "digest")
    if content.pop("digest") != digest_of(content):
        raise StoreError(f"{note} must be as it was written; it is damaged")
    return content


def _store(content: Mapping[str, Any]) -> dict[str, str]:
    return store_of(tracking_of(content["opened"]["settings"]))


def _name(opened: Mapping[str, Any]) -> str:
    where = digest_of([opened["parent"], opened["settings"]])[:LETTERS]
    return f"{opened['card']['fingerprint']}.{opened['stage']}.{where}.json"


def _folder() -> Path:
    return project_root() / OUT / "endings"
