"""What a test table says of a model, from log-odds z (n,) and labels y (n,) in {0, 1}. The decision is p > 0.5."""

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.learning.objective import log_losses, sigmoid

Curve = dict[str, NDArray[np.float64]]


def _ratio(part: float, whole: float) -> float:
    """part / whole, and 0 of nothing."""
    return float(part / whole) if whole else 0.0


def confusion(z: Array, y: Array) -> dict[str, int]:
    """Counts of true and false positives and negatives."""
    said, true = z > 0, y == 1
    return {
        "true_positives": int((said & true).sum()),
        "false_positives": int((said & ~true).sum()),
        "false_negatives": int((~said & true).sum()),
        "true_negatives": int((~said & ~true).sum()),
    }


def metrics(z: Array, y: Array) -> dict[str, float]:
    """Every number that `metrics.json` holds. Needs rows of both classes."""
    counts = confusion(z, y)
    tp, fp, fn, tn = counts.values()
    p = sigmoid(z)
    precision, recall = _ratio(tp, tp + fp), _ratio(tp, tp + fn)
    spread = float(np.sqrt(float(tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))
    return {
        "rows": len(y),
        "accuracy": _ratio(tp + tn, len(y)),
        "balanced_accuracy": (recall + _ratio(tn, tn + fp)) / 2,
        "precision": precision,
        "recall": recall,
        "f1": _ratio(2 * precision * recall, precision + recall),
        "mcc": _ratio(float(tp) * tn - float(fp) * fn, spread),
        "roc_auc": roc_auc(z, y),
        "average_precision": average_precision(z, y),
        "log_loss": float(log_losses(z, y).mean()),
        "brier": float(np.mean((p - y) ** 2)),
        "calibration_error": calibration_error(p, y),
        **counts,
    }


def roc_auc(z: Array, y: Array) -> float:
    """The probability that a positive row scores above a negative one, ties counted half (Mann and Whitney 1947)."""
    score, positive = np.unique(z, return_inverse=True)[1], y == 1
    negatives = np.bincount(score, ~positive)
    beaten = np.cumsum(negatives) - negatives / 2
    return float(beaten[score[positive]].mean() / negatives.sum())


def _cumulative(z: Array, y: Array) -> tuple[Array, Array, Array]:
    """At each distinct threshold, from the highest: the threshold, and how many true and false positives lie at or above."""
    order = np.argsort(-z, kind="stable")
    z, y = z[order], y[order]
    last = np.append(np.flatnonzero(np.diff(z)), len(z) - 1)
    tp = np.cumsum(y)[last]
    return z[last], tp, last + 1 - tp


def average_precision(z: Array, y: Array) -> float:
    """The sum over thresholds of precision x the gain in recall."""
    _, tp, fp = _cumulative(z, y)
    return float(np.sum(np.diff(tp, prepend=0) / y.sum() * tp / (tp + fp)))


def roc_curve(z: Array, y: Array) -> Curve:
    """false_positive_rate and true_positive_rate at each probability threshold, from (0, 0) to (1, 1)."""
    thresholds, tp, fp = _cumulative(z, y)
    return {
        "threshold": np.append(1.0, sigmoid(thresholds)),
        "false_positive_rate": np.append(0.0, fp / (len(y) - y.sum())),
        "true_positive_rate": np.append(0.0, tp / y.sum()),
    }


def precision_recall_curve(z: Array, y: Array) -> Curve:
    """precision and recall at each probability threshold, from the highest."""
    thresholds, tp, fp = _cumulative(z, y)
    return {"threshold": sigmoid(thresholds), "recall": tp / y.sum(), "precision": tp / (tp + fp)}


def calibration_curve(p: Array, y: Array, bins: int = 10) -> Curve:
    """The mean prediction and the share of positives in each non-empty bin of equal width, with its count of rows."""
    which = np.minimum((p * bins).astype(int), bins - 1)
    rows = np.bincount(which, minlength=bins)
    full = rows > 0
    predicted, observed = np.bincount(which, p, bins)[full], np.bincount(which, y, bins)[full]
    return {"predicted": predicted / rows[full], "observed": observed / rows[full], "rows": rows[full].astype(np.float64)}


def calibration_error(p: Array, y: Array) -> float:
    """The expected calibration error over ten bins (Naeini et al. 2015): mean |predicted - observed|, weighted by rows."""
    curve = calibration_curve(p, y)
    return float(np.average(np.abs(curve["predicted"] - curve["observed"]), weights=curve["rows"]))
