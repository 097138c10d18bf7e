"""Columns that are text because of a few cells, or by the form of their dates: what is said of them."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.data.tables import csv_text, load

ROWS = 60
LABELS = [i % 3 % 2 for i in range(ROWS)]
NUMBERS: list[Any] = [i * i for i in range(ROWS)]
DAYS = [f"2024-{1 + i // 28:02}-{1 + i % 28:02}" for i in range(ROWS)]


def notes(folder: Path, column: list[Any], **options: Any) -> list[str]:
    return [
        note for note in load(folder, csv_text("a,y", column, LABELS), **options).notes if note.startswith("a is read as text")
    ]


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (
            [*NUMBERS[:-1], "n.a."],
            "since it has n.a. in line 61, and numbers elsewhere: .* 'data.missing_values=.n.a..' makes",
        ),
        (["low", *NUMBERS[:-2], "high"], "has low, high in 2 rows, the first in line 2, and numbers elsewhere"),
        (["0000-00-00", *DAYS[1:]], "since it has 0000-00-00 in line 2, and dates elsewhere"),
        ([f"${i}.50" for i in range(ROWS)], r"such as \$0.50: numbers must stand in the file without such signs"),
        ([f"{i} %" for i in range(ROWS)], "such as 0 %: numbers must stand"),
        (["1/3/11", "25/11/63"] * 30, "such as 1/3/11: data.csv.dates=%d/%m/%y"),
    ],
)
def test_what_makes_a_column_text_is_said(tmp_path: Path, column: list[Any], told: str) -> None:
    (note,) = notes(tmp_path, column, keep=["a"])
    assert re.search(told, note)


@pytest.mark.parametrize(
    "column",
    [
        NUMBERS,
        DAYS,
        [*[f"0{i}" for i in NUMBERS[:-1]], "A1"],
        [*NUMBERS[:30], *["unknown"] * 30],
        [*NUMBERS[:-5], "a", "b", "c", "d", "e"],
        ["cook", "nurse"] * 30,
    ],
)
def test_nothing_is_said_of_codes_and_words(tmp_path: Path, column: list[Any]) -> None:
    assert notes(tmp_path, column, keep=["a"]) == []


def test_a_kind_that_is_told_is_meant(tmp_path: Path) -> None:
    assert notes(tmp_path, [*NUMBERS[:-1], "A1"], kinds={"a": "category"}) == []
    data = load(tmp_path, csv_text("a,y", [*NUMBERS[:-1], "n.a."], LABELS), missing_values=["n.a."])
    assert data.train.X.schema.field("a").type == pa.int64()
