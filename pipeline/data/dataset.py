"""What a data source gives: features and labels in a training and a test part, and the split that makes these."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.errors import DataError
from pipeline.model.columns import USED, Column

SETTABLE_KINDS = (*USED, "identifier")  # of columns, that data.kinds may name
Label = bool | int | float | str


@dataclass(frozen=True)
class Split:
    """Features X (n, d) float64 as read, an array or SciPy's CSR, or an Arrow table of raw columns; labels y (n,) float64 in
    {0, 1}, and of each row, where there are such, the weight, and the group or the rank in time by which it was split (n,)."""

    X: Any
    y: Array
    weight: Array | None = None
    group: NDArray[np.int64] | None = None
    time: NDArray[np.int64] | None = None

    @property
    def is_table(self) -> bool:
        """Whether X is a table, and no matrix of numbers."""
        return hasattr(self.X, "column_names")


@dataclass(frozen=True)
class Dataset:
    """A training and a test part, and what their numbers mean: classes[1] is the one with y = 1.

    notes: a line each for how the user's file was read, which the user should see; columns: of a table, all that may be
    features, the left-out ones, too; decimal: "," where numbers in the file have a decimal comma.
    """

    features: list[str]
    target: str
    classes: tuple[Label, Label]
    train: Split
    test: Split
    notes: tuple[str, ...] = ()
    columns: Sequence[Column] = ()
    decimal: str = ""


class Source(Protocol):
    """What `generate` needs of a data source."""

    def load(self) -> Dataset:
        """Read and split. Raises DataError where the data cannot be used."""


def split(data: Split, test_fraction: float, seed: int) -> tuple[Split, Split]:
    """A seeded, stratified split into training and test part; rows keep their order within each."""
    test = stratified(data.y, test_fraction, seed)
    return Split(data.X[~test], data.y[~test]), Split(data.X[test], data.y[test])


def stratified(y: Array, test_fraction: float, seed: int) -> NDArray[np.bool_]:
    """Which rows are the test part.

    Each class sends round(test_fraction * its rows) to the test part, at least one and not all. Which class is 1 makes no
    difference. Raises DataError where a class has a single row.
    """
    rng = np.random.default_rng(seed)
    test = np.zeros(len(y), bool)
    for label in (y[0], 1 - y[0]):
        rows = np.flatnonzero(y == label)
        if len(rows) < 2:
            raise DataError(f"each class must have at least 2 rows to be split into training and test; one has {len(rows)}")
        size = min(max(round(test_fraction * len(rows)), 1), len(rows) - 1)
        test[rng.permutation(rows)[:size]] = True
    return test
