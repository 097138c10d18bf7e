"""The problems of the comparison, each seeded: X, y and the strength l2 of `mean log loss + l2/2 ||w||^2`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pipeline.arrays import Array, Features
from pipeline.model.predictor import probability

SCALING = 100.0  # of the column that stands for an intercept where a solver would penalise it


@dataclass(frozen=True, eq=False)
class Problem:
    """X (n, d), y (n,) in {0, 1} of X's dtype; with the other forms of X that solvers take, made once."""

    X: Features
    y: Array

    @property
    def l2(self) -> float:
        """scikit-learn's C = 1."""
        return 1 / int(self.X.shape[0])

    @cached_property
    def by_columns(self) -> Any:
        """X, as CSC where it is sparse."""
        from scipy.sparse import csc_matrix

        return self.X if isinstance(self.X, np.ndarray) else csc_matrix(self.X)

    @cached_property
    def with_intercept(self) -> Any:
        """[X, SCALING], for solvers that fit no intercept; sparse as CSC."""
        column = np.full((self.X.shape[0], 1), SCALING, self.X.dtype)
        if isinstance(self.X, np.ndarray):
            return np.asfortranarray(np.hstack([self.X, column]))
        from scipy.sparse import csc_matrix, hstack

        return csc_matrix(hstack([self.X, column]))


def _labels(z: Array, rng: np.random.Generator, dtype: Any) -> Array:
    return (rng.random(len(z)) < probability(z.astype(np.float64))).astype(dtype)


def tall() -> Problem:
    """1e6 x 100 float32, standard normal, noisy labels."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1_000_000, 100), dtype=np.float32)
    return Problem(X, _labels(X @ (rng.standard_normal(100, dtype=np.float32) * 0.2) - 0.5, rng, np.float32))


def scaled() -> Problem:
    """1e5 x 20 float64, correlated, columns of scales 1e-3 to 1e3."""
    rng = np.random.default_rng(1)
    mixed = rng.standard_normal((100_000, 20)) @ rng.standard_normal((20, 20))
    scales = np.logspace(-3, 3, 20)
    return Problem(mixed * scales, _labels(mixed @ rng.standard_normal(20) * 0.2, rng, np.float64))


def cancer_raw() -> Problem:
    """Breast cancer, 569 x 30, as it is."""
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    return Problem(X, y.astype(np.float64))


def cancer() -> Problem:
    """Breast cancer, 569 x 30, standardised."""
    raw = cancer_raw()
    assert isinstance(raw.X, np.ndarray)
    return Problem((raw.X - raw.X.mean(axis=0)) / raw.X.std(axis=0), raw.y)


def square() -> Problem:
    """5000 x 5000 float32, standard normal."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((5000, 5000), dtype=np.float32)
    return Problem(X, _labels(X @ (rng.standard_normal(5000, dtype=np.float32) * 0.03), rng, np.float32))


def sparse() -> Problem:
    """1e6 x 1e5 float32 in CSR, 40 entries a row, columns drawn with a heavy tail."""
    from scipy.sparse import csr_array

    rng = np.random.default_rng(3)
    n, d, a_row = 1_000_000, 100_000, 40
    columns = np.minimum(rng.pareto(1.0, n * a_row) * 20, d - 1).astype(np.int32)
    values = np.abs(rng.standard_normal(n * a_row, dtype=np.float32))
    X = csr_array((values, columns, np.arange(0, n * a_row + 1, a_row, dtype=np.int32)), shape=(n, d))
    X.sum_duplicates()
    weights = rng.standard_normal(d, dtype=np.float32)
    return Problem(X, _labels(X @ weights * 0.1, rng, np.float32))


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "dense 1e6 x 100": tall,
    "dense 1e5 x 20, ill-scaled": scaled,
    "breast cancer, raw": cancer_raw,
    "breast cancer, standardised": cancer,
    "dense 5000 x 5000": square,
    "sparse 1e6 x 1e5": sparse,
}
