"""Checks of how a fit has ended."""

from collections.abc import Collection

import numpy as np

from pipeline.evaluation.checks.check import LEVEL, Finding
from pipeline.evaluation.checks.context import Context, NotApplicable
from pipeline.learning.models import LinearModel, linear_model
from pipeline.learning.optimizers import OPTIMIZERS
from pipeline.learning.signed_rows import MAX_COLUMNS
from pipeline.learning.suboptimality import Distance, distance
from pipeline.model.card import ENDS, separation_sentence

MAX_RATIO = 1000.0  # of standard deviations, with which gradients still cope


def unconverged(context: Context) -> Finding:
    """Whether the fit has ended far from its optimum, and farther than sampling explains: the gradient's score test on n of N
    training rows.

    At the optimum of all rows, 2 n / (1 - n/N) times what a Newton step would gain on n of them is chi-squared or less; of rows
    with weights m of mean 1, mean(m^2) times that.
    """
    fit, model = context.card.ended, _linear(context)
    if fit.separation:
        raise NotApplicable("the classes can be separated, so there is no optimum to arrive at")
    if fit.stopped_by == "tol":
        return Finding(False, "the fit has reached its tolerance")
    rows, X = context.samples[0], context.features[0]
    context.require_rows(rows)
    if not 0 < rows.y.sum() < len(rows):
        raise NotApplicable("the training rows that were drawn are of one class")
    m = context.weights(rows)
    m /= m.mean()
    left = distance(X, rows.y, model, context.strength, m)
    from scipy.special import chdtri

    variance = float((m * m).mean()) * (1 - len(rows) / len(context.train))
    chance = variance * float(chdtri(len(model.theta), LEVEL)) / (2 * len(rows))
    sentence = f"{ENDS[fit.stopped_by]} ended the fit at epoch {fit.epochs}, where the loss of {left.loss:.4g} could still fall"
    failed = left.is_far and left.decrease > chance
    sentence += f" by about {left.decrease:.2g}" if failed else f" by {left.decrease:.2g} or less"
    return Finding(failed, sentence, left.decrease, advice=", or ".join(_remedies(context, left)))


def _remedies(context: Context, left: Distance) -> list[str]:
    """What lets the fit go on to its optimum."""
    config = dict(context.card.config["optimizer"])
    name = config.pop("name", None)
    own = OPTIMIZERS[name](**config).remedies(left.steepest) if name == context.card.ended.optimizer else []
    standardise = [] if context.card.config["model"].get("standardize") else ["model.standardize=true"]
    return ["set optimizer=auto", "more optimizer.epochs", *own, *standardise]


def separation(context: Context) -> Finding:
    """By what training has found the classes to be separable, so that no best model exists without a penalty.

    A fit that stopped where it was told to claims none; one that claims to have arrived at one bars promotion.
    """
    fit = context.card.ended
    penalty = fit.penalty or {}
    if found := fit.separation:
        sentence = f"{separation_sentence(found)}, so no finite best model exists without a penalty"
        if fit.stopped_by == "epochs":
            return Finding(
                False, f"{sentence}; the fit claims none, since it stopped where it was told to, at epoch {fit.epochs}"
            )
        return Finding(True, sentence)
    if found := penalty.get("separation"):
        sentence = f"{separation_sentence(found)}, so only the penalty keeps the weights finite"
        return Finding(True, sentence, penalty["l2"], severe=False, advice="ask whether these columns are known in time")
    if context.strength:
        return Finding(False, "the penalty keeps the weights finite")
    if len(context.card.features) >= MAX_COLUMNS:
        raise NotApplicable(f"not looked at: {MAX_COLUMNS} features or more without a penalty")
    return Finding(False, "the classes of the training rows cannot be separated")


def edge(context: Context) -> Finding:
    """Whether the best of the penalties that cross-validation has tried is the first or the last."""
    curve = (context.card.ended.penalty or {}).get("validation")
    if not curve:
        raise NotApplicable("the fit's penalty was not chosen among several")
    return edge_of("model.l2", curve["best"], curve["l2"])


def edge_of(name: str, best: float, tried: Collection[float]) -> Finding:
    """Whether the best of the values that were tried is the least or the greatest."""
    low, high = min(tried), max(tried)
    sentence = f"of {len(tried)} values of {name} from {low:.3g} to {high:.3g}, {best:.3g} is the best"
    return Finding(best in (low, high), sentence, best, low, high)


def scales(context: Context) -> Finding:
    """The greatest standard deviation of a feature that is not standardised over the least."""
    if context.card.config["model"].get("standardize"):
        raise NotApplicable("the model standardises its features")
    X = context.dense_features[0]
    context.require_rows(context.samples[0])
    deviation = X.std(axis=0)
    varying = np.flatnonzero(deviation > 0)
    if len(varying) < 2:
        raise NotApplicable("fewer than 2 features vary")
    ends = varying[[int(deviation[varying].argmin()), int(deviation[varying].argmax())]]
    ratio = float(deviation[ends[1]] / deviation[ends[0]])
    least, greatest = (context.card.features[j] for j in ends)
    sentence = f"the standard deviation of {greatest} is {ratio:.3g} times that of {least}"
    return Finding(ratio > MAX_RATIO, sentence, ratio)


def _linear(context: Context) -> LinearModel:
    if (model := linear_model(context.predictor.arrays)) is None:
        raise NotApplicable("the model is not linear")
    return model
