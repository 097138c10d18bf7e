"""How models are measured: the section `evaluation` of a configuration."""

from dataclasses import dataclass

from pipeline.errors import ConfigError
from pipeline.limits import check_at_least

NONE, HOLDOUT, CV = "none", "holdout", "cv"
WAYS = (NONE, HOLDOUT, CV)


@dataclass(frozen=True)
class EvaluationOptions:
    """A setting of a field changes no model, so none is part of a run's fingerprint."""

    validation: str = NONE  # or holdout, on a fifth of the training rows, or cv, cross-validation of all of them
    folds: int = 5  # of cv
    repeats: int = 1  # of cv, each with other folds

    def __post_init__(self) -> None:
        if self.validation not in WAYS:
            raise ConfigError(f"validation must be one of {', '.join(WAYS)}; got {self.validation}")
        check_at_least("folds", self.folds, 2)
        check_at_least("repeats", self.repeats, 1)
        if self.validation == HOLDOUT and self.repeats > 1:
            raise ConfigError(f"repeats must be 1 with validation={HOLDOUT}, which is one split; got {self.repeats}")
