"""What the report knows of one candidate: what the stages wrote of it."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from itertools import islice
from typing import Any

from pipeline.evaluation.comparison import Predictions
from pipeline.evaluation.metrics import OBJECTIVE
from pipeline.files import Table
from pipeline.interval import Interval
from pipeline.model.card import ModelCard
from pipeline.model.decision import Decision

MAX_COEFFICIENTS = 20  # of one candidate, that are shown at first
Coefficient = Mapping[str, str]  # a row of coefficients.csv


@dataclass(frozen=True)
class Evaluated:
    """One candidate, from its files. Everything but the predictions is as the stages wrote it."""

    card: ModelCard
    decision: Decision
    metrics: Mapping[str, float]
    intervals: Mapping[str, Any]  # intervals.json
    checks: Sequence[Mapping[str, Any]]  # as checks.json has them
    curves: Mapping[str, Table]  # by the names of CURVES
    history: Table
    predictions: Predictions  # of the test table
    weights_digest: str  # SHA-256 of model.npz
    validation: Mapping[str, Any] = field(default_factory=dict)  # validation.json
    coefficients: Sequence[Coefficient] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict)  # PNG files by their figure's name

    def test(self, metric: str) -> Interval:
        """A score on the test table."""
        return Interval.from_dict(self.intervals["test"][metric])

    def validated(self, metric: str) -> Interval | None:
        """A score's mean over rows that were held out, where there is one."""
        score = self.validation.get("scores", {}).get(metric)
        return Interval.from_dict(score) if score else None

    @property
    def loss(self) -> float:
        """By which candidates are ordered; infinite where it is undefined."""
        value = self.test(OBJECTIVE).value
        return value if value == value else float("inf")


def largest_coefficients(content: bytes, limit: int = MAX_COEFFICIENTS) -> list[Coefficient]:
    """Of the bytes of a coefficients.csv the intercept, and those by which a standard deviation more changes the most."""
    rows = csv.DictReader(io.StringIO(content.decode(), newline=""))
    return [*islice(rows, 1), *nlargest(limit, rows, key=lambda row: abs(float(row["per_deviation"] or 0)))]
