"""Data sources: one frozen dataclass each, whose fields are the schema of conf/data/<name>.yaml.

A source loads features and labels and splits them into a training and a test part.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.numerics import InvalidInput, require
from pipeline.numerics.matrix import Array, Features

if TYPE_CHECKING:
    import pandas as pd

Label = bool | int | float | str


@dataclass(frozen=True)
class Part:
    """Features X (n, d) float64 as read, an array or SciPy's CSR, and labels y (n,) float64 in {0, 1}."""

    X: Features
    y: Array


@dataclass(frozen=True)
class Dataset:
    """A training and a test part, and what their numbers mean: classes[1] is the one with y = 1."""

    features: list[str]
    target: str
    classes: tuple[Label, Label]
    train: Part
    test: Part


class Source(Protocol):
    """What `generate` needs of a data source."""

    def load(self) -> Dataset:
        """Read and split. Raises InvalidInput where the data cannot be used."""


@dataclass(frozen=True)
class Document:
    """The textbook's points: standard normal, labelled by sigmoid(2 x1 - 3 x2 + 0.5) > 0.5.

    The training rows are NumPy's legacy stream at `seed`; the test rows are the next ones of the same stream.
    """

    rows: int = 1000
    test_rows: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.rows >= 2, f"rows must be >= 2; got {self.rows}")
        require(self.test_rows >= 2, f"test_rows must be >= 2; got {self.test_rows}")
        _check_seed(self.seed)

    def load(self) -> Dataset:
        X = np.random.RandomState(self.seed).randn(self.rows + self.test_rows, 2)
        y = (X @ np.array([2.0, -3.0]) + 0.5 > 0).astype(np.float64)
        train, test = Part(X[: self.rows], y[: self.rows]), Part(X[self.rows :], y[self.rows :])
        for name, part in (("training", train), ("test", test)):
            require(len(np.unique(part.y)) == 2, f"the {name} rows drawn are all of one class; take more rows or another seed")
        return Dataset(["x1", "x2"], "label", (0, 1), train, test)


@dataclass(frozen=True)
class BreastCancer:
    """scikit-learn's copy of the Wisconsin diagnostic data, 569 x 30; the positive class is benign, as there."""

    test_fraction: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        _check_seed(self.seed)
        _check_fraction(self.test_fraction)

    def load(self) -> Dataset:
        from sklearn.datasets import load_breast_cancer

        bunch = load_breast_cancer()
        names = [str(name) for name in bunch.feature_names]
        whole = Part(bunch.data, bunch.target.astype(np.float64))
        train, test = split(whole, self.test_fraction, self.seed)
        return Dataset(names, "diagnosis", ("malignant", "benign"), train, test)


@dataclass(frozen=True)
class Table:
    """A user's CSV or Parquet file: numeric columns and a target with two values.

    The class with y = 1 is `positive`, or by default the second in sorted order (1 of {0, 1}, "yes" of {"no", "yes"}).
    """

    path: str = ""
    target: str = ""
    positive: Any = None
    test_fraction: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.path != "", "path must name a .csv or .parquet file; set data.path=FILE")
        require(Path(self.path).suffix in (".csv", ".parquet"), f"path must end in .csv or .parquet; got {self.path}")
        require(self.target != "", "target must name the column to predict; set data.target=COLUMN")
        _check_seed(self.seed)
        _check_fraction(self.test_fraction)

    def load(self) -> Dataset:
        frame = self._read()
        frame.columns = columns = [str(column) for column in frame.columns]
        where = f"in {self.path}"
        require(self.target in columns, f"there is no column {self.target} {where}; its columns are {', '.join(columns)}")
        require(len(frame) > 0, f"there are no rows {where}")
        features = [column for column in columns if column != self.target]
        require(len(features) > 0, f"there is no column beside the target {self.target} {where}")
        _require_numeric(frame[features], where)
        y, classes = self._labels(frame[self.target], where)
        X = frame[features].to_numpy(np.float64)
        train, test = split(Part(X, y), self.test_fraction, self.seed)
        return Dataset(features, self.target, classes, train, test)

    def _read(self) -> "pd.DataFrame":
        import pandas as pd

        require(Path(self.path).is_file(), f"data.path must name a file; there is none at {self.path}")
        try:
            if self.path.endswith(".csv"):
                frame, names = pd.read_csv(self.path), pd.read_csv(self.path, header=None, nrows=1, dtype=str).iloc[0]
            else:
                frame = pd.read_parquet(self.path)
                names = pd.Series(frame.columns)
        except (ValueError, OSError) as error:
            raise InvalidInput(
                f"{self.path} could not be read as {Path(self.path).suffix[1:]}: {str(error).splitlines()[0]}"
            ) from None
        doubled = ", ".join(map(str, names[names.duplicated()]))
        require(not doubled, f"column names must be unique; {self.path} repeats {doubled}")
        return frame

    def _labels(self, column: "pd.Series[Any]", where: str) -> tuple[Array, tuple[Label, Label]]:
        missing = int(column.isna().sum())
        require(missing == 0, f"the target {self.target} {where} must have a value in every row; {missing} are missing")
        try:
            values = column.unique().tolist()
        except TypeError:  # lists
            values = column.tolist()
        other = next((value for value in values if not _is_label(value)), None)
        require(
            other is None, f"the target {self.target} {where} must be text, true or false, or numbers of 64 bits; got {other}"
        )
        found = sorted(values, key=lambda v: (str(type(v)), v))
        shown = ", ".join(str(v) for v in found[:5]) + (", ..." if len(found) > 5 else "")
        require(len(found) == 2, f"the target {self.target} {where} must have two classes; got {len(found)}: {shown}")
        positive = found[1]
        if self.positive is not None:
            chosen = [v for v in found if v == self.positive or str(v) == str(self.positive)]
            require(len(chosen) == 1, f"data.positive must be one of {shown}; got {self.positive}")
            positive = chosen[0]
        negative = found[0] if positive == found[1] else found[1]
        return (column == positive).to_numpy(np.float64), (negative, positive)


@dataclass(frozen=True)
class Svmlight:
    """A file in the svmlight (libsvm) format: a label and the entries that are not zero, by column, on each line. Stays sparse.

    Columns count from 1 or, where the file has a column 0, from 0; the first is called x0. The class with y = 1 is the greater.
    """

    path: str = ""
    columns: int = 0
    test_fraction: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.path != "", "path must name a file in the svmlight format; set data.path=FILE")
        require(self.columns >= 0, f"columns must be >= 0 (0: as many as the file has); got {self.columns}")
        _check_seed(self.seed)
        _check_fraction(self.test_fraction)

    def load(self) -> Dataset:
        from scipy.sparse import csr_array
        from sklearn.datasets import load_svmlight_file

        require(Path(self.path).is_file(), f"data.path must name a file; there is none at {self.path}")
        try:
            X, labels = load_svmlight_file(self.path, n_features=self.columns or None)
        except (ValueError, IndexError, OverflowError) as error:
            raise InvalidInput(f"{self.path} could not be read as svmlight: {str(error).splitlines()[0]}") from None
        require(len(labels) > 0, f"there are no rows in {self.path}")
        require(bool(np.isfinite(X.data).all() and np.isfinite(labels).all()), f"every number in {self.path} must be finite")
        classes = np.unique(labels).tolist()
        shown = ", ".join(f"{label:g}" for label in classes[:5])
        require(len(classes) == 2, f"the labels in {self.path} must be of two classes; got {len(classes)}: {shown}")
        whole = Part(csr_array(X), (labels == classes[1]).astype(np.float64))
        train, test = split(whole, self.test_fraction, self.seed)
        return Dataset([f"x{i}" for i in range(X.shape[1])], "label", (classes[0], classes[1]), train, test)


def _require_numeric(frame: "pd.DataFrame", where: str) -> None:
    from pandas.api.types import is_numeric_dtype

    text = [str(name) for name, dtype in frame.dtypes.items() if not is_numeric_dtype(dtype)]
    require(not text, f"columns must be numeric {where}; these are not: {', '.join(text)}")
    missing = [str(name) for name in frame.columns[frame.isna().any()]]
    require(not missing, f"columns must have no missing values {where}; these have some: {', '.join(missing)}")
    infinite = [str(name) for name in frame.columns if np.isinf(frame[name].to_numpy(np.float64)).any()]
    require(not infinite, f"columns must be finite {where}; these are not everywhere: {', '.join(infinite)}")


def _is_label(value: object) -> bool:
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, str) or (isinstance(value, float) and bool(np.isfinite(value)))


def _check_seed(seed: int) -> None:
    require(0 <= seed < 2**32, f"seed must be in [0, 2^32); got {seed}")


def _check_fraction(fraction: float) -> None:
    require(0 < fraction < 1, f"test_fraction must be in (0, 1); got {fraction}")


def split(whole: Part, test_fraction: float, seed: int) -> tuple[Part, Part]:
    """A seeded, stratified split into training and test part; within each the rows keep their order. Which class is 1 plays no
    part in it.

    Each class sends round(test_fraction * its rows) to the test part, at least one and not all. Raises InvalidInput where a
    class has a single row.
    """
    rng = np.random.default_rng(seed)
    chosen: list[NDArray[np.intp]] = []
    for label in (whole.y[0], 1 - whole.y[0]):
        rows = np.flatnonzero(whole.y == label)
        require(len(rows) >= 2, f"each class must have at least 2 rows to be split into training and test; one has {len(rows)}")
        size = min(max(round(test_fraction * len(rows)), 1), len(rows) - 1)
        chosen.append(rng.permutation(rows)[:size])
    test = np.zeros(len(whole.y), bool)
    test[np.concatenate(chosen)] = True
    return Part(whole.X[~test], whole.y[~test]), Part(whole.X[test], whole.y[test])


SOURCES: dict[str, type[Source]] = {"document": Document, "breast_cancer": BreastCancer, "table": Table, "svmlight": Svmlight}
