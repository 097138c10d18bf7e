"""The target of a table: its two classes, as they are written in the file, and which of them is the positive one."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.data.cells import NUMBER, factorize, is_number
from pipeline.data.columns import RawTable
from pipeline.data.dataset import Label
from pipeline.errors import DataError
from pipeline.text import MAX_VALUE, is_one_line, join_limited, quote, quote_if_needed

MAX_CLASSES = 5  # that a sentence shows


@dataclass(frozen=True)
class Target:
    """The column of the table at `path` to predict. positive: the class with y = 1, empty for the second in sorted order, or
    a list of the labels that make it, the others making the other."""

    name: str
    positive: str | list[str]
    path: str
    drop_unlabelled: bool = False  # else every row must have a label

    def read(self, table: RawTable) -> tuple[Array, tuple[Label, Label]]:
        """y (n,) in {0, 1}, NaN where there is no label, and the classes, the positive one last. Raises DataError unless they
        are two."""
        values, codes = factorize(table.columns[self.name])
        if (codes < 0).any() and not self.drop_unlabelled:
            raise self._missing(table, codes < 0)
        cells = values.to_pylist()
        labels = _parse_labels(cells) if table.is_text else cells
        if isinstance(self.positive, str):
            classes = self._classes(labels)
            positive = classes[1] if not self.positive else self._find_positive(self.positive, classes)
            negative = classes[0] if positive == classes[1] else classes[1]
            ones = {positive}
        else:
            known = self._known(labels)
            ones = {self._find_positive(name, known) for name in self.positive}
            others = [label for label in known if label not in ones]
            if not ones or not others:
                raise DataError(f"data.positive must name some labels of {self}, and not all; got {', '.join(self.positive)}")
            positive, negative = _joined([label for label in known if label in ones]), _joined(others)
        return np.array([*(float(label in ones) for label in labels), np.nan])[codes], (negative, positive)

    def _missing(self, table: RawTable, is_missing: NDArray[np.bool_]) -> DataError:
        """Why a row has no label; it names the first."""
        row = int(np.argmax(is_missing))
        text = table.cell(row, self.name) if table.is_text else ""
        remedy = f": {text} is read as missing; if it is a class, set data.missing_values=[]" if text else ""
        offer = "data.drop_unlabelled=true leaves such rows out"
        which = f"{is_missing.sum()} are missing, the first in {table.locate(row)}{remedy or f': {offer}'}"
        return DataError(f"{self} must have a value in every row; {which}{f', or {offer}' if remedy else ''}")

    def __str__(self) -> str:
        return f"the target {self.name} in {self.path}"

    def _known(self, labels: Sequence[Any]) -> list[Label]:
        """The distinct labels, sorted."""
        other = next((label for label in labels if not _is_label(label)), None)
        if other is not None:
            kinds = "text on one line, true or false, or numbers of 64 bits"
            raise DataError(f"{self} must be {kinds}; got {quote_if_needed(other)}")
        known = sorted(dict.fromkeys(labels), key=_sort_key)
        self._check_spelling(known)
        return known

    def _classes(self, labels: Sequence[Any]) -> list[Label]:
        """The two classes among the labels, sorted."""
        classes = self._known(labels)
        if len(classes) != 2:
            first = ", ".join(map(quote_if_needed, classes[:MAX_CLASSES])) + (", ..." if len(classes) > MAX_CLASSES else "")
            hint = "; data.positive=[LABEL, ...] makes one class of some, and the other of the rest" if len(classes) > 2 else ""
            raise DataError(f"{self} must have two classes; got {len(classes)}{f': {first}' if classes else ''}{hint}")
        return classes

    def _check_spelling(self, classes: Sequence[Label]) -> None:
        """Raises DataError for labels that a person would take for one: `yes` and `Yes `, `1` and `1.0`, or an accent's two
        spellings. Case may tell labels apart where data.positive lists them."""
        fold = str.casefold if isinstance(self.positive, str) else str
        known: dict[Any, Label] = {}
        for label in classes:
            text = _visible(str(label))
            same = known.setdefault(float(text) if _is_numeric(text) else fold(text), label)
            if same is not label:
                is_case = _visible(str(same)) != text and not _is_numeric(text)
                show = ascii if _visible(str(same)) == text and not _is_numeric(text) else quote
                rule = f"the labels of {self} must differ in more than case, spaces or the spelling of a number"
                remedy = f": where case matters, data.positive=[{quote_if_needed(label)}] says so" if is_case else ""
                raise DataError(f"{rule}; got {show(same)} and {show(label)}{remedy}")

    def _find_positive(self, given: str, classes: Sequence[Label]) -> Label:
        """The class that data.positive names: by its text or, where none has this text, by its number or apart from case."""
        matches: tuple[Callable[[Any], bool], ...] = (
            lambda label: str(label) == given,
            lambda label: _is_numeric(label) and _is_numeric(given) and float(label) == float(given),
            lambda label: str(label).strip().casefold() == given.strip().casefold(),
        )
        for match in matches:
            if len(found := [label for label in classes if match(label)]) == 1:
                return found[0]
        raise DataError(f"data.positive must be one of {join_limited([*map(quote_if_needed, classes)])}; got {given}")


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


def _joined(labels: Sequence[Label]) -> Label:
    """The name of a class of several labels."""
    text = " or ".join(map(str, labels))
    return labels[0] if len(labels) == 1 else text if len(text) <= MAX_VALUE else f"{labels[0]} or {len(labels) - 1} others"


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
