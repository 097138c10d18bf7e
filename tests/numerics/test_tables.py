"""The user's own table: nothing in it is guessed, and each file that cannot be used ends in one sentence that says where."""

import csv
import datetime
import io
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.data import Dataset, Table
from pipeline.errors import PipelineError

ROWS = 12
LABELS = [i % 3 % 2 for i in range(ROWS)]
PIECES = ["1", "y", "a", ",", ",", "\n", "\n", '"', " ", "\r", "\t", "nan", "é", ";", "0", "-"]
AGES = [41, 38, 57, 29, 66, 38, 71, 45, 52, 33, 60, 27]


def text(header: str, *columns: list[Any], end: str = "\n") -> str:
    return end.join([header, *(",".join(map(str, row)) for row in zip(*columns, strict=True))]) + end


def load(folder: Path, content: str | bytes | pa.Table, **options: Any) -> Dataset:
    path = folder / ("t.parquet" if isinstance(content, pa.Table) else "t.csv")
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Table(**{"path": str(path), "target": "y", **options}).load()


def refusal(folder: Path, content: str | bytes | pa.Table, **options: Any) -> str:
    with pytest.raises(PipelineError) as refused:
        load(folder, content, **options)
    sentence = str(refused.value)
    assert "\n" not in sentence
    return sentence


def whole(data: Dataset) -> Any:
    assert isinstance(data.train.X, np.ndarray)
    assert isinstance(data.test.X, np.ndarray)
    return np.vstack([data.train.X, data.test.X])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (text("a,y", AGES, LABELS, AGES), "the header has 2 and every row has 3: which column has no name?"),
        (text("a,y", AGES, LABELS, [""] * ROWS), "the header has 2 and every row has 3, the last of them empty"),
        (text("a,y", AGES, LABELS) + "7\n", "the header has 2 and line 14 has 1"),
        (text("a,y", AGES, LABELS) + "\n\n7,1,2\n", "the header has 2 and line 16 has 3"),
        (text("a,b,y", AGES, ['"x\ny"'] * ROWS, LABELS) + "7,1\n", "the header has 3 and line 26 has 2"),
    ],
)
def test_rows_of_another_width_than_the_header_s(tmp_path: Path, content: str, sentence: str) -> None:
    refused = refusal(tmp_path, content)
    assert refused.startswith(f"every row must have as many fields as the header in {tmp_path}/t.csv; ")
    assert sentence in refused


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a;b;y\n1,5;2,5;0\n", "fields must be separated by commas .*; line 1 has none and seems to have semicolons"),
        ("a\ty\n1\t0\n", "seems to have tabs instead"),
        ('"a,y"\n"1,0"\n', "line 1 is one field in quotes, 'a,y'"),
        ("1.5,0\n2.5,1\n", "the first line of .* must name the columns; it has numbers alone: '1.5,0'"),
        ("a,a ,y\n1,2,0\n", "column names must be unique; .* repeats a"),
        ('"a\nb",y\n1,0\n', r"column names must be on one line in .*; got 'a\\nb'"),
        ('a,y\n1,0\n2,"1\n3,0\n', r"a quoted field must end in .*; the last one does not, '1\\n3,0\\n'"),
        ("", "no rows in .*: it is empty"),
        ("\n\n", "no rows in .*: it has blank lines alone"),
        ("a,y", "no rows in"),
        ("a,y\n1,0\n".encode("utf-16"), "must be a CSV file in UTF-8; it is UTF-16 text"),
        ("a,y\n1,ja\n2,nö\n".encode("latin-1"), "must be text in UTF-8; line 3 has the byte 0xf6"),
        (b"PK\x03\x04...", "it is an Excel or zip file"),
        (b"<!doctype html><html>", "it is a web page"),
        (b"\x01\x02\x00\x03,\n", "it has NUL bytes"),
    ],
)
def test_a_file_that_another_reader_would_guess_about(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        load(tmp_path, content)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_ends_of_lines_and_a_byte_order_mark_change_nothing(tmp_path: Path, end: str, mark: str) -> None:
    data = load(tmp_path, mark + text("y,a", LABELS, AGES, end=end))
    assert (data.features, data.classes) == (["a"], (0, 1))
    assert sorted(whole(data)[:, 0]) == sorted(AGES)


def test_types_come_from_the_whole_file(tmp_path: Path) -> None:
    rows = 60_000
    column: list[Any] = ["1.5"] * rows
    column[50_000] = "n.a."
    refused = refusal(tmp_path, text("a,q3,y", ["2"] * rows, column, [0, 1] * (rows // 2)))
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
        load(tmp_path, text("a,q,y", AGES, [*AGES[:7], cell, *AGES[8:]], LABELS))


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    cells = ["+1.5", " 2", "3 ", "4.", ".5", "6e0", "-7E-1", "08", "0.1", "1e-400", "123456789012345678", "-0"]
    data = load(tmp_path, text("q,t,y", cells, ["True", "false"] * 6, LABELS), keep=["q"])
    assert sorted(whole(data)[:, 0]) == sorted(map(float, cells))
    assert set(whole(data)[:, 1]) == {0, 1}


names = st.text("ab ,;\"'|.1é", min_size=1, max_size=5).filter(lambda name: name.strip())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(names, min_size=2, max_size=4, unique_by=str.strip),
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=30, max_size=30),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_every_float_and_every_name_is_read_as_it_was_written(
    tmp_path: Path, header: list[str], values: list[float], quoting: Any
) -> None:
    rows = np.array(values).reshape(10, 3)[:, : len(header) - 1]
    out = io.StringIO()
    writer = csv.writer(out, quoting=quoting)
    writer.writerow(header)
    writer.writerows([*map(repr, row), label] for row, label in zip(rows.tolist(), ["no", "yes"] * 5, strict=True))
    data = load(tmp_path, out.getvalue(), target=header[-1])
    assert data.features == header[:-1]
    assert sorted(map(tuple, whole(data))) == sorted(map(tuple, rows))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES), max_size=80))
def test_any_text_is_a_data_set_or_a_sentence(tmp_path: Path, pieces: list[str]) -> None:
    sentence = ""
    try:
        load(tmp_path, "a,y\n" + "".join(pieces))
    except PipelineError as error:
        sentence = str(error)
    assert "\n" not in sentence


def test_columns_that_say_which_row_it_is_are_left_out_and_named(tmp_path: Path) -> None:
    content = text(",id,a,Unnamed: 7,y", AGES, [*range(1, ROWS + 1)], AGES, AGES, LABELS)
    data = load(tmp_path, content)
    assert data.features == ["a"]
    left_out = "left out: Unnamed: 0 (has no name), Unnamed: 7 (has no name), id (counts the rows)"
    assert data.notes[1] == f"{left_out}; 'data.keep=[Unnamed: 0]' keeps it"
    kept = load(tmp_path, content, keep=["id", "Unnamed: 0"], drop=["a"])
    assert kept.features == ["Unnamed: 0", "id"]
    assert "left out by data.drop: a" in kept.notes


@pytest.mark.parametrize("first", [0, 1])
def test_a_count_in_parquet(tmp_path: Path, first: int) -> None:
    counted = pa.table({"n": pa.array(range(first, first + ROWS), pa.int16()), "a": AGES, "y": LABELS})
    assert load(tmp_path, counted).features == ["a"]
    assert load(tmp_path, counted, keep=["n"]).features == ["n", "a"]
    measured = pa.table({"n": pa.array(np.arange(first, first + ROWS, dtype=float)), "a": AGES, "y": LABELS})
    assert load(tmp_path, measured).features == ["n", "a"]


@pytest.mark.parametrize("kind", [pa.int32(), pa.decimal128(10, 0)], ids=str)
def test_a_count_from_another_number(tmp_path: Path, kind: Any) -> None:
    for rows, features in ((36, ["a"]), (12, ["n", "a"])):  # a few, such as years, are more likely measured
        numbers = pa.array([*range(1001, 1001 + rows)]).cast(pa.decimal128(19, 0)).cast(kind)
        table = pa.table({"n": numbers, "a": (AGES * 3)[:rows], "y": (LABELS * 3)[:rows]})
        assert load(tmp_path, table).features == features
        assert load(tmp_path, table, keep=["n"]).features == ["n", "a"]


def test_a_target_is_never_left_out(tmp_path: Path) -> None:
    assert "must have two classes; got 12: 0, 1, 2" in refusal(tmp_path, text("a,y", AGES, [*range(ROWS)]))
    frame = pd.DataFrame({"a": AGES, "y": LABELS}).set_index("y")
    frame.to_parquet(tmp_path / "f.parquet")
    assert Table(path=str(tmp_path / "f.parquet"), target="y").load().features == ["a"]


def test_the_stored_index_of_a_frame(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": AGES, "who": AGES[::-1], "y": LABELS}).set_index("who")
    frame.to_parquet(tmp_path / "f.parquet")
    data = Table(path=str(tmp_path / "f.parquet"), target="y").load()
    assert data.features == ["a"]
    assert "left out: who (the stored index)" in data.notes[1]
    assert Table(path=str(tmp_path / "f.parquet"), target="y", keep=["who"]).load().features == ["a", "who"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"drop": ["b"]}, "data.drop must name columns of .*; there is no b: its columns are a, y"),
        ({"keep": ["b"]}, "data.keep must name columns of .*; there is no b: its columns are a, y"),
        ({"drop": ["y"]}, "data.drop must not name the target; got y"),
        ({"drop": ["a"], "keep": ["a"]}, "must not name the same column; both have a"),
        ({"drop": ["a"]}, "no column beside the target y"),
        ({"drop": [["a"]]}, "drop must be a list of text"),
        ({"target": "z"}, "there is no column z in .*; its columns are a, y"),
    ],
)
def test_names_that_are_not_there(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        load(tmp_path, text("a,y", AGES, LABELS), **options)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (("0", "1"), (0, 1)),
        (("1.0", "0.0"), (0.0, 1.0)),
        (("01", "02"), ("01", "02")),
        (("+1", "-1"), ("-1", "+1")),
        (("1e5", "2e4"), ("2e4", "1e5")),
        (("True", "False"), (False, True)),
        (("true", "false"), ("false", "true")),
        (("10", "9"), (9, 10)),
        (("<=50K", ">50K"), ("<=50K", ">50K")),
        ((" no", " yes"), (" no", " yes")),
    ],
)
def test_labels_are_taken_as_they_are_written(tmp_path: Path, labels: tuple[str, str], classes: tuple[Any, Any]) -> None:
    column = [labels[i] for i in LABELS]
    data = load(tmp_path, text("a,y", AGES, column))
    assert data.classes == classes
    assert [type(label) for label in data.classes] == [type(label) for label in classes]
    assert f"{classes[1]!r}".strip("'") in data.notes[0]
    assert load(tmp_path, text("a,y", AGES, column), positive=labels[0].strip()).classes[1] in (classes[0], classes[1])
    for label in labels:
        chosen = load(tmp_path, text("a,y", AGES, column), positive=label)
        assert str(chosen.classes[1]) == label
        assert chosen.train.y.sum() + chosen.test.y.sum() == column.count(label)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (["yes", "Yes", "no"], "must differ in more than case, spaces or the spelling of a number; got 'Yes' and 'yes'"),
        (["yes", "yes ", "no"], "got 'yes' and 'yes '"),
        (["1", "1.0"], "got '1' and '1.0'"),
        (["caf\u00e9", "cafe\u0301"], r"got 'cafe\\u0301' and 'caf\\xe9'"),
        (["a b", "a  b"], "got 'a  b' and 'a b'"),
        (["yes", "yes\u200b"], r"got 'yes' and 'yes\\u200b'"),
        (
            ["EU", "NA"],
            r"6 are missing, the first in line 3: NA is read as missing; if it is a class, set data.missing_values=\[\]",
        ),
        (["EU", ""], "6 are missing, the first in line 3$"),
        (['"a\nb"', "c"], r"must be text on one line, .*; got 'a\\nb'"),
    ],
)
def test_labels_that_may_mean_something_else(tmp_path: Path, labels: list[str], sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        load(tmp_path, text("a,y", AGES, labels * (ROWS // len(labels))))


def test_words_that_mean_missing_can_be_chosen(tmp_path: Path) -> None:
    labels = ["EU", "NA"] * 6
    assert load(tmp_path, text("a,y", AGES, labels), missing_values=[]).classes == ("EU", "NA")
    gap = text("a,y", [*AGES[:-1], -9], labels)
    for word in ("-9", "-9.0"):
        assert "line 13 has '-9' in a" in refusal(tmp_path, gap, missing_values=[word])
    coded = text("a,y", AGES, [0, 1, "2.0"] * 4)
    assert "4 are missing, the first in line 4: 2.0 is read as missing" in refusal(tmp_path, coded, missing_values=["2"])
    stored = pa.table({"a": AGES, "y": LABELS})
    assert "missing_values must be null for a Parquet file" in refusal(tmp_path, stored, missing_values=["27"])
    assert load(tmp_path, stored, missing_values=[]).features == ["a"]


def test_rows_between_two_quotes_that_are_no_pair(tmp_path: Path) -> None:
    """A column that is left out may hold any text, but not six rows."""
    notes = ['"a' if i in (2, 8) else "b" for i in range(ROWS)]
    for content in (text("a,y,n", AGES, LABELS, notes), text("n,a,y", notes, AGES, LABELS)):
        assert "one that begins in line 4 does not" in refusal(tmp_path, content, drop=["n"])
    pair = text("a,y,n", AGES, LABELS, ['"a\nb ""c"""' if i == 2 else "b" for i in range(ROWS)])
    assert len(whole(load(tmp_path, pair, drop=["n"]))) == ROWS


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
    assert sorted(whole(data)[:, 0]) == sorted(age / 4 for age in AGES)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (pa.array([Decimal(i) for i in LABELS]), (0, 1)),
        (pa.array([Decimal(i) / 2 for i in LABELS]), (0.0, 0.5)),
        (pa.array(LABELS, pa.uint64()), (0, 1)),
        (pa.array([["no", "yes"][i] for i in LABELS]).dictionary_encode(), ("no", "yes")),
        (pa.array([["EU", "NA"][i] for i in LABELS]), ("EU", "NA")),
        (pa.array([bool(i) for i in LABELS]), (False, True)),
    ],
    ids=lambda labels: str(getattr(labels, "type", "")),
)
def test_labels_of_every_kind_in_parquet(tmp_path: Path, labels: Any, classes: Any) -> None:
    assert load(tmp_path, pa.table({"a": AGES, "y": labels})).classes == classes


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


def test_a_parquet_file_that_is_cut_or_damaged(tmp_path: Path) -> None:
    load(tmp_path, pa.table({"a": AGES, "y": LABELS}))
    path = tmp_path / "t.parquet"
    sound = path.read_bytes()
    for end in range(0, len(sound), 50):
        path.write_bytes(sound[:end])
        with pytest.raises(PipelineError, match="no rows|could not be read as parquet: "):
            Table(path=str(path), target="y").load()
    assert "no columns" in refusal(tmp_path, pa.table({}))


def test_the_folders_above_a_parquet_file_add_no_columns(tmp_path: Path) -> None:
    folder = tmp_path / "year=2024"
    folder.mkdir()
    assert load(folder, pa.table({"a": AGES, "y": LABELS})).features == ["a"]


def test_paths_that_no_file_has(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.csv").symlink_to("nowhere.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    for name, sentence in {
        "x" * 300 + ".csv": "must name a file that can be read: File name too long; got '.{60}[.]{3}'",
        "folder.csv": "is a folder",
        "link.csv": "there is none at .*link.csv, it is a link to nowhere.csv",
        "pipe.csv": "is a device or a pipe",
        "a\0b.csv": "path must be one line of text",
        "a\nb.csv": "path must be one line of text",
    }.items():
        with pytest.raises(PipelineError, match=sentence) as refused:
            Table(path=f"{tmp_path}/{name}" if len(name) < 300 else name, target="y").load()
        assert "\n" not in str(refused.value)
