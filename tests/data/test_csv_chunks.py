"""A CSV file some rows at a time: each cell of the type that is asked for, and nothing guessed."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.data.dialect import CsvFormat
from pipeline.data.table_file import open_table
from pipeline.errors import PipelineError


def chunks(folder: Path, content: str, types: dict[str, str], **csv: Any) -> pa.Table:
    (folder / "t.csv").write_text(content)
    return pa.concat_tables(open_table(str(folder / "t.csv"), CsvFormat(**csv)).chunks(types), promote_options="permissive")


@pytest.mark.parametrize(
    ("kind", "cells", "values"),
    [
        ("integer", ["1", "", "NA", "-3"], [1, None, None, -3]),
        ("integer", ["1", "2.5"], [1.0, 2.5]),
        ("number", ["1", "007"], [1.0, 7.0]),
        ("number", ["1", '"1,234.5"'], [1.0, 1234.5]),
        ("number", ["+1", "4."], [1.0, 4.0]),
        ("boolean", ["true", "FALSE", ""], [True, False, None]),
        ("boolean", ["1", "0", ""], [True, False, None]),
        ("text", ["1", " 01 ", "?"], ["1", "01", None]),
    ],
)
def test_cells_of_each_type(tmp_path: Path, kind: str, cells: list[str], values: list[Any]) -> None:
    content = "q,z\n" + "".join(f"{cell},1\n" for cell in cells)
    assert chunks(tmp_path, content, {"q": kind})["q"].to_pylist() == values


def test_a_decimal_comma_of_one_column_is_that_of_the_file(tmp_path: Path) -> None:
    content = "a;b\n1,5;12\n2,25;1.234\n"
    with pytest.raises(PipelineError, match="a point in numbers must mean one thing .* line 3 has '1.234' in b: write"):
        chunks(tmp_path, content, {"a": "number", "b": "number"})
    assert chunks(tmp_path, content, {"a": "number", "b": "number"}, decimal="comma").to_pylist() == [
        {"a": 1.5, "b": 12},
        {"a": 2.25, "b": 1234},
    ]
    with pytest.raises(PipelineError, match="a comma in numbers must mean one thing in .*; line 2 has '1,234' in a"):
        chunks(tmp_path, "a;b\n1,234;1\n", {"a": "number"})


def test_the_decimal_mark_of_the_training_file_warns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a;b\n20.000;x\n1.500;y\n")
    known = open_table(str(tmp_path / "t.csv"), decimal=",")
    with pytest.raises(PipelineError, match="a point in numbers must mean one thing in .*; line 2 has '20.000' in a: write"):
        next(known.chunks({"a": "number"}))
    assert next(open_table(str(tmp_path / "t.csv")).chunks({"a": "number"}))["a"].to_pylist() == [20, 1.5]
    (tmp_path / "t.csv").write_text("a;b\n20.25;x\n1.500;y\n")
    assert next(open_table(str(tmp_path / "t.csv"), decimal=",").chunks({"a": "number"}))["a"].to_pylist() == [20.25, 1.5]
    (tmp_path / "t.csv").write_text("a,b\n20.000,x\n1.500,y\n")
    assert next(open_table(str(tmp_path / "t.csv"), decimal=",").chunks({"a": "number"}))["a"].to_pylist() == [20, 1.5]


def test_a_header_of_known_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("job,town\njob,Ulm\n")
    with pytest.raises(PipelineError, match="may name the columns or be a row"):
        next(open_table(str(tmp_path / "t.csv")).chunks({"job": "text"}))
    known = open_table(str(tmp_path / "t.csv"), known=["town", "job"])
    assert next(known.chunks({"job": "text"}))["job"].to_pylist() == ["job"]


def test_the_order_of_day_and_month_is_never_guessed(tmp_path: Path) -> None:
    dates = {"d": "date"}
    assert chunks(tmp_path, "d,z\n01/31/2024,1\n02/01/2024,1\n", dates)["d"][1].as_py().month == 2
    assert chunks(tmp_path, "d,z\n02/01/2024,1\n", dates, dates="day_first")["d"][0].as_py().month == 1
    with pytest.raises(PipelineError, match="must be day/month or month/day .* line 2 has '02/01/2024' in d: write dates"):
        chunks(tmp_path, "d,z\n02/01/2024,1\n", dates)
    rows = 400_000
    late = "d,z\n" + "01/31/2024,1\n" * rows + "02/01/2024,1\n" * rows
    assert {time.month for time in chunks(tmp_path, late, dates)["d"].unique().to_pylist()} == {1, 2}
    with pytest.raises(PipelineError, match=f"line {rows + 2} has '31/01/2024' in d"):
        chunks(tmp_path, late.replace("02/01/2024", "31/01/2024"), dates)


@pytest.mark.parametrize(("kind", "cell"), [("number", "x"), ("integer", "1_0"), ("date", "soon"), ("boolean", "yes")])
def test_a_cell_of_another_type_is_named(tmp_path: Path, kind: str, cell: str) -> None:
    with pytest.raises(PipelineError, match=f"that the model was trained on in .*; line 3 has '{cell}' in q"):
        chunks(tmp_path, f"q,z\n,1\n{cell},2\n", {"q": kind})
