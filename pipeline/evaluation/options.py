"""How models are measured: the section `evaluation` of a configuration."""

from dataclasses import dataclass

from pipeline.errors import ConfigError
from pipeline.evaluation.threshold import lacks_validation, parse_threshold
from pipeline.limits import check_at_least

NONE, HOLDOUT, CV = "none", "holdout", "cv"
WAYS = (NONE, HOLDOUT, CV)


@dataclass(frozen=True)
class EvaluationOptions:
    """A setting of a field changes no model, so none is part of a run's fingerprint.

    threshold: above which probability a row is predicted positive, a number from 0 to 1; or the rule that chooses it on
    validation rows: f1, youden, recall:R, precision:P or cost:{false_positive: A, false_negative: B}.
    """

    validation: str = NONE  # or holdout, on a fifth of the training rows, or cv, cross-validation of all of them
    folds: int = 5  # of cv
    repeats: int = 1  # of cv, each with other folds
    threshold: str | float = "0.5"
    reference: bool = False  # whether a gradient boosting is fitted, too, for the check `reference`

    def __post_init__(self) -> None:
        if self.validation not in WAYS:
            raise ConfigError(f"validation must be one of {', '.join(WAYS)}; got {self.validation}")
        check_at_least("folds", self.folds, 2)
        check_at_least("repeats", self.repeats, 1)
        if self.validation == HOLDOUT and self.repeats > 1:
            raise ConfigError(f"repeats must be 1 with validation={HOLDOUT}, which is one split; got {self.repeats}")
        object.__setattr__(self, "threshold", str(self.threshold).strip())  # 0.5 in YAML is a number
        parse_threshold(str(self.threshold))

    @property
    def chooses_threshold(self) -> bool:
        """Whether the threshold is a rule that chooses one, not a number."""
        return not isinstance(parse_threshold(str(self.threshold)), float)

    def require_validation(self) -> None:
        """Raise ConfigError where a threshold is to be chosen and no rows are held out for that.

        Of a whole section: a stage's file has some of its fields alone.
        """
        if self.validation == NONE and self.chooses_threshold:
            raise lacks_validation(str(self.threshold))
