"""The target: its classes as they are written, and which is the positive one."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.data.sources.table import Table
from pipeline.errors import PipelineError
from tests.data.tables import AGES, LABELS, ROWS, csv_text, load


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
    data = load(tmp_path, csv_text("a,y", AGES, column))
    assert data.classes == classes
    assert [type(label) for label in data.classes] == [type(label) for label in classes]
    assert f"{classes[1]!r}".strip("'") in data.notes[0]
    assert load(tmp_path, csv_text("a,y", AGES, column), positive=labels[0].strip()).classes[1] in (classes[0], classes[1])
    for label in labels:
        chosen = load(tmp_path, csv_text("a,y", AGES, column), positive=label)
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
            r"6 are missing, the first in line 3: NA is read as missing; if it is a class, set data.missing_values=\[\], or",
        ),
        (["EU", ""], "6 are missing, the first in line 3: data.drop_unlabelled=true leaves such rows out$"),
        (['"a\nb"', "c"], r"must be text on one line, .*; got 'a\\nb'"),
    ],
)
def test_labels_that_may_mean_something_else(tmp_path: Path, labels: list[str], sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        load(tmp_path, csv_text("a,y", AGES, labels * (ROWS // len(labels))))


def test_labels_that_differ_in_case_may_be_listed(tmp_path: Path) -> None:
    genes = csv_text("a,y", AGES, ["AA", "Aa", "aa"] * 4)
    with pytest.raises(PipelineError, match=r"got 'AA' and 'Aa': where case matters, data.positive=\[Aa\] says so$"):
        load(tmp_path, genes)
    assert load(tmp_path, genes, positive=["Aa"]).classes == ("AA or aa", "Aa")
    with pytest.raises(PipelineError, match="got 'Aa' and 'Aa '$"):
        load(tmp_path, csv_text("a,y", AGES, ["AA", "Aa", "Aa "] * 4), positive=["Aa"])


def test_a_table_of_rows_without_labels(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="must have two classes; got 0$"):
        load(tmp_path, csv_text("a,y", AGES, [""] * ROWS), drop_unlabelled=True)


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
    ("labels", "positive", "classes"),
    [
        ([2, 7], "2", (7, 2)),
        ([2.0, 7.0], "2", (7.0, 2.0)),
        ([2.5, 7.0], "2.50", (7.0, 2.5)),
        ([False, True], "false", (True, False)),
        (["null", "void"], "null", ("void", "null")),
        (["11", "1_1"], "1_1", ("11", "1_1")),
        ([2, 7], "", (2, 7)),
    ],
)
def test_the_positive_class_is_given_as_text(tmp_path: Path, labels: list[object], positive: str, classes: object) -> None:
    pd.DataFrame({"a": np.arange(20.0), "y": labels * 10}).to_parquet(tmp_path / "t.parquet")
    assert Table(path=str(tmp_path / "t.parquet"), target="y", positive=positive).load().classes == classes


@pytest.mark.parametrize("positive", ["2_7", "seven", "Yes"])
def test_a_positive_class_that_is_none_of_the_labels(tmp_path: Path, positive: str) -> None:
    pd.DataFrame({"a": np.arange(20.0), "y": [1, 27] * 10}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(PipelineError, match=f"data.positive must be one of 1, 27; got {positive}"):
        Table(path=str(tmp_path / "t.parquet"), target="y", positive=positive).load()
