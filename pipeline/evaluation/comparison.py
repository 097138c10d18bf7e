"""Several models on one test table: what each predicted, and how surely they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.errors import ArtifactError, DataError
from pipeline.evaluation.intervals import RESAMPLES, Difference, paired_differences
from pipeline.evaluation.metrics import METRICS
from pipeline.interval import Groups
from pipeline.model.card import Label

SEED = 0  # of the bootstrap
SURELY_BETTER, SURELY_WORSE = "surely better", "surely worse"  # verdicts


@dataclass(frozen=True)
class Predictions:
    """Log-odds z (n,) of a test table's rows, above `cut` predicted positive; their labels y (n,) in {0, 1} and, if there are
    any, weights (n,) and groups (n,)."""

    z: Array
    y: Array
    cut: float = 0.0
    weight: Array | None = None
    group: Groups | None = None

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[Any]], classes: Sequence[Label], cut: float) -> Self:
        """From the columns of predictions.parquet. Raises ArtifactError where it has no log-odds."""
        if "log_odds" not in columns:
            raise ArtifactError("predictions.parquet must have the column log_odds; one of an earlier version has not")
        y = (columns["actual"] == np.array(classes)[1]).astype(float)
        return cls(columns["log_odds"], y, cut, columns.get("weight"), columns.get("group"))


def differences(models: Sequence[Predictions], resamples: int = RESAMPLES) -> list[dict[str, Difference]]:
    """Each model but the first minus the first, in each metric, by intervals that hold together, whichever is the best.

    Raises DataError unless all predicted the same rows.
    """
    first = models[0]
    if any(not np.array_equal(model.y, first.y) for model in models):
        raise DataError("models must have predicted the same rows to be compared; these have not")
    pairs = [(model.z, model.cut) for model in models]
    return paired_differences(pairs, first.y, resamples, SEED, first.weight, first.group)


def verdict(metric: str, difference: Difference) -> str:
    """What the difference b - a in a metric says of b, in words."""
    if np.isnan(difference.low):
        return "not known to differ, since the difference has no interval"
    greater_is_better = METRICS[metric].greater_is_better
    if not difference.sign:
        return "not surely different"
    if greater_is_better is None:
        return "surely higher" if difference.sign > 0 else "surely lower"
    return SURELY_BETTER if (difference.sign > 0) == greater_is_better else SURELY_WORSE
