"""Figures of one candidate alone: its scores and decisions by class, and its coefficients."""

from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluation.curves import COUNTS
from pipeline.evaluation.figures.context import REACH, FigureContext
from pipeline.evaluation.figures.panel import (
    GREY,
    INK,
    PALETTE,
    SMALL,
    class_names,
    fitted,
    line_style,
    panels,
    text_width,
    with_legend,
)
from pipeline.interval import CONFIDENCE

if TYPE_CHECKING:
    from matplotlib import figure as mpl

BINS = 40  # of scores


def scores(context: FigureContext) -> "mpl.Figure":
    """The predictions for the rows of each class."""
    figure, (axes,) = panels("Scores by class", [("Predicted probability", "Share of the class's rows")])
    edges = np.linspace(0, 1, BINS + 1)
    for index, (shares, name) in enumerate(zip(context.scores(edges), class_names(context), strict=True)):
        style = line_style(index)
        axes.stairs(shares, edges, fill=True, color=style["color"], alpha=0.25)
        axes.stairs(shares, edges, color=style["color"], linestyle=style["linestyle"], linewidth=1.6, label=name)
    at = context.decision.threshold
    axes.axvline(at, color=INK, linestyle=":", label=f"threshold {at:.3g}")
    axes.set_xlim(-0.01, 1.01)
    return with_legend(figure)


def confusion(context: FigureContext) -> "mpl.Figure":
    """How many rows of each actual class (down) were predicted as each class (across)."""
    tp, fp, fn, tn = (context.metrics[name] for name in COUNTS)
    counts = np.array([[tn, fp], [fn, tp]], float)
    shares = counts / counts.sum(axis=1, keepdims=True)
    title = f"Confusion at threshold {context.decision.threshold:.3g}"
    figure, (axes,) = panels(title, [("Predicted", "Actual (percent: of these)")], (3.6, 3.6))
    axes.grid(False)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), share in np.ndenumerate(shares):
        text = f"{np.round(counts[i, j], 2):.10g}\n{share:.1%}"  # counts of weighted rows are no whole numbers
        axes.text(j, i, text, ha="center", va="center", color="white" if share > 0.65 else INK, fontsize=13)
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
