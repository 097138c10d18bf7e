"""The report's charts: Vega-Lite specifications, what is drawn of each candidate, and a static picture of each.

The specifications are plain JSON. altair would build the same from Python objects, but imports for a second and checks a schema
at each use; a test checks them by altair's schema instead. Colours are CSS variables, so that one drawing serves every theme.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.evaluation.curves import confusion_at
from pipeline.evaluation.figures import PALETTE
from pipeline.evaluation.report.candidate import Evaluated
from pipeline.files import Table
from pipeline.interval import CONFIDENCE, share_interval
from pipeline.model.decision import log_odds_of
from pipeline.model.predictor import probability

MAX_POINTS, MAX_ALL_POINTS = 400, 1600  # of a candidate's curve, and of all candidates' in one chart
BINS = 30  # of scores
THRESHOLDS = 100  # among the scores of a candidate, beside the whole percents
DIGITS = 5  # of a coordinate
MAX_BANDS = 3  # of candidates: more hide each other
WIDTH, HEIGHT = 380, 290  # of a chart, in units that the page scales
AXIS_EXTENT = 36  # of an axis' labels, whatever their font
DASHES: tuple[tuple[float, ...], ...] = ((1, 0), (6, 2), (6, 2, 1.5, 2), (2.5, 1.5), (9, 2, 2, 2, 2, 2))
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
CONFIG = {
    "aria": False,  # the page describes the chart and reads out its points
    "mark": {"aria": False},
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "gridColor": "var(--grid)",
        "labelColor": "var(--muted)",
        "titleColor": "var(--muted)",
        "labelFontSize": 11,
        "titleFontSize": 11.5,
        "titleFontWeight": "normal",
        "minExtent": AXIS_EXTENT,
        "maxExtent": AXIS_EXTENT,
        "labelOverlap": False,
        "labelFlush": False,
        "tickCount": 5,
    },
    "axisX": {"minExtent": 16, "maxExtent": 16},
}
LABEL = "replace(datum.label, '\u2212', '')"  # of a tick: scores of negatives stand below zero, and are shares, too
Columns = Mapping[str, Array]  # x, y and what else is known of each point


@dataclass(frozen=True)
class Field:
    """A number of a point, as the line below a chart reads it out."""

    key: str
    text: str  # in which {} stands for it
    scale: float = 1.0  # by which it is multiplied


@dataclass(frozen=True)
class Chart:
    """One chart of all candidates."""

    name: str
    title: str
    note: str  # how it is read
    spec: Mapping[str, Any]  # with the data sets points, reference, cut and focus
    fields: Sequence[Field]
    lines: Sequence[Columns]  # of each candidate

    def to_dict(self) -> dict[str, Any]:
        """What the page's script draws."""
        fields = [vars(field) for field in self.fields]
        return {"spec": self.spec, "fields": fields, "lines": [_rounded(line) for line in self.lines]}

    def svg(self) -> str:
        """The same as a static picture, whose numbers are as short as they may be."""
        import vl_convert

        points = [
            {"c": c, "i": i, **dict(zip(line, values, strict=True))}
            for c, line in enumerate(map(_rounded, self.lines))
            for i, values in enumerate(zip(*line.values(), strict=True))
        ]
        spec = {**self.spec, "datasets": {**self.spec["datasets"], "points": points}}
        return re.sub(r' d="[^"]*"', _short_path, vl_convert.vegalite_to_svg(spec))


@cache
def bundle() -> str:
    """JavaScript that draws such charts without `eval`, the same for every page."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def palette_css() -> str:
    """The candidates' colours, as CSS variables."""
    return ":root{" + "".join(f"--c{i}:{colour};" for i, colour in enumerate(PALETTE)) + "}"


def charts(candidates: Sequence[Evaluated]) -> list[Chart]:
    """Those that the report shows; each stands for all candidates, in their order."""
    limit = min(MAX_POINTS, MAX_ALL_POINTS // len(candidates))
    edges, share = _edges(candidates), float(np.mean([_share(candidate) for candidate in candidates]))
    scores, losses = [_scores(each, edges) for each in candidates], [_loss(each, limit) for each in candidates]
    has_bands = len(candidates) <= MAX_BANDS and candidates[0].predictions.weight is None
    threshold = Field("t", "threshold {}")
    percent = partial(Field, scale=100.0)
    unit, chance = _axis([0, 1]), [(0, 0), (1, 1)]
    rows, found = "Share of rows, highest scores first", "Share of the positives among them"
    return [
        Chart(
            "roc",
            "ROC",
            "Further to the upper left is better; the dotted diagonal is chance.",
            _spec(("False positive rate", unit), ("True positive rate", unit), chance),
            [threshold, percent("y", "{} % of the positives found"), percent("x", "{} % of the negatives taken for positive")],
            [_roc(candidate.curves["roc"], limit) for candidate in candidates],
        ),
        Chart(
            "precision_recall",
            "Precision and recall",
            "Further to the upper right is better; the dotted line is the share of positives, which a guess reaches.",
            _spec(("Recall", unit), ("Precision", unit), [(0, share), (1, share)], interpolate="step-before"),
            [threshold, percent("x", "{} % of the positives found"), percent("y", "{} % of those found are positive")],
            [_precision_recall(candidate.curves["precision_recall"], limit) for candidate in candidates],
        ),
        Chart(
            "calibration",
            "Calibration",
            "On the dotted diagonal, probabilities are the shares that come true"
            + (f"; bands are {CONFIDENCE:.0%} intervals." if has_bands else "."),
            _spec(("Mean prediction", unit), ("Share of positives", unit), chance, dots=True, band=has_bands),
            [percent("x", "predicted {} %"), percent("y", "{} % came true"), Field("n", "{} rows")],
            [_calibration(candidate) for candidate in candidates],
        ),
        Chart(
            "gain",
            "Gain and lift",
            "How many of the positives are among the rows of the highest scores; the dotted diagonal is chance.",
            _spec((rows, unit), (found, unit), chance),
            [
                percent("x", "{} % of the rows"),
                percent("y", "{} % of the positives"),
                Field("lift", "lift {}"),
            ],
            [_gain(candidate, limit) for candidate in candidates],
        ),
        Chart(
            "scores",
            "Scores by class",
            "How many rows of each class have such a probability: positives above zero, negatives below.",
            _spec(
                ("Predicted probability", _range(scores, "x")),
                ("Share of the class's rows", _range(scores, "y")),
                [],
                "step-after",
            ),
            [Field("x", "from {}"), Field("end", "to {}"), percent("y", "{} % of the class's rows")],
            scores,
        ),
        Chart(
            "loss",
            "Training loss",
            "The mean log loss and the penalty before each recorded epoch.",
            _spec(("Epoch", _range(losses, "x")), ("Loss", _range(losses, "y")), [], dots=True),
            [Field("x", "epoch {}"), Field("y", "loss {}")],
            losses,
        ),
    ]


def thresholds(candidates: Sequence[Evaluated]) -> dict[str, Any]:
    """What each threshold of a grid would do: each candidate's true and false positives, and where its own threshold is."""
    scores = [np.quantile(candidate.predictions.z, np.linspace(0, 1, THRESHOLDS)) for candidate in candidates]
    decided = [candidate.decision for candidate in candidates]
    cut = np.unique(np.concatenate([log_odds_of(np.arange(101) / 100), *scores, [each.log_odds for each in decided]]))
    grid: list[dict[str, Any]] = []
    for candidate in candidates:
        of = candidate.predictions
        at = confusion_at(cut, of.z, of.y, of.weight)
        totals = {"positives": float(at.tp[0] + at.fn[0]), "negatives": float(at.fp[0] + at.tn[0])}
        start = int(np.searchsorted(cut, candidate.decision.log_odds))
        grid.append({"tp": at.tp.tolist(), "fp": at.fp.tolist(), **totals, "start": start})
    return {"threshold": [f"{p:.4g}" for p in probability(cut)], "candidates": grid}


def _axis(domain: Sequence[float]) -> dict[str, Any]:
    return {"domain": list(domain), "nice": False, "zero": False}


def _range(lines: Sequence[Columns], name: str) -> dict[str, Any]:
    """An axis over all that is drawn; one value in the middle of it."""
    values = np.concatenate([line[name] for line in lines])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    margin = 0.03 * (high - low) if high > low else abs(high) or 1.0
    return _axis([low - margin, high + margin])


def _spec(
    x: tuple[str, Mapping[str, Any]],
    y: tuple[str, Mapping[str, Any]],
    reference: Sequence[tuple[float, float]],
    interpolate: str = "linear",
    dots: bool = False,
    band: bool = False,
) -> dict[str, Any]:
    """Of an axis the title and the scale; reference: the ends of a dotted line."""
    position = {
        name: {"field": name, "type": "quantitative", "title": title, "scale": dict(scale), "axis": {"labelExpr": LABEL}}
        for name, (title, scale) in (("x", x), ("y", y))
    }
    number = len(PALETTE)
    domain = list(range(number * len(DASHES)))
    look = {
        "color": _by_candidate([f"var(--c{i % number})" for i in domain], domain),
        "strokeDash": _by_candidate([list(DASHES[i % len(DASHES)]) for i in domain], domain),
    }
    line = {"type": "line", "interpolate": interpolate, "strokeWidth": 1.8, "strokeJoin": "round"}
    colour = {"color": look["color"]}
    layers: list[dict[str, Any]] = []
    if reference:
        rule = {"type": "line", "color": "var(--muted)", "strokeDash": [1.5, 3], "strokeWidth": 1.2}
        layers.append({"data": {"name": "reference"}, "mark": rule, "encoding": position})
    if band:
        ends = {"y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}, "x": position["x"]}
        area = {"type": "area", "opacity": 0.13}
        layers.append({"data": {"name": "points"}, "mark": area, "encoding": {**ends, **colour}})
    order = {"order": {"field": "i", "type": "quantitative"}, "detail": {"field": "part", "type": "nominal"}}
    layers.append({"data": {"name": "points"}, "mark": line, "encoding": {**position, **look, **order}})
    if dots:
        layers.append({"data": {"name": "points"}, "mark": _dot(14), "encoding": {**position, **colour}})
    layers.append({"data": {"name": "cut"}, "mark": _dot(60), "encoding": {**position, **colour}})
    focus = {**_dot(90), "stroke": "var(--ink)", "strokeWidth": 1.5}
    layers.append({"data": {"name": "focus"}, "mark": focus, "encoding": {**position, **colour}})
    datasets = {"reference": [{"x": a, "y": float(b)} for a, b in reference], "points": [], "cut": [], "focus": []}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": WIDTH,
        "height": HEIGHT,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": 4,
        "background": None,
        "config": CONFIG,
        "datasets": datasets,
        "layer": layers,
    }


def _dot(size: int) -> dict[str, Any]:
    return {"type": "circle", "size": size, "opacity": 1}


def _by_candidate(values: Sequence[Any], domain: Sequence[int]) -> dict[str, Any]:
    return {"field": "c", "type": "nominal", "legend": None, "scale": {"domain": list(domain), "range": list(values)}}


def _short_path(found: "re.Match[str]") -> str:
    return re.sub(r"-?\d+\.\d{2,}", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), found[0])


def _rounded(line: Columns) -> dict[str, list[float | None]]:
    return {name: _compact(values) for name, values in line.items()}


def _compact(values: Array) -> list[float | None]:
    """Numbers that JSON has, in few letters."""
    numbers = (float(f"{value:.{DIGITS}g}") if value % 1 else value for value in values.tolist())
    return [None if not np.isfinite(number) else number if number % 1 else int(number) for number in numbers]


def _thinned(x: Array, y: Array, limit: int) -> NDArray[np.intp]:
    """Which of a curve's points to draw: its corners or, where they are more than the limit, some of them, evenly along it."""
    dx, dy = np.diff(x), np.diff(y)
    turns = dx[:-1] * dy[1:] != dx[1:] * dy[:-1]
    kept = np.unique([0, *(1 + np.flatnonzero(turns)), len(x) - 1])
    if len(kept) <= limit:
        return kept
    along = np.concatenate([[0], np.cumsum(np.abs(np.diff(x[kept])) + np.abs(np.diff(y[kept])))])
    chosen = np.searchsorted(along, np.linspace(0, along[-1], limit))
    return kept[np.unique(np.append(chosen, [0, len(kept) - 1]))]


def _picked(columns: Columns, limit: int) -> Columns:
    kept = _thinned(columns["x"], columns["y"], limit)
    return {name: values[kept] for name, values in columns.items()}


def _share(candidate: Evaluated) -> float:
    """Of positives in the test table."""
    values = candidate.metrics
    return (values["true_positives"] + values["false_negatives"]) / values["rows"]


def _roc(curve: Table, limit: int) -> Columns:
    return _picked({"x": curve["false_positive_rate"], "y": curve["true_positive_rate"], "t": curve["threshold"]}, limit)


def _precision_recall(curve: Table, limit: int) -> Columns:
    return _picked({"x": curve["recall"], "y": curve["precision"], "t": curve["threshold"]}, limit)


def _gain(candidate: Evaluated, limit: int) -> Columns:
    curve, share = candidate.curves["roc"], _share(candidate)
    found = curve["true_positive_rate"]
    rows = share * found + (1 - share) * curve["false_positive_rate"]
    lift = np.divide(found, rows, out=np.full(len(rows), np.nan), where=rows > 0)
    return _picked({"x": rows, "y": found, "lift": lift}, limit)


def _calibration(candidate: Evaluated) -> Columns:
    """With an interval of each bin's share, where rows are counted and have no weights."""
    curve = candidate.curves["calibration"]
    columns = {"x": curve["predicted"], "y": curve["observed"], "n": curve["rows"]}
    if candidate.predictions.weight is not None:
        return {**columns, "low": columns["y"], "high": columns["y"]}
    counts = zip(np.rint(curve["observed"] * curve["rows"]), curve["rows"], strict=True)
    low, high = np.transpose([share_interval(int(count), int(rows), 1 - CONFIDENCE) for count, rows in counts])
    return {**columns, "low": low, "high": high}


def _edges(candidates: Sequence[Evaluated]) -> Array:
    """Of the bins of scores (BINS + 1,), over all that there are."""
    scores = [probability(candidate.predictions.z) for candidate in candidates]
    low, high = min(p.min() for p in scores), max(p.max() for p in scores)
    return np.linspace(low, high if high > low else low + 1e-3, BINS + 1)


def _scores(candidate: Evaluated, edges: Array) -> Columns:
    """The share of each class's rows in each bin: positives as y > 0, then negatives as y < 0."""
    of = candidate.predictions
    p = probability(of.z)
    x, y = [], []
    for label, sign in ((1, 1), (0, -1)):
        rows = of.y == label
        weight = None if of.weight is None else of.weight[rows]
        counts = np.histogram(p[rows], edges, weights=weight)[0]
        x.append(edges)
        y.append(sign * np.append(counts / counts.sum(), 0.0))
    part = np.repeat([1.0, 0.0], len(edges))
    return {"x": np.concatenate(x), "y": np.concatenate(y), "end": np.tile(np.append(edges[1:], edges[-1]), 2), "part": part}


def _loss(candidate: Evaluated, limit: int) -> Columns:
    """Of up to `limit` recorded epochs, the first and the last among them, and of the end."""
    epoch, loss, fit = candidate.history["epoch"], candidate.history["loss"], candidate.card.ended
    if not len(epoch) or epoch[-1] < fit.epochs:
        epoch, loss = np.append(epoch, fit.epochs), np.append(loss, fit.loss)
    kept = np.unique(np.linspace(0, len(epoch) - 1, limit).astype(int))
    return {"x": epoch[kept], "y": loss[kept]}


def to_json(content: Any) -> str:
    """Compact JSON that may stand inside a script element: without `<`, whatever names hold."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
