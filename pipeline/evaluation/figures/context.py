"""What the figures are drawn from."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from itertools import islice

import numpy as np

from pipeline.arrays import Array
from pipeline.files import Table
from pipeline.model.card import ModelCard
from pipeline.model.decision import Decision

MAX_COEFFICIENTS = 20  # in a figure
MAX_BANDS = 3  # of candidates in one drawing: more hide each other
REACH = 3  # times the largest coefficient, beyond which intervals are cut
Coefficient = Mapping[str, str]  # a row of coefficients.csv


@dataclass(frozen=True)
class FigureContext:
    """What is known of an evaluated model. The last three are needed by `boundary` alone."""

    name: str  # of the candidate
    card: ModelCard
    decision: Decision
    history: Table
    curves: Mapping[str, Table]
    metrics: Mapping[str, float]
    course: Table | None = None  # the losses of a validation by epoch, as `mean_course` has them; None: there are none
    coefficients: Sequence[Coefficient] = ()  # the largest, as coefficients.csv has them; none: it is not linear
    log_odds: Callable[[Array], Array] | None = None  # from raw features (n, d) to z (n,)
    raw_weights: tuple[Array, float] | None = None  # w (d,) and b on raw features; None: it is not linear
    points: tuple[Array, Array] | None = None  # X (n, 2) and y (n,) of training rows; None: the features are not two, or sparse

    @property
    def positive_share(self) -> float:
        """Of positives in the test table."""
        return (self.metrics["true_positives"] + self.metrics["false_negatives"]) / self.metrics["rows"]

    @property
    def losses(self) -> tuple[Array, Array]:
        """The recorded epochs, and the loss at each, the end among them."""
        epoch, loss, fit = self.history["epoch"], self.history["loss"], self.card.ended
        if len(epoch) and epoch[-1] >= fit.epochs:
            return epoch, loss
        return np.append(epoch, fit.epochs), np.append(loss, fit.loss)

    @property
    def gain(self) -> tuple[Array, Array]:
        """The share of all rows, from the highest scores, and the share of the positives that is among them."""
        curve, share = self.curves["roc"], self.positive_share
        found = curve["true_positive_rate"]
        return share * found + (1 - share) * curve["false_positive_rate"], found

    def scores(self, edges: Array) -> tuple[Array, Array]:
        """The share of the negatives, and of the positives, whose probability is in each bin (k,); edges (k + 1,)."""
        curve = self.curves["roc"]
        rates = curve["false_positive_rate"], curve["true_positive_rate"]
        negatives, positives = (np.histogram(curve["threshold"][1:], edges, weights=np.diff(rate))[0] for rate in rates)
        return negatives, positives


def largest_coefficients(content: bytes, limit: int = MAX_COEFFICIENTS) -> list[Coefficient]:
    """Of the bytes of a coefficients.csv the intercept, and those by which a standard deviation more changes the most."""
    rows = csv.DictReader(io.StringIO(content.decode(), newline=""))
    return [*islice(rows, 1), *nlargest(limit, rows, key=lambda row: abs(float(row["per_deviation"] or 0)))]
