"""How well a configuration predicts rows that it was not fitted to: training rows that are held out, once or in folds.

In each fold all is found anew from the rows that are fitted to: the encoder, the penalty where it is a word, the model. The
test table is not read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from pipeline.arrays import Array
from pipeline.errors import DataError, PipelineError
from pipeline.evaluation.course import Course
from pipeline.evaluation.folds import Fold, FoldRows, FoldRule, Rows
from pipeline.evaluation.intervals import bootstrap
from pipeline.evaluation.metrics import COMPARED_METRICS, METRICS, OBJECTIVE, UNBOUNDED, defined, of_rows
from pipeline.evaluation.options import CV, HOLDOUT, NONE, EvaluationOptions
from pipeline.evaluation.penalty import with_number
from pipeline.evaluation.samples import ScoredRows, require_measurable
from pipeline.interval import TAILS, Interval
from pipeline.learning.losses import log_losses
from pipeline.learning.model import Model
from pipeline.learning.optimizer import Optimizer
from pipeline.learning.prediction import predicting

SEEDS = 2**32  # that generators of NumPy take
PARTS = 5  # of the training rows, of which a holdout is one
ALTERNATIVE = f"evaluation.validation={NONE} does without"


@dataclass(frozen=True)
class Held:
    """Rows that were held out, and what was predicted of them by a model that was fitted to others."""

    repeat: int
    fold: int
    training: int  # how many rows were fitted to
    rows: Rows  # (k,)
    log_odds: Array  # (k,)
    l2: float | None  # what the penalty became where it is a word
    scores: dict[str, float]  # those that these rows define: without rows of both classes the objective alone
    course: Mapping[str, Array]  # the losses by epoch, as `Course.losses` has them

    def to_dict(self) -> dict[str, Any]:
        """Without what is of single rows."""
        sizes = {"training_rows": self.training, "rows": len(self.rows)}
        return {"repeat": self.repeat, "fold": self.fold, **sizes, "l2": self.l2, "scores": self.scores}


def splits(options: EvaluationOptions, rule: FoldRule, y: Array, classes: tuple[Any, Any], seed: int) -> list[list[Fold]]:
    """The folds of each repeat. Raises DataError where the rows do not allow them."""
    if options.repeats > 1 and rule.by == "time":
        raise DataError(f"evaluation.repeats must be 1 with data.time, by which no folds are drawn; got {options.repeats}")
    try:
        if options.validation == HOLDOUT:
            return [rule.folds(y, PARTS - (rule.by == "time"), seed, classes)[-1:]]  # before the first in time are rows, too
        return [rule.folds(y, options.folds, (seed + repeat) % SEEDS, classes) for repeat in range(options.repeats)]
    except DataError as error:
        raise DataError(f"{error}: {ALTERNATIVE}") from None


@dataclass(frozen=True)
class Validation:
    """What is fitted in each fold, and to which rows."""

    model: Model
    optimizer: Optimizer
    rows: FoldRows

    def held(self, folds: Sequence[Sequence[Fold]]) -> Iterator[Held]:
        """Fit to the rows of each fold of each repeat, and predict those that it holds out.

        Raises PipelineError where a fold cannot be fitted.
        """
        for repeat, of_repeat in enumerate(folds):
            for number, (rows, held_out) in enumerate(of_repeat):
                scored = self.rows.take(held_out)
                try:
                    z, l2, course = self._predicted(rows, held_out, scored)
                except PipelineError as error:
                    where = f"in fold {number + 1} of {len(of_repeat)} of the training rows"
                    raise type(error)(f"{error} ({where}; {ALTERNATIVE})") from None
                yield Held(repeat, number, len(rows), held_out, z, l2, _scores(z, scored.y, scored.weight), course)

    def _predicted(self, rows: Rows, held_out: Rows, scored: FoldRows) -> tuple[Array, float | None, Mapping[str, Array]]:
        """The log-odds of the rows that are held out, the number for l2 where it is a word, and the losses by epoch.

        scored: the rows that are held out.
        """
        fitted_to, X, course = self.rows.take(rows), self.rows.features(rows, rows), Course()
        model, resolved = with_number(self.model, fitted_to)
        optimizer = self.optimizer.for_shape(X.shape, sparse=not isinstance(X, np.ndarray))
        weight, classes = fitted_to.weight, fitted_to.classes
        fitted = model.fit(X, fitted_to.y, optimizer, observer=course.observer, weight=weight, classes=classes)
        with predicting(), np.errstate(all="ignore"):  # an overflow shows in z
            X = self.rows.features(rows, held_out)
            z = import_module(type(model).__module__).log_odds(fitted.arrays, X)
            require_measurable(z)
            losses = course.losses(model, fitted, X, scored.y, scored.weight, z)
        return z, resolved.l2 if resolved else None, losses

    def mean_scores(self, held: Sequence[Held]) -> dict[str, Interval]:
        """The mean over the folds of each score that one of them has; of one fold the scores, with a test table's intervals.

        Raises DataError where no fold has the objective.
        """
        if len(held) == 1 and {*held[0].scores} > {OBJECTIVE}:
            scored = self.rows.take(held[0].rows)
            group = scored.rule.keys if scored.rule.by == "group" else None
            found = bootstrap(held[0].log_odds, scored.y, scored.weight, group=group)
            return {name: found[name] for name in held[0].scores}
        return _mean_scores(held)


def _scores(z: Array, y: Array, weight: Array | None) -> dict[str, float]:
    totals = np.bincount(y.astype(int), weight, 2)
    if totals.all():
        return defined(of_rows(ScoredRows(z, y, weight), COMPARED_METRICS))
    return {OBJECTIVE: float(np.average(log_losses(z, y), weights=weight))} if totals.any() else {}


def _mean_scores(held: Sequence[Held]) -> dict[str, Interval]:
    found = {}
    for name in COMPARED_METRICS:
        having = [each for each in held if name in each.scores]
        if having:
            ratio = float(np.mean([len(each.rows) / each.training for each in having]))
            found[name] = corrected([each.scores[name] for each in having], ratio, METRICS[name].bounds)
    if OBJECTIVE not in found:
        raise DataError(f"validation needs rows with a weight above 0 among those that are held out: {ALTERNATIVE}")
    return found


def corrected(values: Sequence[float], ratio: float, bounds: tuple[float, float] = UNBOUNDED) -> Interval:
    """The mean of K values and its interval by Student's t, their variance times 1/K + ratio (Nadeau and Bengio 2003).

    One value, or equal ones, have no interval. ratio: of the rows that are held out to those that are fitted to. Folds share
    rows to fit to, so that their values vary together, and the usual 1/K is too small. bounds: where the ends are cut.
    """
    from scipy.special import stdtrit

    K, mean = len(values), float(np.mean(values))
    if min(values) == max(values):
        return Interval(mean)
    half = float(stdtrit(K - 1, TAILS[1]) * np.sqrt((1 / K + ratio) * np.var(values, ddof=1)))
    return Interval(mean, max(mean - half, bounds[0]), min(mean + half, bounds[1]))


def description(options: EvaluationOptions, rule: FoldRule, held: Sequence[Held]) -> str:
    """By what the scores were found, in a few words."""
    if not held:
        return NONE
    if options.validation != CV:
        return f"{len(held[0].rows)} training rows that were held out"
    repeats = "" if options.repeats == 1 else f"{options.repeats} times "
    return f"{repeats}{len(held) // options.repeats} folds{rule.description}"
