"""What all readers of a user's file share: whether it can be read, one sentence for whatever a library raises, column names."""

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count
from typing import Any

from pipeline.errors import ConfigError, DataError, PipelineError
from pipeline.text import is_one_line, join_limited, quote, quote_if_needed

COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}  # by a file's first bytes


def check_path(path: str, content: str) -> None:
    """Raises ConfigError unless the configured path is one line of text. content: what its file should hold."""
    if path == "":
        raise ConfigError(f"path must name {content}; set data.path=FILE")
    if not is_one_line(path):
        raise ConfigError(f"path must be one line of text; got {quote(path)}")


def check_file(path: str, key: str = "data.path") -> None:
    """Raises DataError unless `path`, which the setting `key` names, is a regular file that is not empty."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        target = f", it is a link to {os.readlink(path)}" if os.path.islink(path) else ""
        raise DataError(f"{key} must name a file; there is none at {path}{target}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"{key} must name a file that can be read: {reason}; got {quote(path)}") from None
    if stat.S_ISDIR(found.st_mode):
        raise DataError(f"{key} must name a file; {path} is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{key} must name a file; {path} is a device or a pipe")
    if found.st_size == 0:
        raise DataError(f"there are no rows in {path}: it is empty")


@contextmanager
def reader_errors(path: str, file_format: str) -> Iterator[None]:
    """Around a library's reader: whatever it raises becomes a DataError of one sentence."""
    try:
        yield
    except PipelineError:
        raise
    except MemoryError:
        raise DataError(f"{path} must fit into memory; it does not") from None
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        first_line = next((line.strip() for line in reason.splitlines() if line.strip()), type(error).__name__)
        raise DataError(f"{path} could not be read as {file_format}: {first_line}") from error


def open_bytes(path: str) -> Any:
    """A file's bytes, uncompressed."""
    import pyarrow as pa

    with open(path, "rb") as file:
        start = file.read(4)
    return pa.input_stream(
        path, compression=next((name for magic, name in COMPRESSIONS.items() if start.startswith(magic)), None)
    )


@contextmanager
def is_unchanged(*paths: str) -> Iterator[None]:
    """Raise DataError where a file changes inside the block, also where that is why it cannot be read."""
    before = [_state(path) for path in paths]
    failure: Exception | None = None
    try:
        yield
    except Exception as error:
        failure = error
    for path, state in zip(paths, before, strict=True):
        if _state(path) != state:
            raise DataError(f"{path} must stay as it is while it is read; it has changed: run this again") from None
    if failure:
        raise failure


def _state(path: str) -> tuple[int, ...]:
    """What tells whether a file is still the same; () where there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def unique_names(path: str, header: Sequence[str]) -> tuple[list[str], list[str]]:
    """A unique name for each column, and which of them were made up for columns that have none, as pandas makes them up.

    Raises DataError unless each name is on one line and given once, spaces around it aside.
    """
    repeated = [name for name, times in Counter(name.strip() for name in header if name.strip()).items() if times > 1]
    if repeated:
        raise DataError(f"column names must be unique; {path} repeats {join_limited([*map(quote_if_needed, repeated)])}")
    broken = next((name for name in header if not is_one_line(name)), None)
    if broken is not None:
        raise DataError(f"column names must be on one line in {path}; got {quote(broken)}")
    names, generated, taken = list(header), [], set(header)
    for i, name in enumerate(header):
        if not name.strip():
            candidates = (f"Unnamed: {i}{suffix}" for suffix in chain([""], (f".{times}" for times in count(1))))
            names[i] = next(candidate for candidate in candidates if candidate not in taken)
            generated.append(names[i])
    return names, generated


def summary(path: str, rows: int, features: int, target: str, classes: tuple[object, object]) -> str:
    """How a file was read, in one line."""
    negative, positive = map(quote_if_needed, classes)
    labels = f"{negative} or {positive}, the positive class being {positive}"
    return f"read {path}: {rows} rows; features: {features}; {target}: {labels}"
