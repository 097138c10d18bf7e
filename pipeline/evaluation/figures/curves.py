"""Figures of one candidate or of several over each other: how they were fitted, and their curves on one test table."""

from collections.abc import Callable, Sequence
from functools import partial
from math import isnan
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.arrays import Array
from pipeline.evaluation.curves import RATES
from pipeline.evaluation.figures.context import MAX_BANDS, FigureContext
from pipeline.evaluation.figures.panel import GREY, NAME, PALETTE, fitted, line_style, panels, text_width, thinned, with_legend
from pipeline.evaluation.metrics import METRICS
from pipeline.files import Table
from pipeline.interval import CONFIDENCE
from pipeline.text import count

if TYPE_CHECKING:
    from matplotlib import figure as mpl
    from matplotlib.axes import Axes

SQUARE = (4.2, 4.2)  # inches
LEAST_DEPTH = 0.01  # of a lift: that of a few rows is mostly chance
EPOCHS: dict[str, Any] = {"markevery": 1, "marker": ".", "markersize": 5}  # a dot each
MAX_EPOCHS = 10  # times those of another candidate, beyond which epochs are drawn by their logarithm


class Line(NamedTuple):
    """What is drawn of a candidate: x (n,), y (n,), the band around y, if it has one, and a number for the legend."""

    x: Array
    y: Array
    band: tuple[Array, Array] | None = None
    value: str = ""


def _lines(axes: "Axes", candidates: Sequence[FigureContext], line: Callable[[FigureContext], Line], **style: Any) -> None:
    """A curve of each candidate."""
    for index, candidate in enumerate(candidates):
        x, y, band, value = line(candidate)
        chosen = thinned(x, y)
        dot = {"marker": "o", "markevery": 1} if len(chosen) == 1 else {}
        look = {**line_style(index), **dot, **style}
        if band and len(candidates) <= MAX_BANDS:
            low, high = (end[chosen] for end in band)
            label = "" if index else f"{CONFIDENCE:.0%} pointwise band"
            axes.fill_between(x[chosen], low, high, color=look["color"], alpha=0.18, linewidth=0, label=label)
        axes.plot(x[chosen], y[chosen], label=_label(candidate, value), **look)


def _label(candidate: FigureContext, value: str) -> str:
    return fitted(candidate.name, NAME - text_width(value)) + value


def _band(curve: Table) -> tuple[Array, Array] | None:
    return (curve["low"], curve["high"]) if "low" in curve and not np.isnan(curve["low"]).all() else None


def _number(label: str, value: float) -> str:
    return f", {label} {'undefined' if isnan(value) else format(value, '.4f')}"


def _unit(*axes: "Axes") -> None:
    """Shares along both axes."""
    for each in axes:
        each.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))


def loss(*candidates: FigureContext) -> "mpl.Figure":
    """The loss, with the penalty, before each recorded epoch's update and at the end; beside it that in folds, if there are."""
    is_validated = any(candidate.course for candidate in candidates)
    labels = [("Epoch", "Mean log loss + penalty"), ("Epoch", "Log loss, held out (faint: fitted rows)")]
    if is_validated:
        figure, panes = panels("Loss in training and validation", labels, (3.4, 3.4))
    else:
        figure, panes = panels("Training loss", labels[:1])
    _lines(panes[0], candidates, _losses, **EPOCHS)
    for index, candidate in enumerate(candidates):
        for name, strength in (("training", 0.35), ("validation", 1.0)) if candidate.course else ():
            panes[1].plot("epoch", name, data=candidate.course, alpha=strength, **{**line_style(index), **EPOCHS})
    epochs = [max(candidate.card.ended.epochs, 1) for candidate in candidates]
    for axes in panes:
        if max(epochs) > MAX_EPOCHS * min(epochs):
            axes.set_xscale("symlog", linthresh=min(epochs))
            axes.xaxis.set_major_formatter("{x:g}")  # as the text of others is shown, not as a formula
        else:
            axes.locator_params("x", integer=True)
    return with_legend(figure)


def _losses(candidate: FigureContext) -> Line:
    epoch, loss = candidate.losses
    return Line(epoch, loss, value=f", {loss[-1]:.4f} after {count(candidate.card.ended.epochs, 'epoch')}")


def roc(*candidates: FigureContext) -> "mpl.Figure":
    """True against false positive rate."""
    figure, (axes,) = panels("ROC", [("False positive rate", "True positive rate")], SQUARE)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="chance, area 0.5")
    _lines(axes, candidates, _roc)
    _unit(axes)
    return with_legend(figure)


def _roc(candidate: FigureContext) -> Line:
    curve = candidate.curves["roc"]
    value = _number("area", candidate.metrics["roc_auc"])
    return Line(curve["false_positive_rate"], curve["true_positive_rate"], _band(curve), value)


def precision_recall(*candidates: FigureContext) -> "mpl.Figure":
    """Precision against recall, beside the share of positives, which a guess reaches."""
    figure, (axes,) = panels("Precision and recall", [("Recall", "Precision")], SQUARE)
    share = candidates[0].positive_share
    axes.axhline(share, color=GREY, linestyle=":", label=f"chance, share of positives {share:.4f}")
    _lines(axes, candidates, _precision_recall, drawstyle="steps-pre")
    _unit(axes)
    return with_legend(figure)


def _precision_recall(candidate: FigureContext) -> Line:
    curve = candidate.curves["precision_recall"]
    value = _number("average", candidate.metrics["average_precision"])
    return Line(curve["recall"], curve["precision"], _band(curve), value)


def calibration(*candidates: FigureContext) -> "mpl.Figure":
    """Observed share of positives against mean prediction in bins; a dot's area grows with its rows."""
    figure, (axes,) = panels("Calibration (area of a dot: its rows)", [("Mean prediction", "Share of positives")], SQUARE)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfect, error 0")
    for index, candidate in enumerate(candidates):
        curve, style = candidate.curves["calibration"], {**line_style(index), "marker": ""}
        x, y, rows = curve["predicted"], curve["observed"], curve["rows"]
        if (band := _band(curve)) and len(candidates) <= MAX_BANDS:
            label = "" if index else f"{CONFIDENCE:.0%} interval"
            axes.vlines(x, *band, color=style["color"], alpha=0.5, linewidth=2, label=label)
        axes.scatter(x, y, 8 + 150 * rows / rows.sum(), color=style["color"])
        error = _number("error", candidate.metrics["calibration_error"])
        axes.plot(x, y, label=_label(candidate, error), **style)
    _unit(axes)
    return with_legend(figure)


def gain_lift(*candidates: FigureContext) -> "mpl.Figure":
    """Which share of the positives is among the rows of the highest scores, and how many times that of as many others."""
    rows = "Share of rows, highest scores first"
    labels = [(rows, "Share of the positives"), (rows, "Positives, as a multiple of chance")]
    figure, (gain, lift) = panels("Gain and lift", labels, (3.4, 3.4))
    gain.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="chance")
    lift.axhline(1, color=GREY, linestyle=":")
    _lines(gain, candidates, _gain)
    _lines(lift, candidates, _lift)
    _unit(gain)
    lift.set(xlim=(-0.01, 1.01), ylim=(0, None))
    return with_legend(figure)


def _gain(candidate: FigureContext) -> Line:
    return Line(*candidate.gain, value=_number(METRICS["lift"].label, candidate.metrics["lift"]))


def _lift(candidate: FigureContext) -> Line:
    gain = _gain(candidate)
    deep = gain.x >= LEAST_DEPTH
    return gain._replace(x=gain.x[deep], y=gain.y[deep] / gain.x[deep])


def threshold(*candidates: FigureContext) -> "mpl.Figure":
    """What each threshold would do; dots mark those of the decisions."""
    names = [rate.capitalize() if rate != "f1" else "F1" for rate in RATES]
    figure, axes = panels("Thresholds", [("Threshold", name) for name in names], (2.8, 2.4))
    for rate, each in zip(RATES, axes, strict=True):
        _lines(each, candidates, partial(_rate, rate))
        for index, candidate in enumerate(candidates):
            curve, at = candidate.curves["threshold"], candidate.decision.threshold
            dot, colour = np.interp(at, curve["threshold"], curve[rate]), PALETTE[index % len(PALETTE)]
            each.scatter(at, dot, 42, colour, clip_on=False, zorder=3, edgecolors="white", linewidths=0.8)
    _unit(*axes)
    return with_legend(figure)


def _rate(rate: str, candidate: FigureContext) -> Line:
    curve, value = candidate.curves["threshold"], f", dot: decided at {candidate.decision.threshold:.3g}"
    is_undefined = (rate == "precision") & (curve["true_positives"] + curve["false_positives"] == 0)
    return Line(curve["threshold"], np.where(is_undefined, np.nan, curve[rate]), value=value)
