"""The columns of a table as a model knows them, and their cells as one of three kinds of array, whatever holds them.

Numbers and booleans become float64 (NaN: missing), dates datetime64[us] (NaT: missing), text and categories `Codes`. Cells may
come from pyarrow, pandas, NumPy, or lists of Python objects, as JSON has them: equal cells give equal arrays.

A logged model carries this file unchanged, so it imports nothing of the project.
"""

import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

USED = ("number", "boolean", "category", "date", "text")  # kinds of columns that become features
LEFT_OUT = ("identifier", "constant", "duplicate")
TYPES = {  # of cells, and what they are called in a sentence
    "integer": "a number",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date or time, such as 2024-05-06 or 2024-05-06 07:08:09",
    "text": "text",
}
KINDS = "biuf"  # of dtypes that hold real numbers
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)  # text that is taken as one
BOOLEANS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}
MAX_NAMES, MAX_VALUE = 10, 60  # columns, and letters of a value, in an error
MICROSECONDS = "datetime64[us]"


class PredictionError(ValueError):
    """There is no prediction for what was given. The message is one sentence."""


@dataclass(frozen=True)
class Column:
    """A column of a table. kind: what it means, one of USED or LEFT_OUT; type: what its cells are, one of TYPES."""

    name: str
    kind: str
    type: str
    missing: int  # cells
    distinct: int  # values
    example: str
    reason: str = ""  # why it is left out

    @property
    def is_used(self) -> bool:
        return self.kind in USED


@dataclass(frozen=True)
class Codes:
    """Text cells as positions (n,) among distinct values, -1 where a cell is missing."""

    positions: NDArray[np.int64]
    values: Sequence[Any]

    def lookup(self, found: Sequence[Any], missing: Any, dtype: Any) -> NDArray[Any]:
        """(n,) of what was found for each distinct value."""
        return np.array([*found, missing], dtype)[self.positions]


Cells = NDArray[Any] | Codes


def missing_cells(cells: Cells) -> int:
    """How many there are."""
    if isinstance(cells, Codes):
        return int(np.count_nonzero(cells.positions < 0))
    return int(np.count_nonzero(np.isnat(cells) if cells.dtype.kind == "M" else np.isnan(cells)))


class InvalidCell(Exception):
    """A cell that is not of its column's type."""

    def __init__(self, row: int, value: object) -> None:
        self.row, self.value = row, value


def read_cells(column: Column, given: Any, missing: Sequence[str] = ()) -> Cells:
    """The cells of a column as its kind has them. Raises InvalidCell for the first that is not of its type.

    missing: texts, and so the numbers that they are, which stand for a missing value.
    """
    cells = _unpack(given)
    if missing:
        cells = _without(cells, missing)
    if column.kind in ("number", "boolean"):
        return _numbers(column.type, cells)
    if column.kind == "date":
        return _dates(cells)
    return _texts(column.type, cells)


def _unpack(given: Any) -> Cells:
    """Real numbers as float64, times as datetime64[us], and anything else as Codes of any objects."""
    if hasattr(given, "to_pylist"):
        return _from_arrow(given)
    if hasattr(given, "iloc"):
        return _from_pandas(given)
    if isinstance(given, np.ndarray) and not isinstance(given, np.ma.MaskedArray) and given.ndim == 1:
        if given.dtype.kind in KINDS:
            return given.astype(np.float64)
        if given.dtype.kind == "M":
            return given.astype(MICROSECONDS)
        if given.dtype.kind == "m":  # of which tolist makes durations in no other unit
            given = given.astype("timedelta64[us]")
    return _code(given.tolist() if isinstance(given, np.ndarray) else list(given))


def _without(cells: Cells, missing: Sequence[str]) -> Cells:
    """Cells without the values that stand for a missing one."""
    numbers = [found for text in missing if (found := number(text)) is not None]
    if isinstance(cells, Codes):
        known = {*missing}
        gone = [i for i, value in enumerate(cells.values) if _written_so(value, known, numbers)]
        return Codes(np.where(np.isin(cells.positions, gone), -1, cells.positions), cells.values) if gone else cells
    return np.where(np.isin(cells, numbers), np.nan, cells) if numbers and cells.dtype.kind == "f" else cells


def _written_so(value: object, texts: Collection[str], numbers: Collection[float]) -> bool:
    return (isinstance(value, str) and value.strip() in texts) or (bool(numbers) and number(value) in numbers)


def _from_arrow(given: Any) -> Cells:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = given.type
    if pa.types.is_decimal(kind):  # by its digits: Arrow's own cast does not round to the nearest number
        return np.asarray(pc.cast(pc.cast(given, pa.string()), pa.float64()).to_numpy(zero_copy_only=False))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind):
        return np.asarray(pc.cast(given, pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    if pa.types.is_boolean(kind):
        return np.asarray(pc.cast(pc.cast(given, pa.uint8()), pa.float64()).to_numpy(zero_copy_only=False))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return np.asarray(pc.cast(given, pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False)).astype(MICROSECONDS)
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (is_text or pa.types.is_dictionary(kind)):
        return _code(given.to_pylist())
    whole = given.combine_chunks() if isinstance(given, pa.ChunkedArray) else given
    whole = pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
    encoded = pc.dictionary_encode(whole) if is_text else whole
    positions = pc.fill_null(pc.cast(encoded.indices, pa.int64()), -1).to_numpy(zero_copy_only=False)
    return _recode(positions, encoded.dictionary.to_pylist())


def _from_pandas(given: Any) -> Cells:
    import pandas as pd

    kind = given.dtype
    if isinstance(kind, pd.CategoricalDtype):
        return _recode(given.cat.codes.to_numpy().astype(np.int64), given.cat.categories.tolist())
    if isinstance(kind, pd.SparseDtype):
        given = given.sparse.to_dense()
    if kind.kind in KINDS:
        return np.asarray(given.to_numpy(np.float64, na_value=np.nan))
    if kind.kind == "M":
        at_utc = given.dt.tz_convert(None) if getattr(given.dt, "tz", None) is not None else given
        return np.asarray(at_utc.to_numpy(MICROSECONDS, na_value=np.datetime64("NaT")))
    if isinstance(kind, pd.StringDtype) or (kind.kind == "O" and pd.api.types.infer_dtype(given) == "string"):
        positions, values = pd.factorize(given)
        return _recode(positions.astype(np.int64), values.tolist())
    return _code(given.tolist())


def _recode(positions: NDArray[np.int64], values: Sequence[Any]) -> Codes:
    """Codes of a dictionary, in which a value may be missing, too."""
    missing = [i for i, value in enumerate(values) if _is_missing(value)]
    return Codes(np.where(np.isin(positions, missing), -1, positions) if missing else positions, values)


def _code(cells: Sequence[Any]) -> Codes:
    known: dict[Any, int] = {}
    values: list[Any] = []
    positions = np.full(len(cells), -1, np.int64)
    for row, cell in enumerate(cells):
        if _is_missing(cell):
            continue
        key = cell if type(cell) is str else (type(cell), cell)
        try:
            position = known.setdefault(key, len(values))
        except TypeError:  # a list
            position = len(values)
        if position == len(values):
            values.append(cell)
        positions[row] = position
    return Codes(positions, values)


def _is_missing(cell: object) -> bool:
    """Text without a letter is missing, as in a CSV file."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return True
    if isinstance(cell, float | np.floating | np.datetime64 | np.timedelta64):
        return bool(cell != cell)
    pandas = sys.modules.get("pandas")  # which has values of its own for what is missing
    return pandas is not None and (cell is pandas.NA or cell is pandas.NaT)


def _numbers(kind: str, cells: Cells) -> NDArray[np.float64]:
    if isinstance(cells, Codes):
        return _each(cells, boolean if kind == "boolean" else _amount, np.nan, np.float64)
    _refuse(cells, ~np.isnat(cells) if cells.dtype.kind == "M" else np.isinf(cells))
    if kind == "boolean":
        _refuse(cells, ~(np.isnan(cells) | (cells == 0) | (cells == 1)))
    return cells


def _dates(cells: Cells) -> NDArray[Any]:
    if isinstance(cells, Codes):
        return _each(cells, time, np.datetime64("NaT"), MICROSECONDS)
    if cells.dtype.kind == "M":
        return cells
    _refuse(cells, ~np.isnan(cells))
    return np.full(len(cells), np.datetime64("NaT"), MICROSECONDS)


def _texts(kind: str, cells: Cells) -> Codes:
    """Cells as text. Numbers, booleans and dates that are categories are written in one way each."""
    if kind == "text":
        if isinstance(cells, Codes):
            texts = [value.isoformat() if isinstance(value, clock_time) else value for value in cells.values]
            wrong = [not isinstance(text, str) for text in texts]
            if any(wrong):
                _refuse_value(cells, wrong)
            return Codes(cells.positions, [text.strip() if isinstance(text, str) else text for text in texts])
        _refuse(cells, ~(np.isnat(cells) if cells.dtype.kind == "M" else np.isnan(cells)))
        return Codes(np.full(len(cells), -1, np.int64), [])
    if isinstance(cells, Codes) and kind in ("integer", "number"):
        texts = [_number_text(value) for value in cells.values]
        wrong = [text is None for text in texts]
        if any(wrong):
            _refuse_value(cells, wrong)
        return Codes(cells.positions, texts)
    values = _dates(cells) if kind == "date" else _numbers(kind, cells)
    distinct, positions = np.unique(values, return_inverse=True)
    missing = np.isnat(values) if kind == "date" else np.isnan(values)
    return Codes(np.where(missing, -1, positions), [_written(kind, value) for value in distinct])


def _number_text(value: object) -> str | None:
    """A category's level among numbers: a number in the one way in which it is written, or other text as it is."""
    found = number(value)
    if found is None:
        return value if isinstance(value, str) else None
    return _written("number", found)


def _written(kind: str, value: Any) -> str:
    if kind == "date":
        return str(value).removesuffix("T00:00:00.000000")
    if kind == "boolean":
        return "true" if value else "false"
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(float(value))


def _each(cells: Codes, parse: Callable[[Any], Any], missing: Any, dtype: Any) -> NDArray[Any]:
    """What `parse` makes of each distinct value; None: it is not of the type."""
    parsed = [None if _is_missing(value) else parse(value) for value in cells.values]
    wrong = [value is None for value in parsed]
    if any(wrong):
        _refuse_value(cells, wrong)
        parsed = [missing if value is None else value for value in parsed]
    return cells.lookup(parsed, missing, dtype)


def _refuse(cells: NDArray[Any], wrong: NDArray[np.bool_]) -> None:
    for row in np.flatnonzero(wrong)[:1]:
        raise InvalidCell(int(row), cells[row].item() if cells.dtype.kind != "M" else cells[row])


def _refuse_value(cells: Codes, wrong: Sequence[bool]) -> None:
    """Raise InvalidCell for the first row that has one of these values."""
    rows = np.flatnonzero(cells.lookup(wrong, False, bool))
    for row in rows[:1]:
        raise InvalidCell(int(row), cells.values[cells.positions[row]])


def _amount(value: object) -> float | None:
    """A number, or the seconds of a duration."""
    if isinstance(value, np.timedelta64):
        value = value.astype("timedelta64[us]").item()
    return value.total_seconds() if isinstance(value, timedelta) else number(value)


def number(value: object) -> float | None:
    """A finite number. Text is one where it is written as decimal digits, as in a CSV file."""
    is_number = isinstance(value, Real | Decimal | np.bool_) and not isinstance(value, np.timedelta64)
    if is_number or (isinstance(value, str) and NUMBER.fullmatch(value)):
        try:
            found = float(value)  # type: ignore[arg-type]
        except (OverflowError, ValueError):  # an int beyond float64, a signalling NaN
            return None
        return found if math.isfinite(found) else None
    return None


def boolean(value: object) -> float | None:
    """1 for true, 0 for false, which may be written so, or as the numbers."""
    if isinstance(value, str):
        return BOOLEANS.get(value.strip().lower())
    found = number(value)
    return found if found in (0.0, 1.0) else None


def time(value: object) -> Any:
    """A date or time, also as ISO 8601 writes it; one with a zone at UTC."""
    if isinstance(value, np.datetime64):
        return value.astype(MICROSECONDS)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, datetime):
        try:
            return np.datetime64(value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value, "us")
        except OverflowError:  # of a zone, at an end of the calendar
            return None
    return np.datetime64(value, "us") if isinstance(value, date) else None


def positions_of(names: Sequence[str], given: Sequence[str]) -> list[int]:
    """Where each name is among a table's. Raises PredictionError where one is not there, or there twice."""
    known: Mapping[str, int] = {name: i for i, name in enumerate(given)}
    if missing := [name for name in names if name not in known]:
        raise PredictionError(f"the table must have every column that the model was trained on; it lacks {join(missing)}")
    if len(known) < len(given):
        times = Counter(given)
        if repeated := [name for name in names if times[name] > 1]:
            raise PredictionError(f"column names must be unique; the table repeats {join(repeated)}")
    return [known[name] for name in names]


def cut(text: str) -> str:
    """On one line, and not too long."""
    text = " ".join(text.split())
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}..."


def join(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(map(cut, names[:MAX_NAMES])) + more
