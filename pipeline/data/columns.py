"""A table as it was read: named Arrow columns, and their conversion to float64 with the first cell that cannot be converted."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types

from pipeline.arrays import Array

MAX_EXACT = 2**53  # from it on float64 does not hold every integer
NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?|nan)", re.IGNORECASE | re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_BOOLEANS = {"True": 1.0, "TRUE": 1.0, "true": 1.0, "False": 0.0, "FALSE": 0.0, "false": 0.0}


@dataclass(frozen=True)
class InvalidCell:
    """The first cell of a column that cannot be used. reason: "text", "missing", "infinite" or "rounded"."""

    reason: str
    row: int
    text: str


@dataclass(frozen=True)
class RawTable:
    """What a file holds. is_text: the cells are the file's text (CSV), in which `missing_values` and "" stand for no value.

    locate: where a row stands in the file, such as "line 7"; row_labels: columns that only label the rows, and why.
    """

    columns: Mapping[str, pa.ChunkedArray]
    is_text: bool
    locate: Callable[[int], str]
    row_labels: Mapping[str, str]
    missing_values: Sequence[str] = ()

    def to_floats(self, names: Iterable[str], keep: Sequence[str]) -> tuple[dict[str, Array], dict[str, InvalidCell]]:
        """Columns as float64 (n,), and of the others the first cell that is no finite number or, unless it is of a column to
        keep, an integer that is rounded."""
        found = {name: self._to_float(self.columns[name], exact=name not in keep) for name in names}
        invalid = {name: cell for name, cell in found.items() if isinstance(cell, InvalidCell)}
        return {name: values for name, values in found.items() if not isinstance(values, InvalidCell)}, invalid

    def _to_float(self, column: pa.ChunkedArray, exact: bool) -> Array | InvalidCell:
        values = _parse(column, self.missing_values) if self.is_text else _cast(column)
        if isinstance(values, InvalidCell):
            return values
        if missing_numbers := numbers_among(self.missing_values):
            values = np.where(np.isin(values, missing_numbers), np.nan, values)
        return _first_invalid(values, column, exact) or values

    def is_integer(self, name: str) -> bool:
        """Whether a column is written as integers: of that type or, in text, without a point in its first cell."""
        column = self.columns[name]
        if self.is_text:
            return len(column) > 0 and _INTEGER.fullmatch(column[0].as_py().strip()) is not None
        return bool(types.is_integer(column.type) or (types.is_decimal(column.type) and column.type.scale <= 0))


def is_number(text: str) -> bool:
    """Whether text is a finite number, as people write it."""
    return NUMBER.fullmatch(text) is not None and bool(np.isfinite(float(text)))


def numbers_among(texts: Sequence[str]) -> list[float]:
    """The texts that are numbers: -999 stands for -999.0, too."""
    return [float(text) for text in texts if is_number(text)]


def factorize(column: pa.ChunkedArray) -> tuple[list[Any], NDArray[np.int64]]:
    """A column's distinct values, and for each row the position among them, -1 for null."""
    encoded = pa.chunked_array(pc.dictionary_encode(column)).unify_dictionaries()
    if encoded.num_chunks == 0:
        return [], np.zeros(0, np.int64)
    codes = pc.fill_null(pa.chunked_array([chunk.indices for chunk in encoded.chunks]), -1)
    return encoded.chunk(0).dictionary.to_pylist(), codes.to_numpy().astype(np.int64)


def plain_types(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column without the types that Arrow computes little with: dictionaries and float16."""
    if types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    return pc.cast(column, pa.float32()) if types.is_float16(column.type) else column


def _parse(column: pa.ChunkedArray, missing_values: Sequence[str]) -> Array | InvalidCell:
    """A column of text as numbers."""
    with suppress(pa.ArrowInvalid):
        return pc.cast(column, pa.float64()).to_numpy()
    trimmed = pc.utf8_trim_whitespace(column)
    missing = pc.is_in(trimmed, value_set=pa.array(["", *missing_values], pa.string()))
    trimmed = pc.if_else(missing, pa.scalar(None, pa.string()), trimmed)
    with suppress(pa.ArrowInvalid):
        return pc.cast(trimmed, pa.float64()).to_numpy()
    texts, codes = factorize(trimmed)  # some are not what Arrow takes for numbers: +1, 4. and .5, booleans, or text
    if texts and all(text in _BOOLEANS for text in texts):
        return np.array([*(_BOOLEANS[text] for text in texts), np.nan])[codes]
    numeric = np.array([NUMBER.fullmatch(text) is not None for text in texts] + [True])
    if not numeric.all():
        row = int(np.argmin(numeric[codes]))
        return InvalidCell("text", row, texts[codes[row]])
    return np.array([*map(float, texts), np.nan])[codes]


def _cast(column: pa.ChunkedArray) -> Array | InvalidCell:
    """A typed column as numbers."""
    column = plain_types(column)
    kind = column.type
    if types.is_boolean(kind):
        column = pc.cast(column, pa.uint8())
    elif not (types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind)):
        row = int(np.argmax(column.is_valid().to_numpy())) if len(column) else 0
        return InvalidCell("text", row, _cell_text(column, row))
    return pc.cast(column, pa.float64(), safe=False).to_numpy()


def _first_invalid(values: Array, column: pa.ChunkedArray, exact: bool) -> InvalidCell | None:
    """The first cell that is missing, else the first that is infinite, else the first integer that float64 rounds."""
    for reason, wrong in (("missing", np.isnan(values)), ("infinite", np.isinf(values))):
        if wrong.any():
            row = int(np.argmax(wrong))
            return InvalidCell(reason, row, _cell_text(column, row))
    large = np.flatnonzero(np.abs(values) >= MAX_EXACT)
    if exact and len(large) and not types.is_floating(column.type):
        cells = pc.take(column, pa.array(large)).to_pylist()
        for row, cell in zip(large.tolist(), cells, strict=True):
            if _is_rounded(cell, values[row]):
                return InvalidCell("rounded", row, _cell_text(column, row))
    return None


def _is_rounded(cell: Any, value: float) -> bool:
    if isinstance(cell, str):
        return _INTEGER.fullmatch(cell.strip()) is not None and int(cell) != int(value)
    return isinstance(cell, int | Decimal) and cell == int(cell) and int(cell) != int(value)


def _cell_text(column: pa.ChunkedArray, row: int) -> str:
    """A cell as text; empty for null."""
    if not len(column) or not column[row].is_valid:
        return ""
    try:
        return str(column[row].as_py())
    except Exception:  # such as a time that Python's calendar does not hold
        return str(column[row])
