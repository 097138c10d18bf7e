"""The points of the textbook's document, which the project's numbers are compared with."""

from dataclasses import dataclass

import numpy as np

from pipeline.data.dataset import Dataset, Split
from pipeline.errors import ConfigError, DataError
from pipeline.limits import check_at_least, check_seed

MAX_ROWS = 10**12  # that NumPy can be asked for


@dataclass(frozen=True)
class Textbook:
    """The textbook's points: standard normal, labelled by sigmoid(2 x1 - 3 x2 + 0.5) > 0.5.

    The training rows are NumPy's legacy stream at `seed`; the test rows are the next ones of the same stream.
    """

    rows: int = 1000
    test_rows: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least("rows", self.rows, 2)
        check_at_least("test_rows", self.test_rows, 2)
        if (total := self.rows + self.test_rows) > MAX_ROWS:
            raise ConfigError(f"rows and test_rows must be at most {MAX_ROWS:,} together; got {total}")
        check_seed(self.seed)

    def load(self) -> Dataset:
        X = np.random.RandomState(self.seed).randn(self.rows + self.test_rows, 2)
        y = (X @ np.array([2.0, -3.0]) + 0.5 > 0).astype(np.float64)
        train, test = Split(X[: self.rows], y[: self.rows]), Split(X[self.rows :], y[self.rows :])
        for name, part in (("training", train), ("test", test)):
            if len(np.unique(part.y)) != 2:
                raise DataError(f"the {name} rows drawn are all of one class; take more rows or another seed")
        return Dataset(["x1", "x2"], "label", (0, 1), train, test)
