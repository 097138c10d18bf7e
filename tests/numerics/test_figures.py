"""Figures of a table whose names are long."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline.evaluation import figures
from pipeline.learning.fit import LogisticModel

LONG = ["How content are you with " + "very " * 60 + end for end in ("the food?", "the staff?")]
X, Y = np.random.default_rng(0).standard_normal((20, 2)), np.arange(20) % 2.0
MODEL = LogisticModel(np.zeros(2), np.ones(2), np.array([1.0, -2.0]), 0.0)
VALUES = dict.fromkeys(("true_positives", "false_positives", "false_negatives", "true_negatives"), 1.0)


@pytest.mark.parametrize(
    ("figure", "bars"),
    [
        (figures.weights_figure(MODEL.w, LONG, True), 2),
        (figures.data_figure(X, Y, LONG, LONG), 0),
        (figures.boundary_figure(X, Y, LONG, LONG, MODEL), 0),
        (figures.confusion_figure(VALUES, LONG), 0),
    ],
    ids=["weights", "data", "boundary", "confusion"],
)
@pytest.mark.filterwarnings("error")
def test_long_names_leave_room_for_the_axes(figure: Figure, bars: int) -> None:
    figure.draw_without_rendering()
    assert len(figure.axes[0].containers[0] if bars else []) == bars  # though both begin alike
