"""Curves against scikit-learn's, ties included."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as peer

from pipeline.arrays import Array
from pipeline.evaluation.curves import CURVES, Curve, precisions, true_positive_rates
from pipeline.evaluation.samples import Sample, ScoredRows
from pipeline.interval import share_interval
from tests.evaluation.context import scores


@pytest.mark.parametrize("ties", [False, True])
def test_roc(ties: bool) -> None:
    z, y = scores(ties)
    curve = CURVES["roc"].of(z, y)
    fpr, tpr, thresholds = peer.roc_curve(y, z, drop_intermediate=False)
    np.testing.assert_allclose(curve["false_positive_rate"], fpr)
    np.testing.assert_allclose(curve["true_positive_rate"], tpr)
    np.testing.assert_allclose(curve["threshold"][1:], 1 / (1 + np.exp(-thresholds[1:])))
    assert curve["threshold"][0] == 1


def test_precision_recall() -> None:
    z, y = scores(ties=True)
    curve = CURVES["precision_recall"].of(z, y)
    precision, recall, _ = peer.precision_recall_curve(y, z)
    np.testing.assert_allclose(curve["precision"][::-1], precision[:-1])
    np.testing.assert_allclose(curve["recall"][::-1], recall[:-1])


def test_calibration_leaves_out_empty_bins() -> None:
    p = np.repeat([0.25, 0.75], 400)
    y = np.concatenate([np.tile([1, 0, 0, 0], 100), np.tile([1, 1, 1, 0], 100)]).astype(np.float64)
    curve = CURVES["calibration"].of(np.log(p / (1 - p)), y)
    np.testing.assert_allclose(curve["observed"], [0.25, 0.75])
    np.testing.assert_allclose(curve["predicted"], [0.25, 0.75])
    np.testing.assert_array_equal(curve["rows"], [400, 400])


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_every_curve_is_columns_of_finite_numbers(curve: Curve) -> None:
    z, y = scores(ties=False)
    columns = curve.of(1e4 * z, y)
    assert tuple(columns) == curve.columns
    assert len({len(column) for column in columns.values()}) == 1
    assert all(column.dtype == np.float64 and np.isfinite(column).all() for column in columns.values())
    assert curve.file == f"curves.{curve.name}.csv"


def test_resampled_curves_are_those_of_repeated_rows() -> None:
    z, y = scores(ties=True)
    z, y = z[:80], y[:80]
    rng, rows = np.random.default_rng(0), ScoredRows(z, y)
    drawn = tuple(rng.integers(1, 4, size=(3, int((y == label).sum()))) for label in (1, 0))
    sample = Sample(rows, drawn, np.ones((2, 3)))
    for b, (positives, negatives) in enumerate(zip(*drawn, strict=True)):
        repeated = np.append(np.repeat(z[y == 1], positives), np.repeat(z[y == 0], negatives))
        labels = np.repeat([1, 0], [positives.sum(), negatives.sum()])
        fpr, tpr, _ = peer.roc_curve(labels, repeated, drop_intermediate=False)
        at = np.linspace(0, 1, 50)
        np.testing.assert_allclose(true_positive_rates(sample, at)[0][b], np.interp(at, fpr, tpr))
        precision, recall, _ = peer.precision_recall_curve(labels, repeated)
        reached = np.unique(recall[:-1])[1:]
        best = [precision[:-1][recall[:-1] == value].max() for value in reached]
        np.testing.assert_allclose(precisions(sample, reached)[0][b], best, rtol=1e-9)


def test_a_calibration_s_intervals_count_weights_and_groups_as_fewer_rows() -> None:
    z, y = np.repeat([-2.0, 2.0], 40), np.tile([0.0, 0, 0, 1], 20)

    def ends(weight: Array | None = None, group: NDArray[np.int64] | None = None) -> list[tuple[float, float]]:
        curve = CURVES["calibration"].of(z, y, weight, group)
        return list(zip(curve["low"], curve["high"], strict=True))

    assert ends() == ends(np.full(80, 3.0)) == [share_interval(10, 40)] * 2
    assert ends(group=np.arange(80) // 4) == [pytest.approx(share_interval(2.5, 10))] * 2
    weight = np.tile([3.0, 0, 0, 1], 20)  # 20 rows a bin, and an effective number of (10 * 4)^2 / (10 * 10)
    assert ends(weight) == [pytest.approx(share_interval(4, 16))] * 2
