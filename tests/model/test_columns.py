"""Cells as arrays, whatever holds them."""

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.model.columns import Codes, Column, InvalidCell, read_cells

NAN, NAT = np.nan, np.datetime64("NaT")
NOON = datetime.datetime(2024, 5, 6, 12)
MICROSECONDS = "datetime64[us]"


def column(kind: str, cells_type: str) -> Column:
    return Column("x", kind, cells_type, 0, 0, "")


NUMBERS: dict[str, Any] = {  # 3, missing, 1
    "floats": np.array([3.0, NAN, 1.0]),
    "objects": np.array([3, None, True], object),
    "a list": [Decimal(3), None, "1.0"],
    "a frame's": pd.Series([3.0, None, 1.0]),
    "nullable": pd.Series([3, None, 1], dtype="Int64"),
    "mixed": pd.Series([3, pd.NA, np.float32(1)], dtype=object),
    "text": pd.Series(["3", None, " 1e0 "]),
    "categorical": pd.Series([3.0, None, 1.0], dtype="category"),
    "sparse": pd.Series([3.0, NAN, 1.0]).astype(pd.SparseDtype(float)),
    "pyarrow": pa.array([3, None, 1]),
    "chunks": pa.chunked_array([[3.0], [None, 1.0]]),
    "decimals": pa.array([Decimal(3), None, Decimal(1)], pa.decimal128(5, 2)),
    "pyarrow's text": pa.array(["3", None, "1"]),
    "pyarrow in pandas": pd.Series([3, None, 1], dtype="int64[pyarrow]"),
    "masked": np.ma.masked_array([3.0, 9.0, 1.0], [False, True, False]),
}
DATES: dict[str, Any] = {  # noon of a day, missing, the next day
    "datetimes": [NOON, None, datetime.date(2024, 5, 7)],
    "ISO": ["2024-05-06T12:00:00", None, "2024-05-07"],
    "spaces": pa.array(["2024-05-06 12:00", None, " 2024-05-07 "]),
    "offsets": ["2024-05-06T14:00:00+02:00", None, "2024-05-07T00:00:00Z"],
    "timestamps": pd.Series([pd.Timestamp(NOON), pd.NaT, pd.Timestamp(2024, 5, 7)]),
    "objects": pd.Series([pd.Timestamp(NOON), pd.NaT, pd.Timestamp(2024, 5, 7)], dtype=object),
    "nanoseconds": pd.Series([pd.Timestamp(NOON), pd.NaT, pd.Timestamp(2024, 5, 7)]).astype("datetime64[ns]"),
    "zoned": pd.Series([pd.Timestamp(NOON), pd.NaT, pd.Timestamp(2024, 5, 7)])
    .dt.tz_localize("UTC")
    .dt.tz_convert("Asia/Tokyo"),
    "arrays": np.array([np.datetime64("2024-05-06T12"), NAT, np.datetime64("2024-05-07T00")]),
    "pyarrow": pa.array([NOON, None, datetime.datetime(2024, 5, 7)], pa.timestamp("ms")),
    "pyarrow in pandas": pd.Series([NOON, None, datetime.datetime(2024, 5, 7)], dtype=pd.ArrowDtype(pa.timestamp("us"))),
}
TEXTS: dict[str, Any] = {  # b, missing, a
    "a list": ["b", None, "a"],
    "spaces": ["b ", " ", " a"],
    "spaces in a frame": pd.Series([" b", "", "a"]),
    "spaces in pyarrow": pa.array([" b", "", "a"]),
    "objects": np.array(["b", NAN, "a"], object),
    "a frame's": pd.Series(["b", None, "a"]),
    "of objects": pd.Series(["b", None, "a"], dtype=object),
    "categorical": pd.Series(["b", None, "a"], dtype="category"),
    "pyarrow": pa.array(["b", None, "a"]),
    "large": pa.array(["b", None, "a"], pa.large_string()),
    "a dictionary": pa.array(["b", None, "a"]).dictionary_encode(),
    "chunks": pa.chunked_array([pa.array(["b"]).dictionary_encode(), pa.array([None, "a"]).dictionary_encode()]),
    "a dictionary with null": pa.DictionaryArray.from_arrays(pa.array([1, 0, 2]), pa.array([None, "b", "a"])),
    "pyarrow in pandas": pd.Series(["b", None, "a"], dtype="string[pyarrow]"),
}


@pytest.mark.parametrize("form", NUMBERS)
@pytest.mark.parametrize("cells_type", ["number", "integer"])
def test_numbers(form: str, cells_type: str) -> None:
    got = read_cells(column("number", cells_type), NUMBERS[form])
    assert isinstance(got, np.ndarray)
    assert np.array_equal(got, [3, NAN, 1], equal_nan=True)


@pytest.mark.parametrize(
    "given",
    [[True, None, False], [1, None, 0.0], ["true", None, "FALSE"], pa.array([True, None, False])]
    + [pd.Series([True, None, False], dtype=kind) for kind in ("boolean", object)],
)
def test_booleans(given: Any) -> None:
    got = read_cells(column("boolean", "boolean"), given)
    assert isinstance(got, np.ndarray)
    assert np.array_equal(got, [1, NAN, 0], equal_nan=True)


@pytest.mark.parametrize("form", DATES)
def test_dates(form: str) -> None:
    got = read_cells(column("date", "date"), DATES[form])
    assert isinstance(got, np.ndarray)
    assert got.dtype == MICROSECONDS
    assert np.array_equal(got, np.array(["2024-05-06T12", "NaT", "2024-05-07"], MICROSECONDS), equal_nan=True)


def texts(cells: Any) -> list[str | None]:
    assert isinstance(cells, Codes)
    return [None if i < 0 else cells.values[i] for i in cells.positions.tolist()]


@pytest.mark.parametrize("form", TEXTS)
@pytest.mark.parametrize("kind", ["category", "text"])
def test_texts(form: str, kind: str) -> None:
    assert texts(read_cells(column(kind, "text"), TEXTS[form])) == ["b", None, "a"]


@pytest.mark.parametrize(
    ("cells_type", "given", "expected"),
    [
        ("integer", [501, 501.0, "501", "n/a", None], ["501", "501", "501", "n/a", None]),
        ("integer", pd.Series([501, None]), ["501", None]),
        ("number", pa.array([1.5, None, 2.0]), ["1.5", None, "2"]),
        ("boolean", [True, 0, "true", None], ["true", "false", "true", None]),
        ("date", [NOON, "2024-05-07", None], ["2024-05-06T12:00:00.000000", "2024-05-07", None]),
    ],
)
def test_levels_that_are_no_text_are_written_in_one_way(cells_type: str, given: Any, expected: list[Any]) -> None:
    assert texts(read_cells(column("category", cells_type), given)) == expected


@pytest.mark.parametrize(
    ("kind", "cells_type", "given", "row"),
    [
        ("number", "number", ["1", None, "abc"], 2),
        ("number", "number", [1.0, np.inf], 1),
        ("number", "number", pa.array([1.0, np.inf]), 1),
        ("number", "integer", pa.array(["1", "x"]).dictionary_encode(), 1),
        ("number", "number", [1, [2]], 1),
        ("number", "number", pd.Series([pd.Timestamp(NOON)]), 0),
        ("number", "number", [1, 10**400], 1),
        ("boolean", "boolean", [True, 2], 1),
        ("boolean", "boolean", [True, "often"], 1),
        ("date", "date", [NOON, "yesterday"], 1),
        ("date", "date", ["2024-05-06", "05/06/2024"], 1),
        ("date", "date", ["2024-05-06", "0001-01-01T00:00:00+14:00"], 1),
        ("date", "date", np.array([NAN, 20240506]), 1),
        ("category", "text", ["a", 5], 1),
        ("category", "text", pd.Series([5]), 0),
        ("text", "text", np.array([NOON], MICROSECONDS), 0),
        ("category", "text", ["a", True], 1),
        ("category", "integer", [501, [1]], 1),
    ],
)
def test_the_first_cell_of_another_type_is_named(kind: str, cells_type: str, given: Any, row: int) -> None:
    with pytest.raises(InvalidCell) as raised:
        read_cells(column(kind, cells_type), given)
    assert raised.value.row == row


def test_decimals_are_the_numbers_that_they_are_nearest_to() -> None:
    cents = [Decimal(cent) / 100 for cent in range(10_000)]
    got = read_cells(column("number", "number"), pa.array(cents, pa.decimal128(9, 2)))
    assert isinstance(got, np.ndarray)
    assert got.tolist() == [*map(float, cents)]


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
def test_durations_are_seconds(unit: str) -> None:
    expected, spans = [90.0, NAN, 3600.0], np.array([90, "NaT", 3600], "timedelta64[s]").astype(f"timedelta64[{unit}]")
    objects = [datetime.timedelta(seconds=90), None, pd.Timedelta(hours=1)]
    for given in (spans, pd.Series(spans), pa.array(spans), [*spans], objects):
        got = read_cells(column("number", "number"), given)
        assert isinstance(got, np.ndarray)
        assert np.array_equal(got, expected, equal_nan=True)


def test_times_of_day_are_text() -> None:
    times = [datetime.time(9, 5), None, datetime.time(0, 0, 1, 500_000)]
    for given in (times, pd.Series(times), pa.array(times), pa.array(times, pa.time64("us"))):
        assert texts(read_cells(column("category", "text"), given)) == ["09:05:00", None, "00:00:01.500000"]


@pytest.mark.parametrize("given", [[None, None], np.array([NAN, NAN]), pa.nulls(2), pd.Series([None, None])])
@pytest.mark.parametrize("kind", ["number", "boolean", "date", "category", "text"])
def test_all_may_be_missing(given: Any, kind: str) -> None:
    cells = read_cells(column(kind, "text" if kind == "category" else kind), given)
    assert texts(cells) == [None, None] if isinstance(cells, Codes) else pd.isna(cells).all()


@pytest.mark.parametrize(
    "given",
    [[1, -999, "-999.0", "n/a", None, 3], pa.array([1, -999, -999.0, None, None, 3]), np.array([1, -999, -999, NAN, -999, 3])],
)
def test_what_stands_for_a_missing_value_is_missing(given: Any) -> None:
    missing = ["n/a", "-999"]
    numbers = read_cells(column("number", "number"), given, missing)
    assert isinstance(numbers, np.ndarray)
    assert np.array_equal(numbers, [1, NAN, NAN, NAN, NAN, 3], equal_nan=True)
    assert texts(read_cells(column("category", "integer"), given, missing)) == ["1", None, None, None, None, "3"]
    assert texts(read_cells(column("category", "text"), ["a", " n/a", "-999", "NA"], missing)) == ["a", None, None, "NA"]


def test_equal_hashes_are_no_equal_cells() -> None:
    """1, 1.0 and True are the same keys of a dictionary."""
    assert texts(read_cells(column("category", "integer"), [1, "1", 1.0])) == ["1", "1", "1"]
    with pytest.raises(InvalidCell):
        read_cells(column("category", "text"), ["1", 1])
