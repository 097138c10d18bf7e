"""CSV files: nothing in them is guessed, and each that cannot be used ends in one sentence that says where."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.data.dialect import CsvFormat
from pipeline.data.sources.table import Table
from pipeline.data.table_file import open_table
from pipeline.errors import PipelineError
from tests.data.tables import AGES, LABELS, ROWS, all_rows, cells, csv_text, load, refusal

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
        ("a;b,y\n1;5,0\n", "may be separated by commas or by semicolons in .*; set data.csv.delimiter=comma or .*=semicolon"),
        ('"a,y"\n"1,0"\n', "line 1 is one field in quotes, 'a,y'"),
        ("1.5,0\n2.5,1\n", "there is no column y in .*; its columns are column 1, column 2"),
        ("b,c,3\nd,e,4\nf,g,5\n", "may name the columns or be a row; it has '3': set data.csv.header=true if it names"),
        ("p,x,p\na,y,s\nb,q,r\n", "unique; .* repeats p; where the first line is a row, set data.csv.header=false"),
        ("a,a ,y\n1,2,0\n", "column names must be unique; .* repeats a"),
        ('"a\nb",y\n1,0\n', r"column names must be on one line in .*; got 'a\\nb'"),
        (
            'a,y\n1,0\n2,"1\n3,0\n',
            "a quoted field must end before a comma or the end of a line in .*; one that begins in line 3 does not",
        ),
        ("", "no rows in .*: it is empty"),
        ("\n\n", "no rows in .*: it has blank lines alone"),
        ("a,y", "no rows in"),
        (
            "a,y\n1,ja\n2,nö\n".encode("latin-1") + b"3,\x81\n",
            "must be text in cp1252; line 4 has the byte 0x81: set data.csv.enc",
        ),
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
    assert cells(data, "a") == sorted(AGES)


def test_rows_between_two_quotes_that_are_no_pair(tmp_path: Path) -> None:
    """A column that is left out may hold any text, but not six rows."""
    notes = ['"a' if i in (2, 8) else "b" for i in range(ROWS)]
    for content in (csv_text("a,y,n", AGES, LABELS, notes), csv_text("n,a,y", notes, AGES, LABELS)):
        assert "one that begins in line 4 does not" in refusal(tmp_path, content, drop=["n"])
    pair = csv_text("a,y,n", AGES, LABELS, ['"a\nb ""c"""' if i == 2 else "b" for i in range(ROWS)])
    assert len(all_rows(load(tmp_path, pair, drop=["n"]))) == ROWS
    assert 'a\nb "c"' in cells(load(tmp_path, pair, kinds={"n": "category"}), "n")


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
    options = {"target": header[-1], "keep": header[:-1], "csv": CsvFormat(header=True, delimiter=",", quote='"')}
    data = load(tmp_path, out.getvalue(), **options)
    assert data.features == header[:-1]
    assert sorted(map(tuple, zip(*all_rows(data).to_pydict().values(), strict=True))) == sorted(map(tuple, rows))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES), max_size=80))
def test_any_text_is_a_data_set_or_a_sentence(tmp_path: Path, pieces: list[str]) -> None:
    sentence = ""
    try:
        load(tmp_path, "a,y\n" + "".join(pieces))
    except PipelineError as error:
        sentence = str(error)
    assert "\n" not in sentence


@pytest.mark.parametrize(("name", "compression"), [("t.csv.gz", "gzip"), ("t.csv.zst", "zstd")])
def test_a_compressed_file(tmp_path: Path, name: str, compression: str) -> None:
    content = csv_text("a,n,y", AGES * 2000, ["x", "é"] * ROWS * 1000, LABELS * 2000).encode()
    plain = load(tmp_path, content)
    path = tmp_path / name
    with pa.output_stream(str(path), compression=compression) as file:
        file.write(content)
    data = Table(path=str(path), target="y").load()
    assert data.train.X.equals(plain.train.X)
    assert load(tmp_path, path.read_bytes()).train.X.equals(plain.train.X)  # known by its first bytes
    sound = path.read_bytes()
    for end in (len(sound) - 1, len(sound) // 2, 12):
        path.write_bytes(sound[:end])
        with pytest.raises(PipelineError, match="could not be read as csv: ") as refused:
            Table(path=str(path), target="y").load()
        assert "\n" not in str(refused.value)


def test_latin_letters_far_into_a_file(tmp_path: Path) -> None:
    rows = 200_000
    towns = ["Bern"] * rows
    towns[-5] = "Köln"
    content = csv_text("a,town,y", [7, 8, 9, 10] * (rows // 4), towns, [0, 0, 1, 1] * (rows // 4))
    data = load(tmp_path, content.encode("cp1252"))
    assert cells(data, "town")[-1] == "Köln"
    assert "encoding cp1252, since it is no UTF-8 (data.csv.encoding)" in data.notes[1]
    damaged = content.replace("Köln", "K\x81ln").encode("latin-1")
    assert f"must be text in cp1252; line {rows - 3} has the byte 0x81" in refusal(tmp_path, damaged)
    utf8 = {"csv": CsvFormat(encoding="utf-8")}
    assert f"must be text in utf-8; line {rows - 3} has the byte 0xf6" in refusal(tmp_path, content.encode("cp1252"), **utf8)


def test_blocks_end_where_rows_do(tmp_path: Path) -> None:
    """Line breaks in quotes at every place of a block, and a row that is longer than one."""
    rows = 9_000
    notes = [f'"{"x" * (i % 311)}\n, ""{i}"""' for i in range(rows)]
    notes[7] = f'"{"long" * (1 << 19)}"'
    data = load(tmp_path, csv_text("n,a,y", notes, [1, 2, 3] * (rows // 3), [0, 0, 1] * (rows // 3)), kinds={"n": "category"})
    expected = [note[1:-1].replace('""', '"').strip() for note in notes]
    assert cells(data, "n") == sorted(expected)


def test_chunks_of_a_file_have_the_types_that_are_asked_for(tmp_path: Path) -> None:
    rows = 300_000
    pairs: list[list[Any]] = [[1, "2.5"], ["2020-01-02", ""], ["x", "é"], ["true", "False"]]
    content = csv_text("id,q,d,n,b", [f"{i:07d}" for i in range(rows)], *[pair * (rows // 2) for pair in pairs])
    path = tmp_path / "t.csv"
    path.write_text(content)
    wanted = {"b": "boolean", "q": "number", "id": "text", "d": "date", "n": "text"}
    chunks = [*open_table(str(path)).chunks(wanted)]
    assert len(chunks) > 1
    whole = pa.concat_tables(chunks)
    assert whole.column_names == [*wanted]
    assert [str(field.type) for field in whole.schema] == ["bool", "double", "string", "timestamp[us]", "string"]
    assert whole["id"].to_pylist() == [f"{i:07d}" for i in range(rows)]
    assert whole["d"].null_count == rows // 2
    path.write_text(content.replace(f"{rows - 4:07d},1,", f"{rows - 4:07d},one,"))
    with pytest.raises(PipelineError, match=f"that the model was trained on in .*; line {rows - 2} has 'one' in q"):
        [*open_table(str(path)).chunks(wanted)]


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    content = csv_text("a,y", AGES, LABELS)
    load(tmp_path, content)
    file = open_table(str(tmp_path / "t.csv"))
    chunks = file.chunks({"a": "number"})
    next(chunks)
    (tmp_path / "t.csv").write_text(content + "1,0\n")
    with pytest.raises(PipelineError, match="t.csv must stay as it is while it is read; it has changed: run this again"):
        list(chunks)


def test_a_quote_inside_of_a_field_hides_no_end_of_a_row(tmp_path: Path) -> None:
    rows = 9_000
    notes = ['5" pipe', *(f'"two\nlines {i}"' for i in range(rows - 1))]
    content = csv_text("n,a,y", notes, [1, 2, 3] * (rows // 3), [0, 0, 1] * (rows // 3))
    data = load(tmp_path, content, kinds={"n": "category"})
    assert cells(data, "n") == sorted(['5" pipe', *(f"two\nlines {i}" for i in range(rows - 1))])
    file = open_table(str(tmp_path / "t.csv"))
    assert pa.concat_tables(file.chunks({"n": "text"}))["n"].to_pylist() == [notes[0], *(note[1:-1] for note in notes[1:])]
