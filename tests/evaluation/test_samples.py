"""Resamples: each metric of one is the metric of its rows, as often as they were drawn, with the classes' shares as weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.evaluation import samples
from pipeline.evaluation.intervals import bootstrap
from pipeline.evaluation.metrics import METRICS, measure
from pipeline.evaluation.samples import Sample, ScoredRows, require_measurable
from tests.evaluation.context import scores


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_every_metric_of_a_resample_is_that_of_its_rows(seed: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 60))
    z, y = np.round(rng.standard_normal(n), 1), (rng.random(n) < 0.4).astype(float)
    y[:4] = 0, 0, 1, 1
    weight = rng.uniform(0.5, 2, n) if weighted else None
    drawn, shares = rng.poisson(1, (3, n)), rng.uniform(0.5, 2, (2, 3))
    drawn[:, [0, 2]] += 1
    sample = Sample(ScoredRows(z, y, weight), (drawn[:, y == 1], drawn[:, y == 0]), shares)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {name: metric.function(sample) for name, metric in METRICS.items()}
    for i, counts in enumerate(drawn):
        counted = counts * np.where(y == 1, *shares[:, i]) * (1 if weight is None else weight)
        expected = measure(z, y, counted)
        assert {name: values[i] for name, values in found.items()} == pytest.approx(expected, abs=1e-8, nan_ok=True)


def test_rows_of_like_log_odds_recalibrate_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thousandth of the interval's width."""
    rng = np.random.default_rng(0)
    z = rng.standard_t(4, 5000)
    y = (rng.random(5000) < 1 / (1 + np.exp(-z))).astype(float)
    found = bootstrap(z, y, resamples=100)
    monkeypatch.setattr(samples, "CELLS", 5000)
    exact = bootstrap(z, y, resamples=100)
    for name in ("calibration_slope", "calibration_intercept"):
        width = exact[name].high - exact[name].low
        assert found[name].value == exact[name].value
        assert (found[name].low, found[name].high) == pytest.approx((exact[name].low, exact[name].high), abs=3e-3 * width)


def test_the_table_is_the_resample_in_which_each_row_counts_once() -> None:
    z, y = scores(ties=True)
    rows = ScoredRows(z, y)
    drawn = (np.ones((1, int(y.sum())), int), np.ones((1, int((1 - y).sum())), int))
    for metric in METRICS.values():
        assert metric.function(Sample(rows, drawn, np.ones((2, 1))))[0] == metric.of(rows)


def test_a_resample_without_positives_has_no_precision() -> None:
    rows = ScoredRows(np.array([2.0, 1.0]), np.array([1.0, 0.0]))
    sample = Sample(rows, (np.full((1, 1), 9), np.zeros((1, 1), int)), np.array([[0.0], [1.0]]))
    assert METRICS["average_precision"].function(sample) == 0


@pytest.mark.parametrize(("value", "said"), [(-2e198, "-2e\\+198"), (np.inf, "inf"), (np.nan, "nan")])
def test_log_odds_without_bounds_are_refused(value: float, said: str) -> None:
    z = np.array([1e60, -1e60, 3.0])
    require_measurable(z)
    with pytest.raises(DataError, match=f"^log-odds must lie within 1e\\+60 of 0 to be measured; one is {said}: its row"):
        require_measurable(np.append(z, value))
