"""Which optimizer suits which data."""

import pytest

from pipeline.learning.optimizer import Optimizer
from pipeline.learning.optimizers.auto import Auto
from pipeline.learning.optimizers.lbfgs import LBFGS
from pipeline.learning.optimizers.newton import Newton


@pytest.mark.parametrize(
    ("n", "d", "sparse", "picked"),
    [
        (569, 30, False, Newton()),
        (300, 200, False, Newton()),
        (402, 201, False, Newton()),
        (401, 201, False, LBFGS()),
        (1000, 900, False, LBFGS()),
        (10**6, 1000, False, Newton()),
        (10**6, 1001, False, LBFGS()),
        (10**6, 30, True, LBFGS(diagonal=True)),
    ],
)
def test_auto_picks_by_rows_columns_and_sparsity(n: int, d: int, sparse: bool, picked: Optimizer) -> None:
    found = Auto(epochs=picked.epochs, tol=picked.tol).for_shape((n, d), sparse)
    assert found == picked
