"""Signed rows against the matrix that they stand for, and samples of rows."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from pipeline.learning.signed_rows import MAX_COLUMNS, SignedRows, sample_of, sample_size


@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_every_product_is_that_of_the_matrix(form: Any, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.arrays.CACHED_BYTES", 4096)  # several blocks of rows
    rng = np.random.default_rng(0)
    X, y = (100 * rng.standard_normal((1000, 4))).astype(dtype), (rng.random(1000) < 0.4).astype(float)
    mean, scale = rng.standard_normal(4), np.exp(rng.standard_normal(4))
    C = (2 * y - 1)[:, None] * np.c_[(X - mean) / scale, np.ones(1000)]
    rows, V, r = SignedRows(form(X), y, mean, scale), rng.standard_normal((5, 3)), rng.standard_normal(1000)
    assert rows.shape == C.shape
    np.testing.assert_allclose(rows.take(np.array([3, 500])), C[[3, 500]], rtol=1e-12)
    np.testing.assert_allclose(rows.times(V), C @ V, atol=1e-9)
    np.testing.assert_allclose(rows.times(V[:, 0]), C @ V[:, 0], atol=1e-9)
    shift = abs(mean / scale) @ abs(V[:-1])  # the terms of a sparse X and of its shift are apart
    terms = abs(C) @ abs(V) if form is np.asarray else abs(np.c_[X / scale, np.ones(1000)]) @ abs(V) + shift
    np.testing.assert_allclose(rows.sizes(V), terms, rtol=1e-12)
    np.testing.assert_allclose(rows.transposed_times(r), C.T @ r, atol=1e-8)


@pytest.mark.parametrize("rare", [3, 400, 5000])
def test_a_sample_is_of_both_classes_and_in_order(rare: int) -> None:
    y = np.zeros(10_000)
    y[np.random.default_rng(0).choice(10_000, rare, replace=False)] = 1
    chosen = sample_of(y, 1000)
    assert (np.diff(chosen) > 0).all()
    assert min(rare, 400) <= y[chosen].sum() <= 500
    assert 900 <= len(chosen) <= 1000
    assert sample_of(y, 5000).tolist() == list(range(10_000))


def test_a_sample_has_rows_enough_for_a_hessian_where_one_is_made() -> None:
    assert [sample_size(columns) for columns in (1, 20, 100, MAX_COLUMNS, MAX_COLUMNS + 1)] == [1000, 1000, 5000, 50_000, 1000]
