"""CSV files: the header, one width for all rows, and every cell as the text that the file has."""

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from pipeline.data.columns import NUMBER, RawTable
from pipeline.data.reading import named, reading, shown
from pipeline.errors import ConfigError, DataError

BLOCK_BYTES, MOST_BLOCK_BYTES = 1 << 22, 1 << 30  # of text at a time; a row must be shorter
BEGINNINGS = {
    b"PK\x03\x04": "an Excel or zip file",
    b"\x1f\x8b": "a gzip file",
    b"PAR1": "a Parquet file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"%PDF": "a PDF",
    b"<!DOCTYPE": "a web page",
    b"<HTML": "a web page",
}
DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}


def read_csv(path: str, missing_words: Sequence[str]) -> RawTable:
    """Cells as they are written. Raises ConfigError where another reader would guess: rows of another width than the header's,
    another delimiter, no header, a name given twice."""
    with reading(path, "csv"):
        quoted = _check_bytes(path)
        header, has_rows = _header(path)
        names, nameless = named(path, header)
        line = shown(",".join(header))
        given = [name for name in header if name.strip()]
        if _is_data(given):
            raise DataError(f"the first line of {path} must name the columns; it has numbers alone: {line}")
        columns = _cells(path, quoted, len(header)) if has_rows else _no_cells(len(header))
    reasons = dict.fromkeys(nameless, "has no name")
    cells = dict(zip(names, columns, strict=True))
    return RawTable(cells, True, lambda row: f"line {_line(path, row)}", reasons, missing_words)


def _check_bytes(path: str) -> bool:
    """Whether there is a quote in the file. Raises ConfigError if it is no text."""
    quoted = False
    with open(path, "rb") as file:
        start = file.read(16)
        what = next((what for magic, what in BEGINNINGS.items() if start.upper().startswith(magic.upper())), None)
        if what is not None:
            raise ConfigError(f"{path} must be a CSV file in UTF-8; it is {what}")
        file.seek(0)
        while block := file.read(1 << 20):
            if b"\0" in block:
                raise ConfigError(f"{path} must be a CSV file in UTF-8; it has NUL bytes, so it is no text or UTF-16")
            quoted = quoted or b'"' in block
    return quoted


def _records(path: str) -> Iterator[tuple[int, list[str]]]:
    """The line on which each record begins, and its fields; blank lines are no records."""
    csv.field_size_limit(1 << 30)
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        reader, line = csv.reader(file), 1
        for record in reader:
            if record:
                yield line, record
            line = reader.line_num + 1


def _header(path: str) -> tuple[list[str], bool]:
    """The first record, and whether there is another."""
    records = _records(path)
    line, header = next(records, (1, []))
    if not len(header) > 0:
        raise DataError(f"there are no rows in {path}: it has blank lines alone")
    if len(header) == 1:
        seen = next((word for sign, word in DELIMITERS.items() if sign in header[0].strip()), None)
        must = f"fields must be separated by commas in {path}; line {line}"
        if "," in header[0]:
            raise DataError(f"{must} is one field in quotes, {shown(header[0])}")
        if seen is not None:
            raise DataError(f"{must} has none and seems to have {seen} instead: {shown(header[0])}")
    return header, next(records, None) is not None


def _is_data(names: Sequence[str]) -> bool:
    """Whether a header is a row of numbers; those that count on from the first, such as positions or years, may be names."""
    if not all(NUMBER.fullmatch(name.strip()) for name in names):
        return False
    numbers = [float(name) for name in names]
    counted = all(name.strip().isdecimal() for name in names) and numbers == [numbers[0] + i for i in range(len(numbers))]
    return bool(names) and not counted


def _cells(path: str, quoted: bool, width: int) -> Sequence[Any]:
    import pyarrow as pa
    from pyarrow import csv as arrow

    def read(block: int) -> Any:
        with open(path, "rb") as file:
            return arrow.read_csv(
                file,
                arrow.ReadOptions(autogenerate_column_names=True, block_size=block),
                arrow.ParseOptions(newlines_in_values=quoted),
                arrow.ConvertOptions(default_column_type=pa.string(), strings_can_be_null=False),
            )

    try:
        table = read(BLOCK_BYTES)
    except pa.ArrowInvalid:
        _check_widths(path, width)
        _check_encoding(path)
        table = read(MOST_BLOCK_BYTES)  # a row may have been longer than a block
    columns = [column.slice(1) for column in table.columns]
    if quoted and "\n" in (last := columns[-1][-1].as_py()).replace("\r", "\n") and not _ends_quoted(path):
        raise DataError(f"a quoted field must end in {path}; the last one does not, {shown(last)}")
    if quoted and any(_has_line_break(column) for column in columns):
        _check_quotes(path)
    return columns


def _has_line_break(column: Any) -> bool:
    import pyarrow.compute as pc

    return any(pc.any(pc.match_substring(column, end)).as_py() for end in "\r\n")


def _check_quotes(path: str) -> None:
    """Raises ConfigError where text follows the end of a quoted field: the quotes are no pair, and hide rows."""
    line = 1
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            for _ in reader:
                line = reader.line_num + 1
        except csv.Error:
            must = f"a quoted field must end before a comma or the end of a line in {path}"
            raise ConfigError(f"{must}; one that begins in line {line} does not") from None


def _no_cells(width: int) -> Sequence[Any]:
    import pyarrow as pa

    return [pa.chunked_array([], pa.string())] * width


def _check_widths(path: str, width: int) -> None:
    """Raises ConfigError if a row has more or fewer fields than the header."""
    first, every = None, True
    for line, record in islice(_records(path), 1, None):
        if first is None and len(record) != width:
            first = line, record
        every = every and len(record) == width + 1
        if first and not every:
            break
    if first:
        line, record = first
        which = "every row" if every else f"line {line}"
        raise ConfigError(
            f"every row must have as many fields as the header in {path}; the header has {width} and {which} has {len(record)}"
            f"{_advice(record, every)}"
        )


def _advice(record: list[str], every: bool) -> str:
    if record[-1].strip() == "" and len(record) > 1:
        return ", the last of them empty: is there a comma too many at its end?"
    return ": which column has no name? Name it in the header, which may begin with a comma for the first" if every else ""


def _check_encoding(path: str) -> None:
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = f"the byte 0x{line[error.start]:02x}"
                raise ConfigError(f"{path} must be text in UTF-8; line {number} has {byte}, as Latin-1 text would") from None


def _ends_quoted(path: str) -> bool:
    with open(path, "rb") as file:
        file.seek(max(0, file.seek(0, 2) - 4096))
        return file.read().rstrip().endswith(b'"')


def _line(path: str, row: int) -> int:
    """The line on which a row begins; row 0 follows the header."""
    return next((line for number, (line, _) in enumerate(_records(path)) if number == row + 1), 0)
