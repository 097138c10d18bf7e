"""The target of a table: its two classes, as they are written in the file, and which of them is the positive one."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.data.columns import NUMBER, RawTable, factorize, is_number, numbers_among, plain_types
from pipeline.data.dataset import Label
from pipeline.errors import DataError
from pipeline.text import is_one_line, quote, quote_if_needed

MAX_CLASSES = 5  # that a sentence shows


@dataclass(frozen=True)
class Target:
    """The column of the table at `path` to predict. positive: the class with y = 1; empty for the second in sorted order."""

    name: str
    positive: str
    path: str

    def read(self, table: RawTable) -> tuple[Array, tuple[Label, Label]]:
        """y (n,) in {0, 1} and the classes, the positive one last. Raises DataError unless there are two."""
        values, codes = _distinct(table, self.name)
        self._check_missing(table, values, codes)
        labels = _parse_labels(values) if table.is_text else _from_decimals(values)
        classes = self._classes(labels)
        positive = classes[1] if not self.positive else self._find_positive(classes)
        negative = classes[0] if positive == classes[1] else classes[1]
        return np.array([label == positive for label in labels], np.float64)[codes], (negative, positive)

    def __str__(self) -> str:
        return f"the target {self.name} in {self.path}"

    def _classes(self, labels: Sequence[Any]) -> list[Label]:
        """The two classes among the labels, sorted."""
        other = next((label for label in labels if not _is_label(label)), None)
        if other is not None:
            kinds = "text on one line, true or false, or numbers of 64 bits"
            raise DataError(f"{self} must be {kinds}; got {quote_if_needed(other)}")
        classes = sorted(dict.fromkeys(labels), key=_sort_key)
        self._check_spelling(classes)
        if len(classes) != 2:
            first = ", ".join(map(quote_if_needed, classes[:MAX_CLASSES])) + (", ..." if len(classes) > MAX_CLASSES else "")
            raise DataError(f"{self} must have two classes; got {len(classes)}: {first}")
        return classes

    def _check_missing(self, table: RawTable, values: list[Any], codes: NDArray[np.int64]) -> None:
        """Raises DataError where a row has no label; it names the first."""
        texts = [value.strip() for value in values] if table.is_text else []
        known, numbers = {"", *table.missing_values}, numbers_among(table.missing_values)
        gaps = [i for i, text in enumerate(texts) if text in known or (is_number(text) and float(text) in numbers)]
        missing = np.isin(codes, [-1, *gaps])
        if not missing.any():
            return
        row = int(np.argmax(missing))
        text = texts[codes[row]] if codes[row] >= 0 else ""
        remedy = f": {text} is read as missing; if it is a class, set data.missing_values=[]" if text else ""
        which = f"{missing.sum()} are missing, the first in {table.locate(row)}{remedy}"
        raise DataError(f"{self} must have a value in every row; {which}")

    def _check_spelling(self, classes: Sequence[Label]) -> None:
        """Raises DataError for labels that a person would take for one: `yes` and `Yes `, `1` and `1.0`, or an accent's two
        spellings."""
        known: dict[Any, Label] = {}
        for label in classes:
            text = _visible(str(label))
            same = known.setdefault(float(text) if _is_numeric(text) else text.casefold(), label)
            if same is not label:
                show = ascii if _visible(str(same)) == text and not _is_numeric(text) else quote
                rule = f"the labels of {self} must differ in more than case, spaces or the spelling of a number"
                raise DataError(f"{rule}; got {show(same)} and {show(label)}")

    def _find_positive(self, classes: Sequence[Label]) -> Label:
        """The class that data.positive names: by its text or, where none has this text, by its number or apart from case."""
        given = self.positive
        matches: tuple[Callable[[Any], bool], ...] = (
            lambda label: str(label) == given,
            lambda label: _is_numeric(label) and _is_numeric(given) and float(label) == float(given),
            lambda label: str(label).strip().casefold() == given.strip().casefold(),
        )
        for match in matches:
            if len(found := [label for label in classes if match(label)]) == 1:
                return found[0]
        raise DataError(f"data.positive must be one of {', '.join(map(quote_if_needed, classes))}; got {given}")


def _distinct(table: RawTable, name: str) -> tuple[list[Any], NDArray[np.int64]]:
    """The distinct values of a column and for each row the position among them, -1 where a value is missing."""
    column = plain_types(table.columns[name])
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    try:
        return factorize(column)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # lists
        valid = column.drop_null()
        return [valid[0].as_py() if len(valid) else None], np.zeros(len(column), np.int64)


def _parse_labels(cells: Sequence[str]) -> list[Label]:
    """Booleans and numbers where every label is written as Python writes them, else the text of the file: `01` is text."""
    texts = [cell.strip() for cell in cells]
    if all(text in ("True", "False") for text in texts):
        return [text == "True" for text in texts]
    if not all(NUMBER.fullmatch(text) for text in texts):
        return list(cells)
    if all(text.lstrip("-").isdecimal() and str(int(text)) == text for text in texts):
        return [int(text) for text in texts]
    numbers = [float(text) for text in texts]
    return list(numbers) if not np.isfinite(numbers).all() or [*map(repr, numbers)] == texts else list(texts)


def _from_decimals(values: Sequence[Any]) -> list[Any]:
    """Decimals as integers or, if one has a fraction, as floats; other values as they are."""
    if not all(isinstance(value, Decimal) for value in values):
        return list(values)
    to_number = int if all(value == int(value) for value in values) else float
    return [to_number(value) for value in values]


def _is_label(value: object) -> bool:
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return (isinstance(value, str) and is_one_line(value)) or (isinstance(value, float) and bool(np.isfinite(value)))


def _visible(text: str) -> str:
    """What a person sees of a text."""
    letters = (letter for letter in unicodedata.normalize("NFC", text) if unicodedata.category(letter) != "Cf")
    return " ".join("".join(letters).split())


def _is_numeric(label: object) -> bool:
    return not isinstance(label, bool) and is_number(str(label).strip())


def _sort_key(label: Label) -> tuple[int, Any]:
    """Numbers by value, also where they are text, before other text."""
    return (0, float(label)) if _is_numeric(label) or isinstance(label, bool) else (1, label)
