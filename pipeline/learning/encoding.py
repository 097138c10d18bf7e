"""Fit an encoder to the training rows of a table, and encode these, into memory or what is mapped from scratch space."""

import tempfile
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array, Features
from pipeline.errors import DataError
from pipeline.learning.models import EncoderOptions
from pipeline.learning.optimizers.auto import SMALL_HESSIAN
from pipeline.model.columns import Codes, Column, InvalidCell, read_cells
from pipeline.model.encoder import Category, Date, Encoder, Number, Step, Text, date_parts, words
from pipeline.threads import side_by_side

if TYPE_CHECKING:
    import pyarrow as pa

SMALL_BYTES, DENSE_BYTES = 1 << 22, 1 << 26  # up to which a dense X costs nothing, and up to which it may pay
MIN_FILLED = 0.1  # the part of X beyond which it pays, since NumPy's products of a dense X are faster
MEMORY_BYTES = 1 << 29  # of an array beyond which it is in scratch space, since memory might not hold it
BLOCK_ENTRIES = 1 << 19  # that are encoded at a time


@dataclass(frozen=True)
class _Weights:
    """Of the rows that an encoder is fitted to: what each weighs in a median, and how many rows it counts as; None: 1."""

    weight: Array | None
    repeats: Array | None

    @classmethod
    def of(cls, weight: Array | None) -> "_Weights":
        """Whole weights are numbers of rows. Others may be of any scale, so each counts as one row."""
        is_whole = weight is not None and bool((weight == np.floor(weight)).all())
        return cls(weight, weight if is_whole else None)

    def median(self, values: NDArray[Any], is_known: NDArray[np.bool_]) -> float:
        """Of the known values, of which there are some; of their repeated rows, where the weights are whole."""
        known = values[is_known] / 2  # the sum of two may be too great
        if self.weight is None:
            return 2 * float(np.median(known))
        order = np.argsort(known, kind="stable")
        ends = self.weight[is_known][order].cumsum()
        return float(sum(known[order[np.searchsorted(ends, ends[-1] / 2, side)]] for side in ("left", "right")))

    def share(self, values: NDArray[Any], is_known: NDArray[np.bool_]) -> float:
        """The part of the known values, 0 or 1 each, that are 1."""
        return float(np.average(values[is_known], weights=None if self.weight is None else self.weight[is_known]))

    def count(self, positions: NDArray[np.int64], size: int) -> list[float]:
        """How many rows have each of `size` positions."""
        return np.bincount(positions, self.repeats, size).tolist()


def fit_encoder(table: "pa.Table", columns: Sequence[Column], options: EncoderOptions, weight: Array | None = None) -> Encoder:
    """The steps for the used columns of a table (n rows), in their order. The order of the rows does not matter.

    weight: of the rows (n,). Rows without one make no difference, and whole weights what repeated rows make.
    """
    if weight is not None and not (has_weight := weight > 0).all():
        table, weight = table.filter(has_weight), weight[has_weight]
    rows = _Weights.of(weight)

    def fitted(column: Column) -> Step:
        return FITS[column.kind](column.name, _cells(table, column), options, rows)

    steps = side_by_side(fitted, [column for column in columns if column.is_used])
    return Encoder([step for step in steps if step.terms])


def encode(encoder: Encoder, columns: Sequence[Column], table: "pa.Table") -> Features:
    """X (n, d) of a table: dense or in CSR format, by what a fit to it costs; mapped where it is dense or large.

    The files have no names: nothing is left of them when the process ends, however it does.
    """
    n, d = table.num_rows, len(encoder.features)
    used = {step.column for step in encoder.steps}
    columns = [column for column in columns if column.name in used]
    step = max(1, BLOCK_ENTRIES // max(1, len(encoder.steps)))

    def encoded(start: int) -> Any:
        part = table.slice(start, step)
        return encoder.encode({column.name: _cells(part, column) for column in columns}, part.num_rows)

    def blocks() -> Iterable[Any]:
        return side_by_side(encoded, range(0, n, step))

    dense_bytes = 8 * n * d
    if dense_bytes <= SMALL_BYTES or (d <= SMALL_HESSIAN and dense_bytes <= DENSE_BYTES):
        return _dense(blocks(), n, d)
    X = _sparse(blocks(), n, d)
    takes = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    pays = takes >= dense_bytes or (dense_bytes <= DENSE_BYTES and X.nnz > MIN_FILLED * n * d)
    return _dense(blocks(), n, d) if pays else X


def _dense(blocks: Iterable[Any], n: int, d: int) -> Array:
    X, start = _zeros(n, d), 0
    for block in blocks:
        block.toarray(out=X[start : start + block.shape[0]])
        start += block.shape[0]
    return X


def _sparse(blocks: Iterable[Any], n: int, d: int) -> Any:
    from scipy.sparse import csr_array

    indptr, start = np.zeros(n + 1, np.int64), 0
    data, indices = _Growing(np.float64), _Growing(np.int32)
    for block in blocks:
        data.append(block.data)
        indices.append(block.indices)
        indptr[start + 1 : start + 1 + block.shape[0]] = indptr[start] + block.indptr[1:]
        start += block.shape[0]
    kind = np.int32 if indptr[-1] < 2**31 else np.int64
    return csr_array((data.array(), indices.array().astype(kind, copy=False), indptr.astype(kind)), shape=(n, d))


class _Growing:
    """An array whose length is not known before its parts are: in memory, or in scratch space where it is large."""

    def __init__(self, dtype: Any) -> None:
        self._dtype, self._size = np.dtype(dtype), 0
        self._parts = deque[NDArray[Any]]()
        self._file: IO[bytes] | None = None

    def append(self, part: NDArray[Any]) -> None:
        self._parts.append(part)
        self._size += len(part)
        if self._size * self._dtype.itemsize > MEMORY_BYTES:
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115  `array` closes it
            while self._parts:
                self._parts.popleft().tofile(self._file)

    def array(self) -> NDArray[Any]:
        """All parts, one after the other, which are then no longer held."""
        if self._file:
            with self._file:
                return _mapped(self._file, self._dtype, self._size)
        joined, start = np.empty(self._size, self._dtype), 0
        while self._parts:
            part = self._parts.popleft()
            joined[start : start + len(part)] = part
            start += len(part)
        return joined


def _mapped(file: IO[bytes], dtype: Any, size: int) -> NDArray[Any]:
    """What was written to a file, which may be closed then."""
    file.flush()
    return np.memmap(file, dtype, "r+", shape=(size,)) if size else np.empty(0, dtype)


def _zeros(n: int, d: int) -> Array:
    with tempfile.TemporaryFile() as file:
        file.truncate(8 * n * d)
        return _mapped(file, np.float64, n * d).reshape(n, d)


def _cells(table: "pa.Table", column: Column) -> Any:
    try:
        return read_cells(column, table[column.name])
    except InvalidCell as error:
        rule = f"every value of a column must be of its type, {column.type}"
        raise DataError(f"{rule}; {column.name} has {error.value!r} in row {error.row + 1} of the training table") from None


def _number(name: str, cells: NDArray[np.float64], options: EncoderOptions, rows: _Weights) -> Step:
    is_known = ~np.isnan(cells)
    return Number(name, rows.median(cells, is_known) if is_known.any() else 0.0, not is_known.all())


def _boolean(name: str, cells: NDArray[np.float64], options: EncoderOptions, rows: _Weights) -> Step:
    """The more frequent value stands for a missing one; false, where both are as frequent."""
    is_known = ~np.isnan(cells)
    return Number(name, float(is_known.any() and rows.share(cells, is_known) > 0.5), not is_known.all())


def _category(name: str, cells: Codes, options: EncoderOptions, rows: _Weights) -> Step:
    """The levels of OneHotEncoder(min_frequency, max_categories, handle_unknown="infrequent_if_exist")."""
    missing, *counts = rows.count(cells.positions + 1, len(cells.values) + 1)
    count_of = defaultdict[str, float](float)
    for level, count in zip(cells.values, counts, strict=True):
        count_of[level] += count
    found: list[tuple[float, str | None]] = [(count_of[level], level) for level in sorted(count_of) if count_of[level]]
    if missing:
        found.append((missing, None))
    frequent = [(count, level) for count, level in found if count >= options.min_rows]
    if len(frequent) + (len(frequent) < len(found)) > options.max_levels:
        order = sorted(range(len(frequent)), key=lambda i: frequent[i][0])[-(options.max_levels - 1) :]  # of equals, the last
        frequent = [frequent[i] for i in sorted(order)]
    levels = [level for _, level in frequent if level is not None]
    has_pool = 0 < len(frequent) < len(found)  # a pool of all rows would be the same in each
    return Category(name, levels, len(levels) < len(frequent), has_pool)


def _date(name: str, cells: NDArray[Any], options: EncoderOptions, rows: _Weights) -> Step:
    is_known = ~np.isnat(cells)
    parts = date_parts(cells)
    varying = {part: np.unique(values[is_known]).tolist() for part, values in parts.items()}
    varying = {part: values if len(values) > 1 else [] for part, values in varying.items()}
    year = rows.median(parts["year"], is_known) if varying["year"] else None
    return Date(name, year, varying["month"], varying["weekday"], varying["hour"], not is_known.all())


def _text(name: str, cells: Codes, options: EncoderOptions, rows: _Weights) -> Step:
    """The words and weights of TfidfVectorizer(min_df, max_features). Of words as frequent, the first in the alphabet."""
    missing, *times = rows.count(cells.positions + 1, len(cells.values) + 1)
    total, texts = (
        defaultdict[str, float](float),
        defaultdict[str, float](float),
    )  # how often each word stands there, in how many cells
    for value, count in zip(cells.values, times, strict=True):
        for word, repeats in Counter(words(value)).items():
            total[word] += repeats * count
            texts[word] += count
    frequent = [word for word in total if texts[word] >= options.min_rows]
    chosen = sorted(sorted(frequent, key=lambda word: (-total[word], word))[: options.max_words])
    n = missing + sum(times)
    idf = [float(np.log((1 + n) / (1 + texts[word])) + 1) for word in chosen]
    return Text(name, chosen, idf, missing > 0)


FITS: dict[str, Callable[[str, Any, EncoderOptions, _Weights], Step]] = {
    "number": _number,
    "boolean": _boolean,
    "category": _category,
    "date": _date,
    "text": _text,
}
