"""Recalibration in many resamples at once, against the equations that it solves."""

import numpy as np
import pytest

from pipeline.evaluation.recalibration import line, shift
from pipeline.model.predictor import probability


@pytest.mark.parametrize("scale", [1e-3, 1, 1e4])
def test_both_solve_their_equations_in_every_resample(scale: float) -> None:
    rng = np.random.default_rng(0)
    signal = rng.standard_t(2, 300)  # with outliers
    y, z = (rng.random(300) < probability(signal)).astype(float), scale * signal
    counts = rng.poisson(1, (50, 300)).astype(float)
    a, b = line(z, y, counts).T
    residuals = counts * (probability(a[:, None] + b[:, None] * z) - y)
    np.testing.assert_allclose(residuals.sum(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(residuals @ signal, 0, atol=1e-6)
    shifted = probability(shift(z, y, counts)[:, None] + z)
    np.testing.assert_allclose((counts * (shifted - y)).sum(axis=1), 0, atol=1e-4)


def test_a_resample_that_a_threshold_separates_alone_has_no_line() -> None:
    z, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 1.0, 0.0, 1.0])
    found = line(z, y, np.array([[1.0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1]]), np.zeros(2))
    assert np.isfinite(found[:, 1]).tolist() == [True, False, False]


def test_a_resample_of_one_class_has_no_shift() -> None:
    found = shift(np.array([1.0, 2.0]), np.array([0.0, 1.0]), np.array([[1.0, 1], [1, 0], [0, 1]]))
    assert np.isfinite(found).tolist() == [True, False, False]
