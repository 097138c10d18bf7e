"""The model as MLflow serves it: raw columns in, class and probability out. MLflow copies this file beside the weights and
runs it alone (models-from-code), so it imports nothing of the project.

MLflow is given no input schema: its enforcement refuses 64-bit integers, sparse matrices and CSV, and takes seconds for a row
of many columns. What may be given is checked here.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

KINDS = "biuf"  # of dtypes that hold real numbers
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)  # text that is taken as one
MOST_NAMES, MOST_LETTERS = 10, 60  # of columns and of a value, in an error


class LogisticRegression(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """p = sigmoid(((x - mean) / scale) . w + b), from model.json and model.npz."""

    def load_context(self, context: Any) -> None:
        self.about = json.loads(Path(context.artifacts["about"]).read_text(encoding="utf-8"))
        with np.load(context.artifacts["weights"]) as weights:
            self.weights = {name: weights[name].astype(np.float64) for name in weights.files}

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """model_input: a table, whose columns are found by their names, whatever their order and whatever stands beside them;
        or, by position, an array or a SciPy sparse matrix (n, d). Raises MLflow's error in one sentence."""
        features = self.about["features"]
        table = as_table(model_input, features)
        mean, scale, w, b = (self.weights[name] for name in ("mean", "scale", "w", "b"))
        if isinstance(table, pd.DataFrame):
            X = numbers_in(table)
            require_finite(X, table, features)
            with np.errstate(all="ignore"):  # an overflow shows in z
                z = (X - mean) / scale @ w + b
        else:
            require_finite_entries(table, features)
            with np.errstate(all="ignore"):
                z = table @ (w / scale) + (b - mean @ (w / scale))
        for row in np.flatnonzero(~np.isfinite(z))[:1]:
            raise refusal(f"every value must be a finite number; the log-odds of row {row} is {z[row]}")
        return pd.DataFrame(
            {
                "prediction": np.array(self.about["classes"])[(z > 0).astype(int)],
                "probability": np.exp(-np.logaddexp(0, -z)),
            },
            index=getattr(table, "index", None),
        )


def as_table(given: Any, features: Sequence[str]) -> Any:
    """A DataFrame of the features in their order, or a CSR matrix (n, d) of float64."""
    try:
        if hasattr(given, "to_pandas"):
            given = given.to_pandas()
        if isinstance(given, pd.DataFrame | pd.Series):
            return _chosen(pd.DataFrame(given), features)
        if hasattr(given, "tocsr"):  # SciPy's DOK is a mapping, too
            return _csr(given, features)
        if isinstance(given, Mapping) or (isinstance(given, list) and given and isinstance(given[0], Mapping)):
            return _chosen(_frame_of(given), features)
        if isinstance(given, np.ndarray | list):
            array = np.asanyarray(given)  # a masked one stays so
            _require_width(array.shape, features)
            return pd.DataFrame(array)
    except (ValueError, TypeError) as error:  # of pandas
        raise refusal(f"the input must make a table; {_cut(str(error).partition('.')[0])}") from None
    ways = f"a table with named columns, or an array or sparse matrix with {len(features)} columns"
    raise refusal(f"the input must be {ways}; got {_cut(type(given).__name__)}")


def _frame_of(given: Any) -> pd.DataFrame:
    """Of a mapping of columns, a list of rows that are mappings, or one such row."""
    if isinstance(given, Mapping):
        values = {name: value.item() if _is_cell(value) else value for name, value in given.items()}
        given = [values] if all(map(pd.api.types.is_scalar, values.values())) else values
    return pd.DataFrame(given)


def _is_cell(value: object) -> bool:
    """Whether a value is a number as MLflow's server gives it for one: an array of no dimension."""
    return isinstance(value, np.ndarray) and value.ndim == 0


def _chosen(frame: Any, features: Sequence[str]) -> Any:
    """The features among a frame's columns; where all are sparse, as a CSR matrix."""
    labels = frame.columns.tolist()
    if labels != features:
        frame = frame.iloc[:, _places([str(label) for label in labels], features)]  # as the table was read for training
    sparse = all(isinstance(kind, pd.SparseDtype) and kind.kind in "iuf" and kind.fill_value == 0 for kind in frame.dtypes)
    return _csr(frame.sparse.to_coo(), features) if sparse else frame


def _places(labels: Sequence[str], features: Sequence[str]) -> list[int]:
    """Where each feature is among the labels."""
    places = {label: i for i, label in enumerate(labels)}
    if lost := [name for name in features if name not in places]:
        raise refusal(f"the table must have every column that the model was trained on; it lacks {_listed(lost)}")
    if len(places) < len(labels):
        times = Counter(labels)
        if doubled := [name for name in features if times[name] > 1]:
            raise refusal(f"column names must be unique; the table repeats {_listed(doubled)}")
    return [places[name] for name in features]


def _csr(matrix: Any, features: Sequence[str]) -> Any:
    _require_width(matrix.shape, features)
    if matrix.dtype.kind not in KINDS:
        raise refusal(f"a sparse matrix must hold real numbers; got {matrix.dtype}")
    return matrix.tocsr().astype(np.float64, copy=False)


def _require_width(shape: Sequence[int], features: Sequence[str]) -> None:
    if len(shape) != 2 or shape[1] != len(features):
        raise refusal(f"an array or matrix must have 2 dimensions and {len(features)} columns; got the shape {tuple(shape)}")


def numbers_in(frame: Any) -> Any:
    """A frame's values (n, d) as float64; NaN for what is missing and for what is no number."""
    real = np.array([kind.kind in KINDS for kind in frame.dtypes], bool)
    with np.errstate(all="ignore"):  # too great for float64: infinite
        if real.all():
            X = frame.to_numpy(np.float64, na_value=np.nan)
            return np.ascontiguousarray(X)  # for the same bits, however the frame lies in memory
        X = np.empty(frame.shape)
        X[:, real] = frame.loc[:, real].to_numpy(np.float64, na_value=np.nan)
        for i in np.flatnonzero(~real):
            X[:, i] = [number(value) for value in frame.iloc[:, i]]
    return X


def number(value: object) -> float:
    """A cell as a number; NaN if it is none. Text is one where it is written as decimal digits, as in a CSV file."""
    is_number = isinstance(value, Real | Decimal | np.bool_) and not isinstance(value, np.timedelta64)
    if is_number or (isinstance(value, str) and NUMBER.fullmatch(value)):
        try:
            return float(value)  # type: ignore[arg-type]
        except (OverflowError, ValueError):  # an int beyond float64, a signalling NaN
            pass
    return np.nan


def require_finite(X: Any, frame: Any, features: Sequence[str]) -> None:
    """Name the first value, as the frame has it, to which there is no answer: missing, infinite or no number."""
    if not np.isfinite(X).all():
        row, column = np.argwhere(~np.isfinite(X))[0]
        raise refusal(_not_finite(features[column], row, frame.iat[row, column]))


def require_finite_entries(matrix: Any, features: Sequence[str]) -> None:
    """The same of a CSR matrix."""
    for entry in np.flatnonzero(~np.isfinite(matrix.data))[:1]:
        row = np.searchsorted(matrix.indptr, entry, side="right") - 1
        raise refusal(_not_finite(features[matrix.indices[entry]], row, matrix.data[entry]))


def _not_finite(name: str, row: int, value: object) -> str:
    shown = repr(value) if isinstance(value, str) else str(value)
    return f"every value must be a finite number; column {_cut(name)} in row {row} is {_cut(shown)}"


def _cut(text: str) -> str:
    """On one line, and not too long."""
    text = " ".join(text.split())
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}..."


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(map(_cut, names[:MOST_NAMES])) + more


def refusal(sentence: str) -> Exception:
    return MlflowException.invalid_parameter_value(sentence)  # type: ignore[no-any-return]


mlflow.models.set_model(LogisticRegression())
