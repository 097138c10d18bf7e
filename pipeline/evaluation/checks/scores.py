"""Checks of a model's scores: what they tell of the model on the test rows, and beside the training rows."""

import numpy as np

from pipeline.arrays import Array
from pipeline.evaluation.checks.check import LEVEL, Finding
from pipeline.evaluation.checks.context import Context, NotApplicable
from pipeline.evaluation.checks.intervals import (
    auc,
    auc_interval,
    mean_and_error,
    mean_interval,
    normal_quantile,
    share_interval,
)
from pipeline.learning.losses import log_losses
from pipeline.model.predictor import probability

BASELINE_LEVEL = 0.05
FAR_WORSE = 0.05  # of the loss, by which another kind of model must surely be better
MAX_CELLS = 20_000_000  # in the training features that another kind of model is fitted to
STEPS = 60  # of Newton's method


def overfitting(context: Context) -> Finding:
    """The test loss minus the training loss, by Welch's interval."""
    context.require_rows()
    (test, test_error), (train, train_error) = (
        mean_and_error(log_losses(part.z, part.y), context.weights(part)) for part in (context.test, context.train)
    )
    gap, half = test - train, normal_quantile(LEVEL) * float(np.hypot(test_error, train_error))
    sentence = f"the log loss is {test:.4f} on the test rows and {train:.4f} on the training rows"
    return Finding(gap - half > 0, sentence, gap, gap - half, gap + half)


def baseline(context: Context) -> Finding:
    """The loss of the training rate minus the model's, row by row. On few rows, where a few losses may hide a difference, it is
    enough that the loss is less and that positives surely score above negatives."""
    context.require_rows(context.test)
    z, y = context.test.z, context.test.y
    gains = training_rate_losses(context) - log_losses(z, y)
    gain, low, high = mean_interval(gains, context.weights(context.test), BASELINE_LEVEL)
    positives, orders = int(y.sum()), False
    if gain > 0 and 0 < positives < len(y):
        orders = auc_interval(auc(z, y == 1), positives, len(y) - positives, BASELINE_LEVEL)[0] > 0.5
    is_better = low > 0 or orders
    how = f"is {'surely' if is_better else 'not surely'} better than the training rate"
    sentence = f"the model {how}: its log loss on the test rows is {abs(gain):.4f} {'less' if gain > 0 else 'more'}"
    return Finding(not is_better, sentence, gain, low, high)


def training_rate_losses(context: Context) -> Array:
    """The log loss of each test row (n,) where every row is given the share of positives among the training rows."""
    rate = float(np.average(context.train.y, weights=context.weights(context.train)))
    y = context.test.y
    return log_losses(np.full(len(y), np.log(rate) - np.log1p(-rate)), y)


def predicted_classes(context: Context) -> Finding:
    """Whether a class is never predicted, though it is frequent enough for that not to be chance."""
    context.require_rows(context.test)
    n, cut = len(context.test), float(np.log(context.threshold) - np.log1p(-context.threshold))
    positives = int((context.test.z > cut).sum())
    label, predicted = (1, positives) if 2 * positives < n else (0, n - positives)
    rate, name = float((context.train.y == label).mean()), context.card.classes[label]
    low, high = share_interval(predicted, n, LEVEL)
    sentence = f"{predicted} of {n} test rows are predicted {name}, which {rate:.2%} of the training rows are"
    return Finding(not predicted and (1 - rate) ** n < LEVEL, sentence, predicted / n, low, high)


def calibration(context: Context) -> Finding:
    """The score test of calibration: that log odds a + b z of the test rows have a = 0 and b = 1 (Cox 1958).

    A fit's own error is allowed for: for log-odds that a maximum-likelihood fit to N rows gives of n others, the score's
    variance is 1 + n/N times what it is for known ones.
    """
    context.require_rows()
    z, y, m = context.test.z, context.test.y, context.weights(context.test)
    if not 0 < y.sum() < len(y):
        raise NotApplicable("the test rows are of one class")
    m = m / m.mean()
    design = np.column_stack([np.ones_like(z), z])
    p = probability(z)
    score = design.T @ (m * (y - p))
    variance = (design.T * (m * m * p * (1 - p))) @ design * (1 + len(y) / len(context.train))
    unit = np.sqrt(np.diag(variance))
    if not (unit > 0).all():
        raise NotApplicable("every log-odds is 0 or too far from it")
    correlation = variance / np.outer(unit, unit)
    values, vectors = np.linalg.eigh(correlation)
    used = values > 1e-9  # one where all rows have the same log-odds
    from scipy.special import chdtrc

    statistic = float((np.square(vectors.T @ (score / unit))[used] / values[used]).sum())
    chance = float(chdtrc(int(used.sum()), statistic))
    slope, error = recalibration_slope(z, y, m) if used.all() else (float("nan"), float("nan"))
    half = normal_quantile(LEVEL) * error
    if not np.isfinite([slope, half]).all():
        return Finding(chance < LEVEL, f"a test of calibration has p = {chance:.2g}")
    how = "too sure" if slope < 1 else "not sure enough"
    sentence = f"the slope of the calibration is {slope:.2f}, where 1 is right"
    sentence += f": the probabilities are {how}, or too high or too low on the whole" if chance < LEVEL else ""
    return Finding(chance < LEVEL, f"{sentence} (p = {chance:.2g})", slope, slope - half, slope + half)


def recalibration_slope(z: Array, y: Array, m: Array) -> tuple[float, float]:
    """b of the logistic regression of y on a + b z, and its standard error; nan where there is no finite one."""
    scale = float(z.std()) or 1.0
    design, theta = np.column_stack([np.ones_like(z), z / scale]), np.array([0.0, scale])
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            p = probability(design @ theta)
            hessian = (design.T * (m * p * (1 - p))) @ design
            if not np.linalg.cond(hessian) < 1e12:
                return float("nan"), float("nan")
            step = np.linalg.solve(hessian, design.T @ (m * (y - p)))
            theta = theta + step * min(1.0, 3 / float(np.abs(step).max()))
            if np.abs(step).max() < 1e-9:
                return float(theta[1] / scale), float(np.sqrt(np.linalg.inv(hessian)[1, 1]) / scale)
    return float("nan"), float("nan")


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
    gap, low, high = mean_interval(ours - theirs, m, LEVEL)
    loss = float(np.average(ours, weights=m))
    sentence = f"the log loss on the test rows is {loss:.4f}, that of gradient boosting {loss - gap:.4f}"
    return Finding(low > FAR_WORSE * loss, sentence, gap, low, high)
