"""The document's two figures, for any model of two features: its training data, and its decision boundary."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.arrays import Array
from pipeline.evaluation.figures.context import FigureContext
from pipeline.evaluation.figures.panel import class_names, fitted

if TYPE_CHECKING:
    from matplotlib import figure as mpl
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

MAX_NAME = 3.0  # inches, so that they fit beside the axes
MAX_POINTS = 5000  # of a scatter: more hide each other
GRID = 200  # points along each axis, of a boundary that is no line


def data(context: FigureContext) -> "mpl.Figure":
    """Two features as a scatter, coloured by class."""
    figure, axes = _axes("Training data", context)
    axes.legend(_scatter(axes, context), class_names(context))
    return figure


def decision_boundary(context: FigureContext) -> "mpl.Figure":
    """The data with the line on which p is the threshold: of a linear model x2 = -(w1 x1 + b) / w2."""
    figure, axes = _axes("Decision boundary", context)
    handles = _scatter(axes, context)
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    if not context.decision.is_constant:
        handles += _boundary(axes, context, context.decision.log_odds)
    axes.legend(handles, [*class_names(context), f"p = {context.decision.threshold:.3g}"][: len(handles)])
    return figure


def _axes(title: str, context: FigureContext) -> "tuple[mpl.Figure, Axes]":
    from matplotlib.figure import Figure

    x, y = (fitted(name, MAX_NAME) for name in context.card.features)
    figure = Figure((6.4, 4.8), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    return figure, axes


def _scatter(axes: "Axes", context: FigureContext) -> "list[Artist]":
    """Draw the points; returns a legend handle for each class."""
    assert context.points
    X, y = context.points
    points = axes.scatter(X[:, 0], X[:, 1], c=y, cmap="bwr", edgecolors="k", linewidths=0.5, s=22)
    return list(points.legend_elements()[0])


def _boundary(axes: "Axes", context: FigureContext, cut: float) -> "Sequence[Artist]":
    """Draw where z is the cut."""
    if context.raw_weights:
        w, b = context.raw_weights
        return _line(axes, w, b - cut)
    log_odds = context.log_odds
    assert log_odds
    return _contour(axes, lambda X: log_odds(X) - cut)


def _line(axes: "Axes", w: Array, b: float) -> "Sequence[Artist]":
    if w[1] != 0:
        x1 = np.array(axes.get_xlim())
        return axes.plot(x1, -(w[0] * x1 + b) / w[1], "k--")
    return [axes.axvline(-b / w[0], color="k", linestyle="--")] if w[0] != 0 else []


def _contour(axes: "Axes", log_odds: Callable[[Array], Array]) -> "Sequence[Artist]":
    """Where z = 0 on a grid over the axes, if anywhere."""
    x1, x2 = np.meshgrid(np.linspace(*axes.get_xlim(), GRID), np.linspace(*axes.get_ylim(), GRID))
    z = log_odds(np.column_stack([x1.ravel(), x2.ravel()])).reshape(x1.shape)
    if not z.min() < 0 < z.max():
        return []
    axes.contour(x1, x2, z, levels=[0], colors="k", linestyles="--")
    return axes.plot([], [], "k--")  # a contour has no legend handle of its own
