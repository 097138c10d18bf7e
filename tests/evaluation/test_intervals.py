"""Paired bootstrap: against the metrics of really repeated rows, and the laws of a difference."""

import numpy as np
import pytest

from pipeline.arrays import Array
from pipeline.errors import PipelineError
from pipeline.evaluation.intervals import paired_bootstrap
from pipeline.evaluation.metrics import COMPARED_METRICS, METRICS


def table(n: int = 200, seed: int = 0) -> tuple[Array, Array, Array]:
    """Log-odds of a good and of a worse model, with ties, and labels."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-3 * z))).astype(float)
    return np.round(3 * z, 1), np.round(z + rng.normal(size=n), 1), y


def test_every_resample_is_the_metrics_of_its_rows() -> None:
    z_a, z_b, y = table(60)
    found = paired_bootstrap(z_a, z_b, y, resamples=300, seed=7)
    rows = np.random.default_rng(7).integers(60, size=(300, 60))
    for name, difference in found.items():
        function = METRICS[name].function
        slow = [function(z_b[i], y[i]) - function(z_a[i], y[i]) for i in rows]
        assert [difference.low, difference.high] == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=1e-14)
        assert difference.value == pytest.approx(function(z_b, y) - function(z_a, y), abs=1e-14)
    assert tuple(found) == COMPARED_METRICS == ("accuracy", "roc_auc", "log_loss", "brier")


def test_laws_of_a_difference() -> None:
    good, bad, y = table()
    there, back, same = paired_bootstrap(good, bad, y), paired_bootstrap(bad, good, y), paired_bootstrap(good, good, y)
    for name in COMPARED_METRICS:
        assert (there[name].low, there[name].high) == pytest.approx((-back[name].high, -back[name].low), abs=1e-15)
        assert there[name].sign == (-1 if METRICS[name].greater_is_better else 1)
        assert (same[name].value, same[name].low, same[name].high, same[name].sign) == (0, 0, 0, 0)
    assert paired_bootstrap(good, bad, y) == there
    assert paired_bootstrap(good, bad, y, seed=1) != there


def test_the_interval_covers_what_is_true() -> None:
    """Two models of equal worth: a 95 % interval holds zero in about 95 of 100 tables."""
    held = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        signal, y = rng.normal(size=300), (np.arange(300) % 2).astype(float)
        z_a, z_b = (signal + 2 * y + rng.normal(size=300) for _ in "ab")
        held += paired_bootstrap(z_a, z_b, y, resamples=400)["log_loss"].sign == 0
    assert 180 <= held <= 199


def test_the_size_of_a_block_changes_nothing_but_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    in_one = paired_bootstrap(*table())
    monkeypatch.setattr("pipeline.evaluation.intervals.BLOCK", 200 * 37)
    for name, difference in paired_bootstrap(*table()).items():
        assert (difference.low, difference.high) == pytest.approx((in_one[name].low, in_one[name].high), abs=1e-14)


def test_a_resample_without_one_class_has_no_auc() -> None:
    found = paired_bootstrap(np.array([1.0, -1.0, 2.0]), np.array([1.0, 2.0, -1.0]), np.array([1.0, 0.0, 1.0]))
    assert (found["roc_auc"].low, found["roc_auc"].high) == (-1, -1)


@pytest.mark.parametrize(
    ("z_b", "y", "sentence"),
    [
        (np.zeros(3), np.array([0, 1]), "both models must have predicted the 2 rows; got 2 and 3"),
        (np.zeros(2), np.array([1, 1]), "y must have rows of both classes; got 2 positives in 2 rows"),
    ],
)
def test_what_cannot_be_compared(z_b: Array, y: Array, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        paired_bootstrap(np.zeros(2), z_b, y)
