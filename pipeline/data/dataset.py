"""What a data source gives: features and labels in a training and a test part, and the split that makes these."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array, Features
from pipeline.errors import ConfigError, DataError

Label = bool | int | float | str


@dataclass(frozen=True)
class Split:
    """Features X (n, d) float64 as read, an array or SciPy's CSR, and labels y (n,) float64 in {0, 1}."""

    X: Features
    y: Array


@dataclass(frozen=True)
class Dataset:
    """A training and a test part, and what their numbers mean: classes[1] is the one with y = 1.

    notes: a line each for what was recognised in the user's file, which the user should see.
    """

    features: list[str]
    target: str
    classes: tuple[Label, Label]
    train: Split
    test: Split
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """What `generate` needs of a data source."""

    def load(self) -> Dataset:
        """Read and split. Raises ConfigError where the data cannot be used."""


def check_seed(seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise ConfigError(f"seed must be in [0, 2^32); got {seed}")


def check_fraction(fraction: float) -> None:
    if not 0 < fraction < 1:
        raise ConfigError(f"test_fraction must be in (0, 1); got {fraction}")


def split(whole: Split, test_fraction: float, seed: int) -> tuple[Split, Split]:
    """A seeded, stratified split into training and test part; within each the rows keep their order. Which class is 1 plays no
    part in it.

    Each class sends round(test_fraction * its rows) to the test part, at least one and not all. Raises ConfigError where a
    class has a single row.
    """
    rng = np.random.default_rng(seed)
    chosen: list[NDArray[np.intp]] = []
    for label in (whole.y[0], 1 - whole.y[0]):
        rows = np.flatnonzero(whole.y == label)
        if not len(rows) >= 2:
            raise DataError(f"each class must have at least 2 rows to be split into training and test; one has {len(rows)}")
        size = min(max(round(test_fraction * len(rows)), 1), len(rows) - 1)
        chosen.append(rng.permutation(rows)[:size])
    test = np.zeros(len(whole.y), bool)
    test[np.concatenate(chosen)] = True
    return Split(whole.X[~test], whole.y[~test]), Split(whole.X[test], whole.y[test])
