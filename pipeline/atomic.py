"""Sets of files that are replaced together: whenever a process is killed, a reader finds one complete set or refuses.

A set may have a manifest, which names its other files' digests. It is deleted first and written last, so where it is there,
the set is complete. Nothing is flushed to the disk: a process may be killed at any moment, a power cut is DVC's to notice.
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
REPLACED = ".replaced"  # in such a folder: the files and folders that were replaced


@contextmanager
def atomic_dir(
    target: Path, manifest: str | None = None, downstream: Sequence[str] = (), check: Callable[[], None] = lambda: None
) -> Iterator[Path]:
    """A temporary folder whose files are moved into `target` when the block ends, and deleted when it fails.

    manifest: the name of the file that is deleted first and moved last.
    downstream: patterns of files made from the set before, which are deleted unless the manifest stays the same.
    check: called before anything is moved, while no other process moves files into `target`; may raise.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        with locked(target):
            remove_leftovers(target)
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=target))
            descriptor = _lock(folder)  # tells other processes that this one is alive
    except OSError as error:
        raise ArtifactError(f"{target} must be a folder that can be written to: {error.strerror}") from None
    try:
        yield folder
        try:
            with locked(target):
                check()
                _move(folder, target, manifest, downstream)
        except OSError as error:
            raise ArtifactError(f"{target} must stay a folder that can be written to: {error.strerror}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _move(folder: Path, target: Path, manifest: str | None, downstream: Sequence[str]) -> None:
    written = sorted(folder.iterdir(), key=lambda path: (path.name == manifest, path.name))
    replaced = folder / REPLACED
    replaced.mkdir()
    if manifest:
        old, new = target / manifest, folder / manifest
        unchanged = old.is_file() and old.read_bytes() == new.read_bytes()
        outdated = [] if unchanged else [path for pattern in downstream for path in sorted(target.glob(pattern))]
        for path in [old, *outdated]:
            _remove(path, replaced)
    for path in written:
        final = target / path.name
        if path.is_dir() or (final.is_dir() and not final.is_symlink()):
            _remove(final, replaced)
        os.replace(path, final)


def _remove(path: Path, replaced: Path) -> None:
    """Delete a file; move a folder, in one step, to where it is deleted with `replaced`."""
    with suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            os.rename(path, Path(tempfile.mkdtemp(dir=replaced)) / path.name)
        else:
            os.unlink(path)


def remove_leftovers(target: Path) -> None:
    """Delete the temporary files and folders in `target` of processes that were killed: those that no process has locked."""
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
    """One process at a time, also where another process deletes the folder and makes it again."""
    with ExitStack() as stack:
        while True:
            descriptor = _lock(folder)
            stack.callback(os.close, descriptor)
            if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
                break
        yield


def _lock(folder: Path) -> int:
    """An open folder, locked until it is closed or its process ends; not locked on file systems that have no such locks."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor
