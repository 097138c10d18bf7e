"""What a type of numbers does not tell apart."""

import numpy as np
from scipy.sparse import csr_array

from pipeline.learning.features import standardised
from pipeline.learning.precision import indistinct_columns


def test_a_column_that_float32_does_not_hold_is_found_and_no_other() -> None:
    rng = np.random.default_rng(0)
    flags, counts = rng.random(3000) < 0.01, rng.poisson(3, 3000)
    outlier, years = rng.standard_normal(3000), 2000 + rng.integers(0, 30, 3000)
    outlier[7] = 1e12
    X = np.c_[rng.standard_normal(3000) * 1e-30, flags, counts, outlier, years, 1.7e9 + rng.random(3000) * 1e4]
    _, mean, scale = standardised(X, np.float64)
    assert indistinct_columns(X, mean, scale, "float32") == [3]
    assert indistinct_columns(X, mean, scale, "float64") == []
    assert indistinct_columns(X, np.zeros(6), np.ones(6), "float32") == [5]
    X[7, 3] = 1e30
    _, mean, scale = standardised(X, np.float64)
    assert indistinct_columns(X, mean, scale, "float64") == [3]
    assert indistinct_columns(csr_array(X), mean, scale, "float32") == []
