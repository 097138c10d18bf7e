"""CSV files as typed columns, whose types come from the whole file.

A first pass parses blocks of rows side by side, by the types that the file's beginning shows. A column that has another cell in
some block is read again as text, from which its type is found with all of its cells in view. pyarrow parses. duckdb reads no
decimal commas and few encodings, and tells too little of a row that it refuses.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice

import pyarrow as pa

from pipeline.data import cells
from pipeline.data.columns import RawTable, first_rounded
from pipeline.data.csv_blocks import BLOCK_BYTES, BlockParser, Malformed, Parsed, blocks, parsed_blocks
from pipeline.data.csv_chunks import TypedBlocks
from pipeline.data.csv_types import Reading
from pipeline.data.dialect import (
    FALLBACK,
    FALLBACK_NOTE,
    CsvFormat,
    Dialect,
    name_of,
    numbered,
    sniff,
    undecodable,
)
from pipeline.data.reading import is_unchanged, open_bytes, reader_errors
from pipeline.errors import DataError

SNIFFED_BYTES = 1 << 20  # from the file's beginning, by which its dialect and its types are found


@dataclass
class CsvFile:
    """A CSV file, which gzip or zstd may have compressed. missing_values: texts that stand for no value, beside "".

    known: columns that it is to have; decimal: the decimal mark of the file that a model was trained on, if that is known.
    """

    path: str
    settings: CsvFormat = field(default_factory=CsvFormat)
    missing_values: Sequence[str] = cells.MISSING_VALUES
    known: Sequence[str] = ()
    decimal: str = ""
    _is_split: bool = True  # into blocks that are parsed by themselves

    @cached_property
    def dialect(self) -> Dialect:
        with reader_errors(self.path, "csv"):
            return sniff(self.path, self._start, self._is_all, self.settings, self.known)

    @cached_property
    def _start(self) -> bytes:
        """The file's beginning, with two line breaks at least if it has so many."""
        start = b""
        with open_bytes(self.path) as file:
            while start.count(b"\n") < 2 and (more := file.read(SNIFFED_BYTES)):
                start += more
        return start

    @property
    def _is_all(self) -> bool:
        return len(self._start) < SNIFFED_BYTES or self._start.count(b"\n") < 2

    @property
    def names(self) -> list[str]:
        return self.dialect.names

    @property
    def row_labels(self) -> dict[str, str]:
        """Columns that only label the rows, and why."""
        return dict.fromkeys(self.dialect.unnamed, "has no name")

    def read(self, columns: Mapping[str, str]) -> RawTable:
        """These columns. Their values: the kind that a column is set to, "label" for its cells as they are written, or ""
        for what the cells show. Raises DataError where the file, or a cell as the kind that is set, cannot be read."""
        with reader_errors(self.path, "csv"), is_unchanged(self.path):
            reading = None
            while reading is None:
                try:
                    reading = Reading(self, columns)
                except (UnicodeDecodeError, Malformed) as error:
                    self._read_otherwise(error)
            typed = {name: reading.typed(name) for name in columns}
            rounded = {name: row for name, column in typed.items() if (row := first_rounded(column)) >= 0} | reading.rounded
            notes = (*self.dialect.notes, *reading.notes)
            return RawTable(typed, True, self.locate, self.cell, rounded, self.row_labels, notes, reading.decimal)

    def chunks(self, types: Mapping[str, str]) -> Iterator[pa.Table]:
        """These columns, some rows at a time. types: of each column, a name of TYPES. Raises DataError."""
        done, is_done = 0, False
        with reader_errors(self.path, "csv"), is_unchanged(self.path):
            while not is_done:
                try:
                    for table in self._chunks(types, done):
                        done += table.num_rows
                        yield table
                    is_done = True
                except (UnicodeDecodeError, Malformed) as error:
                    self._read_otherwise(error)

    def _chunks(self, types: Mapping[str, str], first: int) -> Iterator[pa.Table]:
        """The same from a row on."""
        row, typed = 0, TypedBlocks(self, types)
        for parsed in self.parse(BlockParser(self.dialect, [*types], self.missing_values), typed.plan):
            rows = len(next(iter(parsed.columns.values()))[1])
            if row + rows > first:
                yield typed.table(parsed.columns, row)[max(first - row, 0) :]
            row += rows

    def parse(self, parser: BlockParser, types: Mapping[str, str]) -> Iterator[Parsed]:
        """What the parser makes of each block, in order."""
        with open_bytes(self.path) as file:
            yield from parsed_blocks(blocks(file, self.dialect, BLOCK_BYTES if self._is_split else 0), parser, types)

    def first_block(self, size: int) -> bytes:
        """The first rows; b"" if there are none."""
        with open_bytes(self.path) as file:
            return next(blocks(file, self.dialect, size if self._is_split else 0), b"")

    def locate(self, row: int) -> str:
        """The line on which a row begins."""
        return f"line {next((line for line, _ in islice(self._records(), row, None)), 0)}"

    def cell(self, row: int, name: str) -> str:
        """A cell as it is written."""
        position = self.names.index(name)
        return next((record[position].strip() for _, record in islice(self._records(), row, None)), "")

    def _read_otherwise(self, error: UnicodeDecodeError | Malformed) -> None:
        """Prepare to read the file in another way than the one that failed. Raises DataError where none can help."""
        if isinstance(error, UnicodeDecodeError):
            if self.settings.encoding or self.dialect.encoding == FALLBACK:
                raise self._undecodable(error) from None
            found = sniff(self.path, self._start, self._is_all, replace(self.settings, encoding=FALLBACK), self.known)
            self.dialect = replace(found, notes=(FALLBACK_NOTE, *found.notes))
            return
        self._check_widths()
        self.check_quotes()
        if not self._is_split:
            raise error.__cause__ or DataError(f"a row must have less than 1 GiB in {self.path}")
        self._is_split = False  # a quote inside of a field misleads the search for the ends of rows

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """The line on which each row begins, and its fields."""
        first = self.dialect.first_line
        with self._lines() as lines:
            for line, record in numbered(self.dialect.reader(lines)):
                yield line + first - 1, record

    @contextmanager
    def _lines(self) -> Iterator[Iterator[str]]:
        """The lines below the header."""
        encoding = "utf-8-sig" if self.dialect.encoding == "utf-8" else self.dialect.encoding
        with open_bytes(self.path) as file:
            text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
            yield islice(text, self.dialect.first_line - 1, None)

    def _check_widths(self) -> None:
        """Raise DataError if a row has more or fewer fields than there are columns."""
        first, all_one_more, width = None, True, len(self.names)
        for line, record in self._records():
            if first is None and len(record) != width:
                first = line, record
            all_one_more = all_one_more and len(record) == width + 1
            if first and not all_one_more:
                break
        if first is None:
            return
        line, record = first
        what = "header" if self.dialect.has_header else "first line"
        rule = f"every row must have as many fields as the {what} in {self.path}"
        which = "every row" if all_one_more else f"line {line}"
        hint = _width_hint(record, all_one_more)
        raise DataError(f"{rule}; the {what} has {width} and {which} has {len(record)}{hint}")

    def check_quotes(self) -> None:
        """Raise DataError where a quoted field does not end, or text follows its end: such quotes hide rows."""
        with self._lines() as lines:
            reader, line = self.dialect.reader(lines, strict=True), 1
            try:
                for _ in reader:
                    line = reader.line_num + 1
            except csv.Error:
                line += self.dialect.first_line - 1
                rule = f"a quoted field must end before a {name_of(self.dialect.delimiter)} or the end of a line in {self.path}"
                raise DataError(f"{rule}; one that begins in line {line} does not") from None

    def _undecodable(self, error: UnicodeDecodeError) -> DataError:
        """Where the file is no text in its encoding."""
        with open_bytes(self.path) as file:
            for number, line in enumerate(io.BufferedReader(file), 1):
                try:
                    line.decode(self.dialect.encoding)
                except UnicodeDecodeError as found:
                    return undecodable(self.path, line, self.dialect.encoding, found, number)
        return undecodable(self.path, error.object, self.dialect.encoding, error)


def _width_hint(record: list[str], all_one_more: bool) -> str:
    if record[-1].strip() == "" and len(record) > 1:
        return ", the last of them empty: is there a comma too many at its end?"
    if all_one_more:
        name = "Name it in the header, which may begin with a comma for the first"
        return f": which column has no name? {name}, or set data.csv.row_names=true if it is the first"
    return ""
