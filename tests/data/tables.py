"""Small tables as files, how they are read, and the sentence with which they are refused."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data.dataset import Dataset
from pipeline.data.sources.table import Table
from pipeline.errors import PipelineError

ROWS = 12
LABELS = [i % 3 % 2 for i in range(ROWS)]
AGES = [41, 38, 57, 29, 66, 38, 71, 45, 52, 33, 60, 27]


def csv_text(header: str, *columns: list[Any], end: str = "\n") -> str:
    return end.join([header, *(",".join(map(str, row)) for row in zip(*columns, strict=True))]) + end


def load(folder: Path, content: str | bytes | pa.Table, **options: Any) -> Dataset:
    path = folder / ("t.parquet" if isinstance(content, pa.Table) else "t.csv")
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Table(**{"path": str(path), "target": "y", **options}).load()


def refusal(folder: Path, content: str | bytes | pa.Table, **options: Any) -> str:
    with pytest.raises(PipelineError) as refused:
        load(folder, content, **options)
    sentence = str(refused.value)
    assert "\n" not in sentence
    return sentence


def all_rows(data: Dataset) -> pa.Table:
    """The training part, and below it the test part."""
    return pa.concat_tables([data.train.X, data.test.X])


def cells(data: Dataset, name: str) -> list[Any]:
    """All cells of a column, sorted, the missing ones last."""
    found = all_rows(data)[name].to_pylist()
    return sorted(found, key=lambda cell: (cell is None, cell))


def types(data: Dataset) -> dict[str, str]:
    """The type of each used column."""
    return {column.name: column.type for column in data.columns if column.is_used}


def kinds(data: Dataset) -> dict[str, str]:
    """The kind of each column, the left-out ones, too."""
    return {column.name: column.kind for column in data.columns}


def write(folder: Path, name: str = "t.csv", columns: dict[str, object] | None = None) -> str:
    frame = pd.DataFrame(columns or {"a": [1, 2, 3, 4, 5, 6.5], "b": [0, 1, 0, 1, 1, 0], "y": ["no", "yes"] * 3})
    path = folder / name
    frame.to_csv(path, index=False) if name.endswith(".csv") else frame.to_parquet(path)
    return str(path)
