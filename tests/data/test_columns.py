"""Columns become typed: of the whole file's cells, with nothing rounded, and what cannot be used is named with its place."""

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.data.columns import first_rounded
from pipeline.errors import PipelineError
from tests.data.tables import AGES, LABELS, ROWS, cells, csv_text, kinds, load, refusal, types

REPEATED = ["red", "red", "blue"] * (ROWS // 3)


@pytest.mark.parametrize(("cell", "found"), [("n.a.", "text"), ("1.75", "number"), ("007", "number"), ("1,5", "text")])
def test_types_come_from_the_whole_file(tmp_path: Path, cell: str, found: str) -> None:
    rows = 300_000
    column: list[Any] = ["1.5", "12", "3", "4.25"] * (rows // 4)
    column[rows - 10] = f'"{cell}"'
    data = load(tmp_path, csv_text("a,q,y", ["2", "3"] * (rows // 2), column, [0, 0, 1, 1] * (rows // 4)))
    assert types(data) == {"a": "integer", "q": found}
    assert cells(data, "q").count(cell if found == "text" else float(cell)) == 1


@pytest.mark.parametrize(
    ("last", "found"), [("12", "integer"), ("1.5", "number"), ("007", "text"), ("0x10", "text"), ("x", "text"), ("", "integer")]
)
def test_integers_that_end_otherwise(tmp_path: Path, last: str, found: str) -> None:
    rows = 300_000
    column = [*(str(i % 1000) for i in range(rows - 1)), last]
    assert types(load(tmp_path, csv_text("q,y", column, [0, 0, 1, 1] * (rows // 4))))["q"] == found


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("-inf", "must be finite .*: q; line 9 has '-inf' in q"),
        ("1e400", "must be finite .*: q; line 9 has '1e400' in q"),
        ('"1,234"', "a comma in numbers must mean one thing .* line 9 has '1,234' in q: set data.csv.decimal=comma or"),
        ("9007199254740993", "integers must be exact as float64 .*: q; line 9 has '9007199254740993' in q"),
        ("123456789012345678901", "integers must be exact as float64 .*: q; line 9 has '123456789012345678901' in q"),
    ],
)
def test_a_cell_that_is_no_number_is_named_with_its_line(tmp_path: Path, cell: str, sentence: str) -> None:
    content = csv_text("a,q,y", AGES, [*AGES[:7], cell, *AGES[8:]], LABELS)
    with pytest.raises(PipelineError, match=sentence):
        load(tmp_path, content)
    assert load(tmp_path, content, drop=["q"]).features == ["a"]


@pytest.mark.parametrize("cell", ["0x10", "1_0", "True", '"a\nb"', "12%", "$5", "1,2,3"])
def test_a_cell_that_is_no_number_makes_a_column_text(tmp_path: Path, cell: str) -> None:
    content = csv_text("a,q,y", AGES, [*AGES[:7], f'"{cell.strip(chr(34))}"', *AGES[8:]], LABELS)
    assert types(load(tmp_path, content, keep=["q"])) == {"a": "integer", "q": "text"}
    told = refusal(tmp_path, content, kinds={"q": "number"})
    assert "every cell of q must be of the kind number in" in told
    assert "line 9 has " in told


@pytest.mark.parametrize("cell", ["", "NA", "nan", "?", "-", " NA ", "null", "."])
def test_a_missing_number(tmp_path: Path, cell: str) -> None:
    data = load(tmp_path, csv_text("a,q,y", AGES, [*AGES[:7], cell, *AGES[8:]], LABELS))
    assert types(data) == {"a": "integer", "q": "integer"}
    assert cells(data, "q")[-1] is None


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    numbers = ["+1.5", " 2", "3 ", "4.", ".5", "6e0", "-7E-1", "08", "0.1", "1e-400", "123456789012345678", "-0"]
    content = csv_text("q,t,y", numbers, ["True", "false"] * 6, LABELS)
    data = load(tmp_path, content, keep=["q"])
    assert cells(data, "q") == sorted(map(float, numbers))
    assert types(data) == {"q": "number", "t": "boolean"}


@pytest.mark.parametrize(
    ("kind", "written", "found"),
    [
        ("category", ["01", "1.0", "2"], ["01", "1.0", "2"]),
        ("number", ["01", "1.0", "2"], [1, 1, 2]),
        ("date", ["2020-01-02", "2020-02-03", "2021-01-01"], "2020-01-02 00:00:00"),
        ("boolean", ["true", "false", "true"], [False, True, True]),
    ],
)
def test_the_kind_that_a_column_is_told_to_have(tmp_path: Path, kind: str, written: list[str], found: Any) -> None:
    data = load(tmp_path, csv_text("a,q,y", AGES, written * (ROWS // 3), LABELS), kinds={"q": kind})
    assert kinds(data)["q"] == kind
    if kind == "date":
        assert str(cells(data, "q")[0]) == found
    else:
        assert cells(data, "q")[:: ROWS // 3] == found
    content = csv_text("a,q,y", AGES, [*REPEATED[:-1], "green"], LABELS)
    if kind != "category":
        assert f"every cell of q must be of the kind {kind} in" in refusal(tmp_path, content, kinds={"q": kind})
        assert "line 2 has 'red' in q" in refusal(tmp_path, content, kinds={"q": kind})


def test_integers_that_float64_rounds() -> None:
    assert first_rounded(pa.chunked_array([[2**53, 2**53 + 2, -(2**53), None]])) == -1
    assert first_rounded(pa.chunked_array([[1, None, 2**53 + 1]])) == 2
    assert first_rounded(pa.chunked_array([[None, None]], pa.int64())) == -1


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
    assert cells(data, "a") == sorted(age / 4 for age in AGES)


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (pa.array([*AGES[:-1], 2**64 - 1], pa.uint64()), "must be exact as float64 .*: a; row 12 has '18446744073709551615'"),
        (pa.array([[1]] * ROWS), r"columns must hold one value in a cell in .*; a holds list<.*>: data.drop=\[NAME\]"),
        (pa.nulls(ROWS), r"no column beside the target y .* a \(empty in every row\)"),
    ],
    ids=lambda column: str(getattr(column, "type", "")),
)
def test_a_parquet_column_that_cannot_be_a_feature(tmp_path: Path, column: Any, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        load(tmp_path, pa.table({"a": column, "y": LABELS}))
    assert load(tmp_path, pa.table({"a": column, "b": AGES, "y": LABELS}), drop=["a"]).features == ["b"]


DAY = datetime.datetime(2020, 1, 2)


@pytest.mark.parametrize(
    ("column", "found", "first"),
    [
        (pa.array([*AGES[:-1], None]), "integer", 29),
        (pa.array([datetime.date(2020, 1, 2 + i % 3) for i in range(ROWS)]), "date", DAY),
        (pa.array([DAY] * 6 + [None] * 6, pa.timestamp("ns", "Europe/Berlin")), "date", DAY),
        (pa.array([None, "x", "y"] * 4), "text", "x"),
        (pa.array(REPEATED).dictionary_encode(), "text", "blue"),
        (pa.array([b"x", b"y"] * 6), "text", "x"),
        (pa.array(REPEATED, pa.large_string()), "text", "blue"),
        (pa.array([True, None, False] * 4), "boolean", False),
        (pa.array([Decimal(age) for age in AGES]), "integer", 27),
        (pa.array([datetime.timedelta(seconds=age) for age in AGES]), "number", 27.0),
        (pa.array([datetime.time(age % 3) for age in AGES]), "text", "00:00:00"),
    ],
    ids=lambda column: str(getattr(column, "type", "")),
)
def test_types_of_parquet(tmp_path: Path, column: Any, found: str, first: Any) -> None:
    data = load(tmp_path, pa.table({"a": column, "y": LABELS}))
    assert types(data) == {"a": found}
    assert cells(data, "a")[0] == first


def test_fields_of_structs_are_columns(tmp_path: Path) -> None:
    home = pa.array([{"town": town, "place": {"lat": age}} for town, age in zip(REPEATED, AGES, strict=True)])
    data = load(tmp_path, pa.table({"home": home, "y": LABELS}))
    assert types(data) == {"home.town": "text", "home.place.lat": "integer"}
    assert cells(data, "home.place.lat") == sorted(AGES)


def test_words_that_mean_missing_can_be_chosen(tmp_path: Path) -> None:
    labels = ["EU", "NA"] * 6
    assert load(tmp_path, csv_text("a,y", AGES, labels), missing_values=[]).classes == ("EU", "NA")
    gap = csv_text("a,y", [*AGES[:-1], -9], LABELS)
    for word in ("-9", "-9.0"):
        assert cells(load(tmp_path, gap, missing_values=[word]), "a") == [*sorted(AGES[:-1]), None]
    assert cells(load(tmp_path, gap), "a") == [-9, *sorted(AGES[:-1])]
    coded = csv_text("a,y", AGES, [0, 1, "2.0"] * 4)
    assert "4 are missing, the first in line 4: 2.0 is read as missing" in refusal(tmp_path, coded, missing_values=["2"])
    stored = pa.table({"a": AGES, "y": LABELS})
    assert "missing_values must be null for a Parquet file" in refusal(tmp_path, stored, missing_values=["27"])
    assert load(tmp_path, stored, missing_values=[]).features == ["a"]
