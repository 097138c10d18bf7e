"""Sets of files that are replaced together: whoever is killed meanwhile, a reader finds one set or refuses.

A set may have a describing file, which names its other files' digests. It is deleted first and written last, so where it is
there, the set is. Nothing is flushed to the disk: a process may be killed at any moment, a power cut is DVC's to notice.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pipeline.errors import ArtifactError

PREFIX = ".writing-"  # of the folders in which sets are written; DVC ignores them
REPLACED = ".replaced"  # in such a folder: the folders that were replaced


def _nothing() -> None:
    pass


@contextmanager
def atomic_dir(
    target: Path, describing: str | None = None, later: Sequence[str] = (), check: Callable[[], None] = _nothing
) -> Iterator[Path]:
    """A temporary folder whose files are moved into `target` when the block ends, and dropped when it fails.

    describing: the name of the describing file, deleted first and moved last.
    later: patterns of what was made from the set before, deleted unless the describing file stays the same.
    check: called before anything is moved, when no other process moves files into `target`; may raise.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        with locked(target):
            remove_leftovers(target)
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=target))
            alive = _lock(folder)
    except OSError as error:
        raise ArtifactError(f"{target} must be a folder that can be written to: {error.strerror}") from None
    try:
        yield folder
        try:
            with locked(target):
                check()
                _move(folder, target, describing, later)
        except OSError as error:
            raise ArtifactError(f"{target} must stay a folder that can be written to: {error.strerror}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(alive)


def _move(folder: Path, target: Path, describing: str | None, later: Sequence[str]) -> None:
    made = sorted(folder.iterdir(), key=lambda path: (path.name == describing, path.name))
    replaced = folder / REPLACED
    replaced.mkdir()
    if describing:
        same = _content(folder / describing) == _content(target / describing)
        _remove(target / describing, replaced)
        for path in [] if same else [path for pattern in later for path in sorted(target.glob(pattern))]:
            _remove(path, replaced)
    for path in made:
        final = target / path.name
        if path.is_dir() or (final.is_dir() and not final.is_symlink()):
            _remove(final, replaced)
        os.replace(path, final)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _remove(path: Path, replaced: Path) -> None:
    """Delete a file at once; move a folder away at once, to be deleted with `replaced`."""
    with suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            os.rename(path, Path(tempfile.mkdtemp(dir=replaced)) / path.name)
        else:
            os.unlink(path)


def remove_leftovers(target: Path) -> None:
    """Delete the temporary files and folders in `target` of processes that were killed: those that nobody holds locked."""
    for path in target.glob(f"{PREFIX}*"):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(descriptor)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time; also where another process deletes the folder and makes it again."""
    with ExitStack() as held:
        while True:
            descriptor = _lock(folder)
            held.callback(os.close, descriptor)
            if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
                break
        yield


def _lock(folder: Path) -> int:
    """An open folder, locked until it is closed or its process ends; unlocked on file systems that have no such locks."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor
