"""What all readers share: whether a file can be read, one sentence for whatever a reader raises, values shown on one line."""

import os
import re
import shlex
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count

from pipeline.errors import ConfigError, DataError, PipelineError

MOST_LETTERS = 60  # of a value, or of a path's part, that a sentence shows
MOST_NAMES = 10


def check_path(path: str, what: str) -> None:
    """A path as it was configured: some text, and none that no file can have."""
    if path == "":
        raise ConfigError(f"path must name {what}; set data.path=FILE")
    if not is_one_line(path):
        raise ConfigError(f"path must be one line of text; got {shown(path)}")


def check_file(path: str) -> None:
    """Raises ConfigError unless `path` is a regular file that has bytes in it."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        target = f", it is a link to {os.readlink(path)}" if os.path.islink(path) else ""
        raise DataError(f"data.path must name a file; there is none at {path}{target}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"data.path must name a file that can be read: {reason}; got {shown(path)}") from None
    if stat.S_ISDIR(found.st_mode):
        raise DataError(f"data.path must name a file; {path} is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"data.path must name a file; {path} is a device or a pipe")
    if not found.st_size > 0:
        raise DataError(f"there are no rows in {path}: it is empty")


@contextmanager
def reading(path: str, kind: str) -> Iterator[None]:
    """Around a library's reader: whatever it raises becomes one sentence."""
    try:
        yield
    except PipelineError:
        raise
    except MemoryError:
        raise DataError(f"{path} must fit into memory; it does not") from None
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        first = next((line.strip() for line in reason.splitlines() if line.strip()), type(error).__name__)
        raise DataError(f"{path} could not be read as {kind}: {first}") from error


def named(path: str, header: Sequence[str]) -> tuple[list[str], list[str]]:
    """A unique name for each column, and which of them were made up for columns that have none, as pandas makes them up.

    Raises ConfigError unless the names are lines of text and each is given once, spaces around it aside.
    """
    given = [name.strip() for name in header if name.strip()]
    doubled = [name for name, times in Counter(given).items() if times > 1]
    if doubled:
        raise DataError(f"column names must be unique; {path} repeats {listed([brief(name) for name in doubled])}")
    broken = next((name for name in header if not is_one_line(name)), None)
    if broken is not None:
        raise DataError(f"column names must be on one line in {path}; got {shown(broken)}")
    names, made, taken = list(header), [], set(header)
    for i, name in enumerate(header):
        if not name.strip():
            numbered = (f"Unnamed: {i}{suffix}" for suffix in chain([""], (f".{times}" for times in count(1))))
            names[i] = next(each for each in numbered if each not in taken)
            made.append(names[i])
    return names, made


def is_one_line(text: str) -> bool:
    """Whether text has no control character and no line break in it."""
    return not any(ord(letter) < 32 or 127 <= ord(letter) < 160 or letter in "\u2028\u2029" for letter in text)


def shown(value: object) -> str:
    """A value as a sentence shows it: in quotes, on one line, its beginning where it is long."""
    text = str(value)
    return repr(text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}...")


def brief(value: object) -> str:
    """A value as it is or, where that would mislead, in quotes."""
    text = str(value)
    return text if is_one_line(text) and text == text.strip() and 0 < len(text) <= MOST_LETTERS else shown(text)


def typed_list(key: str, name: str) -> str:
    """The word that sets a key to a list of this name alone, quoted for Hydra and for the shell."""
    if not (re.fullmatch(r"[\w.: -]+", name) and name == name.strip()):
        name = re.sub(r'(\\*)("|\$\{|$)', lambda found: found[1] * 2 + ("\\" if found[2] else "") + found[2], name)
        name = f'"{name}"'
    return shlex.quote(f"{key}=[{name}]")


def recognised(path: str, rows: int, features: int, target: str, classes: tuple[object, object]) -> str:
    """What a file was taken for, in one line."""
    negative, positive = map(brief, classes)
    labels = f"{negative} or {positive}, the positive class being {positive}"
    return f"read {path}: {rows} rows; features: {features}; {target}: {labels}"


def listed(names: Sequence[str]) -> str:
    """Names with commas between them, at most MOST_NAMES."""
    more = f", ... ({len(names)} in all)" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
