"""The rules of `evaluation.threshold`, and the threshold that each chooses on validation rows.

A threshold lies in the middle of two neighbouring log-odds of the rows, above all of them or below all, so no row lies on it.
Where several are equally good, it is the one nearest to p = 0.5 and, of two as near, the higher.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.arrays import Array
from pipeline.errors import ConfigError, DataError
from pipeline.evaluation.curves import RATES, Confusion, confusion_at, cumulative, cuts
from pipeline.learning.weights import named_numbers
from pipeline.model.decision import VALIDATION, Decision
from pipeline.model.predictor import probability


@dataclass(frozen=True)
class Rule:
    """What a threshold is chosen by: the greatest goodness (k,) of a Confusion and the rule's values; -inf is not allowed."""

    form: str  # as a user types it
    goodness: Callable[..., Array]
    values: tuple[str, ...] = ()
    greatest: float = 1.0  # of a value, each of which is > 0


class ValidationRows(NamedTuple):
    """Log-odds z (m,) of rows by models that were fitted without them, their labels y (m,) and weights (m,), if they have any.

    rows: how many different ones; each is there as often as it was held out.
    """

    rows: int
    z: Array
    y: Array
    weight: Array | None


def _youden(at: Confusion) -> Array:
    """Recall + specificity - 1 (Youden 1950), times a constant, so that it is exact where the counts are whole numbers."""
    return np.asarray(at.tp * (at.fp + at.tn) - at.fp * (at.tp + at.fn))


def _recall(at: Confusion, least: float) -> Array:
    """The highest threshold that reaches it."""
    return np.where(at.recall >= least, -np.arange(len(at.tp)), -np.inf)


def _precision(at: Confusion, least: float) -> Array:
    """The lowest threshold that reaches it."""
    return np.where(at.precision >= least, np.arange(len(at.tp)), -np.inf)


def _cost(at: Confusion, false_positive: float, false_negative: float) -> Array:
    return np.asarray(-(false_positive * at.fp + false_negative * at.fn))


RULES = {
    "f1": Rule("f1", lambda at: at.f1),
    "youden": Rule("youden", _youden),
    "recall": Rule("recall:0.9", _recall, ("least",)),
    "precision": Rule("precision:0.8", _precision, ("least",)),
    "cost": Rule(
        "cost:{false_positive: 1, false_negative: 10}", _cost, ("false_positive", "false_negative"), float(np.finfo(float).max)
    ),
}


def parse_threshold(text: str) -> float | tuple[Rule, Mapping[str, float]]:
    """A probability, or a rule with its values, of `evaluation.threshold` as a user types it. Raises ConfigError."""
    name, _, given = (part.strip() for part in text.partition(":"))
    with suppress(ValueError):
        if rule := RULES.get(name):
            return rule, _values(rule, given)
        if 0 <= float(text) <= 1:
            return float(text)
    forms = ", ".join(rule.form for rule in RULES.values())
    raise ConfigError(f"threshold must be a number from 0 to 1 or a rule such as {forms}; got {text}")


def _values(rule: Rule, given: str) -> Mapping[str, float]:
    """Those typed after the rule's name. Raises ValueError unless they are its own."""
    if len(rule.values) == 1:
        given = f"{{{rule.values[0]}: {given}}}"
    pairs = named_numbers(given)
    names = [name for name, _ in pairs]
    if sorted(names) != sorted(rule.values) or (given and not names):
        raise ValueError
    if not all(0 < value <= rule.greatest for _, value in pairs):
        raise ValueError
    return dict(pairs)


def lacks_validation(text: str) -> ConfigError:
    """The error where a threshold is to be chosen and there are no validation rows."""
    rule = "threshold must be a number where there are no validation rows to choose it on"
    return ConfigError(f"{rule}, which evaluation.validation=cv makes; got {text}")


def decide(text: str, validation: ValidationRows | None) -> Decision:
    """The decision by `evaluation.threshold`. Raises ConfigError where it is to be chosen and there are no validation rows, and
    DataError where these allow no choice."""
    parsed = parse_threshold(text)
    if isinstance(parsed, float):
        return Decision.given(parsed, text)
    if validation is None:
        raise lacks_validation(text)
    rows, z, y, weight = validation
    if not np.bincount(y.astype(int), weight, 2).all():
        raise DataError("validation rows of both classes must have a weight above 0; those of one class have none")
    rule, values = parsed
    cut = cuts(cumulative(z, y, weight)[0])
    at = confusion_at(cut, z, y, weight)
    goodness = rule.goodness(at, **values)
    if goodness.max() == -np.inf:  # of precision alone: recall 1 is always reached
        most = f"threshold must be at most precision:{at.precision.max():.4g}, the greatest on the validation rows"
        raise DataError(f"{most}; got {text}")
    (best,) = np.nonzero(goodness == goodness.max())
    chosen = best[np.abs(cut[best]).argmin()]
    reached = {rate: float(getattr(at, rate)[chosen]) for rate in RATES}
    return Decision(float(probability(cut[chosen])), float(cut[chosen]), text, VALIDATION, rows, reached)
