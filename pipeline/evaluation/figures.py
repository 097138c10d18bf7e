"""The figures of one model, as matplotlib Figures without global state."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.arrays import Array
from pipeline.evaluation.metrics import Curve
from pipeline.learning.fit import LogisticModel

BLUE, RED, GREY = "#1f5fa8", "#c23b3b", "#8a8a8a"
LONGEST_NAME = 40  # letters


def _axes(title: str, x: str, y: str, size: tuple[float, float] = (6.4, 4.8)) -> tuple[Figure, Axes]:
    figure = Figure(size, layout="constrained")
    axes = figure.add_subplot(title=title, xlabel=_short(x), ylabel=_short(y))
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    return figure, axes


def _short(name: str) -> str:
    """A name as a figure has room for it beside its axes."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."


def loss_figure(epochs: Array, losses: Array) -> Figure:
    """The loss before each recorded epoch's update."""
    figure, axes = _axes("Training loss", "Epoch", "Mean log loss")
    axes.plot(epochs, losses, color=BLUE, marker="o", markersize=3)
    axes.set_ylim(bottom=0)
    return figure


def data_figure(X: Array, y: Array, features: Sequence[str], names: Sequence[str]) -> Figure:
    """Two features as a scatter, coloured by class. `names` labels y = 0 and y = 1."""
    figure, axes = _axes("Training data", features[0], features[1])
    axes.legend(_scatter(axes, X, y), list(map(_short, names)))
    return figure


def boundary_figure(X: Array, y: Array, features: Sequence[str], names: Sequence[str], model: LogisticModel) -> Figure:
    """The data with the line p = 0.5: x2 = -(w1 x1 + b) / w2."""
    figure, axes = _axes("Decision boundary", features[0], features[1])
    handles = _scatter(axes, X, y)
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    w, b = model.raw_weights()
    if w[1] != 0:
        x1 = np.array(axes.get_xlim())
        handles += axes.plot(x1, -(w[0] * x1 + b) / w[1], "k--")
    elif w[0] != 0:
        handles.append(axes.axvline(-b / w[0], color="k", linestyle="--"))
    axes.legend(handles, [*map(_short, names), "p = 0.5"])
    return figure


def _scatter(axes: Axes, X: Array, y: Array) -> list[Artist]:
    """Draw the points; returns a legend handle for each class."""
    points = axes.scatter(X[:, 0], X[:, 1], c=y, cmap="bwr", edgecolors="k", linewidths=0.5, s=22)
    return list(points.legend_elements()[0])


def roc_figure(curve: Curve, auc: float) -> Figure:
    """True against false positive rate."""
    figure, axes = _axes(f"ROC (area {auc:.4f})", "False positive rate", "True positive rate", (4.8, 4.8))
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="Chance")
    axes.step(curve["false_positive_rate"], curve["true_positive_rate"], where="post", color=BLUE, label="Model")
    axes.legend(loc="lower right")
    return figure


def precision_recall_figure(curve: Curve, average: float, base_rate: float) -> Figure:
    """Precision against recall, beside the share of positives that guessing reaches."""
    figure, axes = _axes(f"Precision-recall (average {average:.4f})", "Recall", "Precision", (4.8, 4.8))
    axes.axhline(base_rate, color=GREY, linestyle=":", label="Share of positives")
    axes.step(curve["recall"], curve["precision"], where="pre", color=BLUE, label="Model")
    axes.set_ylim(0, 1.05)
    axes.legend(loc="lower left")
    return figure


def calibration_figure(curve: Curve, error: float) -> Figure:
    """Observed share of positives against mean prediction; a dot's area grows with its rows."""
    figure, axes = _axes(f"Calibration (error {error:.4f}; area: rows)", "Mean prediction", "Share of positives", (4.8, 4.8))
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="Perfect")
    axes.plot(curve["predicted"], curve["observed"], color=BLUE, label="Model")
    axes.scatter(curve["predicted"], curve["observed"], 20 + 300 * curve["rows"] / curve["rows"].sum(), color=BLUE)
    axes.legend(loc="upper left")
    return figure


def confusion_figure(values: Mapping[str, float], classes: Sequence[str]) -> Figure:
    """Rows of each actual class (down) said to be each class (across), from the four counts among the metrics."""
    negatives, positives = ("true_negatives", "false_positives"), ("false_negatives", "true_positives")
    counts = np.array([[values[name] for name in row] for row in (negatives, positives)], float)
    figure, axes = _axes("Confusion matrix (% of row)", "Predicted", "Actual", (4.8, 4.8))
    axes.grid(False)
    axes.imshow(counts / counts.sum(axis=1, keepdims=True), cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts):
        share = count / counts[i].sum()
        text = f"{int(count)}\n{share:.1%}"
        axes.text(j, i, text, ha="center", va="center", color="white" if share > 0.5 else "black", fontsize=13)
    shown = list(map(_short, classes))
    axes.set_xticks([0, 1], shown)
    axes.set_yticks([0, 1], shown, rotation=90, va="center")
    return figure


def weights_figure(w: Array, features: Sequence[str], standardized: bool, most: int = 25) -> Figure:
    """The largest weights, on the scale that the model was trained on, in the colour of the class that they speak for."""
    top = np.argsort(-np.abs(w), kind="stable")[:most][::-1]
    title = "Weights" if len(w) <= most else f"The {most} largest of {len(w)} weights"
    unit = "standard deviation" if standardized else "unit"
    figure, axes = _axes(title, f"Weight: log-odds per {unit}", "", (6.4, 1.2 + 0.28 * len(top)))
    axes.barh(
        range(len(top)), w[top], tick_label=[_short(features[i]) for i in top], color=[BLUE if w[i] < 0 else RED for i in top]
    )
    axes.margins(y=0.02)
    axes.axvline(0, color="k", linewidth=0.8)
    return figure
