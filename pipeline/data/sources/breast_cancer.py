"""The Wisconsin diagnostic breast cancer data, as scikit-learn ships them."""

from dataclasses import dataclass

import numpy as np

from pipeline.data.dataset import Dataset, Split, split
from pipeline.limits import check_part, check_seed


@dataclass(frozen=True)
class BreastCancer:
    """scikit-learn's copy of the Wisconsin diagnostic data, 569 x 30; the positive class is benign, as there."""

    test_fraction: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_part("test_fraction", self.test_fraction)

    def load(self) -> Dataset:
        from sklearn.datasets import load_breast_cancer

        bunch = load_breast_cancer()
        names = [str(name) for name in bunch.feature_names]
        train, test = split(Split(bunch.data, bunch.target.astype(np.float64)), self.test_fraction, self.seed)
        return Dataset(names, "diagnosis", ("malignant", "benign"), train, test)
