"""Columns of text that are almost something else: numbers or dates but for a few cells, or dates in a form of their own."""

import re
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.data.cells import are_numbers, factorize, is_padded, is_text, parse_date
from pipeline.data.columns import RawTable
from pipeline.text import join_limited, quote_if_needed

MIN_SHARE, MAX_ODD = 0.8, 3  # of the cells that have a value; distinct other cells
MAX_TRIED = 1000  # distinct cells by which most text is distinguished from dates
_SHORT_YEAR = re.compile(r"\d{1,2}([-/.])\d{1,2}\1\d{2}( .*)?", re.ASCII)
_WITH_SIGN = re.compile(r"[-+(]?[$€£¥₹] ?[\d.,' ]+\)?|[-+]?[\d.,' ]+[%$€£¥₹]", re.ASCII)


def odd_cells(table: RawTable, names: Sequence[str]) -> list[str]:
    """A sentence for each of these columns of a CSV file that is read as text, which settings may read otherwise."""
    found = ((name, table.columns[name]) for name in names)
    return [note for name, column in found if is_text(column) and (note := _note(table, name, column))]


def _note(table: RawTable, name: str, column: Any) -> str:
    distinct, positions = factorize(column)
    counts = np.bincount(positions[positions >= 0], minlength=len(distinct))
    texts = distinct[:MAX_TRIED].to_pylist()
    if texts and all(map(_SHORT_YEAR.fullmatch, texts)):
        shown = f"{quote_if_needed(name)} is read as text, such as {texts[0]}"
        return f"{shown}: data.csv.dates=%d/%m/%y, or another form, reads such dates"
    if texts and all(map(_WITH_SIGN.fullmatch, texts)):
        return f"{quote_if_needed(name)} is read as text, such as {texts[0]}: numbers must stand in the file without such signs"
    kinds = {"numbers": are_numbers(distinct, ".")}
    if 2 * sum(map(_is_date, texts)) > len(texts):
        kinds["dates"] = np.array([_is_date(text) for text in distinct.to_pylist()])
    for kind, of_kind in kinds.items():
        odd = np.flatnonzero(~of_kind)
        share = counts[of_kind].sum() / max(counts.sum(), 1)
        if share >= MIN_SHARE and 0 < len(odd) <= MAX_ODD and not is_padded(distinct.filter(pa.array(of_kind))):
            return _sentence(table, name, kind, distinct, positions, odd)
    return ""


def _sentence(
    table: RawTable, name: str, kind: str, distinct: Any, positions: NDArray[np.int64], odd: NDArray[np.int64]
) -> str:
    rows = np.flatnonzero(np.isin(positions, odd))
    texts = join_limited([quote_if_needed(distinct[i].as_py()) for i in odd.tolist()])
    where = table.locate(int(rows[0])) if len(rows) == 1 else f"{len(rows)} rows, the first in {table.locate(int(rows[0]))}"
    remedy = f"if that means missing, {shlex.quote(f'data.missing_values=[{texts}]')} makes it {kind}"
    return f"{quote_if_needed(name)} is read as text, since it has {texts} in {where}, and {kind} elsewhere: {remedy}"


def _is_date(text: str) -> bool:
    return any(parse_date(text, order) for order in "dm")
