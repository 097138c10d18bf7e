"""What gives a label away: held to the definition, row by row and column by column."""

import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from pipeline.data.dataset import Dataset, Split
from pipeline.data.leaks import leaks, repeated_rows, separating_columns
from pipeline.data.sources.breast_cancer import BreastCancer
from pipeline.data.sources.document import Textbook


@st.composite
def parts(draw: st.DrawFn) -> tuple[Split, Split]:
    """Few values, so that rows repeat and columns separate; negative zeros and empty rows among them."""
    d = draw(st.integers(1, 3))
    values = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5])
    made = []
    for rows in (draw(st.integers(1, 8)), draw(st.integers(1, 5))):
        X = np.array(draw(st.lists(st.lists(values, min_size=d, max_size=d), min_size=rows, max_size=rows)))
        made.append(Split(X, np.array(draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=rows, max_size=rows)))))
    return made[0], made[1]


def table(part: Split) -> Split:
    return Split(pa.table({f"c{i}": column for i, column in enumerate(part.X.T)}), part.y)


def sparse(part: Split) -> Split:
    return Split(csr_array(part.X), part.y)


@settings(max_examples=150, deadline=None)
@given(parts())
def test_both_are_what_their_definitions_say(pair: tuple[Split, Split]) -> None:
    train, test = pair
    known = {(*(row + 0.0), label) for row, label in zip(train.X.tolist() @ np.eye(train.X.shape[1]), train.y, strict=True)}
    expected = sum((*(row + 0.0), label) in known for row, label in zip(test.X, test.y, strict=True))
    zeros, ones = train.X[train.y == 0], train.X[train.y == 1]
    columns = [
        i
        for i in range(train.X.shape[1])
        if min(len(zeros), len(ones)) >= 2 and (zeros[:, i].max() < ones[:, i].min() or ones[:, i].max() < zeros[:, i].min())
    ]
    for ours, theirs in ((train, test), (sparse(train), sparse(test)), (table(train), table(test))):
        assert repeated_rows(ours, theirs).sum() == expected
        assert separating_columns(ours) == columns


@pytest.mark.parametrize("data", [Textbook().load(), BreastCancer().load()], ids=["document", "breast cancer"])
def test_the_bundled_data_have_none(data: Dataset) -> None:
    assert leaks(data) == []


def test_one_sentence_each() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((400, 3)), (rng.random(400) < 0.4).astype(float)
    X[:, 1] = y + rng.random(400) / 2
    X[390:], y[390:] = X[:10], y[:10]
    data = Dataset(["a", "b", "c"], "sick", (0, 1), Split(X[:300], y[:300]), Split(X[300:], y[300:]))
    column, rows = leaks(data)
    assert column == "b alone separates the classes of the training rows: is it known before sick is?"
    assert rows.startswith("10 of 100 test rows stand in the training part, too")
    X[:, 2] = -X[:, 1]
    assert leaks(data)[0].startswith("each of the columns b, c alone separates the classes")


def test_the_columns_of_a_table_by_their_types() -> None:
    y = np.array([0.0, 1.0] * 4)
    columns: dict[str, Any] = {
        "town": pa.array(["a", "b", "c", "d"] * 2).dictionary_encode(),  # no town has both
        "street": pa.array(["a", "b", "c", "c"] * 2),
        "died": pa.array([None, 3.0] * 4),
        "born": pa.array([None, 3.0, 1.0, None] * 2),
        "day": pa.array(np.arange(8) % 2, pa.timestamp("us")),
        "is": pa.array([True, False] * 4),
        "name": pa.array([*"abcdefgh"]),
    }
    part = Split(pa.table(columns), y)
    assert [[*columns][i] for i in separating_columns(part)] == ["town", "died", "day", "is"]
    other = Split(pa.table({**columns, "town": pa.array([*"abcx"] * 2), "born": pa.array([None, 3, 1, None] * 2)}), y)
    assert repeated_rows(part, other).sum() == 6


def test_rows_beyond_the_first_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.data.leaks.FIRST_ROWS", 4)
    y = np.array([0.0, 1.0] * 20)
    columns: dict[str, Any] = {
        "until the end": [*y[:-1], 0.0],
        "throughout": y,
        "few texts, each at first another": ["a", "b", "c", "d", *["a", "b"] * 18],
        "as many texts as rows": [str(i) for i in range(40)],
        "one text of both": ["a", "b"] * 19 + ["b", "b"],
        "missing of both": [None, 1.0] * 19 + [None, None],
        "missing of one": [None, 1.0] * 20,
    }
    found = separating_columns(Split(pa.table(columns), y))
    assert [[*columns][i] for i in found] == ["throughout", "few texts, each at first another", "missing of one"]


@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_a_large_table_takes_no_time(form: Any) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200_000, 40)), (rng.random(200_000) < 0.5).astype(float)
    X[-7:], y[-7:] = X[:7], y[:7]
    train, test = Split(form(X[:150_000]), y[:150_000]), Split(form(X[150_000:]), y[150_000:])
    started = time.process_time()
    assert separating_columns(train) == []
    assert repeated_rows(train, test).sum() == 7
    assert time.process_time() - started < 20
