"""Metrics and curves against scikit-learn's, ties included."""

import numpy as np
import pytest
from sklearn import metrics as peer

from pipeline.arrays import Array
from pipeline.evaluation import metrics as m
from pipeline.learning.objective import sigmoid


def scores(ties: bool) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    y = (rng.random(500) < 0.3).astype(np.float64)
    z = rng.standard_normal(500) + 1.5 * y
    return (np.round(z, 1) if ties else z), y


@pytest.mark.parametrize("ties", [False, True])
def test_every_metric(ties: bool) -> None:
    z, y = scores(ties)
    p, said = sigmoid(z), z > 0
    ours = m.metrics(z, y)
    theirs = {
        "rows": 500,
        "accuracy": peer.accuracy_score(y, said),
        "balanced_accuracy": peer.balanced_accuracy_score(y, said),
        "precision": peer.precision_score(y, said),
        "recall": peer.recall_score(y, said),
        "f1": peer.f1_score(y, said),
        "mcc": peer.matthews_corrcoef(y, said),
        "roc_auc": peer.roc_auc_score(y, z),
        "average_precision": peer.average_precision_score(y, z),
        "log_loss": peer.log_loss(y, p),
        "brier": peer.brier_score_loss(y, p),
    }
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-12), name
    table = [[ours["true_negatives"], ours["false_positives"]], [ours["false_negatives"], ours["true_positives"]]]
    assert table == peer.confusion_matrix(y, said).tolist()


@pytest.mark.parametrize("ties", [False, True])
def test_roc_curve(ties: bool) -> None:
    z, y = scores(ties)
    curve = m.roc_curve(z, y)
    fpr, tpr, _ = peer.roc_curve(y, z, drop_intermediate=False)
    np.testing.assert_allclose(curve["false_positive_rate"], fpr)
    np.testing.assert_allclose(curve["true_positive_rate"], tpr)


def test_precision_recall_curve() -> None:
    z, y = scores(ties=True)
    curve = m.precision_recall_curve(z, y)
    precision, recall, _ = peer.precision_recall_curve(y, z)
    np.testing.assert_allclose(curve["precision"][::-1], precision[:-1])
    np.testing.assert_allclose(curve["recall"][::-1], recall[:-1])


def test_calibration_of_a_perfect_forecast() -> None:
    p = np.repeat([0.25, 0.75], 400)
    y = np.concatenate([np.tile([1, 0, 0, 0], 100), np.tile([1, 1, 1, 0], 100)]).astype(np.float64)
    assert m.calibration_error(p, y) == pytest.approx(0)
    np.testing.assert_allclose(m.calibration_curve(p, y)["observed"], [0.25, 0.75])


def test_a_model_that_says_only_one_class() -> None:
    values = m.metrics(np.array([-1.0, -2.0, -3.0]), np.array([0.0, 1.0, 0.0]))
    assert values["precision"] == values["recall"] == values["f1"] == values["mcc"] == 0
