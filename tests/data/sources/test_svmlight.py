"""svmlight files: where the columns count from is known or stated, and a file that cannot be used ends in one sentence."""

import bz2
import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from pipeline.data.dataset import Dataset
from pipeline.data.sources.svmlight import Svmlight
from pipeline.errors import PipelineError

TEXT = "1 2:0.5 5:2\n# none\n0 3:1.5 # one\n\n1 qid:7 2:1\n0 4:3 5:1\n"
SMALL = "-1 1:0.5 4:2\n+1 2:1.5\n-1 3:1 # a comment\n+1 1:3 4:1\n"
PIECES = ["1", "0", "-1", " ", ":", "\n", "\n", "1:2", " 3:.5", "#", "qid:1", "nan", "x", "é", "_"]


def load(folder: Path, content: str | bytes, name: str = "t.svm", **options: Any) -> Dataset:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return Svmlight(path=str(folder / name), **options).load()


@pytest.mark.parametrize(
    ("content", "options", "columns", "expected"),
    [
        (TEXT, {}, 5, "columns count from 1 (if from 0, set data.first_column=0)"),
        (TEXT, {"first_column": 1}, 5, "columns count from 1;"),
        (TEXT, {"first_column": 0}, 6, "columns count from 0;"),
        (TEXT.replace("2:", "0:"), {}, 6, "columns count from 0;"),
        (TEXT, {"columns": 9}, 9, "columns count from 1 (if"),
        (TEXT, {"columns": 9, "first_column": 0}, 9, "columns count from 0;"),
    ],
)
def test_where_columns_count_from(tmp_path: Path, content: str, options: dict[str, Any], columns: int, expected: str) -> None:
    data = load(tmp_path, content, **options)
    assert data.train.X.shape[1] == data.test.X.shape[1] == len(data.features) == columns
    assert data.train.X.sum() + data.test.X.sum() == 9
    assert expected in data.notes[0]
    assert "label: 0 or 1, the positive class being 1" in data.notes[0]


@pytest.mark.parametrize(
    ("content", "options", "sentence"),
    [
        (TEXT.replace("3:", "0:"), {"first_column": 1}, "must count from data.first_column=1 in .*; line 3 has a column 0"),
        (TEXT, {"columns": 4}, "columns must be at most data.columns=4 in .*; line 1 has column 5"),
        (TEXT, {"first_column": 2}, "first_column must be 0, 1 or null; got 2"),
        (
            TEXT + "1 2000000000:1\n",
            {},
            "set data.columns=2000000000 if so many columns are meant .*; line 7 has column 2000000000",
        ),
        (TEXT + "1 2000000000:1\n", {"columns": 2 * 10**9}, "to fit into this machine's memory; got 2000000000"),
        (TEXT + "1 3000000000:1\n", {}, "line 7 must be LABEL COLUMN:VALUE .* below 2.31; got '1 3000000000:1'"),
        (TEXT + "1 3:1 2:1\n", {}, "line 7 must be .* ascending .*; got '1 3:1 2:1'"),
        (TEXT + "1 3:1 3:1\n", {}, "line 7 must be .* ascending .*; got '1 3:1 3:1'"),
        (TEXT + "1 1_0:1\n", {}, "line 7 must be .*; got '1 1_0:1'"),
        (TEXT + "1 3:inf\n", {}, "every number in .* must be finite; line 7 has one"),
        ("1\n0\n", {}, "there are no columns"),
        ("<html>\n", {}, "line 1 must be LABEL COLUMN:VALUE .*; got '<html>'"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        load(tmp_path, content, **options)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_packed_file(tmp_path: Path, pack: Any) -> None:
    sound = pack((TEXT * 50).encode())
    assert len(load(tmp_path, sound, "t.svm.gz").features) == 5
    for damaged in (sound[: len(sound) // 2], sound[:-3], sound[:30] + b"~~~~" + sound[34:]):
        with pytest.raises(PipelineError, match="could not be read as svmlight: ") as refused:
            load(tmp_path, damaged, "t.svm.gz")
        assert "\n" not in str(refused.value)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES), max_size=60))
def test_any_text_is_a_data_set_or_a_sentence(tmp_path: Path, pieces: list[str]) -> None:
    sentence = ""
    try:
        load(tmp_path, TEXT + "".join(pieces))
    except PipelineError as error:
        sentence = str(error)
    assert "\n" not in sentence


def test_an_svmlight_file_stays_sparse(tmp_path: Path) -> None:
    (tmp_path / "t.svm").write_text(SMALL)
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
