"""Checks of a model's scores: what they tell of the model on the test rows, and beside the training rows."""

import numpy as np

from pipeline.arrays import Array
from pipeline.evaluation import recalibration
from pipeline.evaluation.checks.check import LEVEL, Finding
from pipeline.evaluation.checks.context import Context, NotApplicable
from pipeline.evaluation.checks.intervals import (
    auc,
    auc_interval,
    mean_and_error,
    mean_interval,
    normal_quantile,
)
from pipeline.interval import share_interval
from pipeline.learning.losses import log_losses
from pipeline.model.predictor import probability

BASELINE_LEVEL = 0.05
FAR_WORSE = 0.05  # of the loss, by which another kind of model must surely be better
MAX_CELLS = 20_000_000  # in the training features that another kind of model is fitted to


def overfitting(context: Context) -> Finding:
    """The test loss minus the training loss, by Welch's interval."""
    context.require_rows()
    (test, test_error), (train, train_error) = (
        mean_and_error(log_losses(part.z, part.y), context.weights(part), part.rows.group)
        for part in (context.test, context.train)
    )
    gap, half = test - train, normal_quantile(LEVEL) * float(np.hypot(test_error, train_error))
    sentence = f"the log loss{context.weighting} is {test:.4f} on the test rows and {train:.4f} on the training rows"
    return Finding(gap - half > 0, sentence, gap, gap - half, gap + half)


def baseline(context: Context) -> Finding:
    """The loss of the training rate minus the model's, row by row. On few rows, where a few losses may hide a difference, it is
    enough that the loss is less and that positives surely score above negatives."""
    context.require_rows(context.test)
    z, y = context.test.z, context.test.y
    gains = training_rate_losses(context) - log_losses(z, y)
    gain, low, high = mean_interval(gains, context.weights(context.test), BASELINE_LEVEL, context.test.rows.group)
    (positives, negatives), orders = map(context.test.observations, (1, 0)), False
    if gain > 0 and positives and negatives:
        orders = auc_interval(auc(z, y == 1), positives, negatives, BASELINE_LEVEL)[0] > 0.5
    is_better = low > 0 or orders
    how = f"is {'surely' if is_better else 'not surely'} better than the training rate"
    sentence = (
        f"the model {how}: its log loss on the test rows{context.weighting} is {abs(gain):.4f} {'less' if gain > 0 else 'more'}"
    )
    return Finding(not is_better, sentence, gain, low, high)


def training_rate_losses(context: Context) -> Array:
    """The log loss of each test row (n,) where every row is given the share of positives among the training rows."""
    rate = float(np.average(context.train.y, weights=context.weights(context.train)))
    y = context.test.y
    return log_losses(np.full(len(y), np.log(rate) - np.log1p(-rate)), y)


def predicted_classes(context: Context) -> Finding:
    """Whether a class is never predicted, though it is frequent enough for that not to be chance."""
    context.require_rows(context.test)
    n, positives = len(context.test), int((context.test.z > context.cut).sum())
    label, predicted = (1, positives) if 2 * positives < n else (0, n - positives)
    rate, name = float((context.train.y == label).mean()), context.card.classes[label]
    low, high = share_interval(predicted, n, LEVEL)
    sentence = f"{predicted} of {n} test rows are predicted {name}, which {rate:.2%} of the training rows are"
    return Finding(not predicted and (1 - rate) ** n < LEVEL, sentence, predicted / n, low, high)


def calibration(context: Context) -> Finding:
    """The likelihood ratio test of calibration: that log odds a + b z of the test rows have a = 0 and b = 1 (Cox 1958).

    A fit's own error is allowed for: of log-odds that a maximum-likelihood fit to N rows gives n others, the statistic is
    1 + n/N times what it is of known ones.
    """
    context.require_rows()
    z, y, m = context.test.z, context.test.y, context.weights(context.test)
    if not 0 < y.sum() < len(y):
        raise NotApplicable("the test rows are of one class")
    from scipy.special import chdtrc

    m = m / m.mean()
    varies = bool(np.ptp(z) > 0)
    intercept, slope = recalibration.line(z, y, m[None])[0] if varies else (recalibration.shift(z, y, m[None])[0], 1.0)
    if not np.isfinite(slope):
        raise NotApplicable("a threshold separates the classes of the test rows")
    fitted = intercept + slope * z
    gain = 2 * float(m @ (log_losses(z, y) - log_losses(fitted, y))) / float((m * m).mean())
    chance = float(chdtrc(1 + varies, max(gain, 0.0) / (1 + len(y) / len(context.train))))
    failed = chance < LEVEL
    if not varies:
        return Finding(failed, f"a test of calibration has p = {chance:.2g}")
    half = normal_quantile(LEVEL) * _slope_error(z, fitted, m)
    how = f": the probabilities are too {'extreme' if slope < 1 else 'moderate'}, or too high or too low on the whole"
    found = f"the slope of the calibration{context.weighting} is {slope:.2f}, where 1 is right"
    sentence = f"{found}{how if failed else ''} (p = {chance:.2g})"
    return Finding(failed, sentence, slope, slope - half, slope + half)


def _slope_error(z: Array, fitted: Array, m: Array) -> float:
    """The standard error of b, where `fitted` (n,) is the regression a + b z on z (n,) with the weights m (n,)."""
    p = probability(fitted)
    counts = m * p * (1 - p)
    mean = np.average(z, weights=counts)
    return float(1 / np.sqrt(counts @ np.square(z - mean)))


def reference(context: Context) -> Finding:
    """The model's loss minus that of scikit-learn's gradient boosting, row by row."""
    if not context.reference:
        raise NotApplicable("asked for by evaluation.reference=true")
    context.require_rows()
    if len(context.train) * len(context.card.features) > MAX_CELLS:
        raise NotApplicable(f"not looked at: more than {MAX_CELLS:,} values")
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    X, X_test = (x if isinstance(x, np.ndarray) else x.toarray() for x in map(context.encoded, (context.train, context.test)))
    with threadpool_limits(1):  # the same sums, and so the same bits, on every machine
        fitted = HistGradientBoostingClassifier(random_state=0).fit(X, context.train.y, context.weights(context.train))
        z = fitted.decision_function(X_test)
    ours, theirs = (log_losses(each, context.test.y) for each in (context.test.z, z))
    m = context.weights(context.test)
    gap, low, high = mean_interval(ours - theirs, m, LEVEL, context.test.rows.group)
    loss = float(np.average(ours, weights=m))
    sentence = f"the log loss on the test rows{context.weighting} is {loss:.4f}, that of gradient boosting {loss - gap:.4f}"
    return Finding(low > FAR_WORSE * loss, sentence, gap, low, high)
