"""The weights of rows, from a table's column and the factors of the classes."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.arrays import Array, Features
from pipeline.errors import ConfigError, DataError
from pipeline.learning.features import check_data
from pipeline.text import join_limited, position_of, quote_if_needed

NONE, BALANCED = "none", "balanced"
PAIR = re.compile(r"""\s*("[^"]*"|'[^']*'|[^,]*?)\s*:\s*([^,:]+?)\s*(?:,|$)""")  # NAME: NUMBER, a name with commas in quotes
ClassWeight = str | Mapping[Any, float]


def class_factors(setting: ClassWeight) -> dict[str, float]:
    """The factor by each class's name in a setting that is neither none nor balanced: a mapping, or text such as {yes: 5}.

    Raises ConfigError where it is impossible whatever the classes are called.
    """
    pairs = (
        [(str(name), factor) for name, factor in setting.items()] if isinstance(setting, Mapping) else named_numbers(setting)
    )
    factors = dict(pairs)
    if len(factors) < len(pairs) or not factors or not all(_is_factor(factor) for factor in factors.values()):
        allowed = f"{NONE}, {BALANCED} or a factor > 0 for one class or both, such as {{yes: 5}}"
        raise ConfigError(f"class_weight must be {allowed}; got {setting}")
    return factors


def named_numbers(setting: Any) -> list[tuple[str, float]]:
    """The names and numbers of {NAME: NUMBER, ...}; empty where it is something else."""
    text = setting.strip() if isinstance(setting, str) else ""
    if text[:1] + text[-1:] != "{}" or PAIR.sub("", text[1:-1]).strip():
        return []
    try:
        return [(name[1:-1] if name[:1] in ("'", '"') else name, float(factor)) for name, factor in PAIR.findall(text[1:-1])]
    except ValueError:
        return []


def _is_factor(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and bool(0 < value < np.inf)


def training_rows(
    X: Features, y: Array, weight: Array | None, class_weight: ClassWeight, classes: Sequence[Any]
) -> tuple[Features, Array, Array | None]:
    """The rows that have a weight, and their weights divided by the mean of them; None where these are all 1.

    The weight of a row is that in `weight` (n,), or 1, times the factor of its class; classes[0] is the class with y = 0.
    `balanced` gives both classes the same total weight. Raises DataError or ConfigError.
    """
    check_data(X, y)
    if weight is None and class_weight == NONE:
        return X, y, None
    m = np.ones(len(y))
    if weight is not None:
        check_weight(weight, len(y))
        m = weight.astype(np.float64) / float(weight.max())  # no sum of these overflows
    if class_weight not in (NONE, BALANCED):
        factors = _factors(class_weight, classes)
        m *= (factors / factors.max())[y.astype(int)]
    if not (has_weight := m > 0).all():
        X, y, m = X[has_weight], y[has_weight], m[has_weight]
        if not 0 < np.count_nonzero(y) < len(y):
            raise DataError(f"rows of both classes must have a weight above 0; all {len(y)} that have one are {y[0]:g}")
    if class_weight == BALANCED:
        m /= np.bincount(y.astype(int), m)[y.astype(int)]
    m /= m.mean()
    return X, y, None if (m == m[0]).all() else m


def total_weight(y: Array, weight: Array | None, class_weight: ClassWeight, classes: Sequence[Any]) -> float:
    """The sum of the weights of the rows, as `training_rows` has them before it divides them by their mean."""
    totals = np.bincount(y.astype(int), weight, 2)
    return float(totals.sum() if class_weight in (NONE, BALANCED) else totals @ _factors(class_weight, classes))


def check_weight(weight: Any, n: int) -> None:
    """Raise DataError unless these are weights of n rows."""
    if not (
        isinstance(weight, np.ndarray) and weight.shape == (n,) and weight.dtype.kind in "fiub" and weight.dtype.itemsize <= 8
    ):
        got = f"{weight.dtype} of shape {weight.shape}" if isinstance(weight, np.ndarray) else type(weight).__name__
        raise DataError(f"weight must be a NumPy array of numbers of shape ({n},), as X has rows; got {got}")
    for row in np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))[:1]:
        raise DataError(f"weight must be >= 0 and finite in every row; row {row + 1} has {weight[row]}")
    if not weight.any():
        raise DataError(f"weight must be above 0 in some row; all {n} are 0")


def _factors(class_weight: ClassWeight, classes: Sequence[Any]) -> Array:
    """The factors of both classes, (2,)."""
    factors = class_factors(class_weight)
    found = {position_of(name, classes): factor for name, factor in factors.items()}
    if None in found or len(found) < len(factors):
        allowed = " and ".join(map(quote_if_needed, classes))
        given = join_limited([*map(quote_if_needed, factors)])
        raise ConfigError(f"model.class_weight must name one or both of the classes {allowed}; got {given}")
    return np.array([found.get(0, 1), found.get(1, 1)], np.float64)
