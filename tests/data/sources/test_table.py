"""A user's own table: which columns are features, which are left out, and what cannot be used."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.data.leaks import leaks
from pipeline.data.sources.table import Table
from pipeline.errors import PipelineError
from tests.data.tables import AGES, LABELS, ROWS, csv_text, load, refusal, write


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table(tmp_path: Path, name: str) -> None:
    data = Table(path=write(tmp_path, name), target="y").load()
    assert data.features == ["a", "b"]
    assert data.classes == ("no", "yes")
    other = Table(path=write(tmp_path, name), target="y", positive="no").load()
    assert other.classes == ("yes", "no")
    np.testing.assert_array_equal(np.sort(other.train.y), np.sort(1 - data.train.y))


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"a": [], "y": []}, "no rows"),
        ({"y": [0, 1]}, "no column beside the target y"),
        ({"a": [1, 2], "y": [1, 1]}, "must have two classes; got 1: 1"),
        ({"a": [1, 2, 3], "y": [0, 1, 2]}, "must have two classes; got 3: 0, 1, 2"),
        ({"a": [1, 2, 3], "y": [0, 1, None]}, "must have a value in every row; 1 are missing"),
        ({"a": [1, 1], "word": ["u", "u"], "y": [0, 1]}, r"a \(the same in every row\), word \(the same in every row\)"),
        ({"a": [1, float("inf"), 3, 4], "y": [0, 1, 0, 1]}, "must be finite .* a"),
        ({"a": [1, 2, 3], "y": [0, 1, 0]}, "at least 2 rows"),
        ({"a": [1, 2, 3], "y": [10**19, 1, 1]}, "numbers of 64 bits; got 10000000000000000000"),
        ({"a": [1, 2, 3], "y": [float("inf"), 1, 1]}, "numbers of 64 bits; got inf"),
        ({"a": [1, 2, 3], "z": [0, 1, 0]}, "no column y in .* its columns are a, z"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path: Path, columns: dict[str, object], sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        Table(path=write(tmp_path, columns=columns), target="y").load()


def test_columns_that_say_which_row_it_is_are_left_out_and_named(tmp_path: Path) -> None:
    content = csv_text(",id,a,Unnamed: 7,y", AGES, [*range(1, ROWS + 1)], AGES, AGES, LABELS)
    data = load(tmp_path, content)
    assert data.features == ["a"]
    left_out = "left out: Unnamed: 0 (has no name), id (counts the rows), Unnamed: 7 (has no name)"
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
    assert "must have two classes; got 12: 0, 1, 2" in refusal(tmp_path, csv_text("a,y", AGES, [*range(ROWS)]))
    frame = pd.DataFrame({"a": AGES, "y": LABELS}).set_index("y")
    frame.to_parquet(tmp_path / "f.parquet")
    assert Table(path=str(tmp_path / "f.parquet"), target="y").load().features == ["a"]


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
        ({"target": "a\ry"}, r"there is no column 'a\\ry' in .*; its columns are a, y"),
    ],
)
def test_names_that_are_not_there(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        load(tmp_path, csv_text("a,y", AGES, LABELS), **options)


PEOPLE = 60


def people(**more: list[Any]) -> dict[str, Any]:
    """Visits of people, several each, a day each."""
    rng = np.random.default_rng(1)
    return {
        "age": rng.normal(50, 10, PEOPLE).round(1),
        "town": rng.choice(["Ulm", "Bern", "Graz"], PEOPLE),
        "who": [f"p{i // 3}" for i in range(PEOPLE)],
        "day": [f"2024-{1 + i % 2:02d}-{1 + i // 3:02d}" for i in range(PEOPLE)],
        "part": ["test" if i % 4 == 1 else "Train" for i in range(PEOPLE)],
        "times": [1 + i % 3 for i in range(PEOPLE)],
        "y": ["sick" if i % 5 in (0, 3) else "well" for i in range(PEOPLE)],
        **more,
    }


def visits(folder: Path, content: dict[str, Any] | None = None, **options: Any) -> Any:
    path = write(folder, columns=content or people())
    return Table(**{"path": path, "target": "y", "keep": ["who", "day"], **options}).load()


def test_no_group_is_on_both_sides(tmp_path: Path) -> None:
    data = visits(tmp_path, group="who")
    sides = [set(part.X["who"].to_pylist()) for part in (data.train, data.test)]
    assert not sides[0] & sides[1]
    assert 10 <= len(data.test.y) <= 20
    assert set(data.test.y) == set(data.train.y) == {0, 1}
    for part in (data.train, data.test):
        names = part.X["who"].to_pylist()
        assert len({*zip(part.group.tolist(), names, strict=True)}) == len({*names}) == len({*part.group.tolist()})
    assert visits(tmp_path, group="who").test.X.equals(data.test.X)
    assert not visits(tmp_path, group="who", seed=5).test.X.equals(data.test.X)
    alone = visits(tmp_path, group="who", keep=None)
    assert alone.features == ["age", "town", "day", "part", "times"]
    assert "left out: who (data.group); 'data.keep=[who]' keeps it" in alone.notes


def test_the_last_part_in_time_is_the_test(tmp_path: Path) -> None:
    data = visits(tmp_path, time="day")
    before, after = (part.X["day"].to_pylist() for part in (data.train, data.test))
    assert max(before) < min(after)
    assert 12 <= len(after) <= 18
    text = Table(path=write(tmp_path, "t.parquet", people()), target="y", time="day").load()
    assert text.test.X["age"].to_pylist() == data.test.X["age"].to_pylist()
    assert text.train.time is not None
    assert text.train.time.tolist() == data.train.time.tolist()
    assert data.train.time.max() < data.test.time.min()
    numbers = visits(tmp_path, people(day=[i // 7 for i in range(PEOPLE)]), time="day")
    assert set(numbers.test.X["day"].to_pylist()) == {6, 7, 8}


def test_the_table_says_which_rows_are_the_test(tmp_path: Path) -> None:
    data = visits(tmp_path, split="part")
    assert len(data.test.y) == PEOPLE // 4
    assert "part" not in data.features


def test_another_file_is_the_test(tmp_path: Path) -> None:
    columns = people()
    (tmp_path / "other").mkdir()
    reordered = {name: columns[name][:20] for name in reversed(columns)}
    reordered["town"] = [*["Rom"] * 10, *reordered["town"][10:]]
    data = visits(tmp_path, test_path=write(tmp_path / "other", columns=reordered))
    assert (len(data.train.y), len(data.test.y)) == (PEOPLE, 20)
    assert data.test.X.column_names == data.train.X.column_names
    assert data.test.X["town"].to_pylist()[:2] == ["Rom", "Rom"]
    assert leaks(data)[-1].startswith("10 of 20 test rows stand in the training part, too")
    for change, sentence in {
        "age": "data.test_path must have the same columns as data.path; .*other/t.csv has no age",
        "more": "data.test_path must have the same columns as data.path; .*/t.csv has no more",
    }.items():
        changed = {name: cells for name, cells in reordered.items() if name != change}
        changed |= {change: [1] * 20} if change == "more" else {}
        with pytest.raises(PipelineError, match=sentence):
            visits(tmp_path, test_path=write(tmp_path / "other", columns=changed))
    other = write(tmp_path / "other", columns={**reordered, "age": ["old", *reordered["age"][1:]]})
    with pytest.raises(PipelineError, match="of age must be of the kind number in .*other/t.csv; line 2 has 'old' in age"):
        visits(tmp_path, test_path=other)


@pytest.mark.parametrize("test", ["csv", "parquet"])
@pytest.mark.parametrize("label", [str, int, bool])
def test_the_test_may_be_of_another_format(tmp_path: Path, test: str, label: Any) -> None:
    town, y = ["Ulm", "Bern", "Graz"] * 10, [label(i % 2) for i in range(30)]
    first: dict[str, object] = {"town": town, "y": y, "a": [1.5, *range(29)]}
    second: dict[str, object] = {"town": town[6:18], "y": y[6:18], "a": [*range(12)]}
    (tmp_path / "test").mkdir()
    path = write(tmp_path, "t.parquet" if test == "csv" else "t.csv", first)
    other = write(tmp_path / "test", f"t.{test}", second)
    data = Table(path=path, target="y", test_path=other).load()
    assert (len(data.train.y), data.test.y.tolist()) == (30, [0.0, 1.0] * 6)
    assert data.test.X["town"].to_pylist() == second["town"]
    assert data.notes[0].startswith(f"read {path} and {other}: 42 rows")


def test_a_test_file_of_another_type(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    other = write(tmp_path / "test", "t.parquet", {"a": ["x", "y", "x", "y"], "y": [0, 1, 0, 1]})
    path = write(tmp_path, "t.csv", {"a": [1.5, 2, 3, 4], "y": [0, 1, 0, 1]})
    with pytest.raises(PipelineError, match="every cell of a must be of the kind number in .*test/t.parquet; row 1 has 'x'"):
        Table(path=path, target="y", test_path=other).load()
    write(tmp_path / "test", "t.parquet", {"a": [1, 2, 3, 4], "y": ["no", "yes"] * 2})
    path = write(tmp_path, "t.parquet", {"a": [1.5, 2, 3, 4], "y": [0, 1, 0, 1]})
    with pytest.raises(PipelineError, match="y must be of one type in both files; in .*test/t.parquet it is text, not integer"):
        Table(path=path, target="y", test_path=other).load()


@pytest.mark.parametrize(
    ("test", "sentence"),
    [
        ({"y": ["sick"] * 20}, "by data.test_path=.*other/t.csv the test part has 20 rows of one class"),
        ({"y": [None] * 20}, "by data.test_path=.*other/t.csv the test part has no rows"),
    ],
)
def test_a_test_file_without_both_classes(tmp_path: Path, test: dict[str, Any], sentence: str) -> None:
    (tmp_path / "other").mkdir()
    columns = {name: cells[:20] for name, cells in people().items()}
    with pytest.raises(PipelineError, match=f"must both have rows of both classes; {sentence}"):
        visits(tmp_path, test_path=write(tmp_path / "other", columns={**columns, **test}), drop_unlabelled=True)


@pytest.mark.parametrize(
    ("label", "got"), [("sick", "has 6 rows with a weight above 0 of one class"), (None, "has no rows with a weight above 0")]
)
def test_a_part_without_weight_in_both_classes(tmp_path: Path, label: str | None, got: str) -> None:
    content = people()
    content["times"] = [int(p == "Train" or y == label) for p, y in zip(content["part"], content["y"], strict=True)]
    with pytest.raises(PipelineError, match=f"must both have rows .* of both classes; by data.split=part the test part {got}"):
        visits(tmp_path, content, split="part", weight="times")


@pytest.mark.parametrize("name", ["age", "town", "who", "day"])
def test_a_column_of_a_test_file_may_be_empty(tmp_path: Path, name: str) -> None:
    (tmp_path / "other").mkdir()
    columns: dict[str, object] = {key: cells[:20] for key, cells in people().items()}
    data = visits(tmp_path, test_path=write(tmp_path / "other", columns={**columns, name: [None] * 20}))
    assert data.test.X[name].null_count == 20
    assert data.train.X[name].null_count == 0


def test_the_header_of_a_test_file_is_known(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    other = write(tmp_path / "test", columns={"job": ["job", "cook"] * 3, "y": ["no", "yes"] * 3})
    data = Table(
        path=write(tmp_path, columns={"job": ["cook", "nurse"] * 9, "y": ["no", "yes"] * 9}), target="y", test_path=other
    )
    assert data.load().test.X["job"].to_pylist() == ["job", "cook"] * 3


def test_a_table_without_a_header_s_names(tmp_path: Path) -> None:
    content = csv_text("41,0", AGES, LABELS)
    sentence = refusal(tmp_path, content)
    assert sentence.endswith("its columns are column 1, column 2, since it seems to have no header (data.csv.header)")


def test_a_weight_for_each_row(tmp_path: Path) -> None:
    data = visits(tmp_path, weight="times")
    assert data.train.weight is not None
    assert sorted([*data.train.weight, *data.test.weight]) == sorted(people()["times"])
    assert "times" not in data.features
    assert visits(tmp_path).train.weight is None


@pytest.mark.parametrize(
    ("more", "options", "sentence"),
    [
        (
            {"times": [1, -1] * 30},
            {"weight": "times"},
            "weights must be finite and not negative .* line 3 has '-1' in times",
        ),
        ({"times": [1, None] * 30}, {"weight": "times"}, "line 3 has nothing in times"),
        ({"times": [1, "inf"] * 30}, {"weight": "times"}, "line 3 has 'inf' in times"),
        ({}, {"weight": "town"}, "every cell of town must be of the kind number in .*; line 2 has"),
        ({"times": [1, 1e-300] * 30}, {"weight": "times"}, "weights above 0 must be from 1e-30 to .*; line 3 .* has '1e-300'"),
        ({"times": [0, 1e300] * 30}, {"weight": "times"}, "weights above 0 must be from 1e-30 to .*; line 3 .* has '1e.300'"),
        ({"times": [0] * 60}, {"weight": "times"}, "weights must be positive in some row of each class"),
        ({}, {"weight": "z"}, "data.weight must name a column of .*; there is no z: its columns are age, town"),
        ({}, {"group": "y"}, "data.group must not name the target; got y"),
        ({"who": [*range(60)]}, {"group": "who"}, "rows share a value; in who, every row has its own"),
        ({"who": ["a"] * 60}, {"group": "who"}, "at least 2 groups; who has 1"),
        (
            {"who": ["a", None] * 30},
            {"group": "who"},
            "name a column with a value in every row; line 3 has none",
        ),
        (
            {"who": ["a", "b"] * 30, "y": [0, 1] * 30},
            {"group": "who"},
            "both have rows of both classes; by data.group=who the",
        ),
        (
            {"day": ["soon", "late"] * 30},
            {"time": "day"},
            "a column of dates or numbers; line 2 has 'soon' in day",
        ),
        (
            {"day": [*["2024-01-01", "2024-02-01"] * 29, "soon", "2024-03-01"]},
            {"time": "day"},
            "a column of dates or numbers; line 60 has 'soon' in day",
        ),
        ({"day": ["2024-01-01"] * 60}, {"time": "day"}, "at least 2 times; day has one"),
        ({"part": ["a", "test"] * 30}, {"split": "part"}, "with the values train and test; part has a, too"),
        ({"part": ["train"] * 60}, {"split": "part"}, "both classes; by data.split=part the test part has no rows"),
        ({}, {"split": "part", "time": "day"}, "time and split must not both be set"),
        ({}, {"kinds": {"age": "ordinal"}}, "kinds must be of number, .*, identifier; got ordinal for age"),
        ({}, {"kinds": {"ages": "number"}}, "data.kinds must name columns of .*; there is no ages"),
        ({}, {"columns": ["ages"]}, "data.columns must name columns of .*; there is no ages"),
        ({}, {"columns": ["age"], "drop": ["age"]}, "data.columns and data.drop must not name the same column; both have age"),
        ({}, {"columns": []}, "no column beside the target y"),
        ({}, {"path": "t.xlsx"}, "path must end in .csv or .parquet .*; got t.xlsx"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, more: dict[str, Any], options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        visits(tmp_path, people(**more), **{"keep": None, **options})


def test_columns_and_kinds_choose_features(tmp_path: Path) -> None:
    assert visits(tmp_path, keep=None, columns=["times", "age"]).features == ["age", "times"]
    told = visits(tmp_path, keep=None, kinds={"times": "category", "age": "identifier"})
    found = {column.name: column.kind for column in told.columns}
    assert (found["times"], found["age"]) == ("category", "identifier")
    assert "age" not in told.features


def test_several_labels_make_a_class(tmp_path: Path) -> None:
    grades = people(y=[f"grade{i % 4}" for i in range(PEOPLE)])
    data = visits(tmp_path, grades, positive=["grade3", "grade1"])
    assert data.classes == ("grade0 or grade2", "grade1 or grade3")
    assert sum(data.train.y) + sum(data.test.y) == 30
    assert visits(tmp_path, grades, positive=["grade3"]).classes == ("grade0 or grade1 or grade2", "grade3")
    for positive, sentence in {
        "grade3": "must have two classes; got 4: .*; data.positive=.LABEL, .... makes one class of some",
        ("grade5",): "data.positive must be one of grade0, grade1, grade2, grade3; got grade5",
        ("grade0", "grade1", "grade2", "grade3"): "data.positive must name some labels of .*, and not all",
        (): "data.positive must name some labels",
    }.items():
        with pytest.raises(PipelineError, match=sentence):
            visits(tmp_path, grades, positive=positive if isinstance(positive, str) else [*positive])


def test_rows_without_a_label_can_be_left_out(tmp_path: Path) -> None:
    gaps = people(y=[None if i % 6 == 1 else ["sick", "well"][i % 2] for i in range(PEOPLE)])
    with pytest.raises(PipelineError, match="10 are missing, the first in line 3: data.drop_unlabelled=true leaves"):
        visits(tmp_path, gaps)
    data = visits(tmp_path, gaps, drop_unlabelled=True)
    assert len(data.train.y) + len(data.test.y) == 50
    assert "left out: 10 rows without a target" in data.notes
    infinite = {**gaps, "age": [1.0, 3.0] * 20 + ["inf"] + [2.0] * 19}
    with pytest.raises(PipelineError, match="must be finite .*; line 42 has 'inf' in age"):
        visits(tmp_path, infinite, drop_unlabelled=True)
