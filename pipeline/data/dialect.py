"""How a CSV file is written: its encoding, delimiter, quotes and header, as they are set or as its beginning shows them."""

import codecs
import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pipeline.data.cells import is_number as is_point_number
from pipeline.data.reading import unique_names
from pipeline.errors import ConfigError, DataError
from pipeline.text import quote, quote_if_needed

SIGNS = {  # names that settings may have for signs
    "comma": ",",
    "semicolon": ";",
    "tab": "\t",
    "bar": "|",
    "space": " ",
    "point": ".",
    "apostrophe": "'",
}
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
DATE_ORDERS = {"day_first": "d", "month_first": "m"}
THOUSANDS = (",", ".", " ", "'")
BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
FALLBACK = "cp1252"  # of text that is no UTF-8
FALLBACK_NOTE = f"encoding {FALLBACK}, since it is no UTF-8 (data.csv.encoding)"
MAGIC = {  # how files of other formats begin
    b"PK\x03\x04": "an Excel or zip file",
    b"BZH": "a bzip2 file",
    b"\xfd7ZXZ": "an xz file",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF",
    b"<!DOCTYPE": "a web page",
    b"<HTML": "a web page",
}
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
MAX_SNIFFED = 200  # records
MIN_REPEATED = 0.5  # of the first record's texts, that occur again below, of a file without a header


@dataclass(frozen=True)
class CsvFormat:
    """How a CSV file is written. What is "" or null is detected."""

    delimiter: str = ""  # a sign, or comma, semicolon, tab, bar, space
    quote: str = ""  # a sign, apostrophe, or none
    encoding: str = ""  # as Python names it: utf-8, cp1252, ...
    header: bool | None = None  # whether the first line names the columns
    row_names: bool = False  # every row begins with a field that the header does not name, as R writes row names
    decimal: str = ""  # point or comma
    thousands: str = ""  # comma, point, space or apostrophe
    dates: str = ""  # day_first or month_first of 1/2/2024, or as strftime writes them: %d%m%y

    def __post_init__(self) -> None:
        for key in ("delimiter", "quote"):
            if len(sign := self.sign(key)) > 1 or sign in ("\n", "\r"):
                raise ConfigError(f"{key} must be one sign or its name; got {quote_if_needed(sign)}")
        if self.sign("decimal") not in ("", ".", ","):
            raise ConfigError(f"decimal must be point or comma; got {quote_if_needed(self.decimal)}")
        if self.sign("thousands") not in ("", *THOUSANDS):
            raise ConfigError(f"thousands must be comma, point, space or apostrophe; got {quote_if_needed(self.thousands)}")
        if self.decimal and self.sign("decimal") == self.sign("thousands"):
            raise ConfigError(f"decimal and thousands must differ; both are {quote_if_needed(self.decimal)}")
        if self.encoding and not _is_encoding(self.encoding):
            raise ConfigError(f"encoding must be one that Python knows, such as utf-8 or cp1252; got {self.encoding}")
        if self.dates and "%" not in self.dates and self.dates not in DATE_ORDERS:
            rule = f"dates must be {' or '.join(DATE_ORDERS)}, or a format such as %d%m%y"
            raise ConfigError(f"{rule}; got {quote_if_needed(self.dates)}")

    def sign(self, key: str) -> str:
        """The sign that a setting names; "" for none and for what is to be detected."""
        value = str(getattr(self, key))
        return "" if (key, value) == ("quote", "none") else SIGNS.get(value, "\t" if value == "\\t" else value)


@dataclass(frozen=True)
class Dialect:
    """How the CSV file at `path` is written. body: where its first row begins, in bytes of UTF-8 after a byte order mark."""

    path: str
    encoding: str
    delimiter: str
    quote: str
    names: list[str]
    unnamed: list[str]
    has_header: bool
    newline: str
    first_line: int  # on which the rows begin
    body: int
    notes: tuple[str, ...]  # what was detected that is not what most files have

    def reader(self, file: Any, strict: bool = False) -> Any:
        """Records of an open text file."""
        return _reader(file, self.delimiter, self.quote, strict)


def sniff(path: str, start: bytes, is_all: bool, settings: CsvFormat, known: Sequence[str] = ()) -> Dialect:
    """How a file is written. start: its first bytes; is_all: whether it has no others; known: columns that it is to have, by
    which a header is known. Raises DataError where that could be read in two ways; it names the setting."""
    encoding = settings.encoding or _find_encoding(path, start, is_all)
    text = _decode(path, start, encoding, is_all)
    if not text.strip():
        raise DataError(f"there are no rows in {path}: it has blank lines alone")
    first_line, skipped = _first_line(text), ""
    delimiter = settings.sign("delimiter")
    if first_line.lower().startswith("sep=") and len(first_line) == 5:  # Excel's way to name it
        skipped = "".join(islice(io.StringIO(text, newline=""), text[: text.index(first_line)].count("\n") + 1))
        delimiter, text = delimiter or first_line[4], text[len(skipped) :]
        first_line = _first_line(text)
    quotes = settings.sign("quote")
    if not settings.quote:
        quotes = "'" if len(first_line) > 1 and first_line[0] == first_line[-1] == "'" else '"'
    delimiter = delimiter or _find_delimiter(path, text, quotes)
    records = [*islice(_records(text, delimiter, quotes), MAX_SNIFFED)]
    header, has_header = records[0][1], settings.header
    if len(header) == 1 and "," in header[0] and not settings.delimiter:
        rule = f"fields must be separated by commas in {path}; line {records[0][0]} is one field in quotes"
        raise DataError(f"{rule}, {quote(header[0])}")
    if has_header is None and known and {*known} <= {*header}:
        has_header = True
    if has_header is None:
        rows = [record for _, record in records[1:] if len(record) == len(header)]
        has_header = _has_header(path, header, rows, delimiter != ",")
    begin = (records[1][0] if len(records) > 1 else sys.maxsize) if has_header else 1  # the line of the first row
    body = "".join(islice(io.StringIO(text, newline=""), begin - 1))
    names = ([""] if settings.row_names and has_header else []) + header
    if not has_header:
        names = [f"column {i + 1}" for i in range(len(header))]
    try:
        names, unnamed = unique_names(path, names)
    except DataError as error:
        hint = "; where the first line is a row, set data.csv.header=false" if settings.header is None else ""
        raise DataError(f"{error}{hint}") from None
    notes = _notes(settings, encoding, delimiter, quotes, has_header)
    newline = "\n" if "\n" in text else "\r"
    begin += skipped.count(newline)
    size = len((skipped + body).encode())
    return Dialect(path, encoding, delimiter, quotes, names, unnamed, has_header, newline, begin, size, notes)


def _notes(settings: CsvFormat, encoding: str, delimiter: str, quotes: str, has_header: bool) -> tuple[str, ...]:
    found = []
    if encoding == FALLBACK and not settings.encoding:
        found.append(FALLBACK_NOTE)
    elif encoding != "utf-8" and not settings.encoding:
        found.append(f"encoding {encoding} (data.csv.encoding)")
    if delimiter != "," and not settings.delimiter:
        found.append(f"fields separated by {DELIMITERS.get(delimiter, repr(delimiter))} (data.csv.delimiter)")
    if quotes == "'" and not settings.quote:
        found.append("fields quoted by apostrophes (data.csv.quote)")
    if not has_header and settings.header is None:
        found.append("no header, so the columns are called column 1, column 2, ... (data.csv.header)")
    return tuple(found)


def _is_encoding(name: str) -> bool:
    try:
        return codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):
        return False


def _find_encoding(path: str, start: bytes, is_all: bool) -> str:
    """Raises DataError for what is no text."""
    for mark, encoding in BOMS.items():
        if start.startswith(mark):
            return encoding
    other = next((name for magic, name in MAGIC.items() if start[:16].upper().startswith(magic.upper())), None)
    if other is not None:
        raise DataError(f"{path} must be a CSV file; it is {other}")
    if b"\0" in start:
        raise DataError(f"{path} must be a CSV file; it has NUL bytes, so it is no text, or UTF-16 (data.csv.encoding=utf-16)")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start, final=is_all)
        return "utf-8"
    except UnicodeDecodeError:
        return FALLBACK


def _decode(path: str, start: bytes, encoding: str, is_all: bool) -> str:
    """Text of whole lines."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(start.removeprefix(codecs.BOM_UTF8), final=is_all)
    except UnicodeDecodeError as error:
        raise undecodable(path, start, encoding, error) from None
    end = max(text.rfind("\n"), text.rfind("\r"))
    return text if is_all or end < 0 else text[: end + 1]


def undecodable(path: str, content: bytes, encoding: str, error: UnicodeDecodeError, line: int = 1) -> DataError:
    """line: on which the content begins."""
    number, byte = line + content.count(b"\n", 0, error.start), f"the byte 0x{content[error.start]:02x}"
    return DataError(f"{path} must be text in {encoding}; line {number} has {byte}: set data.csv.encoding=NAME")


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _reader(file: Any, delimiter: str, quotes: str, strict: bool = False) -> Any:
    csv.field_size_limit(1 << 30)
    if quotes:
        return csv.reader(file, delimiter=delimiter, quotechar=quotes, strict=strict)
    return csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=strict)


def _records(text: str, delimiter: str, quotes: str) -> Iterator[tuple[int, list[str]]]:
    """The line on which each record begins, and its fields; blank lines are no records."""
    return numbered(_reader(io.StringIO(text, newline=""), delimiter, quotes))


def numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """The same of a reader's records."""
    line = 1
    for record in reader:
        if record:
            yield line, record
        line = reader.line_num + 1


def _find_delimiter(path: str, text: str, quotes: str) -> str:
    """The sign by which the header has several fields and most records have as many."""
    scores, file = {}, io.StringIO(text, newline="")
    for sign in DELIMITERS:
        file.seek(0)
        records = islice(numbered(_reader(file, sign, quotes)), MAX_SNIFFED)
        width = len(next(records)[1])
        if width > 1:
            is_same = [True, *(len(record) == width for _, record in records)]
            scores[sign] = sum(is_same) / len(is_same)
    if len(scores) > 1:
        scores.pop(" ", None)  # which stands in names and texts, too
    best = [sign for sign, score in scores.items() if score == max(scores.values())]
    if len(best) > 1:
        names = " or by ".join(DELIMITERS[sign] for sign in best)
        settings = " or ".join(f"data.csv.delimiter={name_of(sign)}" for sign in best)
        line = quote(_first_line(text))
        raise DataError(f"fields may be separated by {names} in {path}; line 1 has both: {line}; set {settings}")
    return best[0] if best else ","


def name_of(sign: str) -> str:
    return next((name for name, other in SIGNS.items() if other == sign), repr(sign))


def _has_header(path: str, first: Sequence[str], rows: Sequence[Sequence[str]], may_have_commas: bool) -> bool:
    """Whether the first record names the columns: where its text stands above numbers, or nothing in it looks like a value.

    may_have_commas: whether numbers may have a decimal comma.
    """

    def is_number(cell: str) -> bool:
        return is_point_number(cell) or (may_have_commas and _DECIMAL_COMMA.fullmatch(cell) is not None)

    names = [name.strip() for name in first]
    numbers = [is_number(name) for name in names]
    if all(number or not name for name, number in zip(names, numbers, strict=True)):
        return not any(numbers) or _counts_on([name for name in names if name])
    if not rows:
        return not any(numbers)
    columns = [[cell.strip() for cell in column] for column in zip(*rows, strict=True)]
    if any(
        name and not number and any(map(is_number, column)) and all(not cell or is_number(cell) for cell in column)
        for name, number, column in zip(names, numbers, columns, strict=True)
    ):
        return True
    texts = [(name, column) for name, number, column in zip(names, numbers, columns, strict=True) if name and not number]
    repeated = [name for name, column in texts if name in column]
    if len(repeated) > MIN_REPEATED * len(texts):
        return False
    if not any(numbers) and not repeated:
        return True
    example = quote(next(iter([*(name for name, number in zip(names, numbers, strict=True) if number), *repeated])))
    remedy = "set data.csv.header=true if it names the columns, or data.csv.header=false if it is a row"
    raise DataError(f"the first line of {path} may name the columns or be a row; it has {example}: {remedy}")


def _counts_on(names: Sequence[str]) -> bool:
    """Whether numbers count on from the first, as positions or years do that are names."""
    return all(map(str.isdecimal, names)) and [*map(float, names)] == [float(names[0]) + i for i in range(len(names))]
