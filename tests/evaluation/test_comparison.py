"""Several models on one test table."""

import numpy as np
import pytest

from pipeline.errors import ArtifactError, DataError
from pipeline.evaluation.comparison import Predictions, differences
from pipeline.evaluation.intervals import paired_bootstrap
from tests.evaluation.context import scores


def test_a_row_costs_what_it_costs_however_sure_the_model_was() -> None:
    """A probability that is rounded to 1 does not say how sure."""
    classes, columns = ["no", "yes"], {"actual": np.array(["no", "yes", "no", "yes"])}
    a, b = (Predictions.of({**columns, "log_odds": np.array([z, 1, -1, 1.0])}, classes, 0.0) for z in (40.0, 300.0))
    (difference,) = differences([a, b], resamples=50)
    assert difference["log_loss"].value == pytest.approx((300 - 40) / 4)
    with pytest.raises(ArtifactError, match="must have the column log_odds"):
        Predictions.of({**columns, "probability": np.ones(4)}, classes, 0.0)


def test_many_models_are_compared_as_two_are_by_wider_intervals() -> None:
    z, y = scores(ties=False)
    models = [Predictions(z, y), Predictions(-z, y, 0.3), Predictions(z / 2, y)]
    found = differences(models, resamples=50)
    for model, difference in zip(models[1:], found, strict=True):
        for name, pair in paired_bootstrap(z, model.z, y, 50, cuts=(0.0, model.cut)).items():
            both = difference[name]
            assert both.value == pair.value
            assert both.low <= pair.low <= pair.high <= both.high


def test_the_best_of_equal_models_is_not_surely_better() -> None:
    """Of eight models alike, that with the least loss: a 95 % interval of a pair would claim so in half of the tables."""
    rng, claimed = np.random.default_rng(0), 0
    for _ in range(20):
        true = 1.5 * rng.standard_normal(300)
        y = (rng.random(300) < 1 / (1 + np.exp(-true))).astype(np.float64)
        models = [Predictions(true + 0.5 * rng.standard_normal(300), y) for _ in range(8)]
        models.sort(key=lambda model: float(np.mean(np.logaddexp(0, model.z) - y * model.z)))
        claimed += any(found["log_loss"].sign for found in differences(models, resamples=100))
    assert claimed <= 4


def test_models_of_other_rows_are_not_compared() -> None:
    z, y = scores(ties=False)
    with pytest.raises(DataError, match="models must have predicted the same rows to be compared; these have not"):
        differences([Predictions(z, y), Predictions(z, 1 - y)])
