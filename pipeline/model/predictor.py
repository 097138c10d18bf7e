"""Predictions from raw columns, the only implementation: what may be given, and what is said of what may not.

A logged model carries this file unchanged, so it imports nothing of the project. What MLflow could enforce by an input schema
is checked here: its enforcement refuses 64-bit integers, sparse matrices and CSV, and takes seconds for a row of many columns.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

KINDS = "biuf"  # of dtypes that hold real numbers
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)  # text that is taken as one
MAX_NAMES, MAX_VALUE = 10, 60  # columns, and letters of a value, in an error
BLOCK_VALUES = 1 << 20  # that are checked at a time
Arrays = Mapping[str, NDArray[Any]]


class PredictionError(ValueError):
    """There is no prediction for what was given. The message is one sentence."""


@dataclass(frozen=True)
class Predictor:
    """A model that was read from its files. formula: `log_odds` of the model's module."""

    features: Sequence[str]
    classes: Sequence[Any]  # classes[1] is the one with log-odds > 0
    arrays: Arrays
    formula: Callable[[Arrays, Any], NDArray[np.float64]]

    def predict(self, table: Any) -> "pd.DataFrame":
        """The columns prediction and probability (of classes[1]), with the index of a table that has one."""
        import pandas as pd

        values, index = self._values(table)
        z = self._log_odds(values)
        return pd.DataFrame({"prediction": self.decide(z), "probability": probability(z)}, index=index)

    def log_odds(self, table: Any) -> NDArray[np.float64]:
        """z (n,) of a table, whose columns are found by their names, in any order and with any others beside them; or, by
        position, of an array or a SciPy sparse matrix (n, d). Raises PredictionError."""
        return self._log_odds(self._values(table)[0])

    def decide(self, z: NDArray[Any]) -> NDArray[Any]:
        """The class (n,) of each row, from its log-odds."""
        return np.array(self.classes)[(z > 0).astype(int)]

    def _log_odds(self, X: Any) -> NDArray[np.float64]:
        with np.errstate(all="ignore"):  # an overflow shows in z
            z = self.formula(self.arrays, X)
        for row in np.flatnonzero(~np.isfinite(z))[:1]:
            raise PredictionError(f"every value must be a finite number; the log-odds of row {row} is {z[row]}")
        return z

    def _values(self, table: Any) -> tuple[Any, Any]:
        """Finite values (n, d), as float64 or in CSR format, and the table's index."""
        if isinstance(table, np.ndarray) and not isinstance(table, np.ma.MaskedArray) and table.dtype.kind in KINDS:
            _require_width(table.shape, self.features)
            _require_finite(table, table, self.features)
            return table, None
        if hasattr(table, "tocsr"):  # before mappings, which SciPy's DOK is one of
            return _csr(table, self.features), None
        frame = _as_table(table, self.features)
        if _is_sparse(frame):
            return _csr(frame.sparse.to_coo(), self.features), frame.index
        X = _numbers_in(frame)
        _require_finite(X, frame.iat, self.features)
        return X, frame.index


def probability(z: NDArray[Any]) -> NDArray[Any]:
    """p = 1 / (1 + exp(-z)), accurate for every z: exp overflows only where p is 0."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-z))


def _as_table(given: Any, features: Sequence[str]) -> Any:
    """A DataFrame of the features in their order."""
    import pandas as pd

    try:
        if hasattr(given, "to_pandas"):
            given = given.to_pandas()
        if isinstance(given, pd.DataFrame | pd.Series):
            return _select(pd.DataFrame(given), features)
        if isinstance(given, Mapping) or (isinstance(given, list) and given and isinstance(given[0], Mapping)):
            return _select(_frame_of(given), features)
        if isinstance(given, np.ndarray | list):
            array = np.asanyarray(given)  # a masked one stays so
            _require_width(array.shape, features)
            return pd.DataFrame(array)
    except PredictionError:
        raise
    except (ValueError, TypeError) as error:  # of pandas
        raise PredictionError(f"the input must make a table; {_cut(str(error).partition('.')[0])}") from None
    ways = f"a table with named columns, or an array or sparse matrix with {len(features)} columns"
    raise PredictionError(f"the input must be {ways}; got {_cut(type(given).__name__)}")


def _frame_of(given: Any) -> Any:
    """A DataFrame of a mapping of columns, a list of rows that are mappings, or one such row."""
    import pandas as pd

    if isinstance(given, Mapping):
        # a number from MLflow's server is an array of no dimension
        values = {name: value.item() if getattr(value, "shape", None) == () else value for name, value in given.items()}
        given = [values] if all(map(pd.api.types.is_scalar, values.values())) else values
    return pd.DataFrame(given)


def _select(frame: Any, features: Sequence[str]) -> Any:
    """The features among a frame's columns."""
    labels = frame.columns.tolist()
    if labels == features:
        return frame
    return frame.iloc[:, _positions([str(label) for label in labels], features)]  # names as the training table's were read


def _is_sparse(frame: Any) -> bool:
    import pandas as pd

    return all(isinstance(kind, pd.SparseDtype) and kind.kind in "iuf" and kind.fill_value == 0 for kind in frame.dtypes)


def _positions(labels: Sequence[str], features: Sequence[str]) -> list[int]:
    """Where each feature is among the labels."""
    positions = {label: i for i, label in enumerate(labels)}
    if missing := [name for name in features if name not in positions]:
        raise PredictionError(f"the table must have every column that the model was trained on; it lacks {_join(missing)}")
    if len(positions) < len(labels):
        times = Counter(labels)
        if repeated := [name for name in features if times[name] > 1]:
            raise PredictionError(f"column names must be unique; the table repeats {_join(repeated)}")
    return [positions[name] for name in features]


def _csr(matrix: Any, features: Sequence[str]) -> Any:
    """Any of SciPy's formats as CSR (n, d) of float64, its entries finite."""
    _require_width(matrix.shape, features)
    if matrix.dtype.kind not in KINDS:
        raise PredictionError(f"a sparse matrix must hold real numbers; got {matrix.dtype}")
    X = matrix.tocsr().astype(np.float64, copy=False)
    for entry in np.flatnonzero(~np.isfinite(X.data))[:1]:
        row = np.searchsorted(X.indptr, entry, side="right") - 1
        raise _not_finite(features[X.indices[entry]], int(row), X.data[entry])
    return X


def _require_width(shape: Sequence[int], features: Sequence[str]) -> None:
    if len(shape) != 2 or shape[1] != len(features):
        needed = f"an array or matrix must have 2 dimensions and {len(features)} columns"
        raise PredictionError(f"{needed}; got the shape {tuple(shape)}")


def _numbers_in(frame: Any) -> NDArray[np.float64]:
    """A frame's values (n, d); NaN for what is missing and for what is no number."""
    real = np.array([kind.kind in KINDS for kind in frame.dtypes], bool)
    with np.errstate(all="ignore"):  # too great for float64: infinite
        if real.all():
            X = frame.to_numpy(np.float64, na_value=np.nan)
            return np.ascontiguousarray(X)  # for the same bits, however the frame lies in memory
        X = np.empty(frame.shape)
        X[:, real] = frame.loc[:, real].to_numpy(np.float64, na_value=np.nan)
        for i in np.flatnonzero(~real):
            X[:, i] = [_number(value) for value in frame.iloc[:, i]]
    return X


def _number(value: object) -> float:
    """A cell as a number; NaN if it is none. Text is one where it is written as decimal digits, as in a CSV file."""
    is_number = isinstance(value, Real | Decimal | np.bool_) and not isinstance(value, np.timedelta64)
    if is_number or (isinstance(value, str) and NUMBER.fullmatch(value)):
        try:
            return float(value)  # type: ignore[arg-type]
        except (OverflowError, ValueError):  # an int beyond float64, a signalling NaN
            pass
    return np.nan


def _require_finite(X: NDArray[Any], cells: Any, features: Sequence[str]) -> None:
    """Name the first value, as it was given in cells[row, column], that is missing, infinite or no number."""
    step = max(1, BLOCK_VALUES // max(1, X.shape[1]))
    for start in range(0, len(X), step):
        is_finite = np.isfinite(X[start : start + step])
        if not is_finite.all():
            row, column = np.argwhere(~is_finite)[0]
            raise _not_finite(features[column], start + row, cells[start + row, column])


def _not_finite(name: str, row: int, value: object) -> PredictionError:
    shown = repr(value) if isinstance(value, str) else str(value)
    return PredictionError(f"every value must be a finite number; column {_cut(name)} in row {row} is {_cut(shown)}")


def _cut(text: str) -> str:
    """On one line, and not too long."""
    text = " ".join(text.split())
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}..."


def _join(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(map(_cut, names[:MAX_NAMES])) + more
