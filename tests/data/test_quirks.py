"""Small hand-made tables, a quirk each, in quirks/: what is read, and what is said of it."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.data.dataset import Dataset
from pipeline.data.sources.table import Table
from pipeline.errors import PipelineError
from tests.data.tables import cells, kinds, types

QUIRKS = Path(__file__).parent / "quirks"
NUMBERS = {"age": "integer", "dose": "number"}


def quirk(name: str, target: str = "ill", **options: Any) -> Dataset:
    return Table(path=str(QUIRKS / name), target=target, **options).load()


@pytest.mark.parametrize(
    ("name", "options", "expected", "note"),
    [
        ("plain.csv", {}, NUMBERS, ""),
        ("tabs.tsv", {}, NUMBERS, "fields separated by tabs (data.csv.delimiter)"),
        ("utf16.txt", {}, NUMBERS, "encoding utf-16 (data.csv.encoding), fields separated by tabs"),
        ("excel_sep.csv", {}, NUMBERS, "fields separated by semicolons"),
        ("blank_lines.csv", {}, NUMBERS, ""),
        (
            "semicolons.csv",
            {},
            {"Alter": "integer", "Dosis": "number", "Ort": "text"},
            "encoding cp1252, since it is no UTF-8 (data.csv.encoding), fields separated by semicolons (data.csv.delimiter), "
            "a decimal comma in Dosis (data.csv.decimal)",
        ),
        ("no_header.csv", {"target": "column 3"}, {"column 1": "integer", "column 2": "number"}, "no header, so the columns"),
        ("thousands.csv", {}, {"age": "integer", "income": "number"}, "groups of thousands in income (data.csv.thousands)"),
        ("missing_words.csv", {}, {**NUMBERS, "town": "text"}, "NA, n/a, ?, - read as missing (data.missing_values)"),
        ("leading_zeros.csv", {}, {"zip": "text", "age": "integer"}, ""),
        ("dates.csv", {}, dict.fromkeys(["iso", "stamp", "german", "named"], "date"), ""),
        ("apostrophes.csv", {}, {"age": "integer", "note": "text"}, "fields quoted by apostrophes (data.csv.quote)"),
        ("several_lines.csv", {}, {"age": "integer", "note": "text"}, ""),
        ("booleans.csv", {}, {"smoker": "boolean", "since": "boolean"}, ""),
        ("spaces.csv", {}, {"age": "integer", " town ": "text"}, ""),
    ],
)
def test_a_quirk_is_read_and_said(name: str, options: dict[str, Any], expected: dict[str, str], note: str) -> None:
    data = quirk(name, **options)
    assert types(data) == expected
    assert len(data.train.y) + len(data.test.y) == 24
    assert note in data.notes[1] if note else len(data.notes) == 1


def test_the_same_table_in_other_dialects_has_the_same_values() -> None:
    plain = quirk("plain.csv")
    for name in ("tabs.tsv", "utf16.txt", "excel_sep.csv", "blank_lines.csv", "index.csv"):
        other = quirk(name)
        assert other.train.X.equals(plain.train.X), name
        assert other.train.y.tolist() == plain.train.y.tolist()
    assert cells(quirk("semicolons.csv"), "Dosis") == cells(plain, "dose")
    assert set(cells(quirk("semicolons.csv"), "Ort")) == {"Köln", "Aachen", "Bonn"}


def test_cells_become_their_values() -> None:
    assert cells(quirk("thousands.csv"), "income")[-1] == 2_959_497.5
    assert set(cells(quirk("leading_zeros.csv"), "zip")) == {"00501", "00538", "00575", "00612", "00649"}
    dates = quirk("dates.csv")
    assert [str(cells(dates, name)[0]) for name in ("iso", "stamp", "german", "named")] == [
        "2023-01-01 00:00:00",
        "2024-02-01 00:30:05",
        "2022-01-01 00:15:00",
        "2021-01-01 00:00:00",
    ]
    assert cells(quirk("several_lines.csv"), "note")[0] == 'a "b"\nc 0'
    assert cells(quirk("booleans.csv"), "since").count(None) == 8
    assert set(cells(quirk("spaces.csv"), " town ")) == {"Ulm", "Bern"}
    assert cells(quirk("missing_words.csv"), "town").count(None) == 12
    assert cells(quirk("missing_words.csv", missing_values=[]), "town").count(None) == 0
    assert cells(quirk("missing_words.csv", missing_values=["Ulm"]), "town").count(None) == 18


@pytest.mark.parametrize(
    ("name", "sentence", "csv"),
    [
        ("row_names.csv", "the header has 3 and every row has 4: .* set data.csv.row_names=true if it", {"row_names": True}),
        ("trailing_comma.csv", "the header has 3 and every row has 4, the last of them empty: is there a comma too many", None),
        (
            "groups_or_decimals.csv",
            "a comma in numbers must mean one thing .* line 2 has '1,000' in income: set data.csv.decimal=comma or "
            "data.csv.thousands=comma",
            {"thousands": "comma"},
        ),
        (
            "day_or_month.csv",
            "must be day/month or month/day .* line 13 has '12/01/2023' in seen: set data.csv.dates=day_first or",
            {"dates": "month_first"},
        ),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_with_the_setting(name: str, sentence: str, csv: Any) -> None:
    from pipeline.data.dialect import CsvFormat

    with pytest.raises(PipelineError, match=sentence):
        quirk(name)
    if csv:
        assert len(types(quirk(name, csv=CsvFormat(**csv)))) == 2


def test_settings_decide_between_the_readings() -> None:
    from pipeline.data.dialect import CsvFormat

    assert max(cells(quirk("groups_or_decimals.csv", csv=CsvFormat(thousands="comma")), "income")) == 9329
    assert max(cells(quirk("groups_or_decimals.csv", csv=CsvFormat(decimal=",")), "income")) == 9.329
    assert set(types(quirk("groups_or_decimals.csv", kinds={"income": "category"})).values()) == {"integer", "text"}
    first, last = (cells(quirk("day_or_month.csv", csv=CsvFormat(dates=form)), "seen") for form in ("day_first", "month_first"))
    assert (first[-1].month, last[-1].month) == (11, 12)
    assert quirk("index.csv", keep=["Unnamed: 0"]).features == ["Unnamed: 0", "age", "dose"]
    assert kinds(quirk("row_names.csv", csv=CsvFormat(row_names=True)))["Unnamed: 0"] == "identifier"
    assert quirk("no_header.csv", "yes", csv=CsvFormat(header=True)).features == ["20", "1.25"]


@pytest.mark.parametrize("name", ["1_1", "10", "1e5", "007", "true", "null", "1.10"])
def test_names_that_look_like_values(name: str) -> None:
    """As targets, too, they are refused by their own name: a column of many numbers is no target."""
    assert name in quirk("words.csv", ">4 (y/n)").features
    with pytest.raises(PipelineError, match=f"the target {name} in .* must have two classes"):
        quirk("words.csv", name)


def test_a_header_above_decimal_commas(tmp_path: Path) -> None:
    """Also where a level is called as its column."""
    (tmp_path / "t.csv").write_text("x;b;y\n" + "".join(f"{i},5;{'ab'[i % 2]};{['no', 'yes'][i % 3 % 2]}\n" for i in range(24)))
    data = Table(path=str(tmp_path / "t.csv"), target="y").load()
    assert types(data) == {"x": "number", "b": "text"}


def test_points_beside_a_decimal_comma(tmp_path: Path) -> None:
    from pipeline.data.dialect import CsvFormat

    rows = [f"{i},5;{1 + i % 9}.{i:03d};{3 * i}.5;{'ab'[i % 2]}" for i in range(20)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a;b;c;ill", *rows]))
    with pytest.raises(PipelineError, match="a point in numbers must mean one thing .* line 2 has '1.000' in b: set data.csv"):
        Table(path=str(path), target="ill").load()
    data = Table(path=str(path), target="ill", csv=CsvFormat(decimal="comma")).load()
    assert types(data) == {"a": "number", "b": "integer", "c": "number"}
    assert (max(cells(data, "a")), max(cells(data, "b")), max(cells(data, "c"))) == (19.5, 9017, 57.5)
    told = Table(path=str(path), target="ill", csv=CsvFormat(decimal="point")).load()
    assert types(told) == {"b": "number", "c": "number"}  # and a names the rows, as text
