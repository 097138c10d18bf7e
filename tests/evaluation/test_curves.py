"""Curves against scikit-learn's, ties included."""

import numpy as np
import pytest
from sklearn import metrics as peer

from pipeline.evaluation.curves import CURVES, Curve
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
