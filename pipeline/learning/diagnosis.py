"""What a user should know of a logistic regression's end: a sentence for each thing that makes it less than the best model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from pipeline.arrays import Array, Features
from pipeline.learning import separation
from pipeline.learning.features import varying
from pipeline.learning.logistic import fit_rows
from pipeline.learning.model import Fit, Observer
from pipeline.learning.models import LinearModel, Logistic
from pipeline.learning.optimizer import Optimizer
from pipeline.learning.signed_rows import MAX_COLUMNS
from pipeline.learning.suboptimality import Distance, distance
from pipeline.learning.weights import training_rows
from pipeline.model.card import ENDS, separation_sentence
from pipeline.text import join_limited

SAMPLED_ROWS, MIN_SIZE, MAX_SIZE = 1000, 1e-6, 1e6  # rows whose sizes are measured, and the sizes that gradients cope with
SAMPLED_VALUES, MAX_ROWS = 200_000, 1000  # that are compared before and after rounding
MIN_DISTINCT = 0.9  # of a column's distinct values, that must stay distinct
SET_L2 = "set model.l2, such as model.l2=0.01"


def fit_and_diagnose(
    model: Logistic,
    X: Features,
    y: Array,
    optimizer: Optimizer,
    features: Sequence[str],
    observer: Observer | None,
    weight: Array | None,
    classes: Sequence[Any],
) -> Fit:
    """See `pipeline.learning.model.Model.fit`."""
    X, y, m = training_rows(X, y, weight, model.class_weight, classes)
    result = fit_rows(X, y, m, model, optimizer, observer, features)
    fitted = result.model
    names = features or [f"column {j + 1}" for j in range(X.shape[1])]
    entry = None if model.strength else separated_by(X, y, fitted, names)
    warnings = [
        *_of_features(X, model, names),
        *_of_rise(result.start_loss, result.loss),
        *_of_precision(X, model, fitted, names),
        *_of_end(X, y, m, model, fitted, result, entry),
    ]
    return replace(result, separation=entry, warnings=tuple(warnings))


def separated_by(X: Features, y: Array, fitted: LinearModel, names: Sequence[str]) -> dict[str, Any] | None:
    """By which of the columns, by their names, the classes can be separated; searched from where a fit has ended."""
    return _with_names(separation.find(X, y, fitted), names)


def separated_completely(X: Features, y: Array, fitted: LinearModel, names: Sequence[str]) -> dict[str, Any] | None:
    """The same of a fit with a penalty, of which it matters only where no row lies on the boundary."""
    return _with_names(separation.find_complete(X, y, fitted), names)


def _with_names(found: separation.Separation | None, names: Sequence[str]) -> dict[str, Any] | None:
    return {**asdict(found), "columns": [names[j] for j in found.columns]} if found else None


def _of_features(X: Features, model: Logistic, names: Sequence[str]) -> Iterator[str]:
    """Columns without effect or, by the first rows, of a size at which a fit may end anywhere unless they are standardised."""
    if model.standardize:
        if constant := [name for name, varies in zip(names, varying(X), strict=True) if not varies]:
            yield f"constant in the training table, so without effect on the model: {join_limited(constant)}"
        return
    largest = abs(X[:SAMPLED_ROWS].astype(np.float64)).max(axis=0)
    sizes = largest if isinstance(X, np.ndarray) else largest.data
    extreme = sizes[(sizes != 0) & ((sizes < MIN_SIZE) | (sizes > MAX_SIZE))]
    if extreme.size:
        yield (
            f"features of a size of {extreme.min():.0e} to {extreme.max():.0e} that are not standardised: gradients, and so "
            "tol and the length of steps, depend on it, and the fit may have ended far from the best one"
        )


def _of_rise(start: float, end: float) -> Iterator[str]:
    if end > start:
        yield f"the loss ended at {end:.4g}, above its start of {start:.4g}: try a smaller optimizer.lr, or standardise"


def _of_precision(X: Features, model: Logistic, fitted: LinearModel, names: Sequence[str]) -> Iterator[str]:
    if found := [names[j] for j in indistinct_columns(X, fitted.mean, fitted.scale, model.dtype)]:
        remedy = "model.dtype=float64 may" if model.dtype == "float32" else "smaller numbers, such as their logarithms, would"
        yield (
            f"{model.dtype} does not distinguish all values, since some are so much larger than the rest, in "
            f"{join_limited(found)}: {remedy}"
        )


def _of_end(
    X: Features,
    y: Array,
    m: Array | None,
    model: Logistic,
    fitted: LinearModel,
    result: Fit,
    found: Mapping[str, Any] | None,
) -> Iterator[str]:
    """Whether there is a best model, and how far from it the fit has ended."""
    if found:
        yield (
            f"{separation_sentence(found)}, so without a penalty no finite best model exists and where this fit "
            f"stopped is arbitrary: {SET_L2}"
        )
    elif result.stopped_by != "tol":
        yield from _of_distance(distance(X, y, fitted, model.strength, m), model, result)
    elif not model.strength and X.shape[1] >= MAX_COLUMNS:
        yield (
            f"with {X.shape[1]} columns it was not checked whether several together separate all but rows on the boundary "
            f"between the classes; if so, no finite best model exists without a penalty: {SET_L2}"
        )


def _of_distance(left: Distance, model: Logistic, result: Fit) -> Iterator[str]:
    if not left.is_far:
        return
    if result.stopped_by == "precision":
        ways = ["model.dtype=float64" if model.dtype == "float32" else "smaller numbers in the table, such as logarithms"]
    else:
        ways = ["optimizer=auto", "more optimizer.epochs", *result.optimizer.remedies(left.steepest)]
    ways += [] if model.standardize else ["model.standardize=true"]
    yield (
        f"stopped by {ENDS[result.stopped_by]} far from the optimum: the loss of {left.loss:.4g} could still fall by about "
        f"{left.decrease:.1g}; what helps is {', '.join(ways)}"
    )


def indistinct_columns(X: Features, mean: Array, scale: Array, dtype: str) -> list[int]:
    """The columns of X (n, d) of whose standardised values this type of numbers makes many equal."""
    if not isinstance(X, np.ndarray) or not X.shape[1]:
        return []  # hardly shifted, so hardly any digits are lost
    rows = min(MAX_ROWS, max(50, SAMPLED_VALUES // X.shape[1]))
    x = X[:: max(1, len(X) // rows)].astype(np.float64)
    with np.errstate(all="ignore"):
        rounded = ((x - mean) / scale).astype(dtype)
    return [int(j) for j in np.flatnonzero(_distinct(rounded) < MIN_DISTINCT * _distinct(x))]


def _distinct(x: Array) -> Array:
    """The number of distinct values in each column."""
    ordered = np.sort(x, axis=0)
    return 1 + (ordered[1:] != ordered[:-1]).sum(axis=0)
