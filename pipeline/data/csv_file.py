"""CSV files: the header, one width for all rows, and every cell as the text that the file has."""

import csv
from collections.abc import Iterator, Sequence
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow

from pipeline.data.columns import NUMBER, RawTable
from pipeline.data.reading import reader_errors, unique_names
from pipeline.errors import DataError
from pipeline.text import quote

BLOCK_BYTES, MAX_BLOCK_BYTES = 1 << 22, 1 << 30  # of text at a time; a row must be shorter
MAGIC = {  # how files of other formats begin
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


def read_csv(path: str, missing_values: Sequence[str]) -> RawTable:
    """Cells as they are written. Raises DataError where another reader would guess: rows of another width than the header's,
    another delimiter, no header, a name given twice."""
    with reader_errors(path, "csv"):
        has_quotes = _check_bytes(path)
        header, has_rows = _read_header(path)
        names, unnamed = unique_names(path, header)
        if _is_data([name for name in header if name.strip()]):
            line = quote(",".join(header))
            raise DataError(f"the first line of {path} must name the columns; it has numbers alone: {line}")
        columns = _read_cells(path, has_quotes, len(header)) if has_rows else [pa.chunked_array([], pa.string())] * len(header)
    cells, labels = dict(zip(names, columns, strict=True)), dict.fromkeys(unnamed, "has no name")
    return RawTable(cells, True, lambda row: f"line {_line_number(path, row)}", labels, missing_values)


def _check_bytes(path: str) -> bool:
    """Whether there is a quote in the file. Raises DataError if it is no text."""
    has_quotes = False
    with open(path, "rb") as file:
        start = file.read(16).upper()
        other = next((name for magic, name in MAGIC.items() if start.startswith(magic.upper())), None)
        if other is not None:
            raise DataError(f"{path} must be a CSV file in UTF-8; it is {other}")
        file.seek(0)
        while block := file.read(1 << 20):
            if b"\0" in block:
                raise DataError(f"{path} must be a CSV file in UTF-8; it has NUL bytes, so it is no text or UTF-16")
            has_quotes = has_quotes or b'"' in block
    return has_quotes


def _records(path: str, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """The line on which each record begins, and its fields; blank lines are no records.

    Raises DataError, if `strict`, where a quoted field does not end, or text follows its end: such quotes hide rows.
    """
    csv.field_size_limit(1 << 30)
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        reader, line = csv.reader(file, strict=strict), 1
        try:
            for record in reader:
                if record:
                    yield line, record
                line = reader.line_num + 1
        except csv.Error:
            if not strict:
                raise
            rule = f"a quoted field must end before a comma or the end of a line in {path}"
            raise DataError(f"{rule}; one that begins in line {line} does not") from None


def _read_header(path: str) -> tuple[list[str], bool]:
    """The first record, and whether there is another."""
    records = _records(path)
    line, header = next(records, (1, []))
    if not header:
        raise DataError(f"there are no rows in {path}: it has blank lines alone")
    if len(header) == 1:
        delimiter = next((name for sign, name in DELIMITERS.items() if sign in header[0].strip()), None)
        rule = f"fields must be separated by commas in {path}; line {line}"
        if "," in header[0]:
            raise DataError(f"{rule} is one field in quotes, {quote(header[0])}")
        if delimiter is not None:
            raise DataError(f"{rule} has none and seems to have {delimiter} instead: {quote(header[0])}")
    return header, next(records, None) is not None


def _is_data(names: Sequence[str]) -> bool:
    """Whether a header is a row of numbers; those that count on from the first, such as positions or years, may be names."""
    if not names or not all(NUMBER.fullmatch(name.strip()) for name in names):
        return False
    numbers = [float(name) for name in names]
    return not (all(name.strip().isdecimal() for name in names) and numbers == [numbers[0] + i for i in range(len(numbers))])


def _read_cells(path: str, has_quotes: bool, width: int) -> list[pa.ChunkedArray]:
    """The columns of a file with `width` fields in its header."""
    try:
        table = _read_text(path, has_quotes, BLOCK_BYTES)
    except pa.ArrowInvalid:
        _check_widths(path, width)
        _check_encoding(path)
        table = _read_text(path, has_quotes, MAX_BLOCK_BYTES)  # a row may have been longer than a block
    columns = [column.slice(1) for column in table.columns]
    if has_quotes and any(pc.any(pc.match_substring(column, end)).as_py() for column in columns for end in "\r\n"):
        for _ in _records(path, strict=True):
            pass
    return columns


def _read_text(path: str, has_quotes: bool, block_bytes: int) -> pa.Table:
    """All records, the header's too, with every field as text."""
    with open(path, "rb") as file:
        return arrow.read_csv(
            file,
            arrow.ReadOptions(autogenerate_column_names=True, block_size=block_bytes),
            arrow.ParseOptions(newlines_in_values=has_quotes),
            arrow.ConvertOptions(default_column_type=pa.string(), strings_can_be_null=False),
        )


def _check_widths(path: str, width: int) -> None:
    """Raises DataError if a row has more or fewer fields than the header."""
    first, all_one_more = None, True
    for line, record in islice(_records(path), 1, None):
        if first is None and len(record) != width:
            first = line, record
        all_one_more = all_one_more and len(record) == width + 1
        if first and not all_one_more:
            break
    if first:
        line, record = first
        rule = f"every row must have as many fields as the header in {path}"
        which = "every row" if all_one_more else f"line {line}"
        raise DataError(f"{rule}; the header has {width} and {which} has {len(record)}{_width_hint(record, all_one_more)}")


def _width_hint(record: list[str], all_one_more: bool) -> str:
    if record[-1].strip() == "" and len(record) > 1:
        return ", the last of them empty: is there a comma too many at its end?"
    if all_one_more:
        return ": which column has no name? Name it in the header, which may begin with a comma for the first"
    return ""


def _check_encoding(path: str) -> None:
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = f"the byte 0x{line[error.start]:02x}"
                raise DataError(f"{path} must be text in UTF-8; line {number} has {byte}, as Latin-1 text would") from None


def _line_number(path: str, row: int) -> int:
    """The line on which a row begins; row 0 follows the header."""
    return next((line for line, _ in islice(_records(path), row + 1, None)), 0)
