"""Sources: what they give, and the sentence for each table that cannot be used."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from pipeline.data import BreastCancer, Split, Svmlight, Table, Textbook, split
from pipeline.errors import PipelineError


def test_the_document_s_points() -> None:
    data = Textbook().load()
    stream = np.random.RandomState(0)
    X = stream.randn(1000, 2)
    np.testing.assert_array_equal(data.train.X, X)
    p = 1 / (1 + np.exp(-(X @ [2, -3] + 0.5)))
    np.testing.assert_array_equal(data.train.y, p > 0.5)
    np.testing.assert_array_equal(data.test.X, stream.randn(500, 2))


def test_breast_cancer_keeps_its_classes_shares() -> None:
    data = BreastCancer().load()
    assert data.train.X.shape == (427, 30)
    assert data.test.X.shape == (142, 30)
    assert data.test.y.mean() == pytest.approx(357 / 569, abs=0.01)


@pytest.mark.parametrize("fraction", [0.01, 0.25, 0.99])
def test_split_is_seeded_stratified_and_whole(fraction: float) -> None:
    X = np.arange(100.0)[:, None]
    y = (np.arange(100) % 5 == 0).astype(np.float64)
    train, test = split(Split(X, y), fraction, seed=3)
    np.testing.assert_array_equal(np.sort(np.vstack([train.X, test.X]), axis=0), X)
    assert set(train.y) == set(test.y) == {0, 1}
    np.testing.assert_array_equal(split(Split(X, y), fraction, seed=3)[1].X, test.X)
    assert fraction != 0.25 or not np.array_equal(split(Split(X, y), fraction, seed=4)[1].X, test.X)


def write(folder: Path, name: str = "t.csv", columns: dict[str, object] | None = None) -> str:
    frame = pd.DataFrame(columns or {"a": [1, 2, 3, 4, 5, 6.5], "b": [0, 1, 0, 1, 1, 0], "y": ["no", "yes"] * 3})
    path = folder / name
    frame.to_csv(path, index=False) if name.endswith(".csv") else frame.to_parquet(path)
    return str(path)


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
        ({"a": [1, 2], "word": ["u", "v"], "day": ["m", "t"], "y": [0, 1]}, "must be numeric .* these are not: word, day"),
        ({"a": [1, None, 3], "y": [0, 1, 0]}, "no missing values .* these have some: a"),
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


SVMLIGHT = "-1 1:0.5 4:2\n+1 2:1.5\n-1 3:1 # a comment\n+1 1:3 4:1\n"


def test_an_svmlight_file_stays_sparse(tmp_path: Path) -> None:
    (tmp_path / "t.svm").write_text(SVMLIGHT)
    data = Svmlight(path=str(tmp_path / "t.svm"), columns=6, test_fraction=0.5).load()
    assert data.features == ["x0", "x1", "x2", "x3", "x4", "x5"]
    assert data.classes == (-1.0, 1.0)
    for part in (data.train, data.test):
        assert isinstance(part.X, csr_array)
        assert part.X.shape == (2, 6)
        assert set(part.y) == {0, 1}
    assert data.train.X.sum() + data.test.X.sum() == 9


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no rows|could not be read as svmlight"),
        ("1 a:b\n", "could not be read as svmlight"),
        ("1 1:nan\n0 1:1\n", "every number .* must be finite"),
        ("1 1:1\n1 1:2\n", "must be of two classes; got 1: 1"),
        ("1 1:1\n0 1:2\n2 1:2\n", "must be of two classes; got 3: 0, 1, 2"),
    ],
)
def test_an_svmlight_file_that_cannot_be_used(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "t.svm").write_text(text)
    with pytest.raises(PipelineError, match=sentence):
        Svmlight(path=str(tmp_path / "t.svm")).load()


def test_a_missing_or_broken_file(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="there is none at"):
        Table(path=str(tmp_path / "no.csv"), target="y").load()
    (tmp_path / "broken.parquet").write_text("not parquet")
    with pytest.raises(PipelineError, match="could not be read as parquet"):
        Table(path=str(tmp_path / "broken.parquet"), target="y").load()
    with pytest.raises(PipelineError, match="data.positive must be one of no, yes; got maybe"):
        Table(path=write(tmp_path), target="y", positive="maybe").load()


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


def test_the_split_does_not_depend_on_which_class_is_positive() -> None:
    y = (np.random.default_rng(0).random(40) < 0.4).astype(np.float64)
    X = np.arange(40.0)[:, None]
    parts = [split(Split(X, labels), 0.25, 7) for labels in (y, 1 - y)]
    for one, other in zip(*parts, strict=True):
        np.testing.assert_array_equal(one.X, other.X)
        np.testing.assert_array_equal(one.y, 1 - other.y)
