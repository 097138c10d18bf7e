"""The report's confusion matrices: those at each candidate's own threshold, and what any other threshold would do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evaluation.curves import COUNTS, RATES, confusion_at
from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.report.candidate import Evaluated
from pipeline.evaluation.report.display import fixed, share, whole
from pipeline.model.decision import log_odds_of
from pipeline.model.predictor import probability

QUANTILES = 100  # of a candidate's scores that are thresholds, beside the whole percents
SHADES = 9  # of a cell


@dataclass(frozen=True)
class Matrix:
    """A candidate's confusion matrix at its threshold, and the numbers of it. counts: rows by actual, columns by predicted."""

    name: str
    series: int
    threshold: str
    counts: Sequence[Sequence[tuple[str, str, str, int]]]  # key, count, share of the actual class, shade
    numbers: Sequence[tuple[str, str, str]]  # key, label, value


def thresholds(candidates: Sequence[Evaluated]) -> dict[str, Any]:
    """What each threshold of a grid would do: each candidate's true and false positives, and where its own threshold is."""
    scores = [np.quantile(candidate.predictions.z, np.linspace(0, 1, QUANTILES)) for candidate in candidates]
    decided = [candidate.decision for candidate in candidates]
    cut = np.unique(np.concatenate([log_odds_of(np.arange(101) / 100), *scores, [each.log_odds for each in decided]]))
    grid: list[dict[str, Any]] = []
    for candidate in candidates:
        of = candidate.predictions
        at = confusion_at(cut, of.z, of.y, of.weight)
        totals = {"positives": float(at.tp[0] + at.fn[0]), "negatives": float(at.fp[0] + at.tn[0])}
        start = int(np.searchsorted(cut, candidate.decision.log_odds))
        grid.append({"tp": at.tp.tolist(), "fp": at.fp.tolist(), **totals, "start": start})
    return {"threshold": [f"{p:.4g}" for p in probability(cut)], "candidates": grid}


def matrix(name: str, series: int, of: Evaluated) -> Matrix:
    tp, fp, fn, tn = (of.metrics[count] for count in COUNTS)
    rows = [
        [_count(key, value, sum(value for _, value in row)) for key, value in row]
        for row in ([("tn", tn), ("fp", fp)], [("fn", fn), ("tp", tp)])
    ]
    values = {"accuracy": of.metrics["accuracy"], **{rate: _rate(rate, of.metrics) for rate in RATES}}
    numbers = [(key, METRICS[key].label if key in METRICS else key, fixed(value)) for key, value in values.items()]
    return Matrix(name, series, of.decision.sentence, rows, numbers)


def _rate(name: str, metrics: Mapping[str, float]) -> float:
    """One of RATES; specificity is no metric."""
    if name in metrics:
        return metrics[name]
    return metrics["true_negatives"] / (metrics["true_negatives"] + metrics["false_positives"])


def _count(key: str, value: float, total: float) -> tuple[str, str, str, int]:
    return key, whole(value), share(value / total), round(SHADES * value / total)


def shades_css() -> str:
    """The classes of the cells of a confusion matrix."""
    return "".join(f".s{i}{{background:rgba(var(--shade),{0.03 + 0.3 * i / SHADES:.3f})}}" for i in range(SHADES + 1)) + "\n"
