"""The files that MLflow is still to be sent, as they were when their stage ended: links in out/pending/ of the real repository.

The next command may write over them before the process beside the work has sent them, and DVC deletes the copies that it runs
experiments in. A link costs no space: files are replaced by others, never written into.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pipeline.atomic import PREFIX
from pipeline.files import OUT

FORGOTTEN_SECONDS = 3600.0  # after which what no note names was left by a process that was killed


def link_files(folder: Path, home: Path) -> Path:
    """A copy of a model's folder and of what MLflow is told of the DAG around it, by links where that can be; the folder itself
    where there can be no copy."""
    try:
        (pending := home / OUT / "pending").mkdir(parents=True, exist_ok=True)
        root = Path(tempfile.mkdtemp(dir=pending)) / OUT
        for part in (folder, folder.parent.parent / "report", folder.parent.parent / "config"):
            for path in part.rglob("*"):
                if path.is_file() and not any(name.startswith(PREFIX) for name in path.parts):
                    _link(path, root / path.relative_to(folder.parent.parent))
        (root / "data").mkdir()  # an out of dvc.lock, of which no more is told than that it is there
        lock = folder.parent.parent.parent / "dvc.lock"  # which DVC does write into
        if lock.is_file():
            shutil.copyfile(lock, root.parent / lock.name)
    except OSError:
        return folder
    return root / folder.parent.name / folder.name


def _link(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, to)
    except OSError:  # between file systems
        shutil.copyfile(path, to)


def discard(folder: Path, home: Path) -> None:
    """Delete what `link_files` made; nothing else."""
    root = folder.parent.parent.parent
    if root.parent == home / OUT / "pending":
        shutil.rmtree(root, ignore_errors=True)


def discard_forgotten(needed: Iterable[Path], home: Path) -> None:
    """Delete what is old and none of these folders."""
    kept = {folder.parent.parent.parent for folder in needed}
    for root in (home / OUT / "pending").glob("*"):
        with suppress(OSError):
            if root not in kept and time.time() - root.stat().st_mtime > FORGOTTEN_SECONDS:
                shutil.rmtree(root)
