"""Resamples of a test table: what a metric is a function of. The table itself is the one in which each row counts once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.errors import DataError
from pipeline.evaluation import recalibration
from pipeline.evaluation.curves import BINS, Confusion, bins_of
from pipeline.model.predictor import probability

Counts = NDArray[np.integer]  # (B, n): how often each of n rows is drawn in each of B resamples
Pair = tuple[Array, ...]  # of the positive rows and of the negative ones
Places = tuple[NDArray[np.intp], ...]  # likewise
RowScores = Callable[[Array, Array], Array]  # from z (n,) and y (n,) to a number for each row
POSITIVE = 0  # the place of a pair that is of the positive rows
LARGEST = 1e60  # of log-odds that are measured: the fourth power of a greater one may overflow
CELLS = 512  # of rows of one class with like log-odds, in which a bootstrap recalibrates
OUTLINE = 256  # thresholds at most, between which a resample's curve is drawn straight


def require_measurable(z: Array) -> None:
    """Raises DataError unless the log-odds (n,) that a model predicts are numbers of at most LARGEST."""
    for value in z[~(np.abs(z) <= LARGEST)][:1]:
        reason = "its row has values too far from all others"
        raise DataError(f"log-odds must lie within {LARGEST:g} of 0 to be measured; one is {value:.3g}: {reason}")


@dataclass(frozen=True)
class Cells:
    """Rows of one class with like log-odds as one, to recalibrate many rows in little time."""

    edges: Places  # (g + 1,) of each class: their ends among its rows
    z: Array  # (g,) of both classes: the mean
    y: Array  # (g,)


class ScoredRows:
    """Rows with log-odds z (n,), labels y (n,) and, perhaps, weights (n,) >= 0: by class, from the highest z.

    Those above the log-odds `cut` are predicted positive.
    """

    def __init__(self, z: Array, y: Array, weight: Array | None = None, cut: float = 0.0) -> None:
        """Raises DataError unless rows of both classes have a weight."""
        if weight is not None:
            z, y, weight = (part[weight > 0] for part in (z, y, weight))
        if not 0 < y.sum() < len(y):
            counted = "rows" if weight is None else "rows with a weight above 0"
            got = f"{int(y.sum())} of {len(y)} are positive"
            raise DataError(f"the {counted} to measure a model by must be of both classes; {got}")
        chosen = (np.flatnonzero(y == 1), np.flatnonzero(y != 1))
        self.order = tuple(np.argsort(-z[rows], kind="stable") for rows in chosen)  # among the rows of the class, as they came
        self.is_sorted = all((np.diff(order) > 0).all() for order in self.order)
        sorted_rows = [rows[order] for rows, order in zip(chosen, self.order, strict=True)]
        self.z = tuple(z[rows] for rows in sorted_rows)
        self.weight = None if weight is None else tuple(weight[rows] for rows in sorted_rows)
        thresholds = np.unique(self.z[POSITIVE])[::-1]  # (k,)
        self.above, self.at_or_above = (self._places(thresholds, side) for side in ("left", "right"))
        self.predicted = self._places(np.full(1, cut), "left")  # positive
        self._scores: dict[RowScores, tuple[Array, Array]] = {}

    def _places(self, thresholds: Array, side: str) -> Places:
        """How many rows of each class have z above each of the thresholds ("left") or not below it ("right")."""
        return tuple(np.searchsorted(-of, -thresholds, side) for of in self.z)  # type: ignore[call-overload]

    def scores(self, function: RowScores) -> tuple[Array, Array]:
        """The numbers of each class's rows, computed once."""
        if function not in self._scores:
            positive, negative = self.z
            self._scores[function] = function(positive, np.ones(len(positive))), function(negative, np.zeros(len(negative)))
        return self._scores[function]

    @cached_property
    def cells(self) -> Cells:
        """Those that a bootstrap recalibrates."""
        return self.cells_between(tuple(_edges(len(of)) for of in self.z))

    def cells_between(self, edges: Places) -> Cells:
        """The cells of each class between these places among its rows."""
        z = [np.add.reduceat(of, ends[:-1]) / np.diff(ends) for of, ends in zip(self.z, edges, strict=True)]
        return Cells(edges, np.concatenate(z), np.repeat([1.0, 0.0], [len(of) for of in z]))

    @cached_property
    def outline(self) -> Places:
        """How many rows of each class have z at or above thresholds (k,), from above all, evenly spread over the ROC."""
        thresholds = np.unique(np.concatenate(self.z))[::-1]
        places = tuple(np.append(0, of) for of in self._places(thresholds, "right"))
        length = sum(of / of[-1] for of in places)
        chosen = np.unique(np.searchsorted(length, np.linspace(0, 2, OUTLINE)).clip(max=len(thresholds)))
        return tuple(of[chosen] for of in places)

    @cached_property
    def bins(self) -> Places:
        """The ends (BINS + 1,) of the bins of p, from the highest, among the rows of each class."""
        return tuple(np.searchsorted(-bins_of(probability(of)), -np.arange(BINS - 1, -2, -1)) for of in self.z)

    @cached_property
    def table(self) -> "Sample":
        """The rows themselves, as the only resample (B = 1)."""
        rows = self.cells_between(tuple(np.arange(len(of) + 1) for of in self.z))
        return Sample(self, tuple(np.ones((1, len(of)), np.int64) for of in self.z), np.ones((2, 1)), rows)

    @cached_property
    def recalibrated(self) -> Array:
        """The intercept and slope (2,) of the regression of y on z."""
        return recalibration.line(*self.table.recalibrated_rows)[0]


class Sample:
    """B resamples of rows. Rows are drawn in each class by itself; then the classes are given the shares that were drawn.

    So a metric of each class by itself, such as the AUC or recall, is resampled with the class sizes as they are (stratified),
    since the shares cancel out in it; every other one also varies as the share of positives does.
    """

    def __init__(self, rows: ScoredRows, drawn: tuple[Counts, ...], shares: Array, cells: Cells | None = None) -> None:
        """drawn: Counts of each class's rows, as they came; shares (2, B): by what a resample multiplies a class's counts."""
        self.rows, self.shares, self._own_cells = rows, shares, cells
        counts = drawn
        if not rows.is_sorted:
            counts = tuple(np.take(of, order, axis=1) for of, order in zip(drawn, rows.order, strict=True))
        weighted = rows.weight and tuple(of * weight for of, weight in zip(counts, rows.weight, strict=True))
        self._counts: tuple[NDArray[Any], ...] = weighted or counts

    @cached_property
    def cumulative(self) -> Pair:
        """(B, n + 1) of each class: the counts of its 0, 1, ..., n highest rows."""
        found = tuple(np.zeros((len(counts), counts.shape[1] + 1)) for counts in self._counts)
        for counts, sums in zip(self._counts, found, strict=True):
            sums[:, 1:] = np.cumsum(counts, axis=1)  # of whole numbers, which are added faster, where there are no weights
        return found

    @cached_property
    def totals(self) -> Pair:
        """(B, 1) of each class."""
        return tuple(counts[:, -1:] for counts in self.cumulative)

    def _up_to(self, places: Places) -> Pair:
        return tuple(np.take(counts, place, axis=1) for counts, place in zip(self.cumulative, places, strict=True))

    @cached_property
    def above(self) -> Pair:
        """True and false positives (B, k) above each of the positive rows' distinct log-odds, without shares."""
        return self._up_to(self.rows.above)

    @cached_property
    def at_or_above(self) -> Pair:
        """The same at or above them."""
        return self._up_to(self.rows.at_or_above)

    @cached_property
    def outline(self) -> Pair:
        """True and false positives (B, k) at or above each threshold of the rows' outline, without shares."""
        return self._up_to(self.rows.outline)

    def shared(self, of_classes: Pair) -> Pair:
        """(B, ...) of each class, by its share."""
        return tuple(of * share[:, None] for of, share in zip(of_classes, self.shares, strict=True))

    def shared_sum(self, of_classes: Pair) -> Array:
        """(B, ...) of both classes together."""
        positive, negative = self.shared(of_classes)
        return np.add(positive, negative, out=positive)

    @cached_property
    def confusion(self) -> Confusion:
        """Counts (B,), by the class's share."""
        above = self._up_to(self.rows.predicted)
        tp, fp = (of[:, 0] for of in self.shared(above))
        positives, negatives = (of[:, 0] for of in self.shared(self.totals))
        return Confusion(tp, fp, positives - tp, negatives - fp)

    @cached_property
    def rows_drawn(self) -> Array:
        """(B,), or the sum of their weights."""
        return sum(self.confusion[1:], self.confusion[0])

    @cached_property
    def _floats(self) -> tuple[Array, ...]:
        return tuple(counts.astype(np.float64, copy=False) for counts in self._counts)

    def mean(self, function: RowScores) -> Array:
        """The mean (B,) of a number for each row."""
        sums = [(counts @ scores)[:, None] for counts, scores in zip(self._floats, self.rows.scores(function), strict=True)]
        positive, negative = self.shared(tuple(sums))
        return (positive + negative)[:, 0] / self.rows_drawn

    @cached_property
    def recalibrated_rows(self) -> tuple[Array, Array, Array]:
        """z (g,) and y (g,) of the cells, and how often the rows of each count (B, g)."""
        cells = self._own_cells or self.rows.cells
        counts = [np.diff(of, axis=1) for of in self.shared(self._up_to(cells.edges))]
        return cells.z, cells.y, np.concatenate(counts, axis=1)

    @cached_property
    def binned(self) -> tuple[Array, Array]:
        """The sums (B, BINS) of the probabilities, and the positives, in each bin of p."""
        found = []
        for counts, of, ends in zip(self._floats, self.rows.scores(_probabilities), self.rows.bins, strict=True):
            found.append(np.column_stack([counts[:, a:b] @ of[a:b] for a, b in pairwise(ends)]))
        positive, negative = self.shared(tuple(found))
        positives, _ = self.shared(self._up_to(self.rows.bins))
        return positive + negative, np.diff(positives, axis=1)


def _probabilities(z: Array, y: Array) -> Array:
    return probability(z)


def _edges(rows: int) -> NDArray[np.intp]:
    """The ends (g + 1,) of cells of sorted rows: many rows in the middle, one at the ends, where log-odds lie far apart."""
    if rows <= CELLS:
        return np.arange(rows + 1)
    return np.unique((rows * (1 - np.cos(np.pi * np.arange(CELLS + 1) / CELLS)) / 2).astype(np.intp))
