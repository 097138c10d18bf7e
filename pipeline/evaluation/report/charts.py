"""The report's charts: Vega-Lite specifications, what is drawn of each candidate, and a static picture of each.

The specifications are plain JSON. altair would build the same from Python objects, but imports for a second and checks a schema
at each use; a test checks them by altair's schema instead. Colours are CSS variables, so that one drawing serves every theme.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from math import ceil, floor, log10
from typing import Any

import numpy as np

from pipeline.arrays import Array
from pipeline.evaluation.figures import DASHES, MAX_BANDS, MAX_EPOCHS, PALETTE
from pipeline.evaluation.report import lines
from pipeline.evaluation.report.candidate import Evaluated
from pipeline.evaluation.report.lines import Columns
from pipeline.files import digest
from pipeline.interval import CONFIDENCE

MAX_POINTS, MAX_ALL_POINTS = 400, 1600  # of a candidate's curve, and of all candidates' in one chart
DIGITS = 5  # of a coordinate
WIDTH, HEIGHT = 380, 290  # of a chart, in units that the page scales
FAINT = 0.6  # opacity of a line that another explains
AXIS_EXTENT = 36  # of an axis' labels, whatever their font
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
        "labelOverlap": False,
        "labelFlush": False,
        "tickCount": 5,
    },
    "axisX": {"minExtent": 16, "maxExtent": 16},
}
EXPORTED = "window.vegaEmbed = vegaEmbed;"  # what page.js uses of vega-embed
LABEL = "replace(datum.label, '\u2212', '')"  # of a tick: scores of negatives stand below zero, and are shares, too


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
    """JavaScript that draws such charts without `eval`, the same for every page. Making it takes a second."""
    import vl_convert

    return str(vl_convert.javascript_bundle(EXPORTED))


def bundle_key() -> str:
    """What `bundle` depends on."""
    return digest(version("vl-convert-python").encode(), EXPORTED.encode())


def palette_css() -> str:
    """The candidates' colours, as CSS variables and, as their dashes are, as classes of a line."""
    variables = "".join(f"--c{i}:{colour};" for i, colour in enumerate(PALETTE))
    colours = [f".c{i}{{stroke:var(--c{i})}}" for i in range(len(PALETTE))]
    dashes = [f".d{i}{{stroke-dasharray:{' '.join(map(str, dash))}}}" for i, dash in enumerate(DASHES)]
    return "".join([f":root{{{variables}}}", *colours, *dashes, "\n"])


def charts(candidates: Sequence[Evaluated]) -> list[Chart]:
    """Those that the report shows; each stands for all candidates, in their order."""
    limit = max(2, min(MAX_POINTS, MAX_ALL_POINTS // len(candidates)))
    edges, share = lines.edges(candidates), candidates[0].positive_share
    scores, losses = [lines.scores(each, edges) for each in candidates], [lines.loss(each, limit) for each in candidates]
    has_bands = len(candidates) <= MAX_BANDS
    bands = f"; bands are {CONFIDENCE:.0%} intervals." if has_bands else "."
    threshold = Field("t", "threshold {}")
    percent = partial(Field, scale=100.0)
    unit, chance = _axis([0, 1]), [(0, 0), (1, 1)]
    rows, found = "Share of rows, highest scores first", "Share of the positives among them"
    drawn = [
        Chart(
            "roc",
            "ROC",
            "Further to the upper left is better; the dotted diagonal is chance" + bands,
            _spec(("False positive rate", unit), ("True positive rate", unit), chance, band=has_bands),
            [threshold, percent("y", "{} % of the positives found"), percent("x", "{} % of the negatives taken for positive")],
            [lines.of_thresholds(candidate, "roc", limit, has_bands) for candidate in candidates],
        ),
        Chart(
            "precision_recall",
            "Precision and recall",
            "Further to the upper right is better; the dotted line is the share of positives, which a guess reaches" + bands,
            _spec(("Recall", unit), ("Precision", unit), [(0, share), (1, share)], interpolate="step-before", band=has_bands),
            [threshold, percent("x", "{} % of the positives found"), percent("y", "{} % of those found are positive")],
            [lines.of_thresholds(candidate, "precision_recall", limit, has_bands) for candidate in candidates],
        ),
        Chart(
            "calibration",
            "Calibration",
            "On the dotted diagonal, probabilities are the shares that come true" + bands,
            _spec(("Mean prediction", unit), ("Share of positives", unit), chance, dots=True, band=has_bands),
            [percent("x", "predicted {} %"), percent("y", "{} % came true"), Field("n", "{} rows")],
            [lines.calibration(candidate) for candidate in candidates],
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
            [lines.gain(candidate, limit) for candidate in candidates],
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
            _spec(("Epoch", _epochs(losses)), ("Loss", _range(losses, "y")), [], dots=True),
            [Field("x", "epoch {}"), Field("y", "loss {}")],
            losses,
        ),
    ]
    return [*drawn, *([_validation(candidates)] if any(each.course for each in candidates) else [])]


def _validation(candidates: Sequence[Evaluated]) -> Chart:
    courses = [lines.course(candidate) for candidate in candidates]
    held_out, fitted = Field("validation", "log loss {} of rows held out"), Field("training", "{} of rows fitted to")
    return Chart(
        "validation",
        "Loss in validation",
        "The log loss of the rows that were held out, a mean over the folds; fainter, that of the rows fitted to.",
        _spec(("Epoch", _epochs(courses)), ("Log loss", _range(courses, "y")), [], dots=True, is_first_part_faint=True),
        [Field("x", "epoch {}"), held_out, fitted],
        courses,
    )


def _axis(domain: Sequence[float]) -> dict[str, Any]:
    return {"scale": {"domain": list(domain), "nice": False, "zero": False}, "axis": {"labelExpr": LABEL}}


def _range(lines: Sequence[Columns], name: str) -> dict[str, Any]:
    """An axis over all that is drawn; one value in the middle of it."""
    values = np.concatenate([line[name] for line in lines])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    margin = 0.03 * (high - low) if high > low else abs(high) or 1.0
    return _axis([low - margin, high + margin])


def _epochs(lines: Sequence[Columns]) -> dict[str, Any]:
    """An axis of epochs, by their logarithm where one candidate has many times those of another."""
    last = [max(float(line["x"][-1]), 1.0) for line in lines if len(line["x"])]
    few, many = min(last), max(last)
    if many <= MAX_EPOCHS * few:
        return _range(lines, "x")
    axis = _axis([-0.1 * few, 1.1 * many])
    ticks = [0, *(10**i for i in range(ceil(log10(few)), floor(log10(many)) + 1))]
    return {"scale": {**axis["scale"], "type": "symlog", "constant": few}, "axis": {**axis["axis"], "values": ticks}}


def _spec(
    x: tuple[str, Mapping[str, Any]],
    y: tuple[str, Mapping[str, Any]],
    reference: Sequence[tuple[float, float]],
    interpolate: str = "linear",
    dots: bool = False,
    band: bool = False,
    is_first_part_faint: bool = False,
) -> dict[str, Any]:
    """Of an axis the title, and what it looks like; reference: the ends of a dotted line; a line of several parts has 0, 1 in
    `part`."""
    position = {
        name: {"field": name, "type": "quantitative", "title": title, **axis} for name, (title, axis) in (("x", x), ("y", y))
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
    if is_first_part_faint:
        look["opacity"] = {"field": "part", "type": "ordinal", "legend": None, "scale": {"domain": [0, 1], "range": [FAINT, 1]}}
    order = {"order": {"field": "i", "type": "quantitative"}, "detail": {"field": "part", "type": "nominal"}}
    layers.append({"data": {"name": "points"}, "mark": line, "encoding": {**position, **look, **order}})
    if dots:
        own = {name: each for name, each in look.items() if name != "strokeDash"}
        layers.append({"data": {"name": "points"}, "mark": _dot(14), "encoding": {**position, **own}})
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


def to_json(content: Any) -> str:
    """Compact JSON that may stand inside a script element: without `<`, whatever names hold."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
