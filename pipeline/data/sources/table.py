"""The user's own CSV or Parquet file: which columns are features, which are left out, and the target."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.arrays import Array
from pipeline.data.dataset import Dataset, Split, split
from pipeline.data.reading import check_file, check_path, reader_errors, summary
from pipeline.errors import ConfigError, DataError
from pipeline.limits import check_part, check_seed
from pipeline.text import join_limited, quote, quote_if_needed

if TYPE_CHECKING:  # these import pyarrow, which takes a while
    from pipeline.data.columns import InvalidCell, RawTable

MISSING_VALUES = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None")
MIN_COUNTED_FROM_0_OR_1 = 4  # rows: in fewer, 0 and 1 are more likely values than positions
MIN_COUNTED = 20  # rows: fewer that count on from another number, such as a year, are more likely measured
MAX_CELLS = 3  # invalid ones that a sentence shows, each of another column
_UNNAMED = re.compile(r"\s*|Unnamed: \d+(\.\d+|_level_\d+)?|__index_level_\d+__")
_RULES = {  # by the reason of an invalid cell: what columns must be, and what the named ones are
    "text": ("columns must be numeric", "these are not"),
    "missing": ("columns must have no missing values", "these have some"),
    "infinite": ("columns must be finite", "these are not everywhere"),
    "rounded": ("integers must be exact as float64", "these are not everywhere"),
}


@dataclass(frozen=True)
class Table:
    """A user's CSV or Parquet file: numeric columns and a target with two values.

    The class with y = 1 is `positive`, or where that is empty the second in sorted order (1 of {0, 1}, "yes" of {"no", "yes"}).
    Columns that have no name, count the rows or are the index of a stored frame are left out unless `keep` names them;
    `drop` leaves out others. missing_values: the words of a CSV file that stand for a missing value besides the empty field;
    null: the usual ones, such as NA and null.
    """

    path: str = ""
    target: str = ""
    positive: str = ""
    keep: list[str] | None = None
    drop: list[str] | None = None
    missing_values: list[str] | None = None
    test_fraction: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        check_path(self.path, "a .csv or .parquet file")
        if self._format not in ("csv", "parquet"):
            raise ConfigError(f"path must end in .csv or .parquet; got {self.path}")
        if self.target == "":
            raise ConfigError("target must name the column to predict; set data.target=COLUMN")
        for key in ("keep", "drop", "missing_values"):
            if not all(isinstance(text, str) for text in getattr(self, key) or []):
                raise ConfigError(f"{key} must be a list of text; got {getattr(self, key)}")
        if self._format == "parquet" and self.missing_values:
            rule = "missing_values must be null for a Parquet file, whose missing values are no text"
            raise ConfigError(f"{rule}; got {self.missing_values}")
        check_seed(self.seed)
        check_part("test_fraction", self.test_fraction)

    @property
    def _format(self) -> str:
        return Path(self.path).suffix[1:].lower()

    def load(self) -> Dataset:
        from pipeline.data.csv_file import read_csv
        from pipeline.data.parquet_file import read_parquet

        check_file(self.path)
        missing_values = MISSING_VALUES if self.missing_values is None else self.missing_values
        table = read_csv(self.path, missing_values) if self._format == "csv" else read_parquet(self.path)
        with reader_errors(self.path, self._format):
            return self._dataset(table)

    def _dataset(self, table: "RawTable") -> Dataset:
        from pipeline.data.labels import Target

        target, keep, drop = self._find_columns(list(table.columns))
        if len(table.columns[target]) == 0:
            raise DataError(f"there are no rows in {self.path}")
        features, left_out = self._features(table, target, keep, drop)
        y, classes = Target(target, self.positive, self.path).read(table)
        X = np.empty((len(y), len(features)))
        for i, values in enumerate(features.values()):
            X[:, i] = values
        notes = [summary(self.path, len(y), len(features), f"target {quote_if_needed(target)}", classes)]
        if drop:
            notes.append(f"left out by data.drop: {join_limited(drop)}")
        if left_out:
            notes.append(f"left out: {_with_reasons(left_out)}; {_keep_override(next(iter(left_out)))} keeps it")
        train, test = split(Split(X, y), self.test_fraction, self.seed)
        return Dataset(list(features), target, classes, train, test, tuple(notes))

    def _find_columns(self, names: Sequence[str]) -> tuple[str, list[str], list[str]]:
        """The file's names of the target and of the columns to keep and to drop."""
        columns = f"columns are {join_limited(names)}"
        target = _find(names, self.target)
        if target is None:
            raise DataError(f"there is no column {self.target} in {self.path}; its {columns}")
        chosen: dict[str, list[str]] = {"keep": [], "drop": []}
        for key, found in chosen.items():
            for wanted in getattr(self, key) or []:
                name = _find(names, wanted)
                if name is None:
                    raise DataError(f"data.{key} must name columns of {self.path}; there is no {wanted}: its {columns}")
                found.append(name)
        if target in chosen["drop"]:
            raise DataError(f"data.drop must not name the target; got {target}")
        if both := [name for name in chosen["keep"] if name in chosen["drop"]]:
            raise DataError(f"data.keep and data.drop must not name the same column; both have {both[0]}")
        return target, chosen["keep"], chosen["drop"]

    def _features(
        self, table: "RawTable", target: str, keep: Sequence[str], drop: Sequence[str]
    ) -> tuple[dict[str, Array], dict[str, str]]:
        """The columns that are features, and those that are left out with the reason of each."""
        candidates = [name for name in table.columns if name != target and name not in drop]
        left_out = {
            name: table.row_labels.get(name, "has no name")
            for name in candidates
            if name not in keep and (name in table.row_labels or _UNNAMED.fullmatch(name))
        }
        valid, invalid = table.to_floats((name for name in candidates if name not in left_out), keep)
        for name in [name for name in valid if name not in keep and _counts_rows(table, name, valid[name])]:
            left_out[name] = "counts the rows"
            del valid[name]
        if not valid and not invalid:
            reasons = f", but for {_with_reasons(left_out)}; data.keep=[NAME] keeps one" if left_out else ""
            raise DataError(f"there is no column beside the target {target} in {self.path}{reasons}")
        self._check_cells(table, invalid)
        return valid, left_out

    def _check_cells(self, table: "RawTable", invalid: "Mapping[str, InvalidCell]") -> None:
        """Raises DataError for columns that cannot be features, with the first cell of each that is the reason."""
        for reason, (rule, state) in _RULES.items():
            if found := {name: cell for name, cell in invalid.items() if cell.reason == reason}:
                cells = ", ".join(
                    f"{table.locate(cell.row)} has {quote(cell.text) if cell.text else 'nothing'} in {name}"
                    for name, cell in [*found.items()][:MAX_CELLS]
                )
                remedy = "data.drop=[NAME] leaves one out" + (
                    ", data.keep=[NAME] takes it rounded" if reason == "rounded" else ""
                )
                raise DataError(f"{rule} in {self.path}; {state}: {join_limited([*found])}; {cells}; {remedy}")


def _find(names: Sequence[str], wanted: str) -> str | None:
    """The name as it is in the file: the same or, where none is, the only one that differs in spaces around it."""
    if wanted in names:
        return wanted
    near = [name for name in names if name.strip() == wanted.strip()]
    return near[0] if len(near) == 1 else None


def _counts_rows(table: "RawTable", name: str, values: Array) -> bool:
    """Whether a column of integers counts on by one, from 0, 1 or another number, from the first row to the last."""
    return (
        len(values) >= (MIN_COUNTED_FROM_0_OR_1 if values[0] in (0, 1) else MIN_COUNTED)
        and values[-1] == values[0] + len(values) - 1
        and np.array_equal(values, np.arange(values[0], values[0] + len(values)))
        and table.is_integer(name)
    )


def _with_reasons(left_out: Mapping[str, str]) -> str:
    return join_limited([f"{name} ({reason})" for name, reason in left_out.items()])


def _keep_override(name: str) -> str:
    """The override that keeps this column, quoted for Hydra and for the shell."""
    if not (re.fullmatch(r"[\w.: -]+", name) and name == name.strip()):
        name = re.sub(r'(\\*)("|\$\{|$)', lambda found: found[1] * 2 + ("\\" if found[2] else "") + found[2], name)
        name = f'"{name}"'
    return shlex.quote(f"data.keep=[{name}]")
