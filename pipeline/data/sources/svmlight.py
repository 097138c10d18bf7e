"""Files in the svmlight (libsvm) format: sparse from the file to the model."""

import bz2
import gzip
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import Dataset, Split, split
from pipeline.data.reading import check_file, check_path, reader_errors, summary
from pipeline.errors import ConfigError, DataError
from pipeline.limits import check_part, check_seed
from pipeline.text import quote

BYTES_PER_COLUMN = 512  # a name, and a fit's vectors of that many entries
MAX_INFERRED_COLUMNS = 1_000_000  # that a file may have without data.columns, whatever its size,
MAX_COLUMNS_PER_ENTRY = 100  # and for each of its entries
OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open}  # by a file's first bytes


@dataclass(frozen=True)
class Svmlight:
    """A file in the svmlight (libsvm) format: a label and the entries that are not zero, by column, on each line. Stays sparse.

    first_column: the number of the first column, 0 or 1; null: 0 where the file has a column 0, else 1 as in LIBSVM. The first
    column is called x0. The class with y = 1 is the greater.
    """

    path: str = ""
    columns: int = 0
    first_column: int | None = None
    test_fraction: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        check_path(self.path, "a file in the svmlight format")
        if self.columns < 0:
            raise ConfigError(f"columns must be >= 0 (0: as many as the file has); got {self.columns}")
        if self.first_column not in (None, 0, 1):
            raise ConfigError(f"first_column must be 0, 1 or null; got {self.first_column}")
        check_seed(self.seed)
        check_part("test_fraction", self.test_fraction)

    def load(self) -> Dataset:
        check_file(self.path)
        with reader_errors(self.path, "svmlight"):
            return self._dataset(*_read(self.path))

    def _dataset(self, X: Any, labels: NDArray[np.float64]) -> Dataset:
        from scipy.sparse import csr_array

        if len(labels) == 0:
            raise DataError(f"there are no rows in {self.path}")
        self._check_finite(X, labels)
        first, explanation = self._find_first(X)
        d = self._count_columns(X, first)
        classes = np.unique(labels).tolist()
        names = [f"{label:g}" for label in classes]
        if len(classes) != 2:
            raise DataError(f"the labels in {self.path} must be of two classes; got {len(classes)}: {', '.join(names[:5])}")
        X = csr_array((X.data, X.indices - first, X.indptr), shape=(len(labels), d))
        train, test = split(Split(X, (labels == classes[1]).astype(np.float64)), self.test_fraction, self.seed)
        note = summary(self.path, len(labels), d, f"{explanation}; label", (names[0], names[1]))
        return Dataset([f"x{i}" for i in range(d)], "label", (classes[0], classes[1]), train, test, (note,))

    def _check_finite(self, X: Any, labels: NDArray[np.float64]) -> None:
        rows = np.flatnonzero(~np.isfinite(labels)).tolist()
        rows = rows or [_row_of(X, entry) for entry in np.flatnonzero(~np.isfinite(X.data))[:1]]
        if rows:
            where = _locate(self.path, rows[0])
            raise DataError(f"every number in {self.path} must be finite; {where} has one that is not")

    def _find_first(self, X: Any) -> tuple[int, str]:
        """The number of the first column, and how it is known, in words."""
        lowest = int(X.indices.min()) if X.nnz else 1
        if self.first_column == 1 and lowest == 0:
            where = _locate(self.path, _row_of(X, np.argmin(X.indices)))
            raise DataError(f"columns must count from data.first_column=1 in {self.path}; {where} has a column 0")
        if self.first_column is not None or lowest == 0:
            first = self.first_column or 0
            return first, f"columns count from {first}"
        return 1, "columns count from 1 (if from 0, set data.first_column=0)"

    def _count_columns(self, X: Any, first: int) -> int:
        """The number of columns. Raises DataError where it is beyond what was meant or what memory holds."""
        highest = int(X.indices.max()) if X.nnz else first - 1
        found = highest - first + 1
        d = self.columns or found
        if d == 0:
            raise DataError(f"there are no columns in {self.path}")
        if found > (self.columns or max(MAX_INFERRED_COLUMNS, MAX_COLUMNS_PER_ENTRY * X.nnz)):
            limit = f"columns must be at most data.columns={self.columns}"
            rule = limit if self.columns else f"set data.columns={found} if so many columns are meant"
            where = _locate(self.path, _row_of(X, np.argmax(X.indices)))
            raise DataError(f"{rule} in {self.path}; {where} has column {highest}")
        most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // BYTES_PER_COLUMN
        if d > most:
            raise DataError(f"columns must be at most {most} to fit into this machine's memory; got {d} in {self.path}")
        return d


class _Lines:
    """A file's lines as scikit-learn's reader takes them; `number` and `line` are those of the last one that it took."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.number, self.line = file, 0, b""

    def read(self, size: int = -1) -> bytes:  # by which scikit-learn tells a file from a path
        return self._file.read(size)

    def __iter__(self) -> Iterator[bytes]:
        for self.number, self.line in enumerate(self._file, 1):  # noqa: B020
            if b"_" in self.line.partition(b"#")[0]:
                raise ValueError("Python would read 1_0 as 10")
            yield self.line


def _open(path: str) -> IO[bytes]:
    with open(path, "rb") as file:
        start = file.read(4)
    opener: Any = next((opener for magic, opener in OPENERS.items() if start.startswith(magic)), open)
    return opener(path, "rb")


def _read(path: str) -> tuple[Any, NDArray[np.float64]]:
    """X with the file's own column numbers, and the labels."""
    from sklearn.datasets import load_svmlight_file

    with _open(path) as file:
        lines = _Lines(file)
        try:
            return load_svmlight_file(lines, zero_based=True)
        except (ValueError, OverflowError, IndexError):
            form = "be LABEL COLUMN:VALUE COLUMN:VALUE ... with ascending columns below 2^31"
            text = quote(lines.line.decode("utf-8", "replace").strip())
            raise DataError(f"{path} could not be read as svmlight: line {lines.number} must {form}; got {text}") from None


def _row_of(X: Any, entry: Any) -> int:
    """The row of one of the stored entries."""
    return int(np.searchsorted(X.indptr, entry, side="right")) - 1


def _locate(path: str, row: int) -> str:
    """The line on which a row stands; lines without a label are no rows."""
    with suppress(OSError), _open(path) as file:
        rows = (number for number, line in enumerate(file, 1) if line.partition(b"#")[0].strip())
        for i, number in enumerate(rows):
            if i == row:
                return f"line {number}"
    return f"row {row + 1}"
