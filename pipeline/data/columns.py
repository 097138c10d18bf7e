"""A table as it was read: named Arrow columns of five types, null where a value is missing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.errors import DataError

TYPES = {  # of cells, as a model's columns name them
    "integer": pa.int64(),
    "number": pa.float64(),
    "date": pa.timestamp("us"),
    "boolean": pa.bool_(),
    "text": pa.string(),
}
MAX_EXACT = 2**53  # from it on float64 does not hold every integer


@dataclass(frozen=True)
class RawTable:
    """What a file holds. Columns are int64, float64, bool, timestamp[us], or text: string or dictionary<int32, string>.

    is_text: the file's cells are text (CSV); locate: where a row stands in the file, such as "line 7"; cell: a row's cell of a
    column, as it is written; rounded: of columns that float64 rounds, the first such row; row_labels: columns that only label
    the rows, and why; decimal: "," where some numbers are written with a decimal comma.
    """

    columns: Mapping[str, pa.ChunkedArray]
    is_text: bool
    locate: Callable[[int], str]
    cell: Callable[[int, str], str]
    rounded: Mapping[str, int]
    row_labels: Mapping[str, str]
    notes: tuple[str, ...] = ()  # how it was read
    decimal: str = ""

    def filter(self, mask: NDArray[np.bool_]) -> "RawTable":
        """The rows of the mask."""
        rows, arrow_mask = np.flatnonzero(mask), pa.array(mask)
        columns = {name: column.filter(arrow_mask) for name, column in self.columns.items()}
        rounded = {name: int(np.searchsorted(rows, row)) for name, row in self.rounded.items() if mask[row]}
        return replace(
            self,
            columns=columns,
            locate=lambda row: self.locate(int(rows[row])),
            cell=lambda row, name: self.cell(int(rows[row]), name),
            rounded=rounded,
        )

    def append(self, other: "RawTable", path: str) -> "RawTable":
        """The rows of this table and below them those of another, of the file at `path`, whose columns have the same names.

        Raises DataError where text stands below what is none, and cannot be read as such."""
        size = len(next(iter(self.columns.values())))
        below = {name: _as_above(name, column, other.columns[name], path) for name, column in self.columns.items()}
        pairs = [pa.table(dict(self.columns)), pa.table(below)]
        joined = pa.concat_tables(pairs, promote_options="permissive").unify_dictionaries().combine_chunks()
        rounded = {name: row + size for name, row in other.rounded.items()} | dict(self.rounded)
        return replace(
            self,
            columns={name: joined[name] for name in joined.column_names},
            locate=lambda row: self.locate(row) if row < size else f"{other.locate(row - size)} of {path}",
            cell=lambda row, name: self.cell(row, name) if row < size else other.cell(row - size, name),
            rounded=rounded,
        )


def _as_above(name: str, above: pa.ChunkedArray, column: pa.ChunkedArray, path: str) -> pa.ChunkedArray:
    """A column of the type of the one above it where one of them is text, with a dictionary or without, or true and false."""
    kinds = {above.type, column.type}
    if len(kinds) == 1 or kinds <= {pa.int64(), pa.float64()}:
        return column
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), above.type)])
    try:
        is_boolean = pa.types.is_boolean(column.type)  # which a CSV file has as Python writes it
        text = pc.if_else(column, "True", "False") if is_boolean else pc.cast(column, pa.string())
        return text.dictionary_encode() if pa.types.is_dictionary(above.type) else pc.cast(text, above.type)
    except pa.ArrowInvalid:
        rule = f"{name} must be of one type in both files"
        raise DataError(f"{rule}; in {path} it is {type_of(column)}, not {type_of(above)}") from None


def first_infinite(column: pa.ChunkedArray) -> int:
    """The first row that is infinite; -1 if none is."""
    if not pa.types.is_floating(column.type):
        return -1
    return int(pc.index(pc.is_inf(column), True).as_py())


def first_rounded(column: pa.ChunkedArray) -> int:
    """The first row whose integer float64 does not hold; -1 if there is none."""
    if not pa.types.is_integer(column.type) or len(column) == column.null_count:
        return -1
    bounds = pc.min_max(column).as_py()
    if max(abs(bounds["min"]), abs(bounds["max"])) < MAX_EXACT:
        return -1
    values = pc.fill_null(column, 0).to_numpy()
    large = np.flatnonzero(np.abs(values.astype(np.float64)) >= MAX_EXACT)
    return next((int(row) for row in large if int(float(values[row])) != int(values[row])), -1)


def without(column: Any, numbers: list[float]) -> Any:
    """A column of numbers in which NaN and these numbers are missing."""
    if pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py():
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    if not numbers or not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return column
    known = pa.array(numbers, pa.float64())
    return pc.if_else(
        pc.is_in(pc.cast(column, pa.float64(), safe=False), value_set=known), pa.scalar(None, column.type), column
    )


def compact(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of text with the dictionary of its distinct values, if these are at most half as many as its rows."""
    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column)
    column = column.unify_dictionaries() if column.num_chunks > 1 else column
    if column.num_chunks and len(column.chunk(0).dictionary) > len(column) / 2:
        return pc.cast(column, pa.string())
    return column


def type_of(column: pa.ChunkedArray) -> str:
    """integer, number, boolean, date or text."""
    kind = column.type
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "integer" if pa.types.is_integer(kind) else "number"
    return "date" if pa.types.is_timestamp(kind) else "text"
