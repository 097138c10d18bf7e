"""How models are measured: the section `evaluation` of a configuration."""

from dataclasses import dataclass

from pipeline.evaluation.threshold import parse_threshold


@dataclass(frozen=True)
class EvaluationOptions:
    """A setting of a field changes no model, so none is part of a run's fingerprint.

    threshold: above which probability a row is predicted positive, a number from 0 to 1; or the rule that chooses it on
    validation rows: f1, youden, recall:R, precision:P or cost:{false_positive: A, false_negative: B}.
    """

    threshold: str | float = "0.5"

    def __post_init__(self) -> None:
        object.__setattr__(self, "threshold", str(self.threshold).strip())  # 0.5 in YAML is a number
        parse_threshold(str(self.threshold))
