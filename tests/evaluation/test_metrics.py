"""Metrics against scikit-learn's, SciPy's and statsmodels', ties included; each entry by the laws that all obey."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import ks_2samp
from sklearn import metrics as peer

from pipeline.errors import PipelineError
from pipeline.evaluation.metrics import (
    COMPARED_METRICS,
    METRICS,
    OBJECTIVE,
    RANKING_METRICS,
    SUMMARY_METRICS,
    Metric,
    measure,
)
from pipeline.evaluation.samples import ScoredRows
from pipeline.model.predictor import probability
from tests.evaluation.context import scores


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ties", [False, True])
def test_every_metric(ties: bool, weighted: bool) -> None:
    z, y = scores(ties)
    p, predicted = probability(z), z > 0
    weight = np.random.default_rng(1).random(500) if weighted else None
    ours, of = measure(z, y, weight), {"sample_weight": weight}
    (tn, fp), (fn, tp) = peer.confusion_matrix(y, predicted, **of)
    area = peer.roc_auc_score(y, z, **of)
    line = sm.GLM(y, sm.add_constant(z), sm.families.Binomial(), freq_weights=weight).fit(tol=1e-12)
    shift = sm.GLM(y, np.ones(500), sm.families.Binomial(), freq_weights=weight, offset=z).fit(tol=1e-12)
    expected = {
        "rows": 500 if weight is None else weight.sum(),
        "accuracy": peer.accuracy_score(y, predicted, **of),
        "balanced_accuracy": peer.balanced_accuracy_score(y, predicted, **of),
        "precision": peer.precision_score(y, predicted, **of),
        "recall": peer.recall_score(y, predicted, **of),
        "f1": peer.f1_score(y, predicted, **of),
        "mcc": peer.matthews_corrcoef(y, predicted, **of),
        "roc_auc": area,
        "gini": 2 * area - 1,
        "average_precision": peer.average_precision_score(y, z, **of),
        "log_loss": peer.log_loss(y, p, **of),
        "brier": peer.brier_score_loss(y, p, **of),
        "calibration_slope": line.params[1],
        "calibration_intercept": shift.params[0],
        "true_positives": tp,
        "false_positives": fp,
        "false_negatives": fn,
        "true_negatives": tn,
    }
    by_hand = {"ks", "lift", "calibration_error"}  # below
    assert {name: value for name, value in ours.items() if name not in by_hand} == pytest.approx(expected, abs=1e-10)
    false_rate, true_rate, _ = peer.roc_curve(y, z, **of)
    assert ours["ks"] == pytest.approx(np.abs(true_rate - false_rate).max(), abs=1e-10)
    if not weighted:
        assert ours["ks"] == pytest.approx(ks_2samp(z[y == 1], z[y == 0]).statistic, abs=1e-10)


def test_a_model_that_ranks_the_classes_the_wrong_way_round_tells_them_apart_as_well() -> None:
    z, y = scores(ties=True)
    assert measure(-z, y)["ks"] == pytest.approx(measure(z, y)["ks"])


def test_the_calibration_error_by_hand() -> None:
    p = np.repeat([0.25, 0.75], 400)
    perfect = np.concatenate([np.tile([1, 0, 0, 0], 100), np.tile([1, 1, 1, 0], 100)]).astype(np.float64)
    z = np.log(p / (1 - p))
    assert measure(z, perfect)["calibration_error"] == pytest.approx(0)
    assert measure(z, (p > 0.5).astype(np.float64))["calibration_error"] == pytest.approx(0.25)


def test_the_lift_by_hand() -> None:
    z, y = np.arange(40.0), np.zeros(40)
    y[[39, 38, 36, 3, 2]] = 1  # three of five among the highest four
    assert measure(z, y)["lift"] == pytest.approx((3 / 4) / (5 / 40))
    tied = np.where(z > 37, 50, np.minimum(z, 34))  # two above, then two of four tied rows with one positive: half of it
    assert measure(tied, y)["lift"] == pytest.approx((2.5 / 4) / (5 / 40))
    assert measure(np.zeros(40), y)["lift"] == pytest.approx(1)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_metric_is_a_finite_number_whatever_the_order_of_rows(metric: Metric) -> None:
    order = np.random.default_rng(1).permutation(500)
    for z, y in (scores(ties=True), (scores(ties=False)[0] * 1e4, scores(ties=False)[1])):
        value = metric.of(ScoredRows(z, y))
        assert type(value) is (int if metric.is_count else float)
        assert np.isfinite(value)
        assert metric.of(ScoredRows(z[order], y[order])) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("name", RANKING_METRICS)
def test_predicting_right_is_better_than_predicting_wrong(name: str) -> None:
    y = scores(ties=False)[1]
    noise = np.linspace(0, 1, 500)
    right, wrong = measure(10 * (2 * y - 1), y)[name], measure(noise - noise[::-1], y)[name]
    assert (right > wrong) is METRICS[name].greater_is_better


def test_one_list_names_all() -> None:
    assert all(name == metric.name for name, metric in METRICS.items())
    assert OBJECTIVE in set(SUMMARY_METRICS) < set(RANKING_METRICS) < set(COMPARED_METRICS) < set(METRICS)
    assert len(COMPARED_METRICS) == 16


def test_a_model_that_predicts_only_one_class() -> None:
    values = measure(np.array([-1.0, -2.0, -3.0]), np.array([0.0, 1.0, 0.0]))
    assert values["precision"] == values["recall"] == values["f1"] == values["mcc"] == 0


def test_a_model_that_predicts_one_probability() -> None:
    y = np.array([1.0, 0.0, 0.0, 0.0])
    values = measure(np.full(4, np.log(1 / 4)), y)  # p = 0.2
    assert {name: values[name] for name in ("roc_auc", "gini", "ks", "average_precision", "lift")} == {
        **{"roc_auc": 0.5, "gini": 0, "ks": 0},
        **{"average_precision": 0.25, "lift": 1},
    }
    assert np.isnan(values["calibration_slope"])
    assert values["calibration_intercept"] == pytest.approx(np.log(1 / 3) - np.log(1 / 4))
    assert values["calibration_error"] == pytest.approx(0.05)


@pytest.mark.parametrize("z", [[3.0, 2.0, 1.0, 1.0], [0.0, 0.0, 2.0, 3.0]])
def test_where_a_threshold_separates_the_classes_there_is_no_slope(z: list[float]) -> None:
    assert np.isnan(measure(np.array(z), np.array([1.0, 1.0, 0.0, 0.0]))["calibration_slope"])


@pytest.mark.parametrize(
    ("y", "weight", "counted", "got"),
    [
        ([1, 1, 1], None, "rows", "3 of 3"),
        ([0, 1, 1], [1, 0, 0], "rows with a weight above 0", "0 of 1"),
        ([0, 1, 1], [0, 0, 0], "rows with a weight above 0", "0 of 0"),
    ],
)
def test_what_cannot_be_measured(y: list[int], weight: list[int] | None, counted: str, got: str) -> None:
    weights = None if weight is None else np.array(weight, np.float64)
    sentence = f"^the {counted} to measure a model by must be of both classes; {got} are positive$"
    with pytest.raises(PipelineError, match=sentence):
        measure(np.zeros(3), np.array(y, np.float64), weights)
