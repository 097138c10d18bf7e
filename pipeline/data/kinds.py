"""What the columns of a table mean: which kind each is, which are left out of the features, and why."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from pipeline.data.cells import BOOLEANS
from pipeline.data.dataset import SETTABLE_KINDS
from pipeline.errors import DataError
from pipeline.model.columns import Column
from pipeline.text import join_limited, quote_if_needed, shorten
from pipeline.threads import side_by_side

__all__ = ["Column", "kinds_table", "recognise"]

TYPES_OF = {  # of cells, by the kind that a column may be set to
    "number": ("integer", "number", "boolean"),
    "boolean": ("boolean",),
    "date": ("date",),
    "text": ("text",),
}
NATURAL = {"integer": "number", "number": "number", "boolean": "boolean", "date": "date"}  # kinds by type
MIN_ROWS = 20  # with fewer, distinct values say little
MIN_COUNTED_FROM_0_OR_1 = 4  # rows: in fewer, 0 and 1 are more likely values than positions
MIN_DISTINCT = 0.9  # of the rows, for text to name them
MIN_WORDS, MIN_TEXTS, MIN_TEXT_SHARE = 3, 20, 0.3  # of free text: words in a cell, distinct cells, and their share of the rows
MAX_SAMPLED = 10_000  # distinct texts whose words are counted
MAX_EXAMPLE, MAX_SHOWN = 24, 60  # letters of an example, and columns that a table shows
_INTEGER = re.compile(r"0|-?[1-9]\d{0,14}", re.ASCII)  # written in the one way in which a number is
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,15})?", re.ASCII)  # without zeros before it, which codes have
_NAMES_ROWS = re.compile(r"id|ids|key|uuid|guid|index|rownames?", re.IGNORECASE)
_KEY = re.compile(r"(?i:(^|[\W_])(id|ids|key|uuid|guid|index|idx|nr|rownames?|row_?(no|number|num)))$|[a-z]I[dD]$")


def recognise(
    table: pa.Table,
    requested: Mapping[str, str] | None = None,
    keep: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> list[Column]:
    """The kind of each column of a table whose columns are int64, float64, bool, timestamp or string, null where missing; text
    may have a dictionary.

    requested: kinds by column that hold whatever it looks like; keep: columns that are not left out; labels: columns that only
    label the rows, and why. Raises DataError where a column cannot be of the kind that it is set to.
    """
    requested, labels = requested or {}, labels or {}
    columns = []
    for column, cells in side_by_side(_measure, zip(table.column_names, table.columns, strict=True)):
        name = column.name
        if name in requested:
            column = _as_requested(column, requested[name], cells)
        elif name in keep:
            column = replace(column, kind=_natural(column, cells))
        elif name in labels:
            column = replace(column, kind="identifier", reason=labels[name])
        else:
            column = _find_kind(column, cells)
        columns.append(column)
    twins = _twins(table, [column for column in columns if column.is_used])
    return [
        replace(column, kind="duplicate", reason=f"the same as {quote_if_needed(twins[column.name])}")
        if column.name in twins and column.name not in requested and column.name not in keep
        else column
        for column in columns
    ]


def _twins(table: pa.Table, columns: Sequence[Column]) -> dict[str, str]:
    """The columns that are equal to an earlier one, and the first of these."""
    alike: dict[tuple[Any, ...], list[str]] = {}
    for column in columns:
        alike.setdefault((column.type, column.missing, column.distinct, column.example), []).append(column.name)
    found, first = {}, dict[bytes, str]()
    for names in alike.values():
        for name in names if len(names) > 1 else []:
            twin = first.setdefault(_digest(table[name]), name)
            if twin != name:
                found[name] = twin
    return found


def _digest(cells: pa.ChunkedArray) -> bytes:
    """Of a column's type, values and gaps."""
    kind = cells.type.value_type if types.is_dictionary(cells.type) else cells.type
    names = ""
    if kind == pa.string():
        cells = pc.dictionary_encode(_decoded(cells)).combine_chunks()
        cells = pa.concat_arrays(cells.chunks) if isinstance(cells, pa.ChunkedArray) else cells
        names, cells = "\0".join(cells.dictionary.to_pylist()), cells.indices
    elif not types.is_floating(kind):
        cells = pc.cast(cells, pa.uint8() if types.is_boolean(kind) else pa.int64())
    values, gaps = np.asarray(pc.fill_null(cells, 0)), np.asarray(pc.is_null(cells))
    parts = (str(kind).encode(), names.encode(), values.tobytes(), np.packbits(gaps).tobytes())
    return hashlib.blake2b(b"\0".join(parts)).digest()


def kinds_table(columns: Sequence[Column]) -> tuple[list[str], list[list[object]]]:
    """The header and the rows of a table that shows columns, the left-out ones last."""
    shown = sorted(columns, key=lambda column: not column.is_used)[:MAX_SHOWN]
    header = ["column", "kind", "missing", "distinct", "example", "becomes"]
    rows: list[list[object]] = [
        [shorten(c.name, 2 * MAX_EXAMPLE), c.kind, f"{c.missing:,}", f"{c.distinct:,}", c.example, _becomes(c)] for c in shown
    ]
    return header, rows


def _becomes(column: Column) -> str:
    """The features that a column becomes, as far as they are known before the encoder is fitted."""
    gaps = column.missing > 0
    if column.kind in ("number", "boolean"):
        return "2 features, one for what is missing" if gaps else "1 feature"
    if column.kind == "category":
        return f"up to {column.distinct + gaps} features"
    if column.kind == "date":
        return "year, month, weekday, hour, as far as they vary"
    return "its words" if column.kind == "text" else f"left out: {column.reason}"


def _measure(named: tuple[str, pa.ChunkedArray]) -> tuple[Column, pa.ChunkedArray]:
    """A column of no kind yet, and its cells with one dictionary."""
    name, cells = named[0], named[1].unify_dictionaries()
    first = pc.index(pc.is_valid(cells), True).as_py()
    example = "" if first < 0 else shorten(_written(cells[first].as_py()), MAX_EXAMPLE)
    distinct = len(pc.unique(cells)) - (cells.null_count > 0)
    return Column(name, "", _type_of(cells.type), cells.null_count, distinct, example), cells


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _type_of(kind: pa.DataType) -> str:
    found = {"int64": "integer", "double": "number", "bool": "boolean", "string": "text"}.get(str(kind))
    return found or ("date" if types.is_timestamp(kind) else "text")


def _as_requested(column: Column, kind: str, cells: pa.ChunkedArray) -> Column:
    if kind not in SETTABLE_KINDS:
        raise DataError(f"data.kinds must be of {', '.join(SETTABLE_KINDS)}; got {kind} for {quote_if_needed(column.name)}")
    if kind == "identifier":
        return replace(column, kind=kind, reason="data.kinds says so")
    if column.type not in TYPES_OF.get(kind, (column.type,)):
        cells = f"its cells are read as {'numbers' if column.type in ('integer', 'number') else column.type}"
        raise DataError(f"data.kinds={{{column.name}: {kind}}} must fit the column; {cells}, such as {column.example}")
    texts = _decoded(pc.unique(cells)).drop_null().to_pylist() if kind == "category" and column.type == "text" else []
    return replace(column, kind=kind, type=_type_of_levels(texts) or column.type)


def _type_of_levels(texts: Sequence[str]) -> str:
    """The type of texts that are levels, each of them written as one value of that type, be it 1 or 1.0; else ""."""
    if not texts:
        return ""
    if all(map(_INTEGER.fullmatch, texts)):
        return "integer"
    if all(map(_NUMBER.fullmatch, texts)) and len({float(text) for text in texts}) == len(texts):
        return "number"
    return "boolean" if BOOLEANS.keys() >= {*texts} and len({BOOLEANS[text] for text in texts}) == len(texts) else ""


def _decoded(cells: Any) -> Any:
    """Cells without a dictionary."""
    return pc.cast(cells, cells.type.value_type) if types.is_dictionary(cells.type) else cells


def _find_kind(column: Column, cells: pa.ChunkedArray) -> Column:
    if column.distinct == 0:
        return replace(column, kind="constant", reason="empty in every row")
    if column.distinct == 1 and not column.missing:
        return replace(column, kind="constant", reason="the same in every row")
    if reason := _identifies(column, cells):
        return replace(column, kind="identifier", reason=reason)
    return replace(column, kind=_natural(column, cells))


def _natural(column: Column, cells: pa.ChunkedArray) -> str:
    """The kind of a column that is used."""
    if column.distinct == 1 and column.missing:
        return "category"  # a flag: there, or not
    return NATURAL.get(column.type) or ("text" if _is_prose(column, cells) else "category")


def _identifies(column: Column, cells: pa.ChunkedArray) -> str:
    """Why a column only names the rows; "" if it does not."""
    rows, is_key = len(cells), _KEY.search(column.name) is not None
    if column.type in ("integer", "text") and column.distinct >= MIN_ROWS and _NAMES_ROWS.fullmatch(column.name):
        return "named as what only names the rows"
    if column.type == "integer" and not column.missing:
        if _counts_rows(cells):
            return "counts the rows"
        if column.distinct == rows >= MIN_ROWS:
            bounds = pc.min_max(cells).as_py()
            if bounds["max"] - bounds["min"] == rows - 1:
                return "numbers the rows"
            if is_key:
                return "another number in every row"
    if column.type == "text" and rows - column.missing >= MIN_ROWS and (is_key or not _is_prose(column, cells)):
        if column.distinct == rows - column.missing:
            return "another value in every row"
        if column.distinct > MIN_DISTINCT * (rows - column.missing):
            return "another value in nearly every row"
    return ""


def _counts_rows(cells: pa.ChunkedArray) -> bool:
    """Whether integers count on by one, from 0, 1 or another number, from the first row to the last."""
    rows, first = len(cells), cells[0].as_py()
    return (
        rows >= (MIN_COUNTED_FROM_0_OR_1 if first in (0, 1) else MIN_ROWS)
        and cells[-1].as_py() == first + rows - 1
        and np.array_equal(cells.to_numpy(), np.arange(first, first + rows))
    )


def _is_prose(column: Column, cells: pa.ChunkedArray) -> bool:
    """Whether text cells are written freely: of several words, and few of them the same."""
    valid = len(cells) - column.missing
    if column.distinct <= max(MIN_TEXTS, MIN_TEXT_SHARE * valid):
        return False
    sample = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(_decoded(pc.drop_null(cells)[:MAX_SAMPLED])))
    return bool(pc.mean(pc.list_value_length(sample)).as_py() >= MIN_WORDS)


def left_out(columns: Sequence[Column]) -> str:
    """The columns that are left out, each with the reason; "" if there is none."""
    return join_limited([f"{quote_if_needed(column.name)} ({column.reason})" for column in columns if not column.is_used])
