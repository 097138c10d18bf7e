"""From a table's columns to a model's features: a list of steps, each data that training has found and a formula.

A step gives for each row at most one entry in each of its `slots`, as (positions (n,), values (n,)) among its features, or,
of text, any number of entries. Zeros are no entries, so a category that no feature stands for has none.

A logged model carries this file unchanged, so it imports nothing of the project but what is beside it.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .columns import Cells, Codes

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WORD = re.compile(r"\b\w\w+\b")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
HOUR = 3_600_000_000  # microseconds
NONE = -1  # the position of what has no feature
MISSING, OTHER = "(missing)", "(other)"  # how the levels of a missing value, and of all that have no feature of their own, read
Term = tuple[str, str]  # a feature's name, and what of the column it is of: a level, a part of a date, a word; "": a number
Slot = tuple[NDArray[np.int64], NDArray[np.float64]]
Entries = tuple[
    NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]
]  # how many of each row (n,), their positions and values


class Step(Protocol):
    """What makes features of one column."""

    @property
    def column(self) -> str:
        """Which it needs."""

    @property
    def terms(self) -> list[Term]:
        """A pair for each feature."""

    @property
    def choices(self) -> list[range]:
        """Features of which no row has more than one."""

    def entries(self, cells: Any) -> Entries:
        """Of each row, in the order of the features."""


@dataclass(frozen=True)
class Number:
    """The number itself, or `fill` where it is missing. marks_missing: a second feature is 1 there."""

    column: str
    fill: float
    marks_missing: bool
    kind: str = "number"

    @property
    def terms(self) -> list[Term]:
        return [(self.column, ""), *_missing(self.column, self.marks_missing)]

    @property
    def choices(self) -> list[range]:
        return []

    def entries(self, cells: NDArray[np.float64]) -> Entries:
        missing = np.isnan(cells)
        slots = [_at(0, np.where(missing, self.fill, cells))]
        return _joined([*slots, _at(1, missing.astype(np.float64))] if self.marks_missing else slots)


@dataclass(frozen=True)
class Category:
    """1 at the value's level. has_missing: a missing value is a level; has_pool: all other values are one, the last."""

    column: str
    levels: list[str]
    has_missing: bool
    has_pool: bool
    kind: str = "category"

    @property
    def terms(self) -> list[Term]:
        known, pool = ([(f"{self.column}={level}", level) for level in levels] for levels in (self.levels, [OTHER]))
        return [*known, *_missing(self.column, self.has_missing), *(pool if self.has_pool else [])]

    @property
    def choices(self) -> list[range]:
        return [range(len(self.terms))]

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {level: i for i, level in enumerate(self.levels)}

    def unknown(self, cells: Codes) -> int:
        """How many cells have a value that is none of the levels."""
        return int(cells.lookup([value not in self._positions for value in cells.values], False, np.int64).sum())

    def entries(self, cells: Codes) -> Entries:
        other = len(self.levels) + self.has_missing if self.has_pool else NONE
        missing = len(self.levels) if self.has_missing else other
        return _joined([_one_hot(cells.lookup([self._positions.get(v, other) for v in cells.values], missing, np.int64))])


@dataclass(frozen=True)
class Date:
    """The year as a number, or `year` where the date is missing (None: no feature), and 1 at the month, weekday and hour."""

    column: str
    year: float | None
    months: list[int]  # 1 to 12
    weekdays: list[int]  # 0, Monday, to 6
    hours: list[int]  # 0 to 23
    marks_missing: bool
    kind: str = "date"

    @property
    def terms(self) -> list[Term]:
        parts = [
            *(["year"] if self.year is not None else []),
            *(f"month {month}" for month in self.months),
            *(WEEKDAYS[day] for day in self.weekdays),
            *(f"hour {hour}" for hour in self.hours),
        ]
        return [*((f"{self.column}: {part}", part) for part in parts), *_missing(self.column, self.marks_missing)]

    @property
    def choices(self) -> list[range]:
        starts = accumulate([len(self.months), len(self.weekdays), len(self.hours)], initial=int(self.year is not None))
        return [range(start, end) for start, end in pairwise(starts)]

    def entries(self, cells: NDArray[Any]) -> Entries:
        missing, parts = np.isnat(cells), date_parts(cells)
        slots, offset = list[Slot](), 0
        if self.year is not None:
            slots, offset = [_at(0, np.where(missing, self.year, parts["year"]))], 1
        for name, known in (("month", self.months), ("weekday", self.weekdays), ("hour", self.hours)):
            if known:
                positions = np.full(max(24, *known) + 1, NONE)
                positions[known] = np.arange(offset, offset + len(known))
                slots.append(_one_hot(np.where(missing, NONE, positions[parts[name]])))
                offset += len(known)
        return _joined([*slots, _at(offset, missing.astype(np.float64))] if self.marks_missing else slots)


@dataclass(frozen=True)
class Text:
    """tf-idf of words: their counts in the cell, times `idf`, divided by the root of the sum of these squares."""

    column: str
    words: list[str]  # sorted
    idf: list[float]
    marks_missing: bool
    kind: str = "text"

    @property
    def terms(self) -> list[Term]:
        return [*((f"{self.column}: {word}", word) for word in self.words), *_missing(self.column, self.marks_missing)]

    @property
    def choices(self) -> list[range]:
        return []

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}

    def entries(self, cells: Codes) -> Entries:
        weighed = [self._weigh(value) for value in cells.values]
        weighed.append(([len(self.words)], [1.0]) if self.marks_missing else ([], []))
        rows = cells.positions.tolist()
        counts = np.array([len(positions) for positions, _ in weighed], np.int64)[cells.positions]
        positions = np.array([position for row in rows for position in weighed[row][0]], np.int64)
        return counts, positions, np.array([value for row in rows for value in weighed[row][1]], np.float64)

    def _weigh(self, text: str) -> tuple[list[int], list[float]]:
        counts = Counter(self._positions[word] for word in words(text) if word in self._positions)
        positions = sorted(counts)
        values = [counts[position] * self.idf[position] for position in positions]
        norm = sum(value * value for value in values) ** 0.5
        return positions, [value / norm for value in values]


STEPS: dict[str, type[Any]] = {"number": Number, "category": Category, "date": Date, "text": Text}


@dataclass(frozen=True)
class Encoder:
    """Steps over a table's columns; their features follow each other."""

    steps: Sequence[Step]

    @classmethod
    def from_list(cls, content: Sequence[Mapping[str, Any]]) -> "Encoder":
        return cls([STEPS[entry["kind"]](**entry) for entry in content])

    def to_list(self) -> list[dict[str, Any]]:
        """As JSON has it."""
        return [{each.name: getattr(step, each.name) for each in fields(step)} for step in self.steps]  # type: ignore[arg-type]

    @cached_property
    def features(self) -> list[str]:
        """Their names; of equal ones, such as of a column that is called "age is missing", the later have a number."""
        times, found = Counter[str](), dict[str, None]()
        for name in (name for step in self.steps for name, _ in step.terms):
            unique = name
            while unique in found:
                times[name] += 1
                unique = f"{name} ({times[name] + 1})"
            found[unique] = None
        return [*found]

    @cached_property
    def _widths(self) -> list[int]:
        return [len(step.terms) for step in self.steps]

    @property
    def levels(self) -> list[tuple[str, str]]:
        """Of each feature the column, and what of it the feature is of."""
        return [(step.column, level) for step in self.steps for _, level in step.terms]

    @property
    def choices(self) -> list[range]:
        """Features of which no row has more than one."""
        offsets = accumulate(self._widths, initial=0)
        pairs = [(offset, choice) for offset, step in zip(offsets, self.steps, strict=False) for choice in step.choices]
        return [range(offset + choice.start, offset + choice.stop) for offset, choice in pairs]

    def encode(self, cells: Mapping[str, Cells], rows: int) -> "csr_array[Any, Any]":
        """X (rows, d) in CSR format, of columns as `read_cells` makes them."""
        from scipy.sparse import csr_array

        counts, offset, made = np.empty((len(self.steps), rows), np.int32), 0, list[Entries]()
        for i, (step, width) in enumerate(zip(self.steps, self._widths, strict=True)):
            counts[i], positions, values = step.entries(cells[step.column])
            made.append((counts[i], positions + offset, values))
            offset += width
        indptr = np.concatenate([[0], counts.sum(axis=0).cumsum()])
        indices, data = np.empty(indptr[-1], np.int32), np.empty(indptr[-1])
        places = indptr[:-1].copy()  # of the next entry of each row
        for count, positions, values in made:
            if len(values) == np.count_nonzero(count):  # one a row at most
                at = places[count != 0]
            else:
                at = np.repeat(places - (count.cumsum() - count), count) + np.arange(len(values))
            indices[at], data[at] = positions, values
            places += count
        return csr_array((data, indices, indptr.astype(np.int32)), shape=(rows, offset))


def words(text: str) -> list[str]:
    """Of two letters or more, in lower case."""
    return WORD.findall(text.lower())


def date_parts(cells: NDArray[Any]) -> dict[str, NDArray[np.int64]]:
    """Year, month, weekday and hour (n,) of dates; 0 of a missing one."""
    missing = np.isnat(cells)
    known = np.where(missing, np.datetime64(0, "us"), cells)
    return {
        "year": known.astype("datetime64[Y]").astype(np.int64) + 1970,
        "month": known.astype("datetime64[M]").astype(np.int64) % 12 + 1,
        "weekday": (known.astype("datetime64[D]").astype(np.int64) + 3) % 7,
        "hour": known.astype(np.int64) // HOUR % 24,
    }


def _missing(column: str, marks_missing: bool) -> Iterator[Term]:
    if marks_missing:
        yield f"{column} is missing", MISSING


def _at(position: int, values: NDArray[np.float64]) -> Slot:
    return np.full(len(values), position), values


def _one_hot(positions: NDArray[np.int64]) -> Slot:
    return positions, (positions != NONE).astype(np.float64)


def _joined(slots: Sequence[Slot]) -> Entries:
    """Entries of slots in the order of their features."""
    positions, values = (np.column_stack(parts) for parts in zip(*slots, strict=True))
    filled = values != 0
    return filled.sum(axis=1), positions[filled], values[filled]
