"""Parquet files: columns with their types, and which of them pandas stored as the frame's index."""

import json
from typing import Any

import pyarrow.parquet as pq

from pipeline.data.columns import RawTable
from pipeline.data.reading import reader_errors, unique_names
from pipeline.errors import DataError


def read_parquet(path: str) -> RawTable:
    """Raises DataError where the file cannot be read, or a name is given twice."""
    with reader_errors(path, "parquet"), open(path, "rb") as file:
        table = pq.ParquetFile(file).read()
    if table.num_columns == 0:
        raise DataError(f"there are no columns in {path}")
    names, unnamed = unique_names(path, table.column_names)
    index = _stored_index(table.schema.metadata)
    reasons = {**dict.fromkeys(unnamed, "has no name"), **dict.fromkeys(index, "the stored index")}
    return RawTable(dict(zip(names, table.columns, strict=True)), False, lambda row: f"row {row + 1}", reasons)


def _stored_index(metadata: Any) -> list[str]:
    """The columns that pandas wrote as the frame's index."""
    try:
        return [name for name in json.loads((metadata or {})[b"pandas"])["index_columns"] if isinstance(name, str)]
    except (KeyError, ValueError, TypeError):
        return []
