"""What a setting may be, and the sentence for what it may not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.limits import check_at_least, check_fraction, check_not_negative, check_part, check_positive, check_seed

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("check", "allowed", "refused", "rule"),
    [
        (lambda v: check_positive("a", v), [1e-300, np.array([1.0, 2.0])], [0.0, -1.0, NAN, INF, np.array([1.0, 0.0])], "> 0"),
        (lambda v: check_not_negative("a", v), [0.0, 5], [-1e-300, NAN, INF], ">= 0 and finite"),
        (lambda v: check_at_least("a", v, 2), [2, 10**30], [1], ">= 2"),
        (lambda v: check_fraction("a", v), [0, 0.999, np.array([0.0, 0.5])], [1, -0.1, NAN, np.array([0.5, 1.0])], "in [0, 1)"),
        (lambda v: check_part("a", v), [1e-9, 0.999], [0.0, 1.0, NAN], "in (0, 1)"),
        (check_seed, [0, 2**32 - 1], [-1, 2**32], "in [0, 2^32)"),
    ],
)
def test_what_is_allowed_and_what_is_not(
    check: Callable[[Any], None], allowed: list[Any], refused: list[Any], rule: str
) -> None:
    for value in allowed:
        check(value)
    for value in refused:
        with pytest.raises(PipelineError) as error:
            check(value)
        name = "seed" if check is check_seed else "a"
        assert str(error.value).startswith(f"{name} must be {rule}")
        assert str(error.value).endswith(f"; got {value}")
