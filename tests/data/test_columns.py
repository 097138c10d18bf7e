"""Columns become numbers, and the first cell that is none is named with its place."""

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import PipelineError
from tests.data.tables import AGES, LABELS, ROWS, all_rows, csv_text, load, refusal


def test_types_come_from_the_whole_file(tmp_path: Path) -> None:
    rows = 60_000
    column: list[Any] = ["1.5"] * rows
    column[50_000] = "n.a."
    refused = refusal(tmp_path, csv_text("a,q3,y", ["2"] * rows, column, [0, 1] * (rows // 2)))
    assert "columns must be numeric in" in refused
    assert "these are not: q3; line 50002 has 'n.a.' in q3" in refused


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("", "must have no missing values .*: q; line 9 has nothing in q"),
        ("NA", "must have no missing values .*: q; line 9 has 'NA' in q"),
        ("nan", "must have no missing values .*: q; line 9 has 'nan' in q"),
        ("-inf", "must be finite .*: q; line 9 has '-inf' in q"),
        ("1e400", "must be finite .*: q; line 9 has '1e400' in q"),
        ('"1,234"', "must be numeric .*: q; line 9 has '1,234' in q"),
        ("0x10", "must be numeric .*: q; line 9 has '0x10' in q"),
        ("1_0", "must be numeric .*: q; line 9 has '1_0' in q"),
        ("True", "must be numeric .*: q; line 9 has 'True' in q"),
        ('"a\nb"', r"must be numeric .*: q; line 9 has 'a\\nb' in q"),
        ("9007199254740993", "integers must be exact as float64 .*: q; line 9 has '9007199254740993' in q"),
    ],
)
def test_a_cell_that_is_no_number_is_named_with_its_line(tmp_path: Path, cell: str, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        load(tmp_path, csv_text("a,q,y", AGES, [*AGES[:7], cell, *AGES[8:]], LABELS))


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    cells = ["+1.5", " 2", "3 ", "4.", ".5", "6e0", "-7E-1", "08", "0.1", "1e-400", "123456789012345678", "-0"]
    data = load(tmp_path, csv_text("q,t,y", cells, ["True", "false"] * 6, LABELS), keep=["q"])
    assert sorted(all_rows(data)[:, 0]) == sorted(map(float, cells))
    assert set(all_rows(data)[:, 1]) == {0, 1}


@pytest.mark.parametrize(
    "column",
    [
        pa.array([Decimal(age) / 4 for age in AGES]),
        pa.array([Decimal(age) / 4 for age in AGES], pa.decimal256(60, 3)),
        pa.array([age / 4 for age in AGES]).dictionary_encode(),
        pa.array(np.array(AGES, np.float16) / 4),
    ],
    ids=lambda column: str(column.type),
)
def test_numbers_of_every_kind_in_parquet(tmp_path: Path, column: Any) -> None:
    data = load(tmp_path, pa.table({"a": column, "y": LABELS}))
    assert sorted(all_rows(data)[:, 0]) == sorted(age / 4 for age in AGES)


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (pa.array([*AGES[:-1], None]), "must have no missing values .*: a; row 12 has nothing in a"),
        (pa.array([*AGES[:-1], 2**64 - 1], pa.uint64()), "must be exact as float64 .*: a; row 12 has '18446744073709551615'"),
        (pa.array([datetime.date(2020, 1, 2)] * ROWS), "must be numeric .*: a; row 1 has '2020-01-02' in a"),
        (pa.array([[1]] * ROWS), r"must be numeric .*: a; row 1 has '\[1\]' in a"),
        (pa.array([None, "x"] * 6), "must be numeric .*: a; row 2 has 'x' in a"),
        (pa.nulls(ROWS), "must have no missing values .*: a; row 1"),
    ],
    ids=lambda column: str(getattr(column, "type", "")),
)
def test_a_parquet_column_that_cannot_be_a_feature(tmp_path: Path, column: Any, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        load(tmp_path, pa.table({"a": column, "b": AGES, "y": LABELS}))


def test_words_that_mean_missing_can_be_chosen(tmp_path: Path) -> None:
    labels = ["EU", "NA"] * 6
    assert load(tmp_path, csv_text("a,y", AGES, labels), missing_values=[]).classes == ("EU", "NA")
    gap = csv_text("a,y", [*AGES[:-1], -9], labels)
    for word in ("-9", "-9.0"):
        assert "line 13 has '-9' in a" in refusal(tmp_path, gap, missing_values=[word])
    coded = csv_text("a,y", AGES, [0, 1, "2.0"] * 4)
    assert "4 are missing, the first in line 4: 2.0 is read as missing" in refusal(tmp_path, coded, missing_values=["2"])
    stored = pa.table({"a": AGES, "y": LABELS})
    assert "missing_values must be null for a Parquet file" in refusal(tmp_path, stored, missing_values=["27"])
    assert load(tmp_path, stored, missing_values=[]).features == ["a"]
