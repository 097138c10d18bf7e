"""Checks of single columns and features."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.evaluation.checks.check import LEVEL, Finding
from pipeline.evaluation.checks.context import MIN_ROWS, Context, NotApplicable, standardised
from pipeline.evaluation.checks.intervals import auc, auc_interval, normal_quantile
from pipeline.learning.signed_rows import sample_of
from pipeline.model.encoder import Category
from pipeline.text import join_limited, quote_if_needed

SCREENED_VALUES, SCREENED_ROWS = 1_000_000, 1_000  # by which numbers are chosen that are looked at in all sampled rows
SUSPICIOUS, LEAKING, SURE = 0.95, 0.99, 0.9  # areas under the ROC curve: of a few rows, of all, and the low end of that
MIN_OF_CLASS = 5  # rows
MAX_LEVELS = 50  # distinct numbers that are taken as levels
PRIOR_ROWS = 1.0  # that the share of positives among all rows counts in a level's
MAX_INFLATION = 100.0  # of a weight's variance by the other features: ten times the standard error
WHOLE = 1e-4  # by how much a step may differ from a whole number
NAMED = 0.2  # of the greatest weight in the sum of others that a feature is, for one of these to be named


def leak(context: Context) -> Finding:
    """The column whose values alone order the rows by their class best: numbers as they are, from their median and by where
    they are missing, levels by the share of positives that each has in the other table."""
    train, test = context.samples
    y, is_test = np.concatenate([train.y, test.y]), np.arange(len(train) + len(test)) >= len(train)
    columns = context.columns
    if not columns:
        raise NotApplicable("there is no column but free text")
    if len(y) < 2 * MIN_ROWS or min(y.sum(), (1 - y).sum()) < MIN_OF_CLASS:
        raise NotApplicable(f"it takes {2 * MIN_ROWS} rows among those that were drawn, {MIN_OF_CLASS} of each class")
    shown = sample_of(y, max(200, min(SCREENED_ROWS, SCREENED_VALUES // len(columns))))
    coded = {name for name, cells in columns.items() if cells.dtype.kind == "i"}  # of which few rows show nothing
    name, area = "", SUSPICIOUS
    for each, cells in columns.items():
        if each in coded or _best_area(cells[shown], y[shown], is_test[shown]) >= SUSPICIOUS:
            found = _best_area(cells, y, is_test)
            name, area = (each, found) if found > area else (name, area)
    if not name:
        rows = f"{len(y):,} rows (numbers: {len(shown):,})" if coded else f"{len(shown):,} rows"
        return Finding(False, f"none of {len(columns)} columns alone has an AUC of {SUSPICIOUS} in {rows}")
    positives, negatives = (train.observations(label) + test.observations(label) for label in (1, 0))
    low, high = auc_interval(area, positives, negatives, LEVEL / len(columns))
    failed, column, target = area >= LEAKING and low > SURE, quote_if_needed(name), context.card.target
    sentence = (
        f"{column} alone predicts {target} with" if failed else f"no column alone predicts {target}: the best, {column}, has"
    )
    return Finding(failed, f"{sentence} an AUC of {area:.4f}", area, low, high)


def _best_area(cells: NDArray[np.generic], y: Array, is_test: NDArray[np.bool_]) -> float:
    areas = (auc(score, y == 1) for score in _scores(cells, y, is_test))
    return max((max(area, 1 - area) for area in areas), default=0.0)


def _scores(cells: NDArray[np.generic], y: Array, is_test: NDArray[np.bool_]) -> Iterator[Array]:
    """Ways to order rows by one column."""
    if cells.dtype.kind == "i":
        yield _shares(cells.astype(np.int64), y, is_test)
        return
    missing = np.isnat(cells) if cells.dtype.kind == "M" else np.isnan(cells)
    numbers = np.where(missing, -np.inf, cells.astype(np.int64) if cells.dtype.kind == "M" else cells).astype(np.float64)
    yield numbers
    if missing.all():
        return
    if missing.any():
        yield np.where(missing, np.inf, numbers)
        yield missing.astype(np.float64)
    yield np.where(missing, -1.0, np.abs(numbers - np.median(numbers[~missing])))
    levels, codes = np.unique(numbers[: 10 * MAX_LEVELS], return_inverse=True)
    if len(levels) <= MAX_LEVELS:
        levels, codes = np.unique(numbers, return_inverse=True)
        if len(levels) <= MAX_LEVELS:
            yield _shares(codes, y, is_test)


def _shares(codes: NDArray[np.int64], y: Array, is_test: NDArray[np.bool_]) -> Array:
    """Of each row (n,), the share of positives that its level has among the rows of the other table."""
    codes, share = codes - codes.min(), np.empty(len(y))
    for part, other in ((is_test, ~is_test), (~is_test, is_test)):
        rows, positives = (np.bincount(codes[other], w, codes.max() + 1) for w in (None, y[other]))
        share[part] = ((positives + PRIOR_ROWS * y.mean()) / (rows + PRIOR_ROWS))[codes[part]]
    return share


def index_column(context: Context) -> Finding:
    """The column of whole steps that is another in every training row though it has few values to be: n rows drawn alike from R
    values would all differ with the probability R! / (R-n)! / R^n at most."""
    rows, columns = len(context.samples[0]), context.columns
    context.require_rows(context.samples[0])
    found = {name: chance_that_all_differ(cells[:rows]) for name, cells in columns.items() if cells.dtype.kind == "f"}
    suspects = {name: chance for name, chance in found.items() if chance < LEVEL / len(columns)}
    if not suspects:
        return Finding(False, "no column counts the rows")
    names = join_limited([*map(quote_if_needed, suspects)])
    what = "is" if len(suspects) == 1 else "are"
    least = min(suspects.values())
    sentence = f"{names} {what} another number in every training row, in whole steps (by chance: p = {least:.2g} or less)"
    return Finding(True, sentence, least)


def chance_that_all_differ(numbers: Array) -> float:
    """1 where they do not, or not in whole steps."""
    from scipy.special import gammaln

    known = np.sort(numbers[~np.isnan(numbers)])
    if len(known) < 2:
        return 1.0
    with np.errstate(all="ignore"):  # inf or nan where some are equal, or too far apart for whole steps
        width = known[-1] - known[0]
        count = np.rint(width / np.diff(known).min())
    if not count <= 1e12 or np.abs((places := (known - known[0]) * (count / width)) - np.round(places)).max() > WHOLE:
        return 1.0
    values, n = count + 1, len(known)
    if values > 1e8:  # where gammaln's difference has no digits left
        return float(np.exp(-n * (n - 1) / 2 / values))
    return float(min(1.0, np.exp(gammaln(values + 1) - gammaln(values - n + 1) - n * np.log(values))))


def collinear(context: Context) -> Finding:
    """The feature whose weight's variance the others inflate most (Marquardt 1970), by its multiple correlation.

    See `_without_references` for which features that are.
    """
    names = _without_references(context)
    X = context.dense_features[0][:, names]
    X, index = X[:, varying := np.ptp(X, axis=0) > 0], np.array(names)[varying]
    n, d = X.shape
    if d < 2:
        raise NotApplicable("fewer than 2 features vary")
    if n < d + MIN_ROWS:
        raise NotApplicable(f"it takes {d + MIN_ROWS} training rows; {n} are there")
    Z = standardised(X)
    values, vectors = np.linalg.eigh(Z.T @ Z / n)
    inverse = (vectors / np.maximum(values, 1e-12)) @ vectors.T
    worst = int(np.diag(inverse).argmax())
    factor = max(1.0, float(inverse[worst, worst]) * (n - d) / (n - 1))  # with the adjusted R squared
    root = float(np.sqrt(1 - 1 / factor))
    half = normal_quantile(LEVEL / d) / np.sqrt(n - d - 2)
    centre = float(np.arctanh(min(root, 1 - 1e-13)))
    low, high = (float(np.cosh(max(0.0, centre + side * half)) ** 2) for side in (-1, 1))  # 1 / (1 - tanh^2)
    share = np.abs(inverse[worst])
    share[worst] = 0
    others = [j for j in np.argsort(-share, kind="stable")[:3] if share[j] > NAMED * share.max()]
    feature, *rest = (quote_if_needed(context.card.features[index[j]]) for j in (worst, *others))
    failed = low > MAX_INFLATION
    sentence = f"the variance of the weight of {feature} is {min(factor, 1e12):.3g} times what it would be alone"
    sentence += f", since it is nearly a sum of others, of which the first are {join_limited(rest)}" if failed else ""
    return Finding(failed, sentence, min(factor, 1e12), low, min(high, 1e12))


def _without_references(context: Context) -> list[int]:
    """The positions of the features that may be sums of others: of a category all but the most frequent, which is 1 less the
    others; of any other column the first, since the rest are parts of a date, words, or marks of what is missing."""
    encoder = context.predictor.encoder
    if encoder is None:
        return [*range(len(context.card.features))]
    kept, start = list[int](), 0
    X = context.dense_features[0]
    for step in encoder.steps:
        own = [*range(start, start + len(step.terms))]
        start += len(own)
        reference = own[int(X[:, own].sum(axis=0).argmax())]
        kept += [j for j in own if j != reference] if isinstance(step, Category) else own[:1]
    return kept
