"""Checks of how the training and the test table go together."""

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.data.leaks import repeated_rows
from pipeline.evaluation.checks.check import LEVEL, Finding
from pipeline.evaluation.checks.context import MAX_FEATURES, MIN_ROWS, Context, NotApplicable, Part, standardised
from pipeline.evaluation.checks.intervals import auc, auc_interval, count_probability, group_sums
from pipeline.interval import share_interval
from pipeline.text import quote_if_needed

SEVERE_SHARE = 0.01  # of the test rows, that may surely stand in the training table before that bars promotion
USUAL_SHARE = 0.001  # of the test rows, that are entered twice in any table
CHANCE_TWINS = 0.001  # in the training table, from which on a twin of a row tells nothing
MAX_TWINS = 2_000  # that are looked at
RIDGE = 0.01  # of a standardised feature's variance


def shared_rows(context: Context) -> Finding:
    """Test rows that the training table has, too, with the same label, and that would hardly have a twin there by chance."""
    context.require_rows()
    n, repeated = len(context.test), np.flatnonzero(repeated_rows(context.train.rows, context.test.rows))
    shown = repeated[:MAX_TWINS]
    surprising = float((_chance_twins(context, context.test.take(shown)) < CHANCE_TWINS).mean()) if len(shown) else 0.0
    found = round(surprising * len(repeated))
    low, high = share_interval(found, n, LEVEL)
    sentence = f"{found} of {n} test rows have a twin in the training table that chance does not explain"
    failed = count_probability(found, n, USUAL_SHARE) < LEVEL
    return Finding(failed, sentence, found / n, low, high, severe=low > SEVERE_SHARE)


def _chance_twins(context: Context, part: Part) -> Array:
    """Of each row (k,), how many training rows would be its equals, were the columns and the label independent."""
    sample = context.samples[0]
    size, columns = len(sample), context.columns_of(sample, part)
    twins = np.full(len(part), float(len(context.train)))
    for cells in (np.concatenate([sample.y, part.y]), *columns.values()):
        numbers = np.nan_to_num(cells, nan=-np.inf) if cells.dtype.kind == "f" else cells.astype(np.int64)
        known = np.sort(numbers[:size])
        equal = np.searchsorted(known, numbers[size:], "right") - np.searchsorted(known, numbers[size:], "left")
        twins *= np.maximum(equal - 1, 0) / size  # but for the twin itself
    return twins


def drift(context: Context) -> Finding:
    """How well a classifier tells test rows from training rows that it was not fitted to, by their features and their squares.

    It is a linear discriminant of half of the rows for the other half, and so turned round; of groups, by their means.
    """
    train, test = (_units(X, part) for X, part in zip(context.dense_features, context.samples, strict=True))
    m, n = len(train), len(test)
    if min(m, n) < MIN_ROWS:
        raise NotApplicable(f"it takes {MIN_ROWS} rows or groups in each table; {min(m, n)} are there")
    X = np.concatenate([train, test])
    X = X[:, np.ptp(X, axis=0) > 0]
    if not X.shape[1]:
        raise NotApplicable("no feature varies")
    X = standardised(X)
    if 2 * X.shape[1] <= MAX_FEATURES:
        X = np.column_stack([X, np.square(X)])
    is_test = np.arange(m + n) >= m
    rng, fold = np.random.default_rng(0), np.empty(m + n, int)
    for rows in (~is_test, is_test):
        fold[rows] = rng.permutation(int(rows.sum())) % 2
    areas = [auc(_discriminant(X[fold != k], is_test[fold != k], X[fold == k]), is_test[fold == k]) for k in (0, 1)]
    area = float(np.mean(areas))
    low, high = auc_interval(area, n // 2, m // 2, LEVEL)  # both halves go up and down together
    how = "tells" if low > 0.5 else "does not surely tell"
    sentence = f"a classifier {how} test rows from training rows: its AUC is {area:.3f}, where 0.5 is chance"
    return Finding(low > 0.5, sentence, area, low, high)


def _units(X: Array, part: Part) -> Array:
    """The rows, or of rows in groups the mean of each group: what was drawn apart."""
    if part.rows.group is None:
        return X
    return group_sums(X, part.rows.group) / np.unique(part.rows.group, return_counts=True)[1][:, None]


def _discriminant(X: Array, is_test: NDArray[np.bool_], X_other: Array) -> Array:
    """Fisher's linear discriminant of X (n, d), with a ridge, of X_other (k, d)."""
    mean = X.mean(axis=0)
    centred = X - mean
    covariance = centred.T @ centred / len(X) + RIDGE * np.eye(X.shape[1])
    w = np.linalg.solve(covariance, centred.T @ (is_test - is_test.mean()) / len(X))
    return np.asarray((X_other - mean) @ w)


def time_order(context: Context) -> Finding:
    """Whether test rows are surely earlier than training rows, by the split's time or the dates that show it best."""
    train, test = context.samples
    if train.rows.time is not None and test.rows.time is not None:
        columns = {"the time of the split": (train.rows.time, test.rows.time)}
    else:
        columns = {quote_if_needed(name): parts for name, parts in context.dates.items()}
    found = list[tuple[float, Finding]]()
    for name, parts in columns.items():
        before, after = parts
        if min(len(before), len(after)) < MIN_ROWS:
            continue
        later = auc(np.concatenate([before, after]), np.arange(len(before) + len(after)) >= len(before))
        later_units, earlier_units = (min(len(of), part.observations(0, 1)) for of, part in ((after, test), (before, train)))
        low, high = auc_interval(later, later_units, earlier_units, LEVEL / len(columns))
        sentence = f"by {name}, a test row is later than a training row with a probability of {later:.1%}"
        found.append((high, Finding(high < 0.5, sentence, later, low, high)))
    if not found:
        raise NotApplicable(f"no column of dates has {MIN_ROWS} rows in each table")
    return min(found, key=lambda pair: pair[0])[1]
