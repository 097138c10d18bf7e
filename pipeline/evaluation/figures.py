"""FIGURES: the one list of what is drawn of evaluated models, as matplotlib figures without global state.

matplotlib is imported when the first one is drawn: the report needs the list alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.evaluation.boundary import data, decision_boundary
from pipeline.evaluation.curve_figures import calibration, gain_lift, loss, precision_recall, roc, threshold
from pipeline.evaluation.figure_context import FigureContext
from pipeline.evaluation.model_figures import coefficients, confusion, scores
from pipeline.evaluation.panel import MAX_CANDIDATES, PALETTE

if TYPE_CHECKING:
    from matplotlib import figure as mpl

__all__ = ["FIGURES", "MAX_CANDIDATES", "PALETTE", "Figure"]


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
