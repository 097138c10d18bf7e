"""The user's own CSV or Parquet file: which columns may be features, which are left out, the target, and the split."""

import re
import shlex
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.data.dataset import SETTABLE_KINDS, Dataset, Split, stratified
from pipeline.data.dialect import CsvFormat
from pipeline.data.reading import summary
from pipeline.data.table_file import open_table, table_format
from pipeline.errors import ConfigError, DataError
from pipeline.limits import check_part, check_seed
from pipeline.model.columns import Column
from pipeline.text import join_limited, quote, quote_if_needed
from pipeline.threads import side_by_side

if TYPE_CHECKING:  # these import pyarrow, which takes a while
    from pipeline.data.columns import RawTable
    from pipeline.data.table_file import TableFile

ROLES = ("target", "weight", "group", "time", "split")  # settings that name a column which is no feature
SPLITS = ("group", "time", "split", "test_path")  # settings of which one may decide what the test part is
MIN_WEIGHT = 1e-30  # and its inverse the greatest: metrics multiply four sums of weights
MAX_CELLS = 3  # invalid ones that a sentence shows, each of another column
_UNNAMED = re.compile(r"\s*|Unnamed: \d+(\.\d+|_level_\d+)?|__index_level_\d+__")
_KIND_BY_TYPE = {"integer": "number", "number": "number", "boolean": "boolean", "date": "date", "text": "text"}


@dataclass(frozen=True)
class Table:
    """A user's CSV or Parquet file, or folder or pattern of Parquet files, and a target with two values.

    The class with y = 1 is `positive`, or where that is empty the second in sorted order (1 of {0, 1}, "yes" of {"no", "yes"});
    a list names all labels that make it, and the others make the other class. Features are `columns`, or where that is null all
    but `drop`; of them, what only names the rows, is constant, or repeats another column is left out unless `keep` or `kinds`
    names it. missing_values: texts of a CSV file, or numbers, that stand for a missing value besides the usual ones, such as
    NA; []: only the empty field does. The test part is random and stratified, or what one of `group`, `time`, `split` and
    `test_path` says.
    """

    path: str = ""
    target: str = ""
    positive: str | list[str] = ""
    drop_unlabelled: bool = False
    columns: list[str] | None = None
    drop: list[str] | None = None
    keep: list[str] | None = None
    kinds: dict[str, str] | None = None
    missing_values: list[str] | None = None
    weight: str = ""
    group: str = ""
    time: str = ""
    split: str = ""
    test_path: str = ""
    test_fraction: float = 0.25
    seed: int = 0
    csv: CsvFormat = field(default_factory=CsvFormat)

    def __post_init__(self) -> None:
        file_format = table_format(self.path)
        if self.target == "":
            raise ConfigError("target must name the column to predict; set data.target=COLUMN")
        for key in ("columns", "keep", "drop", "missing_values"):
            if not all(isinstance(text, str) for text in getattr(self, key) or []):
                raise ConfigError(f"{key} must be a list of text; got {getattr(self, key)}")
        for name, kind in (self.kinds or {}).items():
            if kind not in SETTABLE_KINDS:
                raise ConfigError(f"kinds must be of {', '.join(SETTABLE_KINDS)}; got {kind} for {quote_if_needed(name)}")
        if file_format == "parquet" and self.missing_values:
            rule = "missing_values must be null for a Parquet file, whose missing values are no text"
            raise ConfigError(f"{rule}; got {self.missing_values}")
        if self.test_path:
            table_format(self.test_path, "test_path")
        if len(given := [key for key in SPLITS if getattr(self, key)]) > 1:
            raise ConfigError(f"{given[0]} and {given[1]} must not both be set, since each says what the test part is")
        check_seed(self.seed)
        check_part("test_fraction", self.test_fraction)

    @property
    def paths(self) -> list[str]:
        """All that is read."""
        return [path for path in (self.path, self.test_path) if path]

    def load(self) -> Dataset:
        from pipeline.data.labels import Target
        from pipeline.data.odd_cells import odd_cells
        from pipeline.data.splits import check_parts

        file = open_table(self.path, self.csv, self.missing_texts)
        chosen = self._find_columns(file.names)
        table = file.read(chosen.requested)
        if len(table.columns[chosen.target]) == 0:
            raise DataError(f"there are no rows in {self.path}")
        table, is_test = self._with_test_table(table, file, chosen)
        y, classes = Target(chosen.target, self.positive, self.path, self.drop_unlabelled).read(table)
        labelled = ~np.isnan(y)
        notes = []
        if not labelled.all():
            notes.append(f"left out: {len(y) - labelled.sum()} rows without a target")
            table, y, is_test = table.filter(labelled), y[labelled], is_test[labelled]
        weight = self._weights(table, chosen, y)
        columns, keys = self._recognise(table, chosen), self._split_keys(table, chosen)
        if self.test_path:
            how = f"by data.test_path={self.test_path}"
        else:
            is_test, how = self._test_rows(table, chosen, y, keys)
        check_parts(y, is_test, how, weight)
        used = [column.name for column in columns if column.is_used]
        notes = [
            summary(" and ".join(self.paths), len(y), len(used), f"target {quote_if_needed(chosen.target)}", classes),
            *([f"{self.path} has {', '.join(table.notes)}"] if table.notes else []),
            *notes,
            *self._describe_left_out(chosen, columns),
            *(odd_cells(table, [name for name in chosen.candidates if name not in chosen.kinds]) if table.is_text else []),
        ]
        train, test = _parts(dict(table.columns), used, is_test, {"y": y, "weight": weight, **keys})
        return Dataset(used, chosen.target, classes, train, test, tuple(notes), columns, table.decimal)

    @property
    def missing_texts(self) -> list[str]:
        """The texts, beside "", that stand for a missing value."""
        from pipeline.data.cells import MISSING_VALUES

        if table_format(self.path) == "parquet" or self.missing_values == []:
            return []
        return [*MISSING_VALUES, *(self.missing_values or [])]

    def _find_columns(self, names: Sequence[str]) -> "_Chosen":
        """What the settings say of the file's columns."""
        known = f"its columns are {join_limited(names)}"
        if [*names[:1]] == ["column 1"] and self.csv.header is None:
            known += ", since it seems to have no header (data.csv.header)"
        target = _find(names, self.target)
        if target is None:
            raise DataError(f"there is no column {quote_if_needed(self.target)} in {self.path}; {known}")
        roles = {"target": target}
        for key in ROLES[1:]:
            if wanted := getattr(self, key):
                name = _find(names, wanted)
                if name is None:
                    lacking = quote_if_needed(wanted)
                    raise DataError(f"data.{key} must name a column of {self.path}; there is no {lacking}: {known}")
                if name == target:
                    raise DataError(f"data.{key} must not name the target; got {name}")
                roles[key] = name
        lists: dict[str, list[str]] = {}
        for key in ("columns", "drop", "keep", "kinds"):
            lists[key] = [self._find_listed(key, wanted, names, known) for wanted in getattr(self, key) or []]
        for key, listed in lists.items():
            if target in listed:
                raise DataError(f"data.{key} must not name the target; got {target}")
        if both := [name for name in (*lists["keep"], *lists["columns"]) if name in lists["drop"]]:
            key = "keep" if both[0] in lists["keep"] else "columns"
            raise DataError(f"data.{key} and data.drop must not name the same column; both have {both[0]}")
        kinds = dict(zip(lists["kinds"], (self.kinds or {}).values(), strict=True))
        keep = [*lists["keep"], *lists["columns"]]
        left_out = ({target} | set(lists["drop"])) | (set(roles.values()) - set(keep))
        wanted = set(names if self.columns is None else lists["columns"]) - left_out
        return _Chosen(roles, [name for name in names if name in wanted], lists["drop"], keep, kinds)

    def _find_listed(self, key: str, wanted: str, names: Sequence[str], known: str) -> str:
        name = _find(names, wanted)
        if name is None:
            raise DataError(f"data.{key} must name columns of {self.path}; there is no {quote_if_needed(wanted)}: {known}")
        return name

    def _with_test_table(self, table: "RawTable", file: "TableFile", chosen: "_Chosen") -> tuple["RawTable", NDArray[np.bool_]]:
        """The table and, below it, that of test_path; and which rows are of that."""
        from pipeline.data.columns import type_of

        rows = len(table.columns[chosen.target])
        if not self.test_path:
            return table, np.zeros(rows, bool)
        other = open_table(self.test_path, self.csv, self.missing_texts, "data.test_path", file.names)
        if differing := set(other.names) ^ set(file.names):
            name = next(name for name in (*file.names, *other.names) if name in differing)
            lacking = self.test_path if name in file.names else self.path
            raise DataError(f"data.test_path must have the same columns as data.path; {lacking} has no {name}")
        requested = {
            name: "label" if kind == "label" else _KIND_BY_TYPE[type_of(table.columns[name])]
            for name, kind in chosen.requested.items()
        }
        test = other.read(requested)
        if len(test.columns[chosen.target]) == 0:
            raise DataError(f"there are no rows in {self.test_path}")
        return table.append(test, self.test_path), np.arange(rows + len(test.columns[chosen.target])) >= rows

    def _weights(self, table: "RawTable", chosen: "_Chosen", y: Array) -> Array | None:
        name = chosen.roles.get("weight")
        if name is None:
            return None
        import pyarrow as pa
        import pyarrow.compute as pc

        from pipeline.data.cells import is_text

        column = table.columns[name]
        if is_text(column) or pa.types.is_timestamp(column.type):
            raise DataError(f"data.weight must name a column of numbers; {name} in {self.path} is not one")
        weights = pc.cast(column, pa.float64(), safe=False).to_numpy()
        wrong = ~(np.isfinite(weights) & (weights >= 0))
        if wrong.any():
            row = int(np.argmax(wrong))
            found = quote(table.cell(row, name)) if not np.isnan(weights[row]) else "nothing"
            raise DataError(
                f"weights must be finite and not negative in {self.path}; {table.locate(row)} has {found} in {name}"
            )
        extreme = (weights > 0) & ((weights < MIN_WEIGHT) | (weights > 1 / MIN_WEIGHT))
        if extreme.any():
            row = int(np.argmax(extreme))
            rule = f"weights above 0 must be from {MIN_WEIGHT:g} to {1 / MIN_WEIGHT:g}"
            raise DataError(f"{rule}; {table.locate(row)} of {self.path} has {quote(table.cell(row, name))} in {name}")
        if not (weights[y == 0].any() and weights[y == 1].any()):
            raise DataError(f"weights must be positive in some row of each class in {self.path}; those in {name} are not")
        return np.asarray(weights, np.float64)

    def _split_keys(self, table: "RawTable", chosen: "_Chosen") -> dict[str, NDArray[np.int64]]:
        """The group of each row, or its rank in time."""
        from pipeline.data.splits import read_groups, read_times

        readers = {"group": read_groups, "time": read_times}
        return {key: read(table, chosen.roles[key]) for key, read in readers.items() if key in chosen.roles}

    def _test_rows(
        self, table: "RawTable", chosen: "_Chosen", y: Array, keys: Mapping[str, NDArray[np.int64]]
    ) -> tuple[NDArray[np.bool_], str]:
        """Which rows are the test part (n,), and by what, in a few words."""
        from pipeline.data.splits import by_column, by_group, by_time

        roles = chosen.roles
        if "group" in roles:
            test = by_group(keys["group"], roles["group"], y, self.test_fraction, self.seed)
            return test, f"by data.group={roles['group']}"
        if "time" in roles:
            return by_time(keys["time"], roles["time"], self.test_fraction), f"by data.time={roles['time']}"
        if "split" in roles:
            return by_column(table, roles["split"]), f"by data.split={roles['split']}"
        return stratified(y, self.test_fraction, self.seed), f"with data.seed={self.seed}"

    def _recognise(self, table: "RawTable", chosen: "_Chosen") -> list[Column]:
        """All columns that may be features. Raises DataError if none can be, or a number cannot be used."""
        import pyarrow as pa

        from pipeline.data.kinds import left_out, recognise

        labels = {name: table.row_labels.get(name, "has no name") for name in chosen.candidates if _is_label(table, name)}
        cells = pa.table({name: table.columns[name] for name in chosen.candidates})
        columns = recognise(cells, chosen.kinds, chosen.keep, labels)
        if not any(column.is_used for column in columns):
            reasons = f", but for {left_out(columns)}; data.keep=[NAME] keeps one" if columns else ""
            raise DataError(f"there is no column beside the target {chosen.target} in {self.path}{reasons}")
        self._check_numbers(table, [column.name for column in columns if column.kind == "number"], chosen.keep)
        return columns

    def _check_numbers(self, table: "RawTable", names: Sequence[str], keep: Sequence[str]) -> None:
        """Raise DataError for numbers that float64 does not hold."""
        from pipeline.data.columns import first_infinite

        infinite = {name: row for name in names if (row := first_infinite(table.columns[name])) >= 0}
        rounded = {name: table.rounded[name] for name in names if name in table.rounded and name not in keep}
        rules = (
            (infinite, "columns must be finite", "these are not everywhere", ""),
            (rounded, "integers must be exact as float64", "these are not everywhere", ", data.keep=[NAME] takes it rounded"),
        )
        for rows, rule, state, more in rules:
            if rows:
                cells = [f"{table.locate(row)} has {quote(table.cell(row, name))} in {name}" for name, row in rows.items()]
                remedy = f"data.drop=[NAME] leaves one out{more}"
                where = ", ".join(cells[:MAX_CELLS])
                raise DataError(f"{rule} in {self.path}; {state}: {join_limited([*rows])}; {where}; {remedy}")

    def _describe_left_out(self, chosen: "_Chosen", columns: Sequence[Column]) -> list[str]:
        from pipeline.data.kinds import left_out

        notes = [f"left out by data.drop: {join_limited(chosen.drop)}"] if chosen.drop else []
        others = {key: name for key, name in chosen.roles.items() if key != "target" and name not in chosen.candidates}
        roles = [f"{name} (data.{key})" for key, name in others.items()]
        first = next((column.name for column in columns if not column.is_used), "")
        parts = [*roles, *([left_out(columns)] if first else [])]
        if parts:
            first = first or next(iter(others.values()))
            notes.append(f"left out: {', '.join(parts)}; {_keep_override(first)} keeps it")
        return notes


@dataclass(frozen=True)
class _Chosen:
    """A file's columns by what the settings say of them: the column of each role, and those that may be features."""

    roles: Mapping[str, str]
    candidates: Sequence[str]
    drop: Sequence[str]
    keep: Sequence[str]
    kinds: Mapping[str, str]

    @property
    def target(self) -> str:
        return self.roles["target"]

    @property
    def requested(self) -> dict[str, str]:
        """The columns to read, each with the kind that it is set to."""
        as_role = {"target": "label", "weight": "number", "group": "label", "split": "label", "time": ""}
        kinds = {name: kind if kind != "identifier" else "" for name, kind in self.kinds.items()}
        requested = {name: kinds.get(name) or as_role[key] for key, name in self.roles.items()}
        return requested | {name: kinds.get(name, "") for name in self.candidates if name not in requested}


def _parts(
    columns: dict[str, Any], used: Sequence[str], is_test: NDArray[np.bool_], of_rows: Mapping[str, Any]
) -> tuple[Split, Split]:
    """The training and the test part. Columns are taken out one by one, so that they are there twice for a moment only.

    of_rows: what else each row has, as `Split` names it; None: nothing.
    """
    import pyarrow as pa

    sides = (~is_test, is_test)
    masks = [pa.array(side) for side in sides]
    parts: list[dict[str, Any]] = [{}, {}]
    for name in columns.keys() - set(used):
        del columns[name]

    def divide(name: str) -> None:
        column = columns.pop(name)
        for part, mask in zip(parts, masks, strict=True):
            part[name] = column.filter(mask)

    deque(side_by_side(divide, used), maxlen=0)
    train, test = (
        Split(pa.table({name: part[name] for name in used}), **{key: v[side] for key, v in of_rows.items() if v is not None})
        for part, side in zip(parts, sides, strict=True)
    )
    return train, test


def _find(names: Sequence[str], wanted: str) -> str | None:
    """The name as it is in the file: the same or, where none is, the only one that differs in spaces around it."""
    if wanted in names:
        return wanted
    near = [name for name in names if name.strip() == wanted.strip()]
    return near[0] if len(near) == 1 else None


def _is_label(table: "RawTable", name: str) -> bool:
    return name in table.row_labels or _UNNAMED.fullmatch(name) is not None


def _keep_override(name: str) -> str:
    """The override that keeps this column, quoted for Hydra and for the shell."""
    if not (re.fullmatch(r"[\w.: -]+", name) and name == name.strip()):
        name = re.sub(r'(\\*)("|\$\{|$)', lambda found: found[1] * 2 + ("\\" if found[2] else "") + found[2], name)
        name = f'"{name}"'
    return shlex.quote(f"data.keep=[{name}]")
