"""Which rows of a table are its test part, where a column decides."""

from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.data.cells import MICROSECONDS, factorize, is_number, is_text, parse_date
from pipeline.data.columns import RawTable
from pipeline.errors import DataError
from pipeline.text import join_limited, quote, quote_if_needed

TRAINING, TEST = ("train", "training"), ("test", "testing")  # how a column may call the parts


def read_groups(table: RawTable, name: str) -> NDArray[np.int64]:
    """The group (n,) of each row, a number for each value."""
    _check_there(table, name, "data.group")
    return factorize(table.columns[name])[1]


def read_times(table: RawTable, name: str) -> NDArray[np.int64]:
    """The rank in time (n,) of each row; rows of one time have the same."""
    _check_there(table, name, "data.time")
    column = table.columns[name]
    if is_text(column):  # of a Parquet file, in which dates are text
        with suppress(pa.ArrowInvalid):
            column = pc.cast(pc.cast(column, pa.string()), MICROSECONDS)
    if not (pa.types.is_timestamp(column.type) or pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        rule = "data.time must name a column of dates or numbers"
        row = next((i for i, cell in enumerate(column.to_pylist()) if not _is_time(cell)), 0)
        raise DataError(f"{rule}; {table.locate(row)} has {quote(table.cell(row, name))} in {name} (data.csv.dates=FORMAT)")
    return np.unique(column.to_numpy(), return_inverse=True)[1].astype(np.int64)


def by_group(groups: NDArray[np.int64], name: str, y: Array, test_fraction: float, seed: int) -> NDArray[np.bool_]:
    """Seeded: about test_fraction of the rows, all rows of a group on one side. Groups with a higher share of positives than
    the table's, and the others, are drawn apart. name: of the column."""
    sizes = np.bincount(groups)
    if len(sizes) == len(y):
        raise DataError(f"data.group must name a column in which rows share a value; in {name}, every row has its own")
    if len(sizes) < 2:
        raise DataError(f"data.group must name a column with at least 2 groups; {name} has {len(sizes)}")
    rng, test = np.random.default_rng(seed), np.zeros(len(sizes), bool)
    is_high = np.bincount(groups, weights=y) / sizes > y.mean()
    wanted = 0.0
    for side in (is_high, ~is_high):
        order = rng.permutation(np.flatnonzero(side))
        ends = np.concatenate([[0], np.cumsum(sizes[order])])
        wanted += test_fraction * ends[-1]
        taken = int(np.argmin(np.abs(ends - wanted)))
        test[order[:taken]] = True
        wanted -= ends[taken]
    if not test.any():
        test[rng.integers(len(sizes))] = True
    return np.asarray(test[groups])


def by_time(times: NDArray[np.int64], name: str, test_fraction: float) -> NDArray[np.bool_]:
    """The last part of the rows in time, about test_fraction of them; rows of one time are on one side. name: of the column."""
    ordered = np.sort(times)
    first = ordered[min(max(len(times) - round(test_fraction * len(times)), 1), len(times) - 1)]
    if first == ordered[0]:
        later = ordered[ordered > first]
        if not len(later):
            raise DataError(f"data.time must name a column with at least 2 times; {name} has one")
        first = later[0]
    return np.asarray(times >= first)


def by_column(table: RawTable, name: str) -> NDArray[np.bool_]:
    """The rows that a column calls test; it must call all others train."""
    _check_there(table, name, "data.split")
    values, codes = factorize(pc.cast(table.columns[name], pa.string()))
    parts = [value.strip().lower() for value in values.to_pylist()]
    other = [quote_if_needed(text) for text, part in zip(values.to_pylist(), parts, strict=True) if part not in TRAINING + TEST]
    if other:
        raise DataError(f"data.split must name a column with the values train and test; {name} has {join_limited(other)}, too")
    return np.array([part in TEST for part in parts])[codes]


def check_parts(y: Array, test: NDArray[np.bool_], how: str, weight: Array | None) -> None:
    """Raise DataError unless both parts have rows of both classes that have a weight, if they have any."""
    counted, what = (True, "rows") if weight is None else (weight > 0, "rows with a weight above 0")
    for name, part in (("training", y[~test & counted]), ("test", y[test & counted])):
        if len(np.unique(part)) < 2:
            rows = f"{how} the {name} part has {f'{len(part)} {what} of one class' if len(part) else f'no {what}'}"
            raise DataError(f"the training and the test part must both have {what} of both classes; {rows}")


def _is_time(cell: Any) -> bool:
    return is_number(str(cell)) or any(parse_date(str(cell), order) for order in "dm")


def _check_there(table: RawTable, name: str, key: str) -> None:
    column = table.columns[name]
    if column.null_count:
        row = int(pc.index(pc.is_valid(column), False).as_py())
        raise DataError(f"{key} must name a column with a value in every row; {table.locate(row)} has none in {name}")
