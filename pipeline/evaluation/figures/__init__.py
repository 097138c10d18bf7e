"""FIGURES: the one list of what is drawn of evaluated models, as matplotlib figures without global state.

`panel` has their look, `context` what they are drawn from. matplotlib is imported when the first one is drawn: the report needs
the list alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.evaluation.figures.boundary import MAX_POINTS, data, decision_boundary
from pipeline.evaluation.figures.context import (
    MAX_BANDS,
    MAX_COEFFICIENTS,
    REACH,
    Coefficient,
    FigureContext,
    largest_coefficients,
)
from pipeline.evaluation.figures.curves import MAX_EPOCHS, calibration, gain_lift, loss, precision_recall, roc, threshold
from pipeline.evaluation.figures.models import coefficients, confusion, scores
from pipeline.evaluation.figures.panel import DASHES, MAX_CANDIDATES, PALETTE, stable_rendering

if TYPE_CHECKING:
    from matplotlib import figure as mpl

__all__ = [
    "DASHES",
    "FIGURES",
    "MAX_BANDS",
    "MAX_CANDIDATES",
    "MAX_COEFFICIENTS",
    "MAX_EPOCHS",
    "MAX_POINTS",
    "PALETTE",
    "REACH",
    "Coefficient",
    "Figure",
    "FigureContext",
    "largest_coefficients",
    "stable_rendering",
]


@dataclass(frozen=True)
class Figure:
    """figures/NAME.png and .svg, drawn where it applies."""

    name: str
    title: str  # in the report
    draw: Callable[..., "mpl.Figure"]  # from a FigureContext or, if it compares, from up to MAX_CANDIDATES of them
    applies: Callable[[FigureContext], bool] = lambda context: True
    compares: bool = False  # candidates that were measured on one test table


def _has_points(context: FigureContext) -> bool:
    return context.points is not None


FIGURES = {
    figure.name: figure
    for figure in (
        Figure("loss", "Training loss", loss, compares=True),
        Figure("decision_boundary", "Decision boundary", decision_boundary, _has_points),
        Figure("data", "Training data", data, _has_points),
        Figure("roc", "ROC", roc, compares=True),
        Figure("precision_recall", "Precision and recall", precision_recall, compares=True),
        Figure("calibration", "Calibration", calibration, compares=True),
        Figure("gain_lift", "Gain and lift", gain_lift, compares=True),
        Figure("scores", "Scores by class", scores),
        Figure("confusion", "Confusion matrix", confusion),
        Figure("threshold", "Thresholds", threshold, compares=True),
        Figure("coefficients", "Coefficients", coefficients, lambda context: bool(context.coefficients)),
    )
}
