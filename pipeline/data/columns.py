"""A table as it was read: named Arrow columns, and their conversion to float64 with the first cell that cannot be converted."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from pipeline.arrays import Array

# Arrow's classes are Any: pyarrow is not typed.
EXACT = 2**53  # from it on float64 does not hold every integer
MISSING_WORDS = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None")
NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?|nan)", re.IGNORECASE | re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_TRUTH = {"True": 1.0, "TRUE": 1.0, "true": 1.0, "False": 0.0, "FALSE": 0.0, "false": 0.0}


@dataclass(frozen=True)
class RawTable:
    """What a file holds. written: cells are the file's text (CSV), with these words besides the empty cell for a missing value.

    place: where a row stands in the file, such as "line 7"; identifiers: columns that say which row it is and no more, and why.
    """

    columns: Mapping[str, Any]
    written: bool
    place: Callable[[int], str]
    identifiers: Mapping[str, str]
    missing_words: Sequence[str] = ()

    def numbers(self, name: str, exact: bool = True) -> "Array | Fault":
        """A column as float64 (n,), or its first cell that is no finite number or, if `exact`, a rounded integer."""
        column = self.columns[name]
        found = _from_text(column, self.missing_words) if self.written else _from_arrow(column)
        if isinstance(found, Fault):
            return found
        if missing_numbers := numbers_among(self.missing_words):
            found = np.where(np.isin(found, missing_numbers), np.nan, found)
        return _fault(found, column, exact) or found

    def is_integer(self, name: str) -> bool:
        """Whether a column is written as integers: of that type or, in text, without a point in its first cell."""
        import pyarrow as pa

        column = self.columns[name]
        if not self.written:
            kind = column.type
            return bool(pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale <= 0))
        return len(column) > 0 and _INTEGER.fullmatch(column[0].as_py().strip()) is not None


@dataclass(frozen=True)
class Fault:
    """The first cell of a column that cannot be used. kind: "text", "missing", "infinite" or "rounded"."""

    kind: str
    row: int
    value: str


def is_number(text: str) -> bool:
    """Whether text is a finite number, as people write it."""
    return NUMBER.fullmatch(text) is not None and bool(np.isfinite(float(text)))


def numbers_among(words: Sequence[str]) -> list[float]:
    """The words that are numbers: -999 stands for -999.0, too."""
    return [float(word) for word in words if is_number(word)]


def missing(text: Any, words: Sequence[str]) -> Any:
    """Which cells of an Arrow column of trimmed text stand for a missing value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(text, value_set=pa.array(["", *words], pa.string()))


def dictionary(column: Any) -> tuple[list[Any], np.ndarray[Any, np.dtype[np.int64]]]:
    """An Arrow column's distinct values, and for each row the position among them, -1 for null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = pa.chunked_array(pc.dictionary_encode(column)).unify_dictionaries()
    if encoded.num_chunks == 0:
        return [], np.zeros(0, np.int64)
    codes = pc.fill_null(pa.chunked_array([chunk.indices for chunk in encoded.chunks]), -1)
    return encoded.chunk(0).dictionary.to_pylist(), codes.to_numpy().astype(np.int64)


def _from_text(column: Any, words: Sequence[str]) -> "Array | Fault":
    import pyarrow as pa
    import pyarrow.compute as pc

    if not any(is_number(word) for word in words):
        with suppress(pa.ArrowInvalid):
            return pc.cast(column, pa.float64()).to_numpy()
    text = pc.utf8_trim_whitespace(column)
    text = pc.if_else(missing(text, words), pa.scalar(None, pa.string()), text)
    with suppress(pa.ArrowInvalid):
        return pc.cast(text, pa.float64()).to_numpy()
    return _from_words(*dictionary(text))


def _from_words(words: list[str], codes: np.ndarray[Any, np.dtype[np.int64]]) -> "Array | Fault":
    """Cells among which are some that Arrow takes for no number: truth values, or text."""
    if words and all(word in _TRUTH for word in words):
        values = [_TRUTH[word] for word in words]
    else:
        numeric = np.array([NUMBER.fullmatch(word) is not None for word in words] + [True])
        if not numeric.all():
            row = int(np.argmin(numeric[codes]))
            return Fault("text", row, words[codes[row]])
        values = [float(word) for word in words]
    return np.array([*values, np.nan])[codes]


def _from_arrow(column: Any) -> "Array | Fault":
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    if types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    kind = column.type
    numeric = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind)
    if not numeric and not types.is_null(kind):
        row = int(np.argmax(column.is_valid().to_numpy())) if len(column) else 0
        return Fault("text", row, _cell(column, row))
    if types.is_boolean(kind):
        column = pc.cast(column, pa.uint8())
    elif types.is_float16(kind):
        column = pc.cast(column, pa.float32())
    return pc.cast(column, pa.float64(), safe=False).to_numpy()


def _fault(values: Array, column: Any, exact: bool) -> Fault | None:
    """The first cell that is missing, else the first that is infinite, else the first integer that float64 rounds."""
    import pyarrow as pa
    import pyarrow.compute as pc

    finite = np.isfinite(values)
    if not finite.all():
        gaps = np.isnan(values)
        row = int(np.argmax(gaps if gaps.any() else ~finite))
        return Fault("missing" if gaps.any() else "infinite", row, _cell(column, row))
    large = np.flatnonzero(np.abs(values) >= EXACT)
    if exact and len(large) and not pa.types.is_floating(column.type):
        cells = pc.take(column, pa.array(large)).to_pylist()
        for row, cell in zip(large.tolist(), cells, strict=True):
            if _rounded(cell, values[row]):
                return Fault("rounded", row, _cell(column, row))
    return None


def _rounded(cell: Any, value: float) -> bool:
    if isinstance(cell, str):
        return _INTEGER.fullmatch(cell.strip()) is not None and int(cell) != int(value)
    return isinstance(cell, int | Decimal) and cell == int(cell) and int(cell) != int(value)


def _cell(column: Any, row: int) -> str:
    """A cell as text; nothing for null."""
    if not len(column) or not column[row].is_valid:
        return ""
    try:
        return str(column[row].as_py())
    except Exception:  # such as a time that Python's calendar does not hold
        return str(column[row])
