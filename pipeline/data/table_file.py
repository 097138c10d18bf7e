"""The file of a table: CSV or Parquet, by its name."""

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pipeline.data.dialect import CsvFormat
from pipeline.data.reading import check_file, check_path
from pipeline.errors import ConfigError, DataError

CSV, PARQUET = (".csv", ".tsv", ".tab", ".txt"), (".parquet", ".pq")
COMPRESSED = (".gz", ".zst")
PATTERN = "*?["  # the signs of a pattern of names


class TableFile(Protocol):
    """A table that is read by columns."""

    @property
    def names(self) -> list[str]: ...

    @property
    def row_labels(self) -> dict[str, str]:
        """Columns that only label the rows, and why."""

    def read(self, columns: Mapping[str, str]) -> Any:
        """The RawTable of these columns, each with the kind that it is set to, "label", or ""."""

    def chunks(self, types: Mapping[str, str]) -> Iterator[Any]:
        """Arrow tables of these columns of these types, some rows at a time."""


def table_format(path: str, key: str = "path") -> str:
    """csv or parquet. Raises ConfigError for another name."""
    check_path(path, "a .csv or .parquet file")
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes[-1:] and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    if suffixes[-1:] and suffixes[-1] in CSV:
        return "csv"
    if not suffixes or suffixes[-1] in PARQUET or _is_pattern(path) or os.path.isdir(path):
        return "parquet"
    raise ConfigError(f"{key} must end in .csv or .parquet (or .tsv, .txt, .csv.gz, .csv.zst), or be a folder; got {path}")


def open_table(
    path: str,
    csv: CsvFormat | None = None,
    missing_values: Sequence[str] | None = None,
    key: str = "data.path",
    known: Sequence[str] = (),
    decimal: str = "",
) -> TableFile:
    """csv, missing_values, known, decimal: see CsvFile; key: the setting that names the path. Raises DataError if there is no
    such file."""
    from pipeline.data.cells import MISSING_VALUES
    from pipeline.data.csv_file import CsvFile
    from pipeline.data.parquet_file import ParquetFile

    if table_format(path) == "csv":
        check_file(path, key)
        return CsvFile(path, csv or CsvFormat(), MISSING_VALUES if missing_values is None else missing_values, known, decimal)
    return ParquetFile(path, _files(path, key))


def _files(path: str, key: str) -> list[str]:
    """The Parquet files that a path names, sorted by name."""
    files = [path]
    if os.path.isdir(path):
        found = (str(file) for file in Path(path).rglob("*") if file.suffix.lower() in PARQUET)
        files = sorted(file for file in found if not any(part[:1] in "._" for part in Path(file).relative_to(path).parts))
    elif _is_pattern(path):
        files = sorted(glob.glob(path, recursive=True))
    if not files:
        raise DataError(f"{key} must name a Parquet file, a folder of such, or a pattern of names; there is none at {path}")
    for file in files:
        check_file(file, key)
    return files


def _is_pattern(path: str) -> bool:
    return any(sign in path for sign in PATTERN) and not os.path.exists(path)
