"""What the report knows of one candidate: what the stages wrote of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.evaluation.comparison import Predictions
from pipeline.evaluation.figures import FigureContext
from pipeline.evaluation.metrics import OBJECTIVE
from pipeline.interval import Interval


@dataclass(frozen=True, kw_only=True)
class Evaluated(FigureContext):
    """One candidate: what figures are drawn from, and the rest. All but the predictions is as the stages wrote it."""

    intervals: Mapping[str, Any]  # intervals.json
    checks: Sequence[Mapping[str, Any]]  # as checks.json has them
    predictions: Predictions  # of the test table
    weights_digest: str  # SHA-256 of model.npz
    validation: Mapping[str, Any] = field(default_factory=dict)  # validation.json
    pictures: Mapping[str, bytes] = field(default_factory=dict)  # PNG files by their figure's name

    def test(self, metric: str) -> Interval:
        """A score on the test table."""
        return Interval.from_dict(self.intervals["test"][metric])

    def validated(self, metric: str) -> Interval | None:
        """A score's mean over rows that were held out, where there is one."""
        score = self.validation.get("scores", {}).get(metric)
        return Interval.from_dict(score) if score else None

    def check(self, name: str) -> Mapping[str, Any] | None:
        """Its entry in checks.json; None where that lacks it."""
        return next((entry for entry in self.checks if entry["name"] == name), None)

    @property
    def loss(self) -> float:
        """By which candidates are ordered; infinite where it is undefined."""
        value = self.test(OBJECTIVE).value
        return value if value == value else float("inf")
