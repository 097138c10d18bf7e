"""Parquet files: columns with their types, and which of them pandas stored as the frame's index."""

import json
from typing import Any

from pipeline.numerics import require
from pipeline.numerics.data.columns import RawTable
from pipeline.numerics.data.reading import named, reading


def read_parquet(path: str) -> RawTable:
    """Raises InvalidInput where the file cannot be read, or a name is given twice."""
    import pyarrow.parquet as pq

    with reading(path, "parquet"), open(path, "rb") as file:
        table = pq.ParquetFile(file).read()
    require(table.num_columns > 0, f"there are no columns in {path}")
    names, nameless = named(path, table.column_names)
    index = dict.fromkeys(_stored_index(table.schema.metadata), "the stored index")
    reasons = {**dict.fromkeys(nameless, "has no name"), **index}
    return RawTable(dict(zip(names, table.columns, strict=True)), False, lambda row: f"row {row + 1}", reasons)


def _stored_index(metadata: Any) -> list[str]:
    """The columns that pandas wrote as the frame's index."""
    try:
        return [name for name in json.loads((metadata or {})[b"pandas"])["index_columns"] if isinstance(name, str)]
    except (KeyError, ValueError, TypeError):
        return []
