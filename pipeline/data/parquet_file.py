"""Parquet: a file, a folder of files, or a pattern of names; columns with their types, and which of them is a stored index."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import types

from pipeline.data.cells import MICROSECONDS, Texts
from pipeline.data.columns import TYPES, RawTable, compact, first_rounded, type_of, without
from pipeline.data.csv_types import TEXT_KINDS, as_requested
from pipeline.data.reading import is_unchanged, reader_errors, unique_names
from pipeline.errors import DataError
from pipeline.text import quote, quote_if_needed

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"  # a folder's name for a missing value
ROWS = 1 << 16  # of a file at a time


@dataclass
class ParquetFile:
    """The table in `files`, one after the other. Each must have the columns of the first, in any order.

    Folders below `path` that are called NAME=VALUE give the files in them a column, as Spark and others write it.
    """

    path: str
    files: Sequence[str]

    @cached_property
    def schema(self) -> Any:
        """Of all files, with the fields of structs as columns of their own."""
        with reader_errors(self.path, "parquet"):
            schemas = [_flat(self._open(file).schema_arrow) for file in self.files]
            first = schemas[0]
            if len(first.names) == 0:
                raise DataError(f"there are no columns in {self.path}")
            for file, schema in zip(self.files[1:], schemas[1:], strict=True):
                if set(schema.names) != set(first.names):
                    other = min(set(schema.names) ^ set(first.names))
                    rule = f"all files of {self.path} must have the same columns"
                    raise DataError(f"{rule}; {quote_if_needed(other)} is not both in {self.files[0]} and in {file}")
            unique_names(self.path, first.names)
            schema = pa.unify_schemas([schema.remove_metadata() for schema in schemas], promote_options="permissive")
            for name in self._folders[self.files[0]]:
                schema = schema.append(pa.field(name, pa.string())) if name not in first.names else schema
            unique_names(self.path, schema.names)
            return schema

    @cached_property
    def _folders(self) -> dict[str, dict[str, str | None]]:
        """The names and values of each file's folders."""
        found = {file: _named_folders(self.path, file) for file in self.files}
        names = found[self.files[0]]
        if other := next((file for file, folders in found.items() if folders.keys() != names.keys()), None):
            raise DataError(f"all files of {self.path} must lie in folders of the same names; {other} does not")
        return found

    @property
    def names(self) -> list[str]:
        return unique_names(self.path, self.schema.names)[0]

    @property
    def row_labels(self) -> dict[str, str]:
        """Columns that only label the rows, and why."""
        with reader_errors(self.path, "parquet"):
            index = _stored_index(self._open(self.files[0]).schema_arrow.metadata)
        unnamed = unique_names(self.path, self.schema.names)[1]
        return {**dict.fromkeys(unnamed, "has no name"), **dict.fromkeys(index, "the stored index")}

    def read(self, columns: Mapping[str, str]) -> RawTable:
        """These columns. Their values: the kind that a column is set to, "label", or "". Raises DataError."""
        with reader_errors(self.path, "parquet"), is_unchanged(*self.files):
            read = pa.concat_tables(self._tables(list(columns)), promote_options="permissive")
            typed, rounded = {}, {}
            for name, requested in columns.items():
                column = read[name]
                typed[name] = self._typed(name, column, requested)
                row = first_rounded(typed[name]) if not types.is_uint64(column.type) else _first_beyond(column)
                if row >= 0:
                    rounded[name] = row
        return RawTable(typed, False, self.locate, self.cell, rounded, self.row_labels)

    def chunks(self, columns: Mapping[str, str]) -> Iterator[pa.Table]:
        """These columns, some rows at a time. columns: the type of each, a name of TYPES. Raises DataError."""
        with reader_errors(self.path, "parquet"), is_unchanged(*self.files):
            for table in self._tables(list(columns)):
                made = {name: self._of_type(name, table[name], kind) for name, kind in columns.items()}
                yield pa.table(made)

    def locate(self, row: int) -> str:
        """Rows count from 1, over all files."""
        if len(self.files) == 1:
            return f"row {row + 1}"
        for file in self.files:
            rows = self._open(file).metadata.num_rows
            if row < rows:
                return f"row {row + 1} of {file}"
            row -= rows
        return f"row {row + 1}"

    def cell(self, row: int, name: str) -> str:
        """A cell as text."""
        for table in self._tables([name]):
            if row < len(table):
                return _text(table[name], row)
            row -= len(table)
        return ""

    def _open(self, file: str) -> pq.ParquetFile:
        return pq.ParquetFile(file)

    def _tables(self, names: Sequence[str]) -> Iterator[pa.Table]:
        stored = dict(zip(self.names, self.schema.names, strict=True))
        wanted = [stored[name] for name in names]
        for file in self.files:
            with open(file, "rb") as opened:
                found = pq.ParquetFile(opened)
                texts = [
                    field.name
                    for field in found.schema_arrow
                    if types.is_string(field.type) or types.is_large_string(field.type)
                ]
                source = pq.ParquetFile(opened, metadata=found.metadata, read_dictionary=texts)
                roots = {name.split(".")[0] for name in wanted} | set(wanted)
                some = [name for name in source.schema_arrow.names if name in roots]
                batches = source.iter_batches(ROWS, columns=some) if source.metadata.num_rows else ()
                tables = (pa.Table.from_batches([batch]) for batch in batches)
                for table in tables if source.metadata.num_rows else [source.read(some)]:
                    flat = _flat_table(table)
                    for name, value in self._folders[file].items():
                        if name not in flat.column_names:
                            flat = flat.append_column(name, pa.array([value] * len(flat), pa.string()))
                    yield flat.select(wanted).rename_columns(list(names))

    def _typed(self, name: str, column: pa.ChunkedArray, requested: str) -> pa.ChunkedArray:
        column = self._simple(name, column)
        if requested == "label":
            return without(column, [])
        kind = column.type
        if types.is_string(kind) or types.is_dictionary(kind):
            if requested not in ("", *TEXT_KINDS):
                texts = Texts.of(column, ())
                values, row = as_requested(texts, requested, ".", "")
                if values is None:
                    place = f"{self.locate(row)} has {quote(self.cell(row, name))} in {name}"
                    raise DataError(f"every cell of {name} must be of the kind {requested} in {self.path}; {place}")
                return pa.chunked_array([texts.rows(values)])
            return compact(column)
        if requested in TEXT_KINDS and not types.is_timestamp(kind):
            return compact(pc.cast(column, pa.string()))
        return without(column, [])

    def _of_type(self, name: str, column: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
        column = self._simple(name, column)
        if kind == "integer" and types.is_floating(column.type):
            return column
        try:
            return pc.cast(column, TYPES[kind])
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            rule = f"columns must be of the type that the model was trained on in {self.path}"
            raise DataError(f"{rule}; {name} is of {type_of(column)}, not of {kind}") from None

    def _simple(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """A column as int64, float64, bool, timestamp[us], or text."""
        if types.is_dictionary(column.type) and not types.is_string(column.type.value_type):
            column = pc.cast(column, column.type.value_type)
        kind = column.type
        if types.is_dictionary(kind):
            return pc.cast(column, pa.dictionary(pa.int32(), pa.string()))
        if types.is_null(kind):
            return pc.cast(column, pa.float64())
        if types.is_boolean(kind) or types.is_string(kind):
            return column
        if types.is_large_string(kind) or types.is_string_view(kind) or types.is_binary(kind):
            try:
                return pc.cast(column, pa.string())
            except pa.ArrowInvalid:
                rule = f"columns of bytes must be text in UTF-8 in {self.path}; {quote_if_needed(name)} is not"
                raise DataError(f"{rule}: data.drop=[NAME] leaves it out") from None
        if types.is_time(kind):  # as Python's isoformat has it
            times = pc.cast(column, pa.time64("us"), safe=False)
            return pc.replace_substring_regex(pc.cast(times, pa.string()), r"\.0+$", "")
        if types.is_uint64(kind):
            return pc.cast(column, pa.int64()) if _first_beyond(column) < 0 else pc.cast(column, pa.float64(), safe=False)
        if types.is_integer(kind):
            return pc.cast(column, pa.int64())
        if types.is_float16(kind):
            return pc.cast(pc.cast(column, pa.float32()), pa.float64())
        if types.is_floating(kind):
            return pc.cast(column, pa.float64())
        if types.is_decimal(kind):
            return _from_decimals(column)
        if types.is_date(kind):
            return pc.cast(column, MICROSECONDS, safe=False)
        if types.is_timestamp(kind):
            return pc.cast(pc.cast(column, pa.timestamp("us", kind.tz), safe=False), MICROSECONDS)
        if types.is_duration(kind):
            return pc.divide(pc.cast(pc.cast(column, pa.duration("us"), safe=False), pa.int64()), 1e6)
        rule = f"columns must hold one value in a cell in {self.path}; {quote_if_needed(name)} holds {kind}"
        raise DataError(f"{rule}: data.drop=[NAME] leaves it out")


def _from_decimals(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decimals as int64 where they have no digits after the point and fit, else as float64."""
    if column.type.scale <= 0 and column.type.precision + max(-column.type.scale, 0) <= 38:
        try:
            return pc.cast(pc.cast(column, pa.decimal128(38, 0)), pa.int64())
        except pa.ArrowInvalid:
            pass
    return pc.cast(pc.cast(column, pa.string()), pa.float64())  # Arrow's own cast does not round to the nearest


def _named_folders(path: str, file: str) -> dict[str, str | None]:
    """NAME=VALUE of the folders between a folder and a file in it."""
    if not os.path.isdir(path):
        return {}
    pairs = [part.partition("=") for part in Path(file).relative_to(path).parent.parts]
    return {name: None if value == NO_VALUE else unquote(value) for name, sign, value in pairs if sign}


def _first_beyond(column: pa.ChunkedArray) -> int:
    """The first row of unsigned integers that int64 does not hold; -1 if there is none."""
    return int(pc.index(pc.greater(column, pa.scalar(2**63 - 1, pa.uint64())), True).as_py())


def _flat_table(table: pa.Table) -> pa.Table:
    while any(types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    return table


def _flat(schema: pa.Schema) -> pa.Schema:
    """With the fields of structs as columns, and without dictionaries, which one file may have and another not."""
    flat = _flat_table(schema.empty_table()).schema
    decoded = [field.with_type(field.type.value_type) if types.is_dictionary(field.type) else field for field in flat]
    return pa.schema(decoded, flat.metadata)


def _text(column: pa.ChunkedArray, row: int) -> str:
    if not column[row].is_valid:
        return ""
    try:
        return str(column[row].as_py())
    except Exception:  # such as a time that Python's calendar does not hold
        return str(column[row])


def _stored_index(metadata: Any) -> list[str]:
    """The columns that pandas wrote as the frame's index."""
    try:
        return [name for name in json.loads((metadata or {})[b"pandas"])["index_columns"] if isinstance(name, str)]
    except (KeyError, ValueError, TypeError):
        return []
