"""Each row is held out once, and each fold has its share of both classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold, TimeSeriesSplit

from pipeline.arrays import Array
from pipeline.errors import DataError
from pipeline.evaluation.folds import STRATIFIED, FoldRule, features_of, stratified_folds


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


def test_folds_by_group_keep_groups_together_and_spread_the_classes() -> None:
    rng = np.random.default_rng(0)
    groups = rng.permutation(rng.integers(0, 40, 300))
    y = (rng.random(300) < 0.2 + 0.6 * (groups % 2)).astype(float)
    rule = FoldRule("group", groups, "ward")
    folds = rule.folds(y, seed=3)
    assert len(folds) == 5
    assert np.array_equal(np.sort(np.concatenate([held_out for _, held_out in folds])), np.arange(300))
    for rows, held_out in folds:
        assert not {*groups[rows]} & {*groups[held_out]}
        assert len(rows) + len(held_out) == 300
        assert abs(y[held_out].mean() - y.mean()) < 0.05
    other_seed = rule.folds(y, seed=4)
    assert any(not np.array_equal(a[1], b[1]) for a, b in zip(folds, other_seed, strict=True))
    some = np.flatnonzero(groups < 20)
    for rows, held_out in rule.take(some).folds(y[some]):
        assert not {*groups[some][rows]} & {*groups[some][held_out]}
    assert STRATIFIED.take(some) is STRATIFIED
    three = FoldRule("group", groups % 3, "ward").folds(y)
    assert sorted(np.unique((groups % 3)[held_out]).tolist() for _, held_out in three) == [[0], [1], [2]]
    assert (rule.description, STRATIFIED.description) == (" of whole groups (ward)", "")


@pytest.mark.parametrize("seed", range(10))
def test_folds_by_group_are_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, rng.integers(6, 60), 400)
    y = (rng.random(400) < rng.uniform(0.2, 0.9) * (0.3 + 0.7 * (groups % 2))).astype(float)
    expected = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(y, y, groups)
    for (rows, held_out), (others, apart) in zip(FoldRule("group", groups, "ward").folds(y, 5, seed), expected, strict=True):
        assert np.array_equal(rows, others)
        assert np.array_equal(held_out, apart)


def refusal(rule: FoldRule, y: Array, count: int = 5) -> str:
    with pytest.raises(DataError) as refused:
        rule.folds(y, count, 0, ("no", "yes"))
    return str(refused.value)


def test_groups_of_which_no_folds_can_be_made() -> None:
    y = np.repeat([0.0, 1.0], [20, 20])
    one = "cross-validation needs training rows of at least 2 groups; ward has one there"
    assert refusal(FoldRule("group", np.zeros(40, int), "ward"), y) == one
    each = "cross-validation needs each class in several groups; without those of one fold, no training row is yes"
    assert refusal(FoldRule("group", np.repeat(np.arange(5), [5, 5, 5, 5, 20]), "ward"), y) == f"{each} (data.group=ward)"
    few = "5-fold cross-validation needs 5 training rows of each class; yes has 3"
    assert refusal(FoldRule("group", np.arange(40) % 7, "ward"), np.repeat([0.0, 1.0], [37, 3])) == few


@given(st.integers(12, 60), st.integers(0, 2**32 - 1))
def test_folds_by_time_follow_their_training_rows(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    times, y = rng.permutation(n), np.arange(n) % 2.0
    y = y[times]  # both classes are there from the start
    folds = FoldRule("time", times, "day").folds(y)
    expected = [*TimeSeriesSplit(5).split(times)]
    order = np.argsort(times)
    assert len(folds) == 5
    for (rows, held_out), (before, after) in zip(folds, expected, strict=True):
        assert np.array_equal(rows, np.sort(order[before]))
        assert np.array_equal(held_out, np.sort(order[after]))
    months = times // 5
    for rows, held_out in FoldRule("time", months, "day").folds(y):
        assert months[rows].max() < months[held_out].min()


def test_times_of_which_no_folds_can_be_made() -> None:
    y, times = np.repeat([0.0, 1.0], 30), np.arange(60)
    folds = FoldRule("time", times, "day").folds(y[::-1])
    assert [len(rows) for rows, _ in folds] == [40, 50]  # before, all are of one class
    rule = "cross-validation needs 2 folds before which there are training rows of both classes; by data.time=day there"
    assert refusal(FoldRule("time", np.zeros(60, int), "day"), y) == f"{rule} are none"
    assert refusal(FoldRule("time", times, "day"), np.repeat([0.0, 1.0], [45, 15])) == f"{rule} is 1"
    assert refusal(FoldRule("time", np.arange(2), "day"), np.array([0.0, 1.0])) == f"{rule} are none"
