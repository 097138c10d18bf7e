"""Signs that a good score is a leak: a column that gives the label away, and test rows that the training part has, too."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array, column_ranges
from pipeline.data.dataset import Dataset, Split
from pipeline.data.reading import brief, listed

BLOCK_ENTRIES = 1 << 17  # that are looked at together: they fit into a processor's cache
FEWEST = 2  # training rows of a class by which a column can be judged
Hashes = NDArray[np.uint64]


def leaks(dataset: Dataset) -> list[str]:
    """A sentence for each sign that is there."""
    found = []
    if columns := separating(dataset.train):
        which = brief(dataset.features[columns[0]])
        if len(columns) > 1:
            which = f"each of the columns {listed([brief(dataset.features[i]) for i in columns])}"
        found.append(f"{which} alone separates the classes of the training rows: is it known before {dataset.target} is?")
    if repeated := repeated_rows(dataset.train, dataset.test):
        found.append(
            f"{repeated} of {len(dataset.test.y)} test rows stand in the training part, too, with the same features and label: "
            "the test metrics may be too good"
        )
    return found


def separating(part: Split) -> list[int]:
    """The columns of which one value parts the classes: all rows of one class are below it, all of the other above."""
    ones = part.y == 1
    if min(ones.sum(), (~ones).sum()) < FEWEST:
        return []
    (low_0, high_0), (low_1, high_1) = column_ranges(part.X, ~ones), column_ranges(part.X, ones)
    return [int(i) for i in np.flatnonzero((high_0 < low_1) | (high_1 < low_0))]


def repeated_rows(train: Split, test: Split) -> int:
    """How many rows of the test part have a row with the same features and label in the training part."""
    known, asked = _hashes(train), _hashes(test)
    order = np.argsort(known, kind="stable")
    at = np.minimum(np.searchsorted(known, asked, sorter=order), len(known) - 1)
    rows = np.flatnonzero(known[order[at]] == asked)
    return sum(_same(train, test, order[at[chosen]], chosen) for chosen in np.array_split(rows, len(rows) // 4096 + 1))


def _same(train: Split, test: Split, ours: NDArray[Any], theirs: NDArray[Any]) -> int:
    """How many of these pairs of rows are equal, not only in their hash."""
    if isinstance(train.X, np.ndarray):
        equal = (train.X[ours] == test.X[theirs]).all(axis=1)
    else:
        unlike: Any = train.X[ours] != test.X[theirs]
        equal = np.asarray(unlike.sum(axis=1)).ravel() == 0
    return int((equal & (train.y[ours] == test.y[theirs])).sum())


def _hashes(part: Split) -> Hashes:
    """A number for each row (n,), equal where features and label are."""
    X: Any = part.X
    salts = np.random.default_rng(0).integers(2**63, size=X.shape[1] + 1, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    sums = part.y.astype(np.uint64) * salts[-1]
    for rows in _blocks(X):
        if isinstance(X, np.ndarray):
            sums[rows] += _mixed(X[rows]) @ salts[:-1]
            continue
        ends = X.indptr[rows.start : rows.stop + 1]
        entries, filled = slice(ends[0], ends[-1]), np.flatnonzero(np.diff(ends))
        if len(filled):
            terms = _mixed(X.data[entries]) * salts[X.indices[entries]]
            sums[rows.start + filled] += np.add.reduceat(terms, ends[filled] - ends[0])
    return sums


def _mixed(values: Array) -> Hashes:
    """The bits of floats, 0 for both zeros, such that small numbers differ in their lower bits, too."""
    bits = (values + 0.0).view(np.uint64)
    bits ^= bits >> np.uint64(33)
    return bits


def _blocks(X: Any) -> Iterator[slice]:
    """Slices of rows, of about BLOCK_ENTRIES entries each."""
    entries = X.size if isinstance(X, np.ndarray) else X.nnz
    rows = max(1, BLOCK_ENTRIES * X.shape[0] // max(1, entries))
    for start in range(0, X.shape[0], rows):
        yield slice(start, min(start + rows, X.shape[0]))
