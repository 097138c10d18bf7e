"""Metrics against scikit-learn's, ties included; each entry of the registry by the laws that all obey."""

import numpy as np
import pytest
from sklearn import metrics as peer

from pipeline.evaluation.metrics import COMPARED_METRICS, METRICS, SUMMARY_METRICS, Metric, calibration_error, measure
from pipeline.model.predictor import probability
from tests.evaluation.context import scores


@pytest.mark.parametrize("ties", [False, True])
def test_every_metric(ties: bool) -> None:
    z, y = scores(ties)
    p, predicted = probability(z), z > 0
    ours = measure(z, y)
    (tn, fp), (fn, tp) = peer.confusion_matrix(y, predicted)
    assert ours == pytest.approx(
        {
            "rows": 500,
            "accuracy": peer.accuracy_score(y, predicted),
            "balanced_accuracy": peer.balanced_accuracy_score(y, predicted),
            "precision": peer.precision_score(y, predicted),
            "recall": peer.recall_score(y, predicted),
            "f1": peer.f1_score(y, predicted),
            "mcc": peer.matthews_corrcoef(y, predicted),
            "roc_auc": peer.roc_auc_score(y, z),
            "average_precision": peer.average_precision_score(y, z),
            "log_loss": peer.log_loss(y, p),
            "brier": peer.brier_score_loss(y, p),
            "calibration_error": calibration_error(z, y),  # no peer: by hand below
            "true_positives": tp,
            "false_positives": fp,
            "false_negatives": fn,
            "true_negatives": tn,
        },
        abs=1e-12,
    )


def test_the_calibration_error_by_hand() -> None:
    p = np.repeat([0.25, 0.75], 400)
    perfect = np.concatenate([np.tile([1, 0, 0, 0], 100), np.tile([1, 1, 1, 0], 100)]).astype(np.float64)
    z = np.log(p / (1 - p))
    assert calibration_error(z, perfect) == pytest.approx(0)
    assert calibration_error(z, (p > 0.5).astype(np.float64)) == pytest.approx(0.25)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_metric_is_a_finite_number_whatever_the_order_of_rows(metric: Metric) -> None:
    order = np.random.default_rng(1).permutation(500)
    for z, y in (scores(ties=True), (scores(ties=False)[0] * 1e4, scores(ties=False)[1])):
        value = metric.function(z, y)
        assert type(value) is (int if metric.greater_is_better is None else float)
        assert np.isfinite(value)
        assert metric.function(z[order], y[order]) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("metric", [m for m in METRICS.values() if m.greater_is_better is not None], ids=lambda m: m.name)
def test_predicting_right_is_better_than_predicting_wrong(metric: Metric) -> None:
    y = scores(ties=False)[1]
    right, wrong = metric.function(10 * (2 * y - 1), y), metric.function(10 * (1 - 2 * y), y)
    assert (right > wrong) is metric.greater_is_better


@pytest.mark.parametrize("name", COMPARED_METRICS)
def test_what_is_resampled_is_the_metric(name: str) -> None:
    (z, y), metric = scores(ties=True), METRICS[name]
    once, twice = np.ones((1, 500), np.int64), np.full((1, 500), 2)
    if metric.row_scores:
        assert metric.row_scores(z, y).mean() == metric.function(z, y)
    else:
        assert metric.resampled
        resampled = metric.resampled(z, y)
        assert resampled(once) == resampled(twice) == pytest.approx(metric.function(z, y), abs=1e-15)


def test_one_list_names_all() -> None:
    assert all(name == metric.name for name, metric in METRICS.items())
    assert set(SUMMARY_METRICS) <= set(METRICS)
    assert all(METRICS[name].greater_is_better is not None for name in COMPARED_METRICS)


def test_a_model_that_predicts_only_one_class() -> None:
    values = measure(np.array([-1.0, -2.0, -3.0]), np.array([0.0, 1.0, 0.0]))
    assert values["precision"] == values["recall"] == values["f1"] == values["mcc"] == 0
