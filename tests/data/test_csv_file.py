"""CSV files: nothing in them is guessed, and each that cannot be used ends in one sentence that says where."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from tests.data.tables import AGES, LABELS, ROWS, all_rows, csv_text, load, refusal

PIECES = ["1", "y", "a", ",", ",", "\n", "\n", '"', " ", "\r", "\t", "nan", "é", ";", "0", "-"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (csv_text("a,y", AGES, LABELS, AGES), "the header has 2 and every row has 3: which column has no name?"),
        (csv_text("a,y", AGES, LABELS, [""] * ROWS), "the header has 2 and every row has 3, the last of them empty"),
        (csv_text("a,y", AGES, LABELS) + "7\n", "the header has 2 and line 14 has 1"),
        (csv_text("a,y", AGES, LABELS) + "\n\n7,1,2\n", "the header has 2 and line 16 has 3"),
        (csv_text("a,b,y", AGES, ['"x\ny"'] * ROWS, LABELS) + "7,1\n", "the header has 3 and line 26 has 2"),
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
        (
            'a,y\n1,0\n2,"1\n3,0\n',
            "a quoted field must end before a comma or the end of a line in .*; one that begins in line 3 does not",
        ),
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
    data = load(tmp_path, mark + csv_text("y,a", LABELS, AGES, end=end))
    assert (data.features, data.classes) == (["a"], (0, 1))
    assert sorted(all_rows(data)[:, 0]) == sorted(AGES)


def test_rows_between_two_quotes_that_are_no_pair(tmp_path: Path) -> None:
    """A column that is left out may hold any text, but not six rows."""
    notes = ['"a' if i in (2, 8) else "b" for i in range(ROWS)]
    for content in (csv_text("a,y,n", AGES, LABELS, notes), csv_text("n,a,y", notes, AGES, LABELS)):
        assert "one that begins in line 4 does not" in refusal(tmp_path, content, drop=["n"])
    pair = csv_text("a,y,n", AGES, LABELS, ['"a\nb ""c"""' if i == 2 else "b" for i in range(ROWS)])
    assert len(all_rows(load(tmp_path, pair, drop=["n"]))) == ROWS


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
    assert sorted(map(tuple, all_rows(data))) == sorted(map(tuple, rows))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES), max_size=80))
def test_any_text_is_a_data_set_or_a_sentence(tmp_path: Path, pieces: list[str]) -> None:
    sentence = ""
    try:
        load(tmp_path, "a,y\n" + "".join(pieces))
    except PipelineError as error:
        sentence = str(error)
    assert "\n" not in sentence
