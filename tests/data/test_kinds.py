"""What columns are recognised as, and what is left out."""

import datetime
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.data.kinds import kinds_table, left_out, recognise
from pipeline.errors import DataError
from pipeline.model.columns import Column

ROWS = 100
RNG = np.random.default_rng(0)
WORDS = ["paid", "late", "refund", "asked", "left"]
START = datetime.datetime(2024, 1, 31)
KINDS: dict[str, tuple[Any, str, str]] = {  # cells, kind and reason
    "counting": (pa.array(range(ROWS)), "identifier", "counts the rows"),
    "counting from 7": (pa.array(range(7, ROWS + 7)), "identifier", "counts the rows"),
    "shuffled": (pa.array(RNG.permutation(ROWS) + 5000), "identifier", "numbers the rows"),
    "customer_id": (pa.array(RNG.choice(10**6, ROWS, replace=False)), "identifier", "another number in every row"),
    "customerID": (pa.array(RNG.choice(10**6, ROWS, replace=False)), "identifier", "another number in every row"),
    "ID": (pa.array(RNG.integers(0, 60, ROWS)), "identifier", "named as what only names the rows"),
    "region_id": (pa.array(RNG.integers(0, 60, ROWS)), "number", ""),
    "rownames": (
        pa.array([f"Allen, Miss Elisabeth {i}" for i in range(ROWS)]),
        "identifier",
        "named as what only names the rows",
    ),
    "paid": (pa.array(RNG.choice(10**6, ROWS, replace=False)), "number", ""),
    "income": (pa.array(RNG.random(ROWS)), "number", ""),
    "age": (pa.array([None, *RNG.integers(18, 90, ROWS - 1).tolist()], pa.int64()), "number", ""),
    "member": (pa.array([None, *([True, False] * ROWS)[: ROWS - 1]]), "boolean", ""),
    "signup": (pa.array([START + datetime.timedelta(days=i) for i in range(ROWS)], pa.timestamp("us")), "date", ""),
    "code": (pa.array([f"A{i:03}" for i in range(ROWS)]), "identifier", "another value in every row"),
    "nearly": (pa.array([f"A{max(i, 3)}" for i in range(ROWS)]), "identifier", "another value in nearly every row"),
    "job": (pa.array(RNG.choice(["nurse", "cook", "fire fighter"], ROWS)), "category", ""),
    "town": (pa.array(RNG.choice([f"t{i}" for i in range(9)], ROWS)).dictionary_encode(), "category", ""),
    "answer": (pa.array(RNG.choice(["I do agree with it", "I do not agree with it"], ROWS)), "category", ""),
    "flag": (pa.array(["Y" if i % 3 else None for i in range(ROWS)]), "category", ""),
    "notes": (pa.array([" ".join([*RNG.choice(WORDS, 3), str(i)]) for i in range(ROWS)]), "text", ""),
    "one": (pa.array([1] * ROWS), "constant", "the same in every row"),
    "empty": (pa.array([None] * ROWS, pa.string()), "constant", "empty in every row"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_column_is_recognised(name: str) -> None:
    cells, kind, reason = KINDS[name]
    (column,) = recognise(pa.table({name: cells}))
    assert (column.name, column.kind, column.reason) == (name, kind, reason)
    assert column.is_used == (not reason)


def test_what_is_known_of_a_column() -> None:
    table = pa.table({"age": pa.chunked_array([[None, 3], [3, 40]]), "town": pa.chunked_array([["a"], ["b", "a", None]])})
    assert recognise(table) == [
        Column("age", "number", "integer", 1, 2, "3"),
        Column("town", "category", "text", 1, 2, "a"),
    ]
    chunks = pa.chunked_array([pa.array(["a"]).dictionary_encode(), pa.array(["b", "a", None]).dictionary_encode()])
    assert recognise(pa.table({"town": chunks})) == [Column("town", "category", "text", 1, 2, "a")]


def test_a_duplicate_is_named_with_its_twin() -> None:
    job = KINDS["job"][0]
    table = pa.table({"job": job, "work": job.dictionary_encode(), "other": pa.array(job.to_pylist()[::-1])})
    first, second, third = recognise(table)
    assert (first.kind, second.kind, second.reason) == ("category", "duplicate", "the same as job")
    assert third.kind == "category"
    assert left_out([first, second]) == "work (the same as job)"
    assert [column.kind for column in recognise(table, keep=["work"])] == ["category"] * 3


def test_kinds_that_are_told_hold() -> None:
    table = pa.table(
        {"zip": pa.array([501, 502] * 50), "code": pa.array([f"A{i}" for i in range(ROWS)]), "n": pa.array(range(ROWS))}
    )
    told = {"zip": "category", "code": "category", "n": "number"}
    assert [column.kind for column in recognise(table, told)] == [*told.values()]
    assert recognise(table, {"zip": "identifier"})[0].reason == "data.kinds says so"
    kept = recognise(table, keep=["code", "n"], labels={"zip": "has no name"})
    assert [(column.kind, column.reason) for column in kept] == [
        ("identifier", "has no name"),
        ("category", ""),
        ("number", ""),
    ]
    for kinds, sentence in (
        ({"code": "number"}, r"data.kinds=\{code: number\} must fit the column; its cells are read as text, such as A0"),
        ({"zip": "date"}, r"data.kinds=\{zip: date\} must fit the column; its cells are read as numbers, such as 501"),
        ({"zip": "colour"}, "data.kinds must be of number, boolean, category, date, text, identifier; got colour for zip"),
    ):
        with pytest.raises(DataError, match=sentence):
            recognise(table, kinds)


def test_codes_that_are_told_to_be_categories_are_numbers_where_they_are_written_as_such() -> None:
    table = pa.table({"zip": pa.array(["501", "7"]), "padded": pa.array(["0501", "7"])})
    assert [column.type for column in recognise(table, {"zip": "category", "padded": "category"})] == ["integer", "text"]


@pytest.mark.parametrize(
    ("texts", "cells_type"),
    [
        (["1.0", "2.0", None], "number"),
        (["1", "2.5", "-3.25"], "number"),
        (["1", "1.0"], "text"),
        (["1.0", "02.0"], "text"),
        (["1.0", "A"], "text"),
        (["True", "False"], "boolean"),
        (["True", "true"], "text"),
    ],
)
def test_the_type_of_levels(texts: list[str | None], cells_type: str) -> None:
    """So that a frame's numbers are the levels that pandas wrote as 1.0, because of a gap."""
    (column,) = recognise(pa.table({"grade": pa.array(texts)}), {"grade": "category"})
    assert (column.kind, column.type) == ("category", cells_type)


def test_the_order_of_the_columns_is_the_table_s_and_left_out_ones_are_shown_last() -> None:
    names = ["code", "income", "one", "age", "job", "signup", "notes"]
    columns = recognise(pa.table({name: KINDS[name][0] for name in names}))
    assert [column.name for column in columns] == names
    header, rows = kinds_table(columns)
    assert header == ["column", "kind", "missing", "distinct", "example", "becomes"]
    assert {row[0]: row[-1] for row in rows} == {
        "income": "1 feature",
        "age": "2 features, one for what is missing",
        "job": "up to 3 features",
        "signup": "year, month, weekday, hour, as far as they vary",
        "notes": "its words",
        "code": "left out: another value in every row",
        "one": "left out: the same in every row",
    }
    assert [row[0] for row in rows][-2:] == ["code", "one"]


def test_many_alike_columns_are_compared_at_once() -> None:
    cells = {f"x{i}": pa.array(np.r_[0, 1, RNG.integers(0, 2, 98)]) for i in range(2000)}
    cells |= {"again": cells["x7"], "gap": pa.array([None, *cells["x7"].to_pylist()[1:]])}
    started = time.process_time()
    columns = {column.name: column for column in recognise(pa.table(cells))}
    assert time.process_time() - started < 5
    assert columns["again"].reason == "the same as x7"
    assert columns["gap"].is_used


@pytest.mark.parametrize("name", ["income", "age", "member", "signup", "job", "town", "notes"])
def test_a_duplicate_of_any_kind_is_found_in_whatever_chunks(name: str) -> None:
    cells = KINDS[name][0]
    chunks = pa.chunked_array([cells[:30], cells[30:]])
    assert [column.kind for column in recognise(pa.table({"a": cells, "b": chunks}))][1] == "duplicate"
    changed = cells.take(pa.array(range(99, -1, -1)))
    assert not changed.equals(cells)
    assert [column.kind for column in recognise(pa.table({"a": cells, "b": changed}))][1] != "duplicate"
