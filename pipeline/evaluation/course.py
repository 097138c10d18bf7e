"""The log loss by epoch: of the rows of a fold that are fitted to, and of those that are held out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pipeline.arrays import Array, Features
from pipeline.evaluation.curves import COURSE
from pipeline.learning.losses import loss_and_probability, signs_of
from pipeline.learning.model import Fit, Model, Observer, Record
from pipeline.learning.models import LinearModel, Logistic, linear_model
from pipeline.learning.optimizer import State
from pipeline.learning.weights import NONE

GROWTH = 1.05  # from one epoch to the next: of 500 recorded ones some 80 are kept, so that they cost little


@dataclass
class Course:
    """What a fit passed through: its recorded epochs, of later ones a few."""

    rows: list[Record] = field(default_factory=list)
    thetas: list[Array] = field(default_factory=list)  # (d+1,) each
    _last: Record | None = None

    @property
    def observer(self) -> Observer:
        """What gets it from a fit."""
        return Observer(self._record, self._callback)

    def _record(self, row: Record) -> None:
        self._last = row

    def _callback(self, epoch: int, state: State) -> None:
        row = self._last
        if row and row.epoch == epoch and (not self.rows or epoch >= GROWTH * self.rows[-1].epoch):
            self.rows.append(row)
            self.thetas.append(np.array(state["theta"]))

    def losses(self, model: Model, fitted: Fit, X: Features, y: Array, weight: Array | None, z: Array) -> Mapping[str, Array]:
        """COURSE of a linear model, up to its end; without epochs of another kind, or where no row has a weight.

        X (n, d), y (n,), weight (n,): the rows that are held out; z (n,): the log-odds of them in the end. The training loss is
        without the penalty, as the other is, and nan with model.class_weight, whose factors it has and the other has not.
        """
        end = linear_model(fitted.arrays)
        if not isinstance(model, Logistic) or end is None or not (weight is None or weight.any()):
            return {name: np.empty(0) for name in COURSE}
        before = [pair for pair in zip(self.rows, self.thetas, strict=True) if pair[0].epoch < fitted.epochs]
        raw = [LinearModel.at(theta, end.mean, end.scale).raw_weights() for _, theta in before]
        weights = [*(theta[:-1].astype(np.float64) for _, theta in before), end.theta[:-1]]
        penalties = [model.strength / 2 * (w @ w) if model.class_weight == NONE else np.nan for w in weights]
        m = None if weight is None else weight / weight.max()  # no sum of these overflows
        signs, total, scratch = signs_of(y, z.dtype), len(y) if m is None else m.sum(), np.empty_like(z)
        totals = [loss_and_probability(signs * each, scratch, m)[0] for each in (*(X @ w + b for w, b in raw), z)]
        return {
            "epoch": np.array([*(row.epoch for row, _ in before), fitted.epochs]),
            "training": np.array([*(row.loss for row, _ in before), fitted.loss]) - penalties,
            "validation": np.array(totals) / total,
        }
