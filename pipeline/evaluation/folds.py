"""Cross-validation: the rows of each fold, and the features that a fit gets of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array, Features
from pipeline.errors import DataError

Rows = NDArray[np.intp]
Fold = tuple[Rows, Rows]  # the rows that are trained on, and those that the model is measured on
FoldFeatures = Callable[[Rows, Rows], Features]  # (training rows, rows) -> X of the rows, by what the training rows say


def features_of(X: Features) -> FoldFeatures:
    """Those of a matrix, which is the same in every fold."""
    return lambda training_rows, rows: X[rows]


def stratified_folds(y: Array, count: int = 5, seed: int = 0, classes: tuple[Any, Any] = (0, 1)) -> list[Fold]:
    """Folds whose sizes, and whose numbers of rows of each class, differ by 1 at most; the rows in their order.

    classes: what y = 0 and y = 1 stand for. Raises DataError where a class has fewer rows than there are folds.
    """
    rng, fold_of, dealt = np.random.default_rng(seed), np.empty(len(y), np.intp), 0
    for label, name in enumerate(classes):
        rows = rng.permutation(np.flatnonzero(y == label))
        if len(rows) < count:
            raise DataError(f"{count}-fold cross-validation needs {count} training rows of each class; {name} has {len(rows)}")
        fold_of[rows] = (dealt + np.arange(len(rows))) % count
        dealt += len(rows)
    return [(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(count)]
