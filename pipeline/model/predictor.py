"""Predictions from raw columns, the only implementation: what may be given, and what is said of what may not.

A logged model carries this file unchanged, so it imports nothing of the project but what is beside it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .columns import KINDS, TYPES, Cells, Column, InvalidCell, PredictionError, cut, number, positions_of, read_cells
from .encoder import Encoder

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PredictionError", "Predictor", "probability"]

BLOCK_VALUES = 1 << 20  # that are checked or encoded at a time
MAX_WRONG = 3  # columns in an error
Arrays = Mapping[str, NDArray[Any]]
Formula = Callable[[Arrays, Any], NDArray[np.float64]]
Observer = Callable[[Mapping[str, Cells]], None]  # of the cells of some rows, by column


@dataclass(frozen=True)
class Predictor:
    """A model that was read from its files. formula: `log_odds` of the model's module.

    features: the names of the columns of X, on which the formula works. With an encoder, X is made of a table's `columns`.
    """

    features: Sequence[str]
    classes: Sequence[Any]  # the log-odds are of classes[1]
    arrays: Arrays
    formula: Formula
    columns: Sequence[Column] = ()
    encoder: Encoder | None = None
    missing_values: Sequence[str] = ()  # texts in a table that stand for a missing value
    cut: float = 0.0  # the log-odds above which a row is predicted to be of classes[1]

    @classmethod
    def from_card(cls, card: Mapping[str, Any], arrays: Arrays, formula: Formula, cut: float = 0.0) -> "Predictor":
        """Of a model's card, as JSON has it."""
        encoder = None if card["encoder"] is None else Encoder.from_list(card["encoder"])
        columns = [Column(**each) for each in card["columns"]]
        return cls(card["features"], card["classes"], arrays, formula, columns, encoder, card["missing_values"], cut)

    @property
    def names(self) -> Sequence[str]:
        """The columns that a table must have."""
        return self.features if self.encoder is None else [column.name for column in self.columns]

    def check_names(self, names: Sequence[str]) -> None:
        """Raise PredictionError unless these are the names of a table that can be predicted."""
        positions_of(self.names, names)

    def predict(self, table: Any, first: int = 0, observer: Observer | None = None) -> "pd.DataFrame":
        """The columns prediction and probability (of classes[1]), with the index of a table that has one.

        first, observer: see `log_odds`.
        """
        import pandas as pd

        z = self.log_odds(table, first, observer)
        index = table.index if isinstance(table, pd.DataFrame | pd.Series) and len(table) == len(z) else None
        return pd.DataFrame({"prediction": self.decide(z), "probability": probability(z)}, index=index)

    def log_odds(self, table: Any, first: int = 0, observer: Observer | None = None) -> NDArray[np.float64]:
        """z (n,) of a table, whose columns are found by their names, in any order and with any others beside them; or, by
        position, of an array or a SciPy sparse matrix (n, d) of numbers. first: the number of its first row, for an error.
        observer: gets the cells that an encoder gets. Raises PredictionError."""
        if self.encoder is None:
            return self.of_features(_values(table, self.features, first), first)
        parts = [self.of_features(X, start) for start, X in self.encoded(table, first, observer)]
        return np.concatenate(parts) if parts else np.empty(0)

    def decide(self, z: NDArray[Any]) -> NDArray[Any]:
        """The class (n,) of each row, from its log-odds."""
        return np.array(self.classes)[(z > self.cut).astype(int)]

    def of_features(self, X: Any, first: int = 0) -> NDArray[np.float64]:
        """z (n,) of X, whose columns are the features. first: the number of its first row, for an error."""
        with np.errstate(all="ignore"):  # an overflow shows in z
            z = self.formula(self.arrays, X)
        for row in np.flatnonzero(~np.isfinite(z))[:1]:
            raise PredictionError(f"every value must be a finite number; the log-odds of row {first + row} is {z[row]}")
        return z

    def encoded(self, table: Any, first: int = 0, observer: Observer | None = None) -> Iterator[tuple[int, Any]]:
        """X of blocks of a table's rows, each with the number of its first row; that of the table is `first`."""
        assert self.encoder
        rows, given = _columns_of(table, self.columns)
        step = max(1, BLOCK_VALUES // max(1, len(self.columns)))
        for start in range(0, rows, step):
            size = min(step, rows - start)
            part = [_slice(values, start, size) for values in given]
            cells = self._read(part, first + start)
            if observer:
                observer(cells)
            yield first + start, self.encoder.encode(cells, size)

    def _read(self, given: Sequence[Any], first: int) -> dict[str, Cells]:
        """The cells of some rows by column. Raises PredictionError that names columns of another type, and the first row."""
        cells, wrong = dict[str, Cells](), list[str]()
        for column, values in zip(self.columns, given, strict=True):
            try:
                cells[column.name] = read_cells(column, values, self.missing_values)
            except InvalidCell as error:
                shown = repr(error.value) if isinstance(error.value, str) else str(error.value)
                where = f"in row {first + error.row} it is {cut(shown)}"
                wrong.append(f"column {cut(column.name)} must be {TYPES[column.type]}, {where}")
        if wrong:
            left = len(wrong) - MAX_WRONG
            more = f"; so {'is 1 more column' if left == 1 else f'are {left} more columns'}" if left > 0 else ""
            raise PredictionError(f"{'; '.join(wrong[:MAX_WRONG])}{more}")
        return cells


def probability(z: NDArray[Any]) -> NDArray[Any]:
    """p = 1 / (1 + exp(-z)). NumPy's exp has other bits on other processors, and in a server, where no kernels are pinned."""
    from scipy.special import expit

    return np.asarray(expit(z))


def _columns_of(given: Any, columns: Sequence[Column]) -> tuple[int, list[Any]]:
    """How many rows a table has, and its columns that are wanted, each of any type that can be sliced."""
    import pandas as pd

    names = [column.name for column in columns]
    if hasattr(given, "column_names"):  # pyarrow's
        return given.num_rows, [given.column(i) for i in positions_of(names, given.column_names)]
    if isinstance(given, pd.Series):  # a row of a frame, or a column
        given = given.to_frame().T if {*names} <= {*given.index} else given.to_frame()
    if isinstance(given, pd.DataFrame):
        found = positions_of(names, [str(label) for label in given.columns.tolist()])
        return len(given), [given.iloc[:, i] for i in found]
    if isinstance(given, list) and given and all(isinstance(row, Mapping) for row in given):
        positions_of(names, list({str(name): None for row in given for name in row}))
        return len(given), [[row.get(name) for row in given] for name in names]
    if isinstance(given, Mapping) and not hasattr(given, "tocsr"):
        positions_of(names, [str(name) for name in given])
        return _same_length([_as_list(given[name]) for name in names])
    if all(column.kind in ("number", "boolean") for column in columns) and (array := _as_array(given)) is not None:
        _require_width(array.shape, names)
        return len(array), list(array.T)
    raise PredictionError(f"the input must be a table with named columns; got {cut(type(given).__name__)}")


def _as_array(given: Any) -> NDArray[Any] | None:
    """Cells by position; None where they are not."""
    if hasattr(given, "tocsr"):
        return np.asarray(given.toarray())
    if not isinstance(given, np.ndarray | list):
        return None
    try:
        return np.asanyarray(given, None if isinstance(given, np.ndarray) else object)  # a masked one stays so
    except ValueError as error:
        raise PredictionError(f"the input must make a table; {cut(str(error).partition('.')[0])}") from None


def _as_list(values: Any) -> Any:
    """A column of a mapping: itself, or one value as one row."""
    if isinstance(values, Mapping):
        return list(values.values())
    if getattr(values, "shape", None) == ():  # a number from MLflow's server is an array of no dimension
        return [values.item()]
    return values if hasattr(values, "__len__") and not isinstance(values, str | bytes) else [values]


def _same_length(columns: list[Any]) -> tuple[int, list[Any]]:
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise PredictionError(f"the input must make a table; its columns have {min(lengths)} to {max(lengths)} rows")
    return lengths.pop() if lengths else 0, columns


def _slice(values: Any, start: int, size: int) -> Any:
    if start == 0 and size == len(values):
        return values
    if hasattr(values, "slice") and hasattr(values, "to_pylist"):
        return values.slice(start, size)
    return (values.iloc if hasattr(values, "iloc") else values)[start : start + size]


def _values(table: Any, features: Sequence[str], first: int = 0) -> Any:
    """Finite values (n, d), as float64 or in CSR format."""
    if isinstance(table, np.ndarray) and not isinstance(table, np.ma.MaskedArray) and table.dtype.kind in KINDS:
        _require_width(table.shape, features)
        _require_finite(table, table, features, first)
        return table
    if hasattr(table, "tocsr"):  # before mappings, which SciPy's DOK is one of
        return _csr(table, features)
    frame = _as_table(table, features)
    if _is_sparse(frame):
        return _csr(frame.sparse.to_coo(), features)
    X = _numbers_in(frame)
    _require_finite(X, frame.iat, features, first)
    return X


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
        raise PredictionError(f"the input must make a table; {cut(str(error).partition('.')[0])}") from None
    ways = f"a table with named columns, or an array or sparse matrix with {len(features)} columns"
    raise PredictionError(f"the input must be {ways}; got {cut(type(given).__name__)}")


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
    return frame.iloc[:, positions_of(features, [str(label) for label in labels])]  # names as the training table's were read


def _is_sparse(frame: Any) -> bool:
    import pandas as pd

    return all(isinstance(kind, pd.SparseDtype) and kind.kind in "iuf" and kind.fill_value == 0 for kind in frame.dtypes)


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
            X[:, i] = np.array([number(value) for value in frame.iloc[:, i]], np.float64)  # None: NaN
    return X


def _require_finite(X: NDArray[Any], cells: Any, features: Sequence[str], first: int) -> None:
    """Name the first value, as it was given in cells[row, column], that is missing, infinite or no number."""
    step = max(1, BLOCK_VALUES // max(1, X.shape[1]))
    for start in range(0, len(X), step):
        is_finite = np.isfinite(X[start : start + step])
        if not is_finite.all():
            row, column = np.argwhere(~is_finite)[0]
            raise _not_finite(features[column], first + start + row, cells[start + row, column])


def _not_finite(name: str, row: int, value: object) -> PredictionError:
    shown = repr(value) if isinstance(value, str) else str(value)
    return PredictionError(f"every value must be a finite number; column {cut(name)} in row {row} is {cut(shown)}")
