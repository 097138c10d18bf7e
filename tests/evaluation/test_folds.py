"""Each row is held out once, and each fold has its share of both classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.evaluation.folds import features_of, stratified_folds


@given(st.integers(2, 6), st.integers(0, 30), st.integers(0, 30), st.integers(0, 2**32 - 1))
def test_folds_are_stratified_and_hold_each_row_out_once(count: int, negatives: int, positives: int, seed: int) -> None:
    y = np.random.default_rng(0).permutation(np.repeat([0.0, 1.0], [count + negatives, count + positives]))
    folds = stratified_folds(y, count, seed)
    assert len(folds) == count
    assert np.array_equal(np.sort(np.concatenate([held_out for _, held_out in folds])), np.arange(len(y)))
    for rows, held_out in folds:
        assert np.array_equal(np.sort(np.concatenate([rows, held_out])), np.arange(len(y)))
        assert np.array_equal(held_out, np.sort(held_out))
    for sizes in ([len(held_out) for _, held_out in folds], [int(y[held_out].sum()) for _, held_out in folds]):
        assert max(sizes) - min(sizes) <= 1


def test_a_seed_makes_the_same_folds_again_and_another_makes_others() -> None:
    y = np.repeat([0.0, 1.0], 50)
    first, again, other = (stratified_folds(y, 5, seed)[0][1].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_class_that_does_not_reach_every_fold() -> None:
    expected = "^5-fold cross-validation needs 5 training rows of each class; yes has 4$"
    with pytest.raises(DataError, match=expected):
        stratified_folds(np.repeat([0.0, 1.0], [20, 4]), classes=("no", "yes"))


def test_a_matrix_is_the_same_in_every_fold() -> None:
    X = np.arange(12.0).reshape(6, 2)
    assert np.array_equal(features_of(X)(np.array([0, 1]), np.array([4, 2])), X[[4, 2]])
