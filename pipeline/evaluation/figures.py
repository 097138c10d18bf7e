"""The figures of one model, as matplotlib figures without global state. FIGURES is the one list for plot and the report.

matplotlib is imported when the first one is drawn: the report needs the list alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.arrays import Array
from pipeline.files import Table
from pipeline.model.card import ModelCard
from pipeline.model.decision import Decision
from pipeline.text import shorten

if TYPE_CHECKING:
    from matplotlib import figure as mpl
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

BLUE, RED, GREY = "#1f5fa8", "#c23b3b", "#8a8a8a"
PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)  # of candidates (Okabe and Ito 2008)
WIDE, SQUARE = (6.4, 4.8), (4.8, 4.8)  # inches
MAX_NAME = 40  # letters of a name, which leave room for the axes
MAX_POINTS = 5000  # of a scatter: more hide each other
MAX_WEIGHTS = 25
GRID = 200  # points along each axis, of a boundary that is no line


@dataclass(frozen=True)
class FigureContext:
    """What is known of an evaluated model."""

    card: ModelCard
    decision: Decision
    history: Table
    curves: Mapping[str, Table]
    metrics: Mapping[str, float]
    log_odds: Callable[[Array], Array]  # from raw features (n, d) to z (n,)
    weights: Array | None  # (d,) on the scale that the model was trained on; None: it is not linear
    raw_weights: tuple[Array, float] | None  # w (d,) and b on raw features, likewise
    points: tuple[Array, Array] | None  # X (n, 2) and y (n,) of training rows; None: the features are not two, or sparse

    @property
    def classes(self) -> list[str]:
        """A legend's names of y = 0 and y = 1."""
        return [shorten(f"{self.card.target} = {value}", MAX_NAME) for value in self.card.classes]


@dataclass(frozen=True)
class Figure:
    """figures/NAME.png, drawn where it applies."""

    name: str
    title: str  # in the report
    draw: Callable[[FigureContext], "mpl.Figure"]
    applies: Callable[[FigureContext], bool] = lambda context: True


@contextmanager
def stable_rendering() -> Iterator[None]:
    """No matplotlibrc of the user's changes the bytes of what is drawn and saved inside the block."""
    from matplotlib import rc_context, rcdefaults, rcParams

    with rc_context():
        rcdefaults()
        rcParams["text.parse_math"] = False  # a $ in a column's name starts no formula
        yield


def _axes(title: str, x: str, y: str, size: tuple[float, float] = WIDE) -> "tuple[mpl.Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(size, layout="constrained")
    axes = figure.add_subplot(title=title, xlabel=shorten(x, MAX_NAME), ylabel=shorten(y, MAX_NAME))
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    return figure, axes


def loss(context: FigureContext) -> "mpl.Figure":
    """The loss before each recorded epoch's update."""
    figure, axes = _axes("Training loss", "Epoch", "Mean log loss")
    axes.plot(context.history["epoch"], context.history["loss"], color=BLUE, marker="o", markersize=3)
    axes.set_ylim(bottom=0)
    return figure


def data(context: FigureContext) -> "mpl.Figure":
    """Two features as a scatter, coloured by class."""
    figure, axes = _axes("Training data", context.card.features[0], context.card.features[1])
    axes.legend(_scatter(axes, context), context.classes)
    return figure


def decision_boundary(context: FigureContext) -> "mpl.Figure":
    """The data with the line on which p is the threshold: of a linear model x2 = -(w1 x1 + b) / w2."""
    figure, axes = _axes("Decision boundary", context.card.features[0], context.card.features[1])
    handles = _scatter(axes, context)
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    if not context.decision.is_constant:
        handles += _boundary(axes, context, context.decision.log_odds)
    axes.legend(handles, [*context.classes, f"p = {context.decision.threshold:.3g}"][: len(handles)])
    return figure


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
    return _contour(axes, lambda X: context.log_odds(X) - cut)


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


def roc(context: FigureContext) -> "mpl.Figure":
    """True against false positive rate."""
    curve = context.curves["roc"]
    title = f"ROC (area {context.metrics['roc_auc']:.4f})"
    figure, axes = _axes(title, "False positive rate", "True positive rate", SQUARE)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="Chance")
    axes.step(curve["false_positive_rate"], curve["true_positive_rate"], where="post", color=BLUE, label="Model")
    axes.legend(loc="lower right")
    return figure


def precision_recall(context: FigureContext) -> "mpl.Figure":
    """Precision against recall, beside the share of positives, which a guess reaches."""
    curve, values = context.curves["precision_recall"], context.metrics
    figure, axes = _axes(f"Precision-recall (average {values['average_precision']:.4f})", "Recall", "Precision", SQUARE)
    share = (values["true_positives"] + values["false_negatives"]) / values["rows"]
    axes.axhline(share, color=GREY, linestyle=":", label="Share of positives")
    axes.step(curve["recall"], curve["precision"], where="pre", color=BLUE, label="Model")
    axes.set_ylim(0, 1.05)
    axes.legend(loc="lower left")
    return figure


def calibration(context: FigureContext) -> "mpl.Figure":
    """Observed share of positives against mean prediction; a dot's area grows with its rows."""
    curve, error = context.curves["calibration"], context.metrics["calibration_error"]
    figure, axes = _axes(f"Calibration (error {error:.4f}; area: rows)", "Mean prediction", "Share of positives", SQUARE)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="Perfect")
    axes.plot(curve["predicted"], curve["observed"], color=BLUE, label="Model")
    axes.scatter(curve["predicted"], curve["observed"], 20 + 300 * curve["rows"] / curve["rows"].sum(), color=BLUE)
    axes.legend(loc="upper left")
    return figure


def confusion(context: FigureContext) -> "mpl.Figure":
    """How many rows of each actual class (down) were predicted as each class (across)."""
    names = (("true_negatives", "false_positives"), ("false_negatives", "true_positives"))
    counts = np.array([[context.metrics[name] for name in row] for row in names], float)
    shares = counts / counts.sum(axis=1, keepdims=True)
    figure, axes = _axes("Confusion matrix (% of row)", "Predicted", "Actual", SQUARE)
    axes.grid(False)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), share in np.ndenumerate(shares):
        text = f"{np.round(counts[i, j], 2):.10g}\n{share:.1%}"  # counts of weighted rows are no whole numbers
        axes.text(j, i, text, ha="center", va="center", color="white" if share > 0.5 else "black", fontsize=13)
    ticks = [shorten(str(value), MAX_NAME) for value in context.card.classes]
    axes.set_xticks([0, 1], ticks)
    axes.set_yticks([0, 1], ticks, rotation=90, va="center")
    return figure


def weights(context: FigureContext) -> "mpl.Figure":
    """The largest weights, on the scale that the model was trained on, in the colour of the class that they favour."""
    w, features = context.weights, context.card.features
    assert w is not None
    top = np.argsort(-np.abs(w), kind="stable")[:MAX_WEIGHTS][::-1]
    title = "Weights" if len(w) <= MAX_WEIGHTS else f"The {MAX_WEIGHTS} largest of {len(w)} weights"
    unit = "standard deviation" if context.card.config["model"].get("standardize") else "unit"
    figure, axes = _axes(title, f"Weight: log-odds per {unit}", "", (6.4, 1.2 + 0.28 * len(top)))
    labels, colours = [shorten(features[i], MAX_NAME) for i in top], [BLUE if w[i] < 0 else RED for i in top]
    axes.barh(range(len(top)), w[top], tick_label=labels, color=colours)
    axes.margins(y=0.02)
    axes.axvline(0, color="k", linewidth=0.8)
    return figure


FIGURES = {
    figure.name: figure
    for figure in (
        Figure("loss", "Training loss", loss),
        Figure("decision_boundary", "Decision boundary", decision_boundary, lambda context: context.points is not None),
        Figure("data", "Training data", data, lambda context: context.points is not None),
        Figure("roc", "ROC", roc),
        Figure("precision_recall", "Precision-recall", precision_recall),
        Figure("calibration", "Calibration", calibration),
        Figure("confusion", "Confusion matrix", confusion),
        Figure("weights", "Weights", weights, lambda context: context.weights is not None),
    )
}
