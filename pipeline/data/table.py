"""The user's own CSV or Parquet file: which columns are features, which are left out, and the target."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.arrays import Array
from pipeline.data.columns import MISSING_WORDS, Fault, RawTable
from pipeline.data.csv_file import read_csv
from pipeline.data.dataset import Dataset, Split, check_fraction, check_seed, split
from pipeline.data.labels import Target
from pipeline.data.parquet_file import read_parquet
from pipeline.data.reading import brief, check_file, check_path, listed, reading, recognised, shown, typed_list
from pipeline.errors import ConfigError, DataError

FEWEST_COUNTED = 4  # rows: in fewer, 0 and 1 are more likely values than positions
FEWEST_ELSEWHERE = 20  # rows: fewer that count on from another number, such as a year, are more likely measured
MOST_SHOWN = 3  # cells that cannot be used, each of another column
_UNNAMED = re.compile(r"\s*|Unnamed: \d+(\.\d+|_level_\d+)?|__index_level_\d+__")


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
        if self._kind not in ("csv", "parquet"):
            raise ConfigError(f"path must end in .csv or .parquet; got {self.path}")
        if self.target == "":
            raise ConfigError("target must name the column to predict; set data.target=COLUMN")
        for key, given in (("keep", self.keep), ("drop", self.drop), ("missing_values", self.missing_values)):
            texts = given is None or all(isinstance(word, str) for word in given)
            if not texts:
                raise ConfigError(f"{key} must be a list of text; got {given}")
        chooses = self._kind == "parquet" and bool(self.missing_values)
        must = "missing_values must be null for a Parquet file, whose missing values are no text"
        if chooses:
            raise ConfigError(f"{must}; got {self.missing_values}")
        check_seed(self.seed)
        check_fraction(self.test_fraction)

    @property
    def _kind(self) -> str:
        return Path(self.path).suffix[1:].lower()

    @property
    def _where(self) -> str:
        return f"in {self.path}"

    def load(self) -> Dataset:
        check_file(self.path)
        words = MISSING_WORDS if self.missing_values is None else self.missing_values
        table = read_csv(self.path, words) if self._kind == "csv" else read_parquet(self.path)
        with reading(self.path, self._kind):
            return self._dataset(table)

    def _dataset(self, table: RawTable) -> Dataset:
        names = list(table.columns)
        target, keep, drop = self._chosen(names)
        if not len(table.columns[target]) > 0:
            raise DataError(f"there are no rows {self._where}")
        candidates = [name for name in names if name != target and name not in drop]
        reasons = _left_out(table, [name for name in candidates if name not in keep])
        columns = {name: table.numbers(name, exact=name not in keep) for name in candidates if name not in reasons}
        counted = _counting(table, {name: values for name, values in columns.items() if name not in keep})
        reasons.update(dict.fromkeys(counted, "counts the rows"))
        columns = {name: values for name, values in columns.items() if name not in reasons}
        aside = f", but for {_reasons(reasons)}; data.keep=[NAME] keeps one" if reasons else ""
        if not len(columns) > 0:
            raise DataError(f"there is no column beside the target {target} {self._where}{aside}")
        self._check(table, {name: values for name, values in columns.items() if isinstance(values, Fault)})
        y, classes = Target(target, self.positive, self._where).read(table)
        X = np.empty((len(y), len(columns)))
        for i, values in enumerate(columns.values()):
            X[:, i] = np.asarray(values)
        train, test = split(Split(X, y), self.test_fraction, self.seed)
        notes = [recognised(self.path, len(y), len(columns), f"target {brief(target)}", classes)]
        if drop:
            notes.append(f"left out by data.drop: {listed(drop)}")
        if reasons:
            notes.append(f"left out: {_reasons(reasons)}; {typed_list('data.keep', next(iter(reasons)))} keeps it")
        return Dataset(list(columns), target, classes, train, test, tuple(notes))

    def _chosen(self, names: Sequence[str]) -> tuple[str, list[str], list[str]]:
        """The file's names of the target and of the columns to keep and to drop."""
        target = _find(names, self.target)
        if target is None:
            raise DataError(f"there is no column {self.target} {self._where}; its columns are {listed(names)}")
        lists: list[list[str]] = []
        for key, wanted in (("keep", self.keep or []), ("drop", self.drop or [])):
            found = {name: _find(names, name) for name in wanted}
            unknown = next((name for name, known in found.items() if known is None), None)
            its = f"its columns are {listed(names)}"
            if unknown is not None:
                raise DataError(f"data.{key} must name columns of {self.path}; there is no {unknown}: {its}")
            lists.append([name for name in found.values() if name is not None])
        keep, drop = lists
        if target in drop:
            raise DataError(f"data.drop must not name the target; got {target}")
        both = next((name for name in keep if name in drop), None)
        if both is not None:
            raise DataError(f"data.keep and data.drop must not name the same column; both have {both}")
        return target, keep, drop

    def _check(self, table: RawTable, faults: dict[str, Fault]) -> None:
        """Raises ConfigError for columns that cannot be features, with the first cell of each that is the reason."""
        sentences = {
            "text": "columns must be numeric {where}; these are not: {names}; {cells}{ways}",
            "missing": "columns must have no missing values {where}; these have some: {names}; {cells}{ways}",
            "infinite": "columns must be finite {where}; these are not everywhere: {names}; {cells}{ways}",
            "rounded": "integers must be exact as float64 {where}; these are not everywhere: {names}; {cells}{ways}",
        }
        for kind, sentence in sentences.items():
            if found := {name: fault for name, fault in faults.items() if fault.kind == kind}:
                cells = [
                    f"{table.place(f.row)} has {shown(f.value) if f.value else 'nothing'} in {name}"
                    for name, f in [*found.items()][:MOST_SHOWN]
                ]
                ways = "; data.drop=[NAME] leaves one out"
                if kind == "rounded":
                    ways += ", data.keep=[NAME] takes it rounded"
                raise DataError(sentence.format(where=self._where, names=listed([*found]), cells=", ".join(cells), ways=ways))


def _find(names: Sequence[str], wanted: str) -> str | None:
    """The name as it is in the file: the same or, where none is, the only one that differs in spaces around it."""
    if wanted in names:
        return wanted
    near = [name for name in names if name.strip() == wanted.strip()]
    return near[0] if len(near) == 1 else None


def _left_out(table: RawTable, names: Sequence[str]) -> dict[str, str]:
    """Columns that say which row it is and no more, and how that is known."""
    known = table.identifiers
    return {name: known.get(name, "has no name") for name in names if name in known or _UNNAMED.fullmatch(name)}


def _counting(table: RawTable, columns: "dict[str, Array | Fault]") -> list[str]:
    """Integer columns that count on by one, from 0, 1 or another number, from the first row to the last."""
    return [
        name
        for name, values in columns.items()
        if not isinstance(values, Fault)
        and len(values) >= (FEWEST_COUNTED if values[0] in (0, 1) else FEWEST_ELSEWHERE)
        and values[-1] == values[0] + len(values) - 1
        and np.array_equal(values, np.arange(values[0], values[0] + len(values)))
        and table.is_integer(name)
    ]


def _reasons(reasons: dict[str, str]) -> str:
    return listed([f"{name} ({reason})" for name, reason in reasons.items()])
