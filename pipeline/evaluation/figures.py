"""The figures of evaluated models, as matplotlib figures without global state. FIGURES is the one list for plot and the report.

matplotlib is imported when the first one is drawn: the report needs the list alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.arrays import Array
from pipeline.evaluation import boundary
from pipeline.evaluation.curves import RATES
from pipeline.evaluation.figure_context import FigureContext
from pipeline.evaluation.panel import INK, NAME, SMALL, class_names, fitted, panels, text_width, thinned, with_legend
from pipeline.interval import CONFIDENCE
from pipeline.text import count

if TYPE_CHECKING:
    from matplotlib import figure as mpl
    from matplotlib.axes import Axes

PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)  # of candidates (Okabe and Ito 2008)
DASHES: tuple[Any, ...] = ("solid", (0, (6, 2)), (0, (6, 2, 1.5, 2)), (0, (2.5, 1.5)), (0, (9, 2, 2, 2, 2, 2)))
MARKERS = ("", "o")  # of the first candidates, one for each of DASHES, and of the others
GREY = "#767676"  # of what needs no model
MAX_CANDIDATES = 2 * len(DASHES)  # in one figure
MAX_BANDS = 3  # of candidates: more hide each other
SQUARE = (4.2, 4.2)  # inches
BINS = 40  # of scores
LEAST_DEPTH = 0.01  # of a lift: that of a few rows is mostly chance
MAX_EPOCHS = 10  # times those of another candidate, beyond which epochs are drawn by their logarithm
REACH = 3  # times the largest coefficient, beyond which intervals are cut


class Line(NamedTuple):
    """What is drawn of a candidate: x (n,), y (n,), the band around y, if it has one, and a number for the legend."""

    x: Array
    y: Array
    band: tuple[Array, Array] | None = None
    value: str = ""


@dataclass(frozen=True)
class Figure:
    """figures/NAME.png and .svg, drawn where it applies."""

    name: str
    title: str  # in the report
    draw: Callable[..., "mpl.Figure"]  # from a FigureContext or, if it compares, from up to MAX_CANDIDATES of them
    applies: Callable[[FigureContext], bool] = lambda context: True
    compares: bool = False  # candidates that were measured on one test table


def _style(index: int) -> dict[str, Any]:
    """A line that no other candidate has, in colours and in print."""
    return {
        "color": PALETTE[index % len(PALETTE)],
        "linestyle": DASHES[index % len(DASHES)],
        "marker": MARKERS[index // len(DASHES)],
        "markevery": 0.12,
        "markersize": 4,
        "linewidth": 1.6,
    }


def _lines(axes: "Axes", candidates: Sequence[FigureContext], line: Callable[[FigureContext], Line], **style: Any) -> None:
    """A curve of each candidate."""
    for index, candidate in enumerate(candidates):
        x, y, band, value = line(candidate)
        kept, look = thinned(x, y), {**_style(index), **style}
        if band and len(candidates) <= MAX_BANDS:
            low, high = (end[kept] for end in band)
            label = "" if index else f"{CONFIDENCE:.0%} pointwise band"
            axes.fill_between(x[kept], low, high, color=look["color"], alpha=0.18, linewidth=0, label=label)
        axes.plot(x[kept], y[kept], label=_label(candidate, value), **look)


def _label(candidate: FigureContext, value: str) -> str:
    return fitted(candidate.name, NAME - text_width(value)) + value


def _band(curve: Any) -> tuple[Array, Array] | None:
    return (curve["low"], curve["high"]) if "low" in curve and not np.isnan(curve["low"]).all() else None


def _number(label: str, value: float) -> str:
    return f", {label} {'undefined' if isnan(value) else format(value, '.4f')}"


def _unit(*axes: "Axes") -> None:
    """Shares along both axes."""
    for each in axes:
        each.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))


def loss(*candidates: FigureContext) -> "mpl.Figure":
    """The loss, with the penalty, before each recorded epoch's update and at the end."""
    figure, (axes,) = panels("Training loss", [("Epoch", "Mean log loss + penalty")])
    _lines(axes, candidates, _losses, markevery=1, marker=".", markersize=5)
    epochs = [max(candidate.card.ended.epochs, 1) for candidate in candidates]
    if max(epochs) > MAX_EPOCHS * min(epochs):
        axes.set_xscale("symlog", linthresh=min(epochs))
    else:
        axes.locator_params("x", integer=True)
    return with_legend(figure)


def _losses(candidate: FigureContext) -> Line:
    history, fit = candidate.history, candidate.card.ended
    epoch, value = history["epoch"], history["loss"]
    if not len(epoch) or epoch[-1] < fit.epochs:
        epoch, value = np.append(epoch, fit.epochs), np.append(value, fit.loss)
    return Line(epoch, value, value=f", {value[-1]:.4f} after {count(fit.epochs, 'epoch')}")


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
    share = _share(candidates[0])
    axes.axhline(share, color=GREY, linestyle=":", label=f"chance, share of positives {share:.4f}")
    _lines(axes, candidates, _precision_recall, drawstyle="steps-pre")
    _unit(axes)
    return with_legend(figure)


def _precision_recall(candidate: FigureContext) -> Line:
    curve = candidate.curves["precision_recall"]
    value = _number("average", candidate.metrics["average_precision"])
    return Line(curve["recall"], curve["precision"], _band(curve), value)


def _share(candidate: FigureContext) -> float:
    """That of positives in the test table."""
    values = candidate.metrics
    return (values["true_positives"] + values["false_negatives"]) / values["rows"]


def calibration(*candidates: FigureContext) -> "mpl.Figure":
    """Observed share of positives against mean prediction in bins; a dot's area grows with its rows."""
    figure, (axes,) = panels("Calibration (area of a dot: its rows)", [("Mean prediction", "Share of positives")], SQUARE)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfect, error 0")
    for index, candidate in enumerate(candidates):
        curve, style = candidate.curves["calibration"], {**_style(index), "marker": ""}
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
    curve, share = candidate.curves["roc"], _share(candidate)
    tpr, value = curve["true_positive_rate"], _number("lift at 10 %", candidate.metrics["lift"])
    return Line(share * tpr + (1 - share) * curve["false_positive_rate"], tpr, value=value)


def _lift(candidate: FigureContext) -> Line:
    gain = _gain(candidate)
    deep = gain.x >= LEAST_DEPTH
    return gain._replace(x=gain.x[deep], y=gain.y[deep] / gain.x[deep])


def threshold(*candidates: FigureContext) -> "mpl.Figure":
    """What each threshold would do; dots mark those of the decisions."""
    names = [rate.capitalize() if rate != "f1" else "F1" for rate in RATES]
    figure, axes = panels("Thresholds (dot: the decision's)", [("Threshold", name) for name in names], (2.8, 2.4))
    for rate, each in zip(RATES, axes, strict=True):
        _lines(each, candidates, lambda candidate, rate=rate: _rate(candidate, rate))  # type: ignore[misc]
        for index, candidate in enumerate(candidates):
            curve, at = candidate.curves["threshold"], candidate.decision.threshold
            dot, colour = np.interp(at, curve["threshold"], curve[rate]), PALETTE[index % len(PALETTE)]
            each.scatter(at, dot, 42, colour, clip_on=False, zorder=3, edgecolors="white", linewidths=0.8)
    _unit(*axes)
    return with_legend(figure)


def _rate(candidate: FigureContext, rate: str) -> Line:
    curve, value = candidate.curves["threshold"], f", decided at {candidate.decision.threshold:.3g}"
    is_undefined = (rate == "precision") & (curve["true_positives"] + curve["false_positives"] == 0)
    return Line(curve["threshold"], np.where(is_undefined, np.nan, curve[rate]), value=value)


def scores(context: FigureContext) -> "mpl.Figure":
    """The predictions for the rows of each class."""
    figure, (axes,) = panels("Scores by class", [("Predicted probability", "Share of the class's rows")])
    curve, edges = context.curves["roc"], np.linspace(0, 1, BINS + 1)
    rates = curve["false_positive_rate"], curve["true_positive_rate"]
    for index, (rate, name) in enumerate(zip(rates, class_names(context), strict=True)):
        shares = np.histogram(curve["threshold"][1:], edges, weights=np.diff(rate))[0]
        style = _style(index)
        axes.stairs(shares, edges, fill=True, color=style["color"], alpha=0.25)
        axes.stairs(shares, edges, color=style["color"], linestyle=style["linestyle"], linewidth=1.6, label=name)
    at = context.decision.threshold
    axes.axvline(at, color=INK, linestyle=":", label=f"threshold {at:.3g}")
    axes.set_xlim(-0.01, 1.01)
    return with_legend(figure)


def confusion(context: FigureContext) -> "mpl.Figure":
    """How many rows of each actual class (down) were predicted as each class (across)."""
    names = (("true_negatives", "false_positives"), ("false_negatives", "true_positives"))
    counts = np.array([[context.metrics[name] for name in row] for row in names], float)
    shares = counts / counts.sum(axis=1, keepdims=True)
    title = f"Confusion at threshold {context.decision.threshold:.3g}"
    figure, (axes,) = panels(title, [("Predicted", "Actual (percent: of these)")], (3.6, 3.6))
    axes.grid(False)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), share in np.ndenumerate(shares):
        text = f"{np.round(counts[i, j], 2):.10g}\n{share:.1%}"  # counts of weighted rows are no whole numbers
        axes.text(j, i, text, ha="center", va="center", color="white" if share > 0.5 else INK, fontsize=13)
    ticks = [fitted(str(value), 1.6) for value in context.card.classes]
    axes.set_xticks([0, 1], ticks)
    axes.set_yticks([0, 1], ticks, rotation=90, va="center")
    axes.tick_params(length=0)
    return figure


def coefficients(context: FigureContext) -> "mpl.Figure":
    """The largest effects and, where they are known, their intervals, in the colour of the class that they favour."""
    rows = [row for row in context.coefficients if row["per_deviation"]][::-1]
    value, low, high = (np.array([float(row[f"per_deviation{end}"] or "nan") for row in rows]) for end in ("", "_low", "_high"))
    names = [fitted(row["feature"] + (f" against {row['against']}" if row["against"] else ""), 2.6) for row in rows]
    others = len(context.card.features) - len(rows)
    title = f"The {len(rows)} largest of {len(rows) + others} coefficients" if others > 0 else "Coefficients"
    label = "Log-odds per standard deviation" + ("" if np.isnan(low).all() else f", {CONFIDENCE:.0%} intervals")
    left = max(map(text_width, names)) + 0.35
    figure, (axes,) = panels(title, [(label, "")], (4.2, 0.25 + 0.24 * len(rows)), left)
    axes.axvline(0, color=GREY, linewidth=1)
    places = np.arange(len(rows))
    for index, (sign, favoured) in enumerate(zip((-1, 1), class_names(context), strict=True)):
        chosen, label = np.sign(value) == sign, f"favours {favoured}"
        axes.hlines(places[chosen], low[chosen], high[chosen], PALETTE[index], linewidth=2, alpha=0.6)
        axes.plot(value[chosen], places[chosen], "os"[index], color=PALETTE[index], label=label)
    most = REACH * np.abs(value[np.isfinite(value)]).max(initial=0) or 1
    ends = [end for end in (*value, *low, *high) if isfinite(end) and abs(end) <= most]
    axes.set_xlim(1.08 * min(0, *ends) - 0.01 * most, 1.08 * max(0, *ends) + 0.01 * most)
    axes.locator_params("x", nbins=6)
    axes.set_yticks(places, names, size=SMALL)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    return with_legend(figure)


def _has_points(context: FigureContext) -> bool:
    return context.points is not None


FIGURES = {
    figure.name: figure
    for figure in (
        Figure("loss", "Training loss", loss, compares=True),
        Figure(
            "decision_boundary", "Decision boundary", boundary.decision_boundary, lambda context: context.points is not None
        ),
        Figure("data", "Training data", boundary.data, lambda context: context.points is not None),
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
