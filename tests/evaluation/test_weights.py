"""Weighted metrics, curves and intervals: with whole numbers as weights, those of rows repeated so often."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from pipeline.arrays import Array
from pipeline.evaluation.curves import BAND, CURVES, Curve
from pipeline.evaluation.intervals import paired_bootstrap
from pipeline.evaluation.metrics import COMPARED_METRICS, measure
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


def repeated(weight: Array, z: Array, y: Array) -> tuple[Array, Array]:
    return np.repeat(z, weight.astype(int)), np.repeat(y, weight.astype(int))


@settings(max_examples=40, deadline=None)
@given(tables())
def test_every_metric_is_that_of_repeated_rows(table: tuple[Array, Array, Array]) -> None:
    z, y, weight = table
    found, expected = measure(z, y, weight), measure(*repeated(weight, z, y))
    intercepts = [of.pop("calibration_intercept") for of in (found, expected)]
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-10, nan_ok=True)
    for intercept in intercepts:  # where each p is near 0 or 1, a wide range of them solves the equation
        assert weight @ expit(z + intercept) == pytest.approx(weight @ y, rel=1e-9)


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
@settings(max_examples=60, deadline=None)
@given(tables())
def test_every_curve_is_that_of_repeated_rows(curve: Curve, table: tuple[Array, Array, Array]) -> None:
    z, y, weight = table
    found, expected = curve.of(z, y, weight), curve.of(*repeated(weight, z, y))
    for name, values in expected.items():
        if name not in BAND:  # a row is one observation, whatever it weighs
            np.testing.assert_allclose(found[name], values, atol=1e-10)


@settings(max_examples=10, deadline=None)
@given(tables())
def test_the_difference_is_that_of_repeated_rows(table: tuple[Array, Array, Array]) -> None:
    z_a, y, weight = table
    z_b = z_a + np.random.default_rng(0).standard_normal(len(y))
    found = paired_bootstrap(z_a, z_b, y, resamples=2, weight=weight)
    (more_a, labels), (more_b, _) = repeated(weight, z_a, y), repeated(weight, z_b, y)
    expected = paired_bootstrap(more_a, more_b, labels, resamples=2)
    for name in COMPARED_METRICS:
        assert found[name].value == pytest.approx(expected[name].value, rel=1e-6, abs=1e-10, nan_ok=True)


def test_equal_weights_change_no_interval() -> None:
    z, y = scores(ties=True)
    found = paired_bootstrap(z, -z, y, resamples=200, weight=np.full(500, 3.0))
    for name, difference in paired_bootstrap(z, -z, y, resamples=200).items():
        assert (found[name].low, found[name].high) == pytest.approx((difference.low, difference.high), abs=1e-12)
