"""The names of a file's columns: unique, each on one line, and made up where there is none."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain, count

from pipeline.errors import DataError
from pipeline.text import is_one_line, join_limited, quote, quote_if_needed


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
