"""Blocks of a CSV file as the types that a model's columns have, one after the other.

What all cells of a file decide when it is read for training is here what the first blocks show: the decimal mark, and whether
the day or the month stands first. It holds for all blocks after them; what could be read in two ways is refused.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data import cells
from pipeline.data.cells import Texts
from pipeline.data.columns import TYPES
from pipeline.data.csv_blocks import BLOCK_BYTES, BlockParser, Cells
from pipeline.data.csv_types import as_requested
from pipeline.data.dialect import DATE_ORDERS
from pipeline.errors import DataError
from pipeline.text import quote

if TYPE_CHECKING:
    from pipeline.data.csv_file import CsvFile

NUMBERS = ("integer", "number")


class TypedBlocks:
    """Columns of a file as `types` names them, which are of columns.TYPES; integers come as float64 where some are none.

    plan: what each column is to be parsed as.
    """

    def __init__(self, file: "CsvFile", types: Mapping[str, str]) -> None:
        self._file, self._types = file, types
        settings = file.settings
        self._set_mark = settings.sign("decimal") or {",": ".", ".": ","}.get(settings.sign("thousands"), "")
        self._mark = self._set_mark or self._find_mark() or (file.decimal if file.dialect.delimiter != "," else "")
        self._orders: dict[str, str] = {}
        self.plan = {name: self._parsed_as(kind) for name, kind in types.items()}

    def table(self, found: Mapping[str, Cells], row: int) -> pa.Table:
        """The columns of a block. row: that it begins with."""
        return pa.table({name: self._column(name, kind, found[name], row) for name, kind in self._types.items()})

    def _find_mark(self) -> str:
        """The decimal mark that the first block shows; "" where it shows none."""
        names = [name for name, kind in self._types.items() if kind in NUMBERS]
        block = self._file.first_block(BLOCK_BYTES) if names else b""
        if not block:
            return ""
        parser = BlockParser(self._file.dialect, names, self._file.missing_values)
        columns = parser.parse(block, dict.fromkeys(names, "text")).columns
        marks = {cells.decimal_marks(self._as_texts(column).known) for _, column in columns.values()}
        return "," if "," in marks else ""

    def _parsed_as(self, kind: str) -> str:
        return "text" if kind == "boolean" or (kind in NUMBERS and self._mark == ",") else kind

    def _column(self, name: str, kind: str, found: Cells, row: int) -> pa.ChunkedArray:
        was, column = found
        if was == "":
            return pa.chunked_array([pa.nulls(len(column), TYPES[kind])])
        if kind == "text":
            return pc.utf8_trim_whitespace(pc.cast(column, TYPES[kind]))
        if was == kind or {was, kind} == {*NUMBERS}:
            return pc.cast(column, pa.float64()) if kind == "number" else column
        texts = self._as_texts(column)
        values, wrong = self._values(name, kind, texts, row)
        if values is None:
            place = self._place(name, row + wrong)
            raise DataError(f"cells must be of the type that the model was trained on in {self._file.path}; {place}")
        return pa.chunked_array([pc.cast(texts.rows(values), pa.float64()) if kind == "number" else texts.rows(values)])

    def _values(self, name: str, kind: str, texts: Texts, row: int) -> tuple[Any, int]:
        if kind in NUMBERS:
            try:
                mark = cells.column_mark(texts.known, self._mark, bool(self._set_mark), self._file.dialect.delimiter == ",")
            except cells.AmbiguousSign as error:
                mask = cells.matches(texts.distinct, error.pattern) & texts.distinct.is_valid().to_numpy(False)
                place = self._place(name, row + texts.first_row(mask))
                rule = f"a {error.sign} in numbers must mean one thing in {self._file.path}"
                raise DataError(f"{rule}; {place}: write numbers as 1234.5") from None
            return as_requested(texts, "number", mark or self._mark or ".", "")
        return as_requested(texts, kind, "", self._date_form(name, texts, row) if kind == "date" else "")

    def _date_form(self, name: str, texts: Texts, row: int) -> str:
        form = self._file.settings.dates
        if "%" in form:
            return form
        orders = cells.date_orders(texts.known, DATE_ORDERS.get(form) or self._orders.get(name, ""))
        other = "m" if orders == ["d"] else "d"
        if len(orders) == 1 and not all(cells.parse_date(text, other) for text in texts.known.to_pylist()):
            self._orders[name] = orders[0]
        elif len(orders) == 2:
            found = [text is not None and cells.has_two_orders(text) for text in texts.distinct.to_pylist()]
            place = self._place(name, row + texts.first_row(np.array(found)))
            raise DataError(f"dates must be day/month or month/day in {self._file.path}; {place}: write dates as 2024-05-06")
        return orders[0] if orders else self._orders.get(name, "d")

    def _as_texts(self, column: pa.ChunkedArray) -> Texts:
        return Texts.of(column, self._file.missing_values)

    def _place(self, name: str, row: int) -> str:
        return f"{self._file.locate(row)} has {quote(self._file.cell(row, name))} in {name}"
