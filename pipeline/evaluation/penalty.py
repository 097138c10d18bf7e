"""The strength l2 of a penalty where a configuration has none: from the number of rows, or by cross-validation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.arrays import Array, Features
from pipeline.determinism import one_thread
from pipeline.errors import DataError
from pipeline.evaluation.folds import STRATIFIED, Fold, FoldRows, FoldRule
from pipeline.learning.features import standardised
from pipeline.learning.losses import log_losses
from pipeline.learning.model import Model
from pipeline.learning.models import Logistic
from pipeline.learning.path import fit_path
from pipeline.learning.weights import total_weight, training_rows
from pipeline.model.card import separation_sentence

FOLDS, VALUES = 5, 20
STRONGEST = 100.0  # times the greatest slope at w = 0: glmnet's lambda_max for a penalty of which 1 % is lasso
WEAKEST = 0.01  # times 1/rows: scikit-learn's C = 100


CURVE = ("l2", "loss", "standard_error")  # the columns of a curve


@dataclass(frozen=True)
class Curve:
    """The validation loss of each l2."""

    l2: Array  # (k,), falling
    loss: Array  # (k,): the mean over the folds, each weighted as its rows are
    standard_error: Array  # (k,), of that mean
    seed: int  # of the folds
    folds: int = FOLDS
    folds_by: str = STRATIFIED.by

    @property
    def best(self) -> int:
        """Where the loss is least."""
        return int(self.loss.argmin())

    @property
    def within_one_standard_error(self) -> int:
        """The strongest penalty whose loss is within one standard error of the least (Breiman et al. 1984)."""
        return int(np.argmax(self.loss <= self.loss[self.best] + self.standard_error[self.best]))

    def to_dict(self) -> dict[str, Any]:
        l2 = self.l2.tolist()
        chosen = {"best": l2[self.best], "one_standard_error": l2[self.within_one_standard_error]}
        how = {"folds": self.folds, "folds_by": self.folds_by, "seed": self.seed}
        return {**how, **chosen, **{name: getattr(self, name).tolist() for name in CURVE}}


@dataclass(frozen=True)
class Resolved:
    """What `auto`, `cv` or `cv_1se` has become."""

    asked: str
    l2: float
    sentence: str  # that says so
    curve: Curve | None = None

    def warnings(self, separation: Mapping[str, Any] | None) -> Iterator[str]:
        """What a user should know of the value. separation: by what the classes can be separated, if they can."""
        if separation:
            yield f"{separation_sentence(separation)}: only the penalty, model.l2={self.l2:.3g}, keeps the weights finite"
        if self.curve and self.curve.best == len(self.curve.l2) - 1:
            yield (
                f"the weakest of the penalties, {self.curve.l2[-1]:.3g}, has the least validation loss, so a weaker one may be "
                "better: set model.l2 to a number to try it"
            )
        if self.curve and self.curve.best == 0:
            yield (
                f"the strongest of the penalties, {self.curve.l2[0]:.3g}, has the least validation loss: the columns do not "
                "seem to predict the target"
            )

    def to_dict(self, separation: Mapping[str, Any] | None) -> dict[str, Any]:
        """As a model's card has it."""
        validation = self.curve and self.curve.to_dict()
        return {"asked": self.asked, "l2": self.l2, "separation": separation, "validation": validation}


def with_number(model: Model, rows: FoldRows) -> tuple[Model, Resolved | None]:
    """The model that is fitted to these rows, and what its l2 was where that is a word."""
    if not (isinstance(model, Logistic) and isinstance(model.l2, str)):
        return model, None
    resolved = resolve(model, rows)
    return replace(model, l2=resolved.l2), resolved


def resolve(model: Logistic, rows: FoldRows) -> Resolved:
    """The number for model.l2, which is a word, for these rows."""
    asked, every = str(model.l2), np.arange(len(rows.y), dtype=np.float64)[:, None]
    index, _, m = training_rows(every, rows.y, rows.weight, model.class_weight, rows.classes)
    counted = rows.take(np.asarray(index)[:, 0].astype(np.intp))
    if asked == "auto":
        total = total_weight(counted.y, counted.weight, model.class_weight, rows.classes)
        what = "training rows" if m is None else "total weight of the training rows"
        return Resolved(asked, 1 / total, f"model.l2=auto is {1 / total:.3g}: 1/({what}), scikit-learn's C=1")
    curve = cross_validate(model, replace(counted, weight=m))
    chosen = curve.within_one_standard_error if asked == "cv_1se" else curve.best
    return Resolved(asked, float(curve.l2[chosen]), _sentence(asked, curve, chosen, rows.rule), curve)


def cross_validate(model: Logistic, rows: FoldRows) -> Curve:
    """The validation loss on a path of l2, by folds; the same for every kind and dtype of model.

    The weights, if there are any, are of mean 1. They count in the fits and in the validation loss.
    """
    negative, positive = rows.classes
    try:
        folds = rows.rule.folds(rows.y, FOLDS, model.seed, (negative, positive))
    except DataError as error:
        raise DataError(f"{error}: model.l2=auto needs none") from None
    every = np.arange(len(rows.y))
    path = l2_path(rows.features(every, every), rows.y, rows.weight, model.standardize)
    parts = [_fold_losses(model, rows, path, fold) for fold in folds]
    losses, shares = np.array([loss for loss, _ in parts]), np.array([share for _, share in parts])
    with np.errstate(all="ignore"):
        mean = np.average(losses, axis=0, weights=shares)
        largest = np.abs(losses - mean).max(axis=0)  # squares of what is divided by it do not overflow
        squares = np.square(np.divide(losses - mean, largest, where=largest > 0, out=np.zeros_like(losses)))
        deviation = largest * np.sqrt(np.average(squares, axis=0, weights=shares) / (len(folds) - 1))
    if not (np.isfinite(mean) & np.isfinite(deviation)).all():
        raise DataError("cross-validation needs finite log-odds; a row has values too far from all others for that")
    return Curve(path, mean, deviation, model.seed, len(folds), rows.rule.by)


def _fold_losses(model: Logistic, given: FoldRows, path: Array, fold: Fold) -> tuple[Array, float]:
    """The mean validation loss of each l2 (k,), and the weight of the fold's rows."""
    rows, held_out = fold
    y, m = given.y, given.weight
    weights = None if m is None else m[rows] / m[rows].mean()
    fitted = fit_path(given.features(rows, rows), y[rows], weights, path.tolist(), model.standardize)
    weights = None if m is None else m[held_out]
    with np.errstate(all="ignore"):  # an overflow shows in the losses
        Z = fitted.log_odds(given.features(rows, held_out))
        losses = [np.average(log_losses(z, y[held_out]), weights=weights) for z in Z.T]
    return np.array(losses), float(len(held_out) if weights is None else weights.sum())


def l2_path(X: Features, y: Array, m: Array | None, standardize: bool) -> Array:
    """Falling values (k,), evenly spaced in their logarithms: from where hardly anything is learnt to hardly a penalty."""
    with one_thread, np.errstate(all="ignore"):
        _, mean, scale = standardised(X, np.float64, m=m)
        weights = np.ones(len(y)) if m is None else m
        residual = weights * (np.average(y, weights=weights) - y)
        slopes = (X.T @ residual - mean * residual.sum()) / scale / len(y)
        unit = 1.0 if standardize else float(np.square(scale).max())
        weakest = WEAKEST / len(y) * unit
        strongest = max(STRONGEST * float(np.abs(slopes).max(initial=0)) * unit, 1e4 * weakest)
        return np.array([float(f"{value:.3g}") for value in np.geomspace(strongest, weakest, VALUES)])


def _sentence(asked: str, curve: Curve, chosen: int, rule: FoldRule) -> str:
    how = (
        "the least validation loss" if asked == "cv" else "the strongest within one standard error of the least validation loss"
    )
    least = f"{curve.loss[chosen]:.4f}, standard error {curve.standard_error[chosen]:.2g}"
    other = f"; one standard error allows {curve.l2[curve.within_one_standard_error]:.3g}" if asked == "cv" else ""
    folds = f"{curve.folds} folds{rule.description}"
    return f"model.l2={asked} is {curve.l2[chosen]:.3g}: {how} of {VALUES} values in {folds} ({least}){other}"
