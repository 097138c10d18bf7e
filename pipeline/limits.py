"""Limits of settings: ConfigError in one sentence where a value is outside.

A hyperparameter may be an array (k,), a value a fit: see `pipeline.learning.batch`.
"""

from typing import Any

import numpy as np

from pipeline.errors import ConfigError


def check_positive(name: str, value: Any) -> None:
    if not (np.greater(value, 0) & np.isfinite(value)).all():
        raise ConfigError(f"{name} must be > 0 and finite; got {value}")


def check_not_negative(name: str, value: Any) -> None:
    if not (np.greater_equal(value, 0) & np.isfinite(value)).all():
        raise ConfigError(f"{name} must be >= 0 and finite; got {value}")


def check_at_least(name: str, value: int, least: int) -> None:
    if not value >= least:
        raise ConfigError(f"{name} must be >= {least}; got {value}")


def check_fraction(name: str, value: Any) -> None:
    if not (np.greater_equal(value, 0) & np.less(value, 1)).all():
        raise ConfigError(f"{name} must be in [0, 1); got {value}")


def check_part(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ConfigError(f"{name} must be in (0, 1); got {value}")


def check_seed(seed: int) -> None:
    """A seed that every generator of NumPy takes."""
    if not 0 <= seed < 2**32:
        raise ConfigError(f"seed must be in [0, 2^32); got {seed}")
