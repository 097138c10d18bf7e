"""The split: seeded, stratified, complete."""

import numpy as np
import pytest

from pipeline.data.dataset import Split, split


@pytest.mark.parametrize("fraction", [0.01, 0.25, 0.99])
def test_split_is_seeded_stratified_and_whole(fraction: float) -> None:
    X = np.arange(100.0)[:, None]
    y = (np.arange(100) % 5 == 0).astype(np.float64)
    train, test = split(Split(X, y), fraction, seed=3)
    np.testing.assert_array_equal(np.sort(np.vstack([train.X, test.X]), axis=0), X)
    assert set(train.y) == set(test.y) == {0, 1}
    np.testing.assert_array_equal(split(Split(X, y), fraction, seed=3)[1].X, test.X)
    assert fraction != 0.25 or not np.array_equal(split(Split(X, y), fraction, seed=4)[1].X, test.X)


def test_the_split_does_not_depend_on_which_class_is_positive() -> None:
    y = (np.random.default_rng(0).random(40) < 0.4).astype(np.float64)
    X = np.arange(40.0)[:, None]
    parts = [split(Split(X, labels), 0.25, 7) for labels in (y, 1 - y)]
    for one, other in zip(*parts, strict=True):
        np.testing.assert_array_equal(one.X, other.X)
        np.testing.assert_array_equal(one.y, 1 - other.y)
