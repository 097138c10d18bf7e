"""CSV text in blocks of whole rows, and the columns that Arrow parses from a block."""

import codecs
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow

from pipeline.data.dialect import Dialect
from pipeline.threads import side_by_side

BLOCK_BYTES, MAX_BLOCK_BYTES = 1 << 22, 1 << 30  # of text that a thread takes at a time; a row must be shorter
PARSED_BYTES = 1 << 20  # of it that fit into a core's cache
FEW_CELLS = 4  # that mostly show already that a column is of another type
MICROSECONDS = pa.timestamp("us")
CODES = pa.dictionary(pa.int32(), pa.string())
_PARSED = {"integer": pa.string(), "number": pa.float64(), "date": MICROSECONDS, "text": CODES}  # Arrow's type, by ours
_WIDER = {"integer": ("integer", "number"), "number": ("number",), "date": ("date",), "text": ()}  # that a block may have
Cells = tuple[str, pa.ChunkedArray]  # "integer", "number", "date" or "text", and cells of that; "" where all are missing


@dataclass(frozen=True)
class Parsed:
    """A block's columns. may_hide_rows: whether it has quotes, and not just as many rows as lines."""

    columns: dict[str, Cells]
    may_hide_rows: bool


class Malformed(Exception):
    """A block has a row of another width, or is otherwise no CSV."""


def parsed_blocks(found: Iterator[bytes], parser: "BlockParser", types: Mapping[str, str]) -> Iterator[Parsed]:
    """What the parser makes of each block, in order, parsed side by side."""
    return side_by_side(lambda block: parser.parse(block, types), found)


def blocks(file: Any, dialect: Dialect, size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """The rows below the header as UTF-8, in blocks of whole rows, about as long as size; 0: in one block.

    Raises UnicodeDecodeError, and Malformed for a row that is longer than a block may be.
    """
    rest, skip, quotes = b"", dialect.body, dialect.quote.encode()
    newline = dialect.newline.encode()
    for text in _utf8(file, dialect.encoding, size or BLOCK_BYTES):
        data = rest + text
        if skip:
            data, skip = data[skip:], max(0, skip - len(data))
        end = _end_of_rows(data, quotes, newline) if size else 0
        if end:
            yield data[:end]
        rest = data[end:]
        if len(rest) > MAX_BLOCK_BYTES:
            raise Malformed
    if rest.strip():
        yield rest


def _utf8(file: Any, encoding: str, size: int) -> Iterator[bytes]:
    """A file's text as UTF-8, without a byte order mark."""
    decoder = None if encoding in ("utf-8", "utf-8-sig") else codecs.getincrementaldecoder(encoding)()
    is_start = True
    while content := file.read(size):
        if is_start:
            content, is_start = content.removeprefix(codecs.BOM_UTF8) if decoder is None else content, False
        yield decoder.decode(content).encode() if decoder else content
    if decoder:
        yield decoder.decode(b"", final=True).encode()


def _end_of_rows(data: bytes, quotes: bytes, newline: bytes) -> int:
    """The end of the last line with whole rows up to it: with all quotes closed. data begins where a row does."""
    end = data.rfind(newline)
    if not quotes or quotes not in data:
        return end + 1
    is_open = data.count(quotes, 0, end + 1) % 2 == 1
    while is_open and end >= 0:
        before = data.rfind(newline, 0, end)
        is_open ^= data.count(quotes, before + 1, end + 1) % 2 == 1
        end = before
    return end + 1


@dataclass(frozen=True)
class BlockParser:
    """Parses columns of blocks. wanted: their names; missing_values: texts that stand for no value, beside ""."""

    dialect: Dialect
    wanted: Sequence[str]
    missing_values: Sequence[str]

    def parse(self, block: bytes, types: Mapping[str, str]) -> Parsed:
        """Raises Malformed, and UnicodeDecodeError."""
        columns = self._columns(block, types)
        newline, rows = self.dialect.newline.encode(), len(next(iter(columns.values()))[1])
        lines = block.count(newline) + (not block.endswith(newline))
        quotes = self.dialect.quote.encode()
        return Parsed(columns, rows != lines and quotes != b"" and quotes in block)

    def _columns(self, block: bytes, types: Mapping[str, str]) -> dict[str, Cells]:
        """The columns of a block. types: what each is expected to hold; one with another cell is of a wider type."""
        with suppress(pa.ArrowInvalid):
            parsed = self._parse(block, {name: _PARSED[types[name]] for name in self.wanted}, PARSED_BYTES)
            return {name: _checked(types[name], column) for name, column in parsed.items()}
        try:
            parsed = self._parse(block, dict.fromkeys(self.wanted, pa.string()), len(block) + 1)
        except pa.ArrowInvalid as error:
            block.decode()
            raise Malformed from error
        return {name: narrowed(column, _WIDER[types[name]]) for name, column in parsed.items()}

    def _parse(self, block: bytes, types: Mapping[str, Any], size: int) -> dict[str, pa.ChunkedArray]:
        dialect = self.dialect
        table = arrow.read_csv(
            pa.BufferReader(block),
            arrow.ReadOptions(column_names=dialect.names, use_threads=False, block_size=size),
            arrow.ParseOptions(
                delimiter=dialect.delimiter, quote_char=dialect.quote or False, double_quote=True, newlines_in_values=True
            ),
            arrow.ConvertOptions(
                column_types=types,
                include_columns=[*self.wanted],
                null_values=["", *self.missing_values],
                strings_can_be_null=True,
            ),
        )
        return dict(zip(table.column_names, table.columns, strict=True))


def narrowed(column: pa.ChunkedArray, types: Sequence[str] = ("integer", "number", "date")) -> Cells:
    """Strings as the first of these types that all of it has, else as text."""
    if column.null_count == len(column):
        return "", column
    trimmed = pc.utf8_trim_whitespace(column)
    few = trimmed.slice(int(pc.index(pc.is_valid(trimmed), True).as_py()), FEW_CELLS)
    for kind in types if not any(map(_has_codes, trimmed.chunks)) else ():
        with suppress(pa.ArrowInvalid):
            _as(kind, few)
            return _as(kind, trimmed)
    return "text", pc.dictionary_encode(column)


def _as(kind: str, column: pa.ChunkedArray) -> Cells:
    """Strings as a type. Raises ArrowInvalid, after a time that grows with the cells that are of another."""
    return _checked(kind, column if kind == "integer" else pc.cast(column, _PARSED[kind]))


def _checked(kind: str, column: pa.ChunkedArray) -> Cells:
    """A parsed column. Raises ArrowInvalid for integers that are none; such as 007 are text."""
    if column.null_count == len(column):
        return "", column
    if kind == "integer":
        has_codes = any(map(_has_codes, column.chunks))
        return ("text", pc.dictionary_encode(column)) if has_codes else (kind, pc.cast(column, pa.int64()))
    return kind, column


def _has_codes(column: Any) -> bool:
    """Whether some text begins with 0 and goes on with a digit or an x."""
    _, offsets, content = column.buffers()
    ends = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    if content is None or ends[-1] == ends[0]:
        return False
    letters = np.frombuffer(content, np.uint8)
    starts, sizes = ends[:-1], np.diff(ends)
    starts = starts[sizes > 1]
    signs = letters[starts]
    is_signed = (signs == 43) | (signs == 45)
    starts = np.concatenate([starts[~is_signed], starts[is_signed & (sizes[sizes > 1] > 2)] + 1])
    second = letters[starts[letters[starts] == 48] + 1]
    return bool(((second >= 48) & (second <= 57) | (second == 88) | (second == 120)).any())
