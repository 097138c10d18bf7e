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
CHANCE_FACTOR = 2.0  # by which the estimate of what chance explains may be too low
RIDGE = 0.01  # of a standardised feature's variance


def shared_rows(context: Context) -> Finding:
    """Test rows that the training table has, too, with the same label, beyond the share that chance explains."""
    context.require_rows()
    n, repeated = len(context.test), int(repeated_rows(context.train.rows, context.test.rows).sum())
    chance = CHANCE_FACTOR * _chance_twins(context) if repeated else 0.0
    surprising, low, high = (max(0.0, share - chance) for share in (repeated / n, *share_interval(repeated, n, LEVEL)))
    sentence = f"{surprising * n:.0f} of {n} test rows have a twin in the training table that chance does not explain"
    failed = count_probability(repeated, n, USUAL_SHARE + chance) < LEVEL
    return Finding(failed, sentence, surprising, low, high, severe=low > SEVERE_SHARE)


def _chance_twins(context: Context) -> float:
    """How many training rows equal a test row by chance, on average, where one column does not depend on the others.

    By each column: the different training rows that agree with the test row in all others but not in this one, times the odds
    of the test row's value there. The greatest of these counts, since dependence makes them less; copies of rows add nothing.
    """
    train, test = context.samples
    n, rng = len(train), np.random.default_rng(0)
    cells = [np.concatenate([train.y, test.y]), *context.columns.values()]
    codes = [np.unique(each, return_inverse=True)[1] for each in cells]
    keys = [rng.integers(2**63, size=code.max() + 1, dtype=np.uint64)[code] for code in codes]
    rows = np.sum(keys, axis=0)  # equal where all columns are
    different, first = np.unique(rows[:n], return_index=True)
    twin, most = np.isin(rows[n:], different), 0.0
    for code, key in zip(codes, keys, strict=True):
        rest = rows - key  # equal where all other columns are
        known = np.sort(rest[first])
        near = np.searchsorted(known, rest[n:], "right") - np.searchsorted(known, rest[n:], "left") - twin
        share = (np.bincount(code[first], minlength=code.max() + 1) / len(first))[code[n:]]
        odds = share / np.maximum(1 - share, 1 / len(first))
        most = max(most, float((near * odds).mean()))
    return most * len(context.train) / n


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
    found = dict[float, Finding]()  # by the high end of the interval
    for name, parts in columns.items():
        before, after = parts
        if min(len(before), len(after)) < MIN_ROWS:
            continue
        later = auc(np.concatenate([before, after]), np.arange(len(before) + len(after)) >= len(before))
        later_units, earlier_units = (min(len(of), part.observations(0, 1)) for of, part in ((after, test), (before, train)))
        low, high = auc_interval(later, later_units, earlier_units, LEVEL / len(columns))
        sentence = f"by {name}, a test row is later than a training row with a probability of {later:.1%}"
        found.setdefault(high, Finding(high < 0.5, sentence, later, low, high))
    if not found:
        raise NotApplicable(f"no column of dates has {MIN_ROWS} rows in each table")
    return found[min(found)]
