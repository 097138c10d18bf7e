"""What the report's charts draw of a candidate: a few points of its curves, each as it is in the files."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.evaluation.curves import BAND, COURSE, CURVES
from pipeline.evaluation.report.candidate import Evaluated
from pipeline.files import Table

BINS = 30  # of scores
MIN_SPAN = 0.01  # of the bins: scores closer to each other are drawn as the same
BAND_POINTS = 50  # at which a band is drawn at least
Columns = Mapping[str, Array]  # x, y and what else is known of each point


def _thinned(x: Array, y: Array, limit: int) -> NDArray[np.intp]:
    """Which of a curve's points to draw: its corners or, where they are more than the limit, some of them, evenly along it."""
    dx, dy = np.diff(x), np.diff(y)
    turns = dx[:-1] * dy[1:] != dx[1:] * dy[:-1]
    corners = np.unique([0, *(1 + np.flatnonzero(turns)), len(x) - 1])
    if len(corners) <= limit:
        return corners
    along = np.concatenate([[0], np.cumsum(np.abs(np.diff(x[corners])) + np.abs(np.diff(y[corners])))])
    chosen = np.searchsorted(along, np.linspace(0, along[-1], limit))
    return corners[np.unique(np.append(chosen, [0, len(corners) - 1]))]


def _picked(columns: Columns, limit: int) -> Columns:
    chosen = _thinned(columns["x"], columns["y"], limit)
    return {name: values[chosen] for name, values in columns.items()}


def _with_band(columns: Columns, curve: Table, limit: int, has_band: bool) -> Columns:
    """And, with a band, points along x, which rises, for its sake: it bends where the curve does not."""
    if not has_band:
        return _picked(columns, limit)
    x = columns["x"]
    along = np.searchsorted(x, np.linspace(x[0], x[-1], BAND_POINTS))
    chosen = np.union1d(_thinned(x, columns["y"], limit - BAND_POINTS), along)
    return {name: values[chosen] for name, values in {**columns, **_band(curve)}.items()}


def of_thresholds(candidate: Evaluated, name: str, limit: int, has_band: bool) -> Columns:
    """One of CURVES with a point a threshold, by its columns: the threshold, x and y."""
    curve = candidate.curves[name]
    columns = {key: curve[column] for key, column in zip("txy", CURVES[name].columns, strict=True)}
    return _with_band(columns, curve, limit, has_band)


def gain(candidate: Evaluated, limit: int) -> Columns:
    rows, found = candidate.gain
    lift = np.divide(found, rows, out=np.full(len(rows), np.nan), where=rows > 0)
    return _picked({"x": rows, "y": found, "lift": lift}, limit)


def calibration(candidate: Evaluated) -> Columns:
    curve = candidate.curves["calibration"]
    return {"x": curve["predicted"], "y": curve["observed"], "n": curve["rows"], **_band(curve)}


def _band(curve: Table) -> Columns:
    return {end: curve[end] for end in BAND}


def edges(candidates: Sequence[Evaluated]) -> Array:
    """Of the bins of scores (BINS + 1,), over all that there are."""
    scores = [candidate.curves["roc"]["threshold"][1:] for candidate in candidates]
    low, high = min(p.min() for p in scores), max(p.max() for p in scores)
    start = min(low, 1 - MIN_SPAN)
    return np.linspace(start, max(high, start + MIN_SPAN), BINS + 1)


def scores(candidate: Evaluated, edges: Array) -> Columns:
    """The share of each class's rows in each bin: positives as y > 0, then negatives as y < 0."""
    negatives, positives = candidate.scores(edges)
    y, ends = [*positives, 0.0, *-negatives, 0.0], np.append(edges[1:], edges[-1])
    part = np.repeat([1.0, 0.0], len(edges))
    return {"x": np.tile(edges, 2), "y": np.array(y), "end": np.tile(ends, 2), "part": part}


def loss(candidate: Evaluated, limit: int) -> Columns:
    """Of up to `limit` recorded epochs, the first and the last among them, and of the end."""
    epoch, loss = candidate.losses
    chosen = np.unique(np.linspace(0, len(epoch) - 1, limit).astype(int))
    return {"x": epoch[chosen], "y": loss[chosen]}


def course(candidate: Evaluated) -> Columns:
    """The mean log loss in folds by epoch: part 0 is of the rows that are fitted to, part 1 of those that are held out.

    No points where the loss is not known, as in training with model.class_weight.
    """
    course = candidate.course or {name: np.empty(0) for name in COURSE}
    epoch, training, validation = (np.tile(course[name], 2) for name in COURSE)
    part = np.repeat([0.0, 1.0], len(epoch) // 2)
    y = np.where(part, validation, training)
    known = np.isfinite(y)
    columns = {"x": epoch, "y": y, "training": training, "validation": validation, "part": part}
    return {name: values[known] for name, values in columns.items()}
