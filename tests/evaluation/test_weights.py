"""Weighted metrics, curves and intervals: with whole numbers as weights, those of rows repeated so often."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer

from pipeline.arrays import Array
from pipeline.errors import PipelineError
from pipeline.evaluation.curves import CURVES, Curve
from pipeline.evaluation.intervals import paired_bootstrap
from pipeline.evaluation.metrics import COMPARED_METRICS, METRICS, Metric, measure
from pipeline.model.predictor import probability
from tests.evaluation.context import scores


@st.composite
def tables(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    """z with ties, y of both classes, and whole numbers >= 0 as weights (n,), each class with one above 0."""
    n = draw(st.integers(4, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    z = np.round(rng.standard_normal(n) * draw(st.sampled_from([1, 3, 100])), draw(st.sampled_from([0, 1, 9])))
    y, weight = (rng.random(n) < 0.4).astype(float), rng.integers(0, 4, n).astype(float)
    y[:2], weight[:2] = (0, 1), 1
    return z, y, weight


def repeated(weight: Array, *parts: Array) -> list[Array]:
    return [np.repeat(part, weight.astype(int)) for part in parts]


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@settings(max_examples=60, deadline=None)
@given(tables())
def test_every_metric_is_that_of_repeated_rows(metric: Metric, table: tuple[Array, Array, Array]) -> None:
    z, y, weight = table
    assert metric.function(z, y, weight) == pytest.approx(metric.function(*repeated(weight, z, y)), abs=1e-10)
    assert metric.function(z, y, None) == metric.function(z, y)


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
@settings(max_examples=60, deadline=None)
@given(tables())
def test_every_curve_is_that_of_repeated_rows(curve: Curve, table: tuple[Array, Array, Array]) -> None:
    z, y, weight = table
    found, expected = curve.of(z, y, weight), curve.of(*repeated(weight, z, y))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-10)


def test_weights_that_are_no_whole_numbers_are_scikit_learn_s() -> None:
    z, y = scores(ties=True)
    weight = np.random.default_rng(1).random(500)
    p, found = probability(z), measure(z, y, weight)
    expected = {
        "rows": weight.sum(),
        "accuracy": peer.accuracy_score(y, z > 0, sample_weight=weight),
        "balanced_accuracy": peer.balanced_accuracy_score(y, z > 0, sample_weight=weight),
        "f1": peer.f1_score(y, z > 0, sample_weight=weight),
        "mcc": peer.matthews_corrcoef(y, z > 0, sample_weight=weight),
        "roc_auc": peer.roc_auc_score(y, z, sample_weight=weight),
        "average_precision": peer.average_precision_score(y, z, sample_weight=weight),
        "log_loss": peer.log_loss(y, p, sample_weight=weight),
        "brier": peer.brier_score_loss(y, p, sample_weight=weight),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(tables())
def test_the_difference_is_that_of_repeated_rows_and_each_resample_that_of_its_rows(table: tuple[Array, Array, Array]) -> None:
    z_a, y, weight = table
    z_b = z_a + np.random.default_rng(0).standard_normal(len(y))
    found = paired_bootstrap(z_a, z_b, y, resamples=40, seed=3, weight=weight)
    more_a, more_b, labels = repeated(weight, z_a, z_b, y)
    expected = paired_bootstrap(more_a, more_b, labels, resamples=2)
    weighted = [part[weight > 0] for part in (z_a, z_b, y, weight)]
    n = len(weighted[0])
    draws = [[part[rows] for part in weighted] for rows in np.random.default_rng(3).integers(n, size=(40, n))]
    for name in COMPARED_METRICS:
        assert found[name].value == pytest.approx(expected[name].value, abs=1e-10)
        function = METRICS[name].function
        both = [draw for draw in draws if 0 < draw[2].sum() < n or name != "roc_auc"]
        slow = [function(b, labels, of) - function(a, labels, of) for a, b, labels, of in both]
        low, high = np.quantile(slow, [0.025, 0.975])
        assert (found[name].low, found[name].high) == pytest.approx((low, high), abs=1e-10)


def test_equal_weights_change_no_interval() -> None:
    z, y = scores(ties=True)
    found = paired_bootstrap(z, -z, y, resamples=200, weight=np.full(500, 3.0))
    for name, difference in paired_bootstrap(z, -z, y, resamples=200).items():
        assert (found[name].low, found[name].high) == pytest.approx((difference.low, difference.high), abs=1e-12)


def test_rows_with_a_weight_must_be_of_both_classes() -> None:
    z, y = scores(ties=False)
    with pytest.raises(
        PipelineError, match="^test rows of both classes must have a weight above 0; those of one class have none$"
    ):
        measure(z, y, y)
    with pytest.raises(PipelineError, match="y must have rows of both classes"):
        paired_bootstrap(z, z, y, weight=1 - y)
