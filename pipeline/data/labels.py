"""The target of a table: its two classes, as they are written in the file, and which of them is the positive one."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from pipeline.arrays import Array
from pipeline.data.columns import NUMBER, RawTable, dictionary, is_number, missing, numbers_among
from pipeline.data.dataset import Label
from pipeline.data.reading import brief, is_one_line, shown
from pipeline.errors import ConfigError, DataError


@dataclass(frozen=True)
class Target:
    """A column of a table that is to be predicted. positive: the class with y = 1; empty for the second in sorted order."""

    name: str
    positive: str
    where: str

    def read(self, table: RawTable) -> tuple[Array, tuple[Label, Label]]:
        """y (n,) in {0, 1} and the classes, the positive one last. Raises ConfigError unless there are two."""
        values, codes = _values(table, self.name)
        self._check_missing(table, values, codes)
        labels = _as_typed(values) if table.written else _native(values)
        other = next((label for label in labels if not _is_label(label)), None)
        kinds = "text on one line, true or false, or numbers of 64 bits"
        if other is not None:
            raise DataError(f"the target {self.name} {self.where} must be {kinds}; got {brief(other)}")
        found = sorted(dict.fromkeys(labels), key=_order)
        self._check_spelling(found)
        listed = ", ".join(map(brief, found[:5])) + (", ..." if len(found) > 5 else "")
        if len(found) != 2:
            raise DataError(f"the target {self.name} {self.where} must have two classes; got {len(found)}: {listed}")
        positive = found[1] if not self.positive else self._chosen(found, listed)
        negative = found[0] if positive == found[1] else found[1]
        ones = np.array([label == positive for label in labels], np.float64)
        return ones[codes], (negative, positive)

    def _check_missing(self, table: RawTable, values: list[Any], codes: "np.ndarray[Any, np.dtype[np.int64]]") -> None:
        gaps = codes < 0
        if table.written:
            import pyarrow as pa

            texts, numbers = [value.strip() for value in values], numbers_among(table.missing_words)
            words = missing(pa.array(texts, pa.string()), table.missing_words).to_pylist()
            words = [word or (is_number(text) and float(text) in numbers) for word, text in zip(words, texts, strict=True)]
            gaps = np.array([*words, True])[codes]
        count = int(gaps.sum())
        if count:
            row = int(np.argmax(gaps))
            word = values[codes[row]].strip() if codes[row] >= 0 else ""
            ways = f": {word} is read as missing; if it is a class, set data.missing_values=[]" if word else ""
            raise ConfigError(
                f"the target {self.name} {self.where} must have a value in every row; "
                f"{count} are missing, the first in {table.place(row)}{ways}"
            )

    def _check_spelling(self, found: Sequence[Label]) -> None:
        """Labels that a person would take for one: `yes` and `Yes `, `1` and `1.0`, or an accent's two spellings."""
        known: dict[Any, Label] = {}
        for label in found:
            text = _seen(str(label))
            same = known.setdefault(float(text) if _numeric(text) else text.casefold(), label)
            show = ascii if _seen(str(same)) == text and not _numeric(text) else shown
            must = f"the labels of the target {self.name} {self.where} must differ in more than case, spaces"
            if same is not label:
                raise ConfigError(f"{must} or the spelling of a number; got {show(same)} and {show(label)}")

    def _chosen(self, found: Sequence[Label], listed: str) -> Label:
        """The class that data.positive names: by its text or, where none has this text, by its number or apart from case."""
        given = self.positive
        ways: tuple[Callable[[Any], bool], ...] = (
            lambda label: str(label) == given,
            lambda label: _numeric(label) and _numeric(given) and float(label) == float(given),
            lambda label: str(label).strip().casefold() == given.strip().casefold(),
        )
        chosen = next((fits for same in ways if len(fits := [label for label in found if same(label)]) == 1), [])
        if len(chosen) != 1:
            raise DataError(f"data.positive must be one of {listed}; got {self.positive}")
        return chosen[0]


def _values(table: RawTable, name: str) -> tuple[list[Any], "np.ndarray[Any, np.dtype[np.int64]]"]:
    """The distinct values of a column and for each row the position among them, -1 where a value is missing."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    column = table.columns[name]
    if types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if types.is_float16(column.type):
        column = pc.cast(column, pa.float32())
    if types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    try:
        return dictionary(column)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # lists
        valid = column.drop_null()
        return [valid[0].as_py() if len(valid) else None], np.zeros(len(column), np.int64)


def _as_typed(words: Sequence[str]) -> list[Label]:
    """Truth values and numbers where every label is written as Python writes them, else the text of the file: `01` is text."""
    texts = [word.strip() for word in words]
    if all(text in ("True", "False") for text in texts):
        return [text == "True" for text in texts]
    if not all(NUMBER.fullmatch(text) for text in texts):
        return list(words)
    if all(text.lstrip("-").isdecimal() and str(int(text)) == text for text in texts):
        return [int(text) for text in texts]
    numbers = [float(text) for text in texts]
    if not np.isfinite(numbers).all() or list(map(repr, numbers)) == texts:
        return list(numbers)
    return list(texts)


def _native(values: Sequence[Any]) -> list[Any]:
    """Decimals as integers or, if one has a fraction, as floats; other values as they are."""
    if not all(isinstance(value, Decimal) for value in values):
        return list(values)
    return [int(value) if all(each == int(each) for each in values) else float(value) for value in values]


def _is_label(value: object) -> bool:
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return (isinstance(value, str) and is_one_line(value)) or (isinstance(value, float) and bool(np.isfinite(value)))


def _seen(text: str) -> str:
    """What a person sees of a text."""
    visible = (letter for letter in unicodedata.normalize("NFC", text) if unicodedata.category(letter) != "Cf")
    return " ".join("".join(visible).split())


def _numeric(label: object) -> bool:
    return not isinstance(label, bool) and is_number(str(label).strip())


def _order(label: Label) -> tuple[int, Any]:
    """Numbers by value, also where they are kept as text, before text."""
    return (0, float(label)) if _numeric(label) or isinstance(label, bool) else (1, label)
