"""Encoders as training fits them: scikit-learn's transformers are the oracle."""

import datetime
import json
import tempfile
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from pipeline.arrays import Features
from pipeline.data.kinds import recognise
from pipeline.learning import encoding
from pipeline.learning.encoding import encode, fit_encoder
from pipeline.learning.models import EncoderOptions
from pipeline.model.columns import Column, read_cells
from pipeline.model.encoder import Encoder

ROWS = 400
RNG = np.random.default_rng(0)


def column(name: str, kind: str, cells_type: str) -> Column:
    return Column(name, kind, cells_type, 0, 0, "")


def with_gaps(values: Sequence[Any], share: float = 0.1) -> list[Any]:
    return [None if RNG.random() < share else value for value in values]


DAYS = [datetime.datetime(2023, 11, 5) + datetime.timedelta(hours=17 * int(i)) for i in RNG.permutation(ROWS)]
WORDS = ["late", "paid", "refund", "Refund", "über", "a", "x2", "not"]
TABLE = pa.table(
    {
        "income": pa.array(RNG.lognormal(size=ROWS)),
        "age": pa.array(with_gaps(RNG.integers(18, 90, ROWS).tolist()), pa.int64()),
        "job": pa.array(RNG.choice(["teacher", "nurse", "cook", "smith"], ROWS, p=[0.6, 0.3, 0.095, 0.005])),
        "town": pa.array(with_gaps([f"t{i}" for i in RNG.integers(0, 120, ROWS)])).dictionary_encode(),
        "zip": pa.array(RNG.integers(100, 110, ROWS)),
        "member": pa.array(with_gaps((RNG.random(ROWS) < 0.7).tolist())),
        "signup": pa.array(with_gaps(DAYS), pa.timestamp("us")),
        "notes": pa.array(with_gaps([" ".join(RNG.choice(WORDS, i % 7)) for i in range(ROWS)])),
    }
)
COLUMNS = [
    column("income", "number", "number"),
    column("age", "number", "integer"),
    column("job", "category", "text"),
    column("town", "category", "text"),
    column("zip", "category", "integer"),
    column("member", "boolean", "boolean"),
    column("signup", "date", "date"),
    column("notes", "text", "text"),
]
OPTIONS = EncoderOptions()


def encoded(names: Sequence[str], table: pa.Table = TABLE, options: EncoderOptions = OPTIONS) -> tuple[list[str], Any]:
    """The features of some columns, and X."""
    columns = [each for each in COLUMNS if each.name in names]
    encoder = fit_encoder(table, columns, options)
    return encoder.features, encode(encoder, columns, table)


def test_numbers_are_imputed_by_the_median_with_an_indicator() -> None:
    features, X = encoded(["income", "age"])
    assert features == ["income", "age", "age is missing"]
    expected = SimpleImputer(strategy="median", add_indicator=True).fit_transform(TABLE.select(["income", "age"]).to_pandas())
    assert np.array_equal(X, expected)


@pytest.mark.parametrize(
    ("name", "min_rows", "max_levels"),
    [("job", 1, 1000), ("job", 5, 1000), ("job", 60, 1000), ("town", 1, 1000), ("town", 5, 1000), ("town", 4, 10)],
)
def test_categories_are_those_of_the_one_hot_encoder(name: str, min_rows: int, max_levels: int) -> None:
    cells = TABLE.select([name]).to_pandas().astype(object)
    oracle = OneHotEncoder(
        min_frequency=min_rows, max_categories=max_levels, handle_unknown="infrequent_if_exist", sparse_output=False
    )
    expected = oracle.fit_transform(cells)
    options = EncoderOptions(min_rows, max_levels)
    encoder = fit_encoder(TABLE, [each for each in COLUMNS if each.name == name], options)
    features, X = encoded([name], options=options)
    assert np.array_equal(X, expected)
    names = [text.replace("infrequent_sklearn", "(other)") for text in oracle.get_feature_names_out([name])]
    assert features == [
        f"{name} is missing" if text == f"{name}_nan" else text.replace(f"{name}_", f"{name}=", 1) for text in names
    ]
    unseen = pa.table({name: pa.array(["never seen", "nurse", None, "t7"])})
    X = encode(encoder, [each for each in COLUMNS if each.name == name], unseen)
    cells = pd.DataFrame({name: np.array(["never seen", "nurse", np.nan, "t7"], object)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, of categories that it has not seen
        assert np.array_equal(X, oracle.transform(cells))


def test_numbers_that_are_told_to_be_categories() -> None:
    features, X = encoded(["zip"])
    assert features == [f"zip={code}" for code in range(100, 110)]
    assert np.array_equal(X, OneHotEncoder(sparse_output=False).fit_transform(TABLE.select(["zip"]).to_pandas()))


def test_booleans_are_0_and_1() -> None:
    features, X = encoded(["member"])
    assert features == ["member", "member is missing"]
    cells = TABLE.select(["member"]).to_pandas().astype(float)
    assert np.array_equal(X, SimpleImputer(strategy="most_frequent", add_indicator=True).fit_transform(cells))


def test_dates_become_what_varies_of_them() -> None:
    features, X = encoded(["signup"])
    frame = pd.to_datetime(TABLE["signup"].to_pandas()).dt
    parts = {
        "signup: year": frame.year.fillna(frame.year.median()),
        **{f"signup: month {month}": frame.month == month for month in range(1, 13)},
        **{f"signup: {day}": frame.day_name() == day for day in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")},
        **{f"signup: {day}": frame.day_name() == day for day in ("Saturday", "Sunday")},
        **{f"signup: hour {hour}": frame.hour == hour for hour in range(24)},
        "signup is missing": TABLE["signup"].to_pandas().isna(),
    }
    expected = pd.DataFrame(parts).astype(float)
    expected = expected.loc[:, expected.any()]
    assert features == expected.columns.tolist()
    assert np.array_equal(X, expected.to_numpy())
    day = pa.table({"signup": pa.array([datetime.datetime(2024, 3, 1), datetime.datetime(2024, 3, 2)], pa.timestamp("us"))})
    assert encoded(["signup"], day)[0] == ["signup: Friday", "signup: Saturday"]


@pytest.mark.parametrize(("least", "most"), [(1, 1000), (150, 1000), (1, 3)])
def test_text_is_tf_idf(least: int, most: int) -> None:
    features, X = encoded(["notes"], options=EncoderOptions(least, max_words=most))
    texts = [text or "" for text in TABLE["notes"].to_pylist()]
    oracle = TfidfVectorizer(min_df=least, max_features=most)
    expected = oracle.fit_transform(texts).toarray()
    assert features == [*(f"notes: {word}" for word in oracle.get_feature_names_out()), "notes is missing"]
    np.testing.assert_allclose(X[:, :-1], expected, rtol=0, atol=1e-15)
    assert X[:, -1].tolist() == [float(not text) for text in texts]


@pytest.mark.parametrize(("dense_bytes", "memory_bytes"), [(0, 1 << 30), (0, 1000), (0, 0), (1 << 30, 0)])
def test_sparse_and_dense_blocks_hold_the_same(dense_bytes: int, memory_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "MEMORY_BYTES", memory_bytes)
    names, whole = encoded(TABLE.column_names)
    for limit in ("SMALL_BYTES", "DENSE_BYTES"):
        monkeypatch.setattr(encoding, limit, dense_bytes)
    monkeypatch.setattr(encoding, "BLOCK_ENTRIES", 7 * len(COLUMNS))
    files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
    unused = iter(files)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: next(unused))
    X: Features = encoded(TABLE.column_names)[1]
    assert isinstance(X, np.ndarray) == (dense_bytes > 0)
    if not isinstance(X, np.ndarray):
        assert X.has_canonical_format
        assert [file.closed for file in files] == [memory_bytes < X.indices.nbytes] * 2
        assert X.nnz == np.count_nonzero(whole)
        X = X.toarray()
    assert np.array_equal(X, whole)
    assert X.shape == (ROWS, len(names))
    for file in files:
        file.close()


def test_a_dense_table_stays_dense_however_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("SMALL_BYTES", "DENSE_BYTES"):
        monkeypatch.setattr(encoding, limit, 0)
    assert isinstance(encoded(["income", "age"])[1], np.ndarray)


def test_the_order_of_the_rows_makes_no_difference() -> None:
    shuffled = TABLE.take(pa.array(RNG.permutation(ROWS)))
    columns = COLUMNS[::-1]
    assert fit_encoder(shuffled, columns, OPTIONS) == fit_encoder(TABLE, columns, OPTIONS)


@pytest.mark.parametrize(("least", "most"), [(1, 1000), (5, 1000), (8, 4)])
def test_whole_weights_are_numbers_of_rows_and_others_weigh_these(least: int, most: int) -> None:
    options = EncoderOptions(least, most, most)
    weight = np.random.default_rng(1).integers(0, 4, ROWS).astype(float)
    repeated = TABLE.take(np.repeat(np.arange(ROWS), weight.astype(int)))
    weighted = fit_encoder(TABLE, COLUMNS, options, weight)
    assert weighted == fit_encoder(repeated, COLUMNS, options)
    assert weighted != fit_encoder(TABLE, COLUMNS, options)
    assert fit_encoder(TABLE, COLUMNS, options, np.ones(ROWS)) == fit_encoder(TABLE, COLUMNS, options)
    shares = {step.column: step for step in fit_encoder(TABLE, COLUMNS, options, weight / 700).steps}
    rows = {step.column: step for step in fit_encoder(TABLE.filter(weight > 0), COLUMNS, options).steps}
    assert {name: shares[name] for name in ("income", "age")} == {step.column: step for step in weighted.steps[:2]}
    assert [shares[name] for name in ("job", "town", "zip", "notes")] == [
        rows[name] for name in ("job", "town", "zip", "notes")
    ]


def test_the_more_frequent_boolean_is_so_by_weight() -> None:
    table, columns = pa.table({"member": pa.array([True, True, False, None])}), [COLUMNS[5]]
    fills = [fit_encoder(table, columns, OPTIONS, weight).to_list()[0]["fill"] for weight in (None, np.array([1, 1, 3.5, 1]))]
    assert fills == [1, 0]
    assert fit_encoder(table, columns, OPTIONS, np.array([1, 1, 1, 0.0])).features == ["member"]


def test_an_encoder_is_what_its_list_makes() -> None:
    encoder = fit_encoder(TABLE, COLUMNS, OPTIONS)
    assert Encoder.from_list(encoder.to_list()) == encoder


def test_columns_of_which_nothing_is_left_have_no_step() -> None:
    rare = pa.table({"job": pa.array([f"j{i}" for i in range(30)]), "signup": pa.array([DAYS[0]] * 30, pa.timestamp("us"))})
    assert fit_encoder(rare, [COLUMNS[2], COLUMNS[6]], OPTIONS).steps == []


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-3, 3).map(float)
TIMES = st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31))
CELLS: dict[str, Any] = {
    "number": (NUMBERS, pa.float64()),
    "boolean": (st.booleans(), pa.bool_()),
    "category": (st.sampled_from("abc") | st.text(max_size=3), pa.string()),
    "date": (TIMES, pa.timestamp("us")),
    "text": (st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=6).map(" ".join), pa.string()),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[pa.Table, list[Column]]:
    """A table of any kinds and names, with gaps, and its columns."""
    rows = draw(st.integers(1, 12))
    names = draw(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=5, unique=True))
    kinds = [draw(st.sampled_from(sorted(CELLS))) for _ in names]
    cells = {
        name: pa.array(draw(st.lists(st.none() | CELLS[kind][0], min_size=rows, max_size=rows)), CELLS[kind][1])
        for name, kind in zip(names, kinds, strict=True)
    }
    types = {"category": "text"}
    return pa.table(cells), [column(name, kind, types.get(kind, kind)) for name, kind in zip(names, kinds, strict=True)]


@settings(max_examples=100, deadline=None)
@given(drawn=tables(), least=st.integers(1, 4), most=st.integers(2, 4))
def test_any_table_is_encoded_alike_whole_and_row_by_row(drawn: tuple[pa.Table, list[Column]], least: int, most: int) -> None:
    table, columns = drawn
    encoder = fit_encoder(table, columns, EncoderOptions(least, most, most))
    read = Encoder.from_list(json.loads(json.dumps(encoder.to_list(), allow_nan=False)))
    assert read == encoder
    X = encode(encoder, columns, table)
    assert isinstance(X, np.ndarray)
    assert X.shape == (table.num_rows, len(encoder.features))
    assert np.isfinite(X).all()
    for i, row in enumerate(table.to_pylist()):
        cells = {each.name: read_cells(each, [row[each.name]]) for each in columns}
        assert np.array_equal(read.encode(cells, 1).toarray()[0], X[i])


def test_a_wide_table_of_few_entries_is_sparse_and_a_narrow_one_dense() -> None:
    towns = pa.table({name: [f"{name}{i % 300}" for i in range(6000)] for name in ("a", "b")})
    columns = recognise(towns)
    for options, is_sparse in ((EncoderOptions(), True), (EncoderOptions(max_levels=50), False)):
        X = encode(fit_encoder(towns, columns, options), columns, towns)
        assert X.shape == (6000, 600 if is_sparse else 100)
        assert isinstance(X, np.ndarray) != is_sparse
