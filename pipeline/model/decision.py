"""decision.json: above which probability a row is predicted positive, and how that threshold was chosen.

Rows are compared by their log-odds, in which two of them differ where both probabilities are rounded to 1.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np

from pipeline.arrays import Array
from pipeline.files import read_json
from pipeline.manifest import DECISION, EVALUATION, Manifest, read_evaluation
from pipeline.model.card import ModelCard, typed

GIVEN, VALIDATION = "given", "validation"
GREATEST = float(np.finfo(np.float64).max)  # stands for infinite log-odds, which JSON has not


@dataclass(frozen=True)
class Decision:
    """A row is predicted positive where its log-odds are above `log_odds`, those of the probability `threshold`."""

    threshold: float = 0.5
    log_odds: float = 0.0
    rule: str = "0.5"  # evaluation.threshold
    chosen_on: str = GIVEN
    rows: int = 0  # that it was chosen on
    reached: dict[str, float] = field(default_factory=dict)  # scores on these rows

    @classmethod
    def given(cls, threshold: float, rule: str) -> Self:
        """By a probability that the user has typed."""
        return cls(threshold, float(log_odds_of(threshold)), rule)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Raises ArtifactError unless it is a decision's."""
        return typed(cls, content)

    def to_dict(self) -> dict[str, Any]:
        """As decision.json has it: a threshold that was given has no rows, and no scores on them."""
        return {name: value for name, value in asdict(self).items() if value or name not in ("rows", "reached")}

    @property
    def is_constant(self) -> bool:
        """Whether all rows are predicted positive, or none."""
        return abs(self.log_odds) == GREATEST

    @property
    def sentence(self) -> str:
        """What is predicted positive, and why."""
        how = f"{self.rule}, chosen on {self.rows} validation rows" if self.chosen_on == VALIDATION else self.chosen_on
        if self.is_constant:
            return f"{'no' if self.threshold else 'every'} row is predicted positive, threshold {self.threshold:g} ({how})"
        return f"positive above p = {self.threshold:.4g} ({how})"


def log_odds_of(p: float | Array) -> Array:
    """Of probabilities, finite."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.nan_to_num(np.log(p) - np.log1p(-np.asarray(p))))


def read_decision(model: Manifest[ModelCard]) -> Decision:
    """That of a model's folder; 0.5 where the model was not evaluated. Raises ArtifactError where it is another model's."""
    return decision_of(read_evaluation(model)) if (model.path.parent / EVALUATION).exists() else Decision()


def decision_of(evaluation: Manifest[Any]) -> Decision:
    """The one that an evaluation was made with; 0.5 in one of a version that knew no other."""
    if DECISION not in evaluation.files:
        return Decision()
    return Decision.from_dict(read_json(evaluation.path.parent / DECISION, content=evaluation.read(DECISION)))
