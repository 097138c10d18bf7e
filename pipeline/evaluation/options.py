"""How models are measured: the section `evaluation` of a configuration."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EvaluationOptions:
    """A setting of a field changes no model, so none is part of a run's fingerprint."""

    reference: bool = False  # whether a gradient boosting is fitted, too, for the check `reference`
