"""Signs that a good score is a leak: a column that gives the label away, and test rows that the training part has, too."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Features, column_ranges, row_blocks
from pipeline.data.dataset import Dataset, Split
from pipeline.text import join_limited, quote_if_needed

MIN_ROWS = 2  # training rows of a class by which a column can be judged
MAX_LEVELS = 0.5  # of the rows, distinct texts of a column that can be judged
FIRST_ROWS = 10_000  # which mostly show already that a column does not separate the classes
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that a product keeps apart what was


def leaks(dataset: Dataset) -> list[str]:
    """A sentence for each sign that is there."""
    found = []
    if columns := separating_columns(dataset.train):
        names = [quote_if_needed(dataset.features[i]) for i in columns]
        which = f"each of the columns {join_limited(names)}" if len(names) > 1 else names[0]
        found.append(f"{which} alone separates the classes of the training rows: is it known before {dataset.target} is?")
    if repeated := int(repeated_rows(dataset.train, dataset.test).sum()):
        found.append(
            f"{repeated} of {len(dataset.test.y)} test rows stand in the training part, too, with the same features and label: "
            "unless columns of few values explain it, the test metrics are too good"
        )
    return found


def separating_columns(part: Split) -> list[int]:
    """The columns in which all rows of one class lie below all rows of the other; in a table also those of text, and those with
    missing values, in which no value is of both."""
    ones = part.y == 1
    if min(ones.sum(), (~ones).sum()) < MIN_ROWS:
        return []
    if part.is_table:
        first = slice(FIRST_ROWS)
        may = [i for i, column in enumerate(part.X.columns) if _separates(column[first], ones[first])]
        return [i for i in may if _separates(column := part.X.column(i), ones) and not _has_many_levels(column)]
    (low_0, high_0), (low_1, high_1) = column_ranges(part.X, ~ones), column_ranges(part.X, ones)
    return [int(i) for i in np.flatnonzero((high_0 < low_1) | (high_1 < low_0))]


def repeated_rows(train: Split, test: Split) -> NDArray[np.bool_]:
    """Which rows (n,) of the test part have a row with the same features and label in the training part."""
    if train.is_table:
        import pyarrow as pa
        import pyarrow.compute as pc

        hashes, known = (pa.array(_row_hashes(part)) for part in (test, train))
        return np.asarray(pc.is_in(hashes, known))
    known, hashes = (
        np.fromiter(map(hash, zip(_rows(part.X), part.y.tolist(), strict=True)), np.int64) for part in (train, test)
    )
    return np.isin(hashes, known)


def _separates(column: Any, ones: NDArray[np.bool_]) -> bool:
    """Whether a table's column alone tells the classes apart, by its values or by where they are missing. What does so in all
    rows does so in some of them."""
    from pipeline.data.cells import factorize, is_text

    is_missing = column.is_null().to_numpy()
    if is_missing[ones].any() and is_missing[~ones].any():
        return False
    if is_text(column):
        values, codes = factorize(column)
        of_one, of_zero = (np.bincount(codes[side & ~is_missing], minlength=len(values)) > 0 for side in (ones, ~ones))
        return not (of_one & of_zero).any()
    numbers = _numbers(column)
    zero, one = numbers[~ones & ~is_missing], numbers[ones & ~is_missing]
    return bool(not len(zero) or not len(one) or zero.max() < one.min() or one.max() < zero.min())


def _has_many_levels(column: Any) -> bool:
    """Whether a column's texts are so many that one alone tells little."""
    from pipeline.data.cells import factorize, is_text

    return is_text(column) and len(factorize(column)[0]) > MAX_LEVELS * len(column)


def _numbers(column: Any) -> NDArray[Any]:
    """The numbers or times of a table's column; any where one is missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return (pc.cast(column, pa.uint8()) if pa.types.is_boolean(column.type) else column).to_numpy()


def _row_hashes(part: Split) -> NDArray[np.uint64]:
    """A number (n,) for each row of a table, equal for equal cells and labels."""
    from pipeline.data.cells import factorize, is_text

    hashes = part.y.astype(np.uint64)
    for column in part.X.columns:
        if is_text(column):
            values, codes = factorize(column)
            keys = np.array([*(hash(text) for text in values.to_pylist()), 0], np.int64)[codes]
        else:
            is_missing = column.is_null().to_numpy()
            numbers = _numbers(column)
            keys = numbers.astype(np.int64) if numbers.dtype.kind in "Mb" else (numbers + 0.0).view(np.int64)
            keys = np.where(is_missing, np.int64(-1), keys)
        hashes = (hashes ^ keys.view(np.uint64)) * MULTIPLIER
        hashes ^= hashes >> np.uint64(29)
    return hashes


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
