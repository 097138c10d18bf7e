"""Checks of a model's scores: what they tell of the model on the test rows, and beside the training rows."""

import numpy as np

from pipeline.arrays import Array
from pipeline.evaluation import recalibration
from pipeline.evaluation.checks.check import LEVEL, Finding
from pipeline.evaluation.checks.context import MIN_ROWS, Context, NotApplicable
from pipeline.evaluation.checks.intervals import (
    auc,
    auc_interval,
    group_sums,
    mean_and_error,
    mean_interval,
    normal_quantile,
)
from pipeline.interval import Groups, share_interval
from pipeline.learning.losses import log_losses
from pipeline.model.predictor import probability

BASELINE_LEVEL = 0.05
CLASS_WEIGHT = "use the ranking only, since model.class_weight shifts the probabilities, or set model.class_weight=none"
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
    enough that the loss is less and that positives surely score above negatives. Where model.class_weight has shifted the
    log-odds, a greater loss does not bar promotion if they surely do.
    """
    context.require_rows(context.test)
    z, y, m = context.test.z, context.test.y, context.test.weight
    rate = float(np.average(context.train.y, weights=context.train.weight))
    losses, of_rate = log_losses(z, y), log_losses(np.full(len(y), np.log(rate) - np.log1p(-rate)), y)
    gain, low, high = mean_interval(of_rate - losses, m, BASELINE_LEVEL, context.test.rows.group)
    (positives, negatives), orders = map(context.test.observations, (1, 0)), False
    if low <= 0 and (gain > 0 or context.has_class_weight) and positives and negatives:
        orders = auc_interval(auc(z, y == 1), positives, negatives, BASELINE_LEVEL)[0] > 0.5
    is_better = low > 0 or (gain > 0 and orders)
    how = "surely better" if is_better else "not surely better" if gain > 0 else "no better"
    loss = float(np.average(losses, weights=m))
    ends = f"{-gain:+.4f}, {-high:+.4f} to {-low:+.4f}{'; positives surely score above negatives' if orders else ''}"
    sentence = f"the model is {how} than the training rate: log loss {loss:.4f} against {loss + gain:.4f} ({ends})"
    return Finding(not is_better, sentence, gain, low, high, severe=not orders, advice=CLASS_WEIGHT if orders else "")


def predicted_classes(context: Context) -> Finding:
    """Whether a class is never predicted, though it is frequent enough for that not to be chance; a group counts as one row."""
    context.require_rows(context.test)
    n, positives, units = len(context.test), int((context.test.z > context.cut).sum()), context.test.observations(0, 1)
    label, predicted = (1, positives) if 2 * positives < n else (0, n - positives)
    rate, name = float((context.train.y == label).mean()), context.card.classes[label]
    low, high = share_interval(predicted / n * units, units, LEVEL)
    sentence = f"{predicted} of {n} test rows are predicted {name}, which {rate:.2%} of the training rows are"
    return Finding(not predicted and (1 - rate) ** units < LEVEL, sentence, predicted / n, low, high)


def calibration(context: Context) -> Finding:
    """The likelihood ratio test of calibration: that log odds a + b z of the test rows have a = 0 and b = 1 (Cox 1958).

    A fit's own error is allowed for: of log-odds that a maximum-likelihood fit to N rows gives n others, the statistic is
    1 + n/N times what it is of known ones. Weights and groups are allowed for by the mean of the factors by which they make the
    variance of a and b larger (Rao and Scott 1984).
    """
    context.require_rows()
    z, y, m, group = context.test.z, context.test.y, context.test.weight, context.test.rows.group
    if not 0 < y.sum() < len(y):
        raise NotApplicable("the test rows are of one class")
    if (units := context.test.observations(0, 1)) < MIN_ROWS:
        raise NotApplicable(f"it takes {MIN_ROWS} groups of test rows of equal size; those there tell as much as {units:.3g}")
    from scipy.special import chdtrc, fdtrc

    m = m / m.mean()
    varies = bool(np.ptp(z) > 0)
    intercept, slope = recalibration.line(z, y, m[None])[0] if varies else (recalibration.shift(z, y, m[None])[0], 1.0)
    if not np.isfinite(slope):
        raise NotApplicable("a threshold separates the classes of the test rows")
    if context.card.ended.separation and slope > 1:
        raise NotApplicable(f"the classes can be separated, so any finite model is too moderate; the slope is {slope:.2f}")
    fitted = intercept + slope * z
    effect, error = _design_effect(z, y - probability(fitted), m, group)
    gain = 2 * max(float(m @ (log_losses(z, y) - log_losses(fitted, y))), 0.0) / effect / (1 + len(y) / len(context.train))
    k = 1 + varies
    chance = float(chdtrc(k, gain) if group is None else fdtrc(k, units - k, gain / k))
    failed, advice = chance < LEVEL, CLASS_WEIGHT if context.has_class_weight else ""
    if not varies:
        return Finding(failed, f"a test of calibration has p = {chance:.2g}", advice=advice)
    half = normal_quantile(LEVEL) * error
    how = f": the probabilities are too {'extreme' if slope < 1 else 'moderate'}, or too high or too low on the whole"
    found = f"the slope of the calibration is {slope:.2f}, where 1 is right"
    sentence = f"{found}{how if failed else ''} (p = {chance:.2g})"
    return Finding(failed, sentence, slope, slope - half, slope + half, advice=advice)


def _design_effect(z: Array, u: Array, m: Array, group: Groups | None) -> tuple[float, float]:
    """By what weights m (n,) and groups multiply the variance of a and b on average, of the regression a + b z (n,) with the
    residuals u (n,), and the standard error of b; of a alone, and 0, where z is constant."""
    scale = np.ptp(z)
    x = np.column_stack([np.ones_like(z), (z - z.mean()) / scale]) if scale else np.ones((len(z), 1))
    wrong = np.abs(u)
    covariance = np.linalg.inv(x.T @ (x * (m * wrong * (1 - wrong))[:, None]))
    if group is None:
        effect = float((m * m).mean())
        covariance = effect * covariance
    else:
        sums = group_sums(x * (m * u)[:, None], group)
        factor = covariance @ sums.T @ sums * (len(sums) / (len(sums) - 1))
        effect, covariance = float(np.trace(factor)) / x.shape[1], factor @ covariance
    return effect, float(np.sqrt(covariance[1, 1]) / scale) if scale else 0.0


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
