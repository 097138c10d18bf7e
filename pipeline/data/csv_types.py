"""The types of a CSV file's columns, from all of their cells."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data import cells
from pipeline.data.cells import MAX_TRIED, Texts
from pipeline.data.columns import MAX_EXACT, compact, without
from pipeline.data.csv_blocks import CODES, BlockParser, Cells, narrowed
from pipeline.data.dialect import DATE_ORDERS
from pipeline.errors import DataError
from pipeline.text import join_limited, quote, quote_if_needed

if TYPE_CHECKING:
    from pipeline.data.csv_file import CsvFile

PLANNED_BYTES = 1 << 17  # of the first rows, whose types are expected of the others
TEXT_KINDS = ("category", "text", "label")  # that a column may be set to, whose cells are text


class Reading:
    """The columns of a file. requested: the kind that each is set to, or "".

    Raises UnicodeDecodeError and Malformed, and DataError for a cell that may be read in two ways.
    """

    def __init__(self, file: "CsvFile", requested: Mapping[str, str]) -> None:
        self._file, self._requested = file, requested
        self.notes: list[str] = []
        self.rounded: dict[str, int] = {}
        self._parsed = self._parse([*requested], self._plan())
        types = {name: {kind for kind, _ in found if kind} for name, found in self._parsed.items()}
        self._texts = {
            name: self._as_texts(name) for name in requested if types[name] == {"text"} and self._may_be_values(name)
        }
        again = [name for name, found in types.items() if not self._is_one_type(name, found)]
        self._reparse(again)
        known = self._decimal or ("," if any(self._shows_comma(name) for name in self._texts) else "")
        if known == ",":  # a point may then be between thousands
            self._reparse([name for name, found in types.items() if "number" in found and name not in again])
        self._marks = {name: self._mark(name, known) for name in self._texts}
        self.decimal = "," if "," in self._marks.values() else ""  # where it is a comma
        self._note_signs()

    def typed(self, name: str) -> pa.ChunkedArray:
        """A column of the type that all of its cells have; null where one is missing."""
        found, requested = self._parsed.pop(name), self._requested[name]
        kinds = {kind for kind, _ in found if kind}
        if name in self._texts:
            column = self._from_texts(name, self._texts.pop(name))
            if column is not None:
                return without(column, self._missing_numbers)
        if not kinds:
            kind = pa.string() if requested in TEXT_KINDS else pa.float64()
            return pa.chunked_array([pa.nulls(sum(len(column) for _, column in found), kind)])
        if kinds <= {"integer", "number"}:
            kind = pa.int64() if kinds == {"integer"} else pa.float64()
            return without(_joined(found, kind), self._missing_numbers)
        if kinds == {"date"}:
            return _joined(found, cells.MICROSECONDS)
        if requested not in ("", *TEXT_KINDS):
            self._refuse(name, Texts.of(_joined(found, CODES), self._file.missing_values), requested)
        column = _joined(found, CODES)
        return self._label(column) if requested == "label" else compact(self._trimmed(column))

    @property
    def _decimal(self) -> str:
        """The decimal mark that is set."""
        settings = self._file.settings
        return settings.sign("decimal") or {",": ".", ".": ","}.get(settings.sign("thousands"), "")

    @property
    def _missing_numbers(self) -> list[float]:
        return cells.numbers_among(self._file.missing_values)

    def _plan(self) -> dict[str, str]:
        """The type of each column, as the first block shows it."""
        names = [*self._requested]
        parser, types = BlockParser(self._file.dialect, names, ()), dict.fromkeys(names, "text")
        block = self._file.first_block(PLANNED_BYTES)
        if not block:
            return types
        words, found, plan = pa.array(self._file.missing_values, pa.string()), set(), {}
        for name, (_, column) in parser.parse(block, types).columns.items():
            texts = pc.cast(column, pa.string())
            is_missing = pc.is_in(texts, value_set=words)
            found |= {*pc.unique(texts.filter(is_missing)).to_pylist()} - {None}
            kind, _ = narrowed(pc.if_else(is_missing, pa.scalar(None, pa.string()), texts))
            is_text = self._requested[name] in TEXT_KINDS or (self._requested[name] == "date" and kind != "date")
            plan[name] = "text" if is_text else kind or "number"
        if found:
            shown = join_limited([word for word in self._file.missing_values if word in found])
            self.notes.append(f"{shown} read as missing (data.missing_values)")
        return plan

    def _parse(self, names: Sequence[str], types: Mapping[str, str]) -> dict[str, list[Cells]]:
        parser = BlockParser(self._file.dialect, names, self._file.missing_values)
        found: dict[str, list[Cells]] = {name: [] for name in names}
        may_hide_rows = False
        for parsed in self._file.parse(parser, types):
            may_hide_rows |= parsed.may_hide_rows
            for name, column in parsed.columns.items():
                found[name].append(column)
        if may_hide_rows:
            self._file.check_quotes()
        return found

    def _is_one_type(self, name: str, types: set[str]) -> bool:
        """Whether the blocks' types of a column make one, in which nothing is rounded."""
        if "number" not in types:
            return len(types) < 2
        if not types <= {"integer", "number"}:
            return False
        bounds = pc.min_max(_joined(self._parsed[name], pa.float64())).as_py()
        return max(abs(bounds["min"] or 0), abs(bounds["max"] or 0)) < MAX_EXACT

    def _may_be_values(self, name: str) -> bool:
        """Whether a column of text may hold numbers, dates, true and false, by some of its cells."""
        if self._requested[name] in TEXT_KINDS:
            return False
        if self._requested[name]:
            return True
        chunk = next((column for kind, column in self._parsed[name] if kind), None)
        if chunk is None:
            return False
        some = Texts.of(chunk, self._file.missing_values).known[:MAX_TRIED]
        form = self._file.settings.dates
        is_formed = "%" in form and not cells.dates(some, form).null_count
        return is_formed or cells.booleans(some) is not None or bool(cells.decimal_marks(some) or cells.date_orders(some))

    def _as_texts(self, name: str) -> Texts:
        return Texts.of(_joined(self._parsed[name], CODES), self._file.missing_values)

    def _reparse(self, names: Sequence[str]) -> None:
        """Read columns again as text."""
        if names:
            self._parsed |= self._parse(names, dict.fromkeys(names, "text"))
            self._texts |= {name: self._as_texts(name) for name in names if self._may_be_values(name)}

    def _shows_comma(self, name: str) -> bool:
        """Whether a column's cells are numbers only if the comma is the decimal mark."""
        return self._requested[name] != "date" and cells.decimal_marks(self._texts[name].known) == ","

    def _mark(self, name: str, known: str) -> str:
        """The decimal mark of a column of text; "" if it holds no numbers. known: that of the file."""
        texts, requested = self._texts[name], self._requested[name]
        if requested == "date" or (not requested and cells.is_padded(texts.known)):
            return ""
        try:
            return cells.column_mark(texts.known, known, bool(self._decimal), self._file.dialect.delimiter == ",")
        except cells.AmbiguousSign as error:
            raise self._ambiguous(name, texts, error) from None

    def _ambiguous(self, name: str, texts: Texts, error: cells.AmbiguousSign) -> DataError:
        row = texts.first_row(cells.matches(texts.distinct, error.pattern) & texts.distinct.is_valid().to_numpy(False))
        place = f"{self._file.locate(row)} has {quote(self._file.cell(row, name))} in {name}"
        remedy = f"set data.csv.decimal=comma or data.csv.decimal=point, or data.kinds={{{name}: category}} if it is a code"
        if error.sign == "comma":
            remedy = remedy.replace("data.csv.decimal=point", "data.csv.thousands=comma")
        return DataError(f"a {error.sign} in numbers must mean one thing in {self._file.path}; {place}: {remedy}")

    def _note_signs(self) -> None:
        if commas := [quote_if_needed(name) for name, mark in self._marks.items() if mark == ","]:
            self.notes.append(f"a decimal comma in {join_limited(commas)} (data.csv.decimal)")
        numbers = [name for name, mark in self._marks.items() if mark == "."]
        if grouped := [quote_if_needed(name) for name in numbers if cells.has_groups(self._texts[name].known)]:
            self.notes.append(f"groups of thousands in {join_limited(grouped)} (data.csv.thousands)")

    def _from_texts(self, name: str, texts: Texts) -> pa.ChunkedArray | None:
        """A column of numbers, dates, true and false; None if it is text."""
        requested, mark = self._requested[name], self._marks[name]
        if requested:
            values, _ = as_requested(texts, requested, mark, self._date_form(name, texts) if requested == "date" else "")
            if values is None:
                self._refuse(name, texts, requested)
        elif (values := cells.booleans(texts.distinct)) is None:
            if mark:
                values = cells.numbers(texts.distinct, mark)
            elif form := self._date_form(name, texts):
                values = cells.dates(texts.distinct, form)
            else:
                return None
        column = pa.chunked_array([texts.rows(values)])
        if pa.types.is_floating(column.type):
            self._find_rounded(name, texts, values)
        return column

    def _find_rounded(self, name: str, texts: Texts, values: Any) -> None:
        """Note the first row whose integer is beyond 64 bits and rounded."""
        written = cells.matches(texts.distinct, r"[+-]?\d{16,}") & texts.distinct.is_valid().to_numpy(False)
        for i in np.flatnonzero(written).tolist():
            if int(texts.distinct[i].as_py()) != int(values[i].as_py()):
                mask = np.zeros(len(written), bool)
                mask[i] = True
                self.rounded[name] = texts.first_row(mask)
                return

    def _date_form(self, name: str, texts: Texts) -> str:
        """How a column's dates are written; "" if they are none. Raises DataError where that cannot be known."""
        form = self._file.settings.dates
        if "%" in form and cells.dates(texts.distinct, form).null_count == texts.distinct.null_count:
            return form
        orders = cells.date_orders(texts.known, DATE_ORDERS.get(form, ""))
        if len(orders) > 1:
            mask = np.array([text is not None and cells.has_two_orders(text) for text in texts.distinct.to_pylist()])
            row = texts.first_row(mask)
            place = f"{self._file.locate(row)} has {quote(self._file.cell(row, name))} in {name}"
            rule = f"dates must be day/month or month/day in {self._file.path}"
            raise DataError(f"{rule}; {place}: set data.csv.dates=day_first or data.csv.dates=month_first")
        return orders[0] if orders else ""

    def _refuse(self, name: str, texts: Texts, requested: str) -> None:
        """Raise DataError for the first cell that is not of the kind that the column is set to."""
        _, row = as_requested(texts, requested, self._decimal or ".", "")
        place = f"{self._file.locate(row)} has {quote(self._file.cell(row, name))} in {name}"
        raise DataError(f"every cell of {name} must be of the kind {requested} in {self._file.path}; {place}")

    def _label(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """A column of text as it is written, spaces around it and all."""
        distinct, positions = cells.factorize(column)
        texts = Texts.of(column, self._file.missing_values)
        numbers = self._missing_numbers
        gaps = [text is None or (cells.is_number(text) and float(text) in numbers) for text in texts.distinct.to_pylist()]
        values = pc.if_else(pa.array(gaps, pa.bool_()), pa.scalar(None, pa.string()), distinct)
        return compact(pa.chunked_array([Texts(values, positions).rows(values)]))

    def _trimmed(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """A column of text without spaces around its cells."""
        if all(pc.utf8_trim_whitespace(chunk.dictionary).equals(chunk.dictionary) for chunk in column.chunks):
            return column
        texts = Texts.of(column, self._file.missing_values)
        return pa.chunked_array([texts.rows(texts.distinct)])


def as_requested(texts: Texts, requested: str, mark: str, form: str) -> tuple[Any, int]:
    """The distinct cells as values of the kind that a column is set to, or None and the first row that is not of it."""
    distinct = texts.distinct
    if requested == "number":
        wrong = ~cells.are_numbers(distinct, mark or ".")
        return (None, texts.first_row(wrong)) if wrong.any() else (cells.numbers(distinct, mark or "."), -1)
    if requested == "date":
        values = cells.dates(distinct, form or "d")
    else:
        found = [None if text is None else cells.DIGITS.get(text, cells.BOOLEANS.get(text)) for text in distinct.to_pylist()]
        values = pa.array(found, pa.bool_())
    wrong = values.is_null().to_numpy(False) & distinct.is_valid().to_numpy(False)
    return (None, texts.first_row(wrong)) if wrong.any() else (values, -1)


def _joined(found: Sequence[Cells], kind: Any) -> pa.ChunkedArray:
    """The columns of blocks as one, whose type they have or are nulls."""
    columns = (pa.chunked_array([pa.nulls(len(column), kind)]) if was == "" else column for was, column in found)
    same = (column if column.type == kind else pc.cast(column, kind) for column in columns)
    return pa.chunked_array([chunk for column in same for chunk in column.chunks], kind)
