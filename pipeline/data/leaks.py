"""Signs that a good score is a leak: a column that gives the label away, and test rows that the training part has, too."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from pipeline.arrays import Features, column_ranges, row_blocks
from pipeline.data.dataset import Dataset, Split
from pipeline.text import join_limited, quote_if_needed

MIN_ROWS = 2  # training rows of a class by which a column can be judged


def leaks(dataset: Dataset) -> list[str]:
    """A sentence for each sign that is there."""
    found: list[str] = []
    if hasattr(dataset.train.X, "column_names"):
        return found
    if columns := separating_columns(dataset.train):
        names = [quote_if_needed(dataset.features[i]) for i in columns]
        which = f"each of the columns {join_limited(names)}" if len(names) > 1 else names[0]
        found.append(f"{which} alone separates the classes of the training rows: is it known before {dataset.target} is?")
    if repeated := repeated_rows(dataset.train, dataset.test):
        found.append(
            f"{repeated} of {len(dataset.test.y)} test rows stand in the training part, too, with the same features and label: "
            "the test metrics may be too good"
        )
    return found


def separating_columns(part: Split) -> list[int]:
    """The columns in which all rows of one class lie below all rows of the other."""
    ones = part.y == 1
    if min(ones.sum(), (~ones).sum()) < MIN_ROWS:
        return []
    (low_0, high_0), (low_1, high_1) = column_ranges(part.X, ~ones), column_ranges(part.X, ones)
    return [int(i) for i in np.flatnonzero((high_0 < low_1) | (high_1 < low_0))]


def repeated_rows(train: Split, test: Split) -> int:
    """How many rows of the test part have a row with the same features and label in the training part."""
    known, hashes = (
        np.fromiter(map(hash, zip(_rows(part.X), part.y.tolist(), strict=True)), np.int64) for part in (train, test)
    )
    return int(np.isin(hashes, known).sum())


def _rows(X: Features) -> Iterator[bytes]:
    """Each row as bytes, which are the same for both zeros, and for a zero that is stored and one that is not."""
    if isinstance(X, np.ndarray):
        for rows in row_blocks(*X.shape):
            block, size = (X[rows] + 0.0).tobytes(), X.itemsize * X.shape[1]
            yield from (block[start : start + size] for start in range(0, len(block), size))
        return
    if not X.data.all():
        X = X.copy()
        X.eliminate_zeros()
    columns, values = X.indices.astype(np.int64).tobytes(), X.data.tobytes()  # of 8 bytes each
    for start, end in pairwise((8 * X.indptr.astype(np.int64)).tolist()):
        yield columns[start:end] + values[start:end]
