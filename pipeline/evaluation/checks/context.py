"""What checks look at: a model, both tables and its log-odds of them, and a sample of the rows that is drawn once for all."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array, Features
from pipeline.data.dataset import Split
from pipeline.interval import observations
from pipeline.learning.encoding import encode
from pipeline.learning.weights import NONE, training_rows
from pipeline.model.card import ModelCard
from pipeline.model.columns import Codes, read_cells
from pipeline.model.predictor import Predictor

SAMPLED_ROWS, SAMPLED_VALUES = 20_000, 4_000_000  # of both tables together
MAX_COLUMNS, MAX_FEATURES = 5_000, 500  # beyond which columns are not looked at one by one, and features not all together
MIN_ROWS = 20  # in which a test can see something


class NotApplicable(Exception):
    """A check cannot look. The message says why, in a clause."""


@dataclass(frozen=True)
class Part:
    """One of both tables: its rows, and their log-odds (n,)."""

    rows: Split
    z: Array

    @classmethod
    def of(cls, rows: Split, z: Array) -> "Part":
        """The rows that have a weight."""
        if rows.weight is None or (chosen := rows.weight > 0).all():
            return cls(rows, z)
        return cls(rows, z).take(np.flatnonzero(chosen))

    def take(self, index: NDArray[np.intp]) -> "Part":
        X, rows = self.rows.X, self.rows
        arrays = {name: values[index] for name in ("weight", "group", "time") if (values := getattr(rows, name)) is not None}
        return Part(replace(rows, X=X.take(index) if rows.is_table else X[index], y=rows.y[index], **arrays), self.z[index])

    @property
    def y(self) -> Array:
        return self.rows.y

    @property
    def weight(self) -> Array:
        """What the rows count (n,): 1 in a table without weights."""
        return np.ones(len(self)) if self.rows.weight is None else self.rows.weight.astype(np.float64)

    def observations(self, *labels: int) -> float:
        """How many independent rows those with one of the labels are, or of rows in groups how many equal groups."""
        chosen, group = np.isin(self.y, labels), self.rows.group
        return observations(np.ones(chosen.sum()), None if group is None else group[chosen])

    def __len__(self) -> int:
        return len(self.rows.y)


@dataclass(frozen=True)
class Context:
    """A model, and both tables. cut: the log-odds above which a row is predicted positive.

    reference: whether the checks may fit another kind of model, which takes a while.
    """

    card: ModelCard
    predictor: Predictor
    train: Part
    test: Part
    cut: float = 0.0
    reference: bool = False

    def require_rows(self, *parts: Part) -> None:
        """Raise NotApplicable unless each part, and both together, have rows enough."""
        for part in parts or (self.train, self.test):
            if len(part) < MIN_ROWS:
                raise NotApplicable(f"it takes {MIN_ROWS} rows that have a weight; {len(part)} are there")

    @cached_property
    def samples(self) -> tuple[Part, Part]:
        """Some rows of the training and of the test table, in their order: seeded, and all where they are few."""
        rows = len(self.train) + len(self.test)
        width = self.train.rows.X.shape[1]
        share = min(1.0, min(SAMPLED_ROWS, SAMPLED_VALUES / max(width, 1)) / rows)
        rng = np.random.default_rng(0)

        def drawn(part: Part) -> Part:
            size = max(min(len(part), MIN_ROWS), round(share * len(part)))
            return part if size >= len(part) else part.take(np.sort(rng.choice(len(part), size, replace=False)))

        return drawn(self.train), drawn(self.test)

    @cached_property
    def columns(self) -> dict[str, NDArray[Any]]:
        """The raw columns of the sampled rows, the training rows first: float64 (nan: missing), datetime64, or integers that
        stand for texts (-1: missing). Raises NotApplicable where they are too many."""
        parts = [part.rows.X for part in self.samples]
        if (width := len(self.card.columns or self.card.features)) > MAX_COLUMNS:
            raise NotApplicable(f"not looked at: {width:,} columns, more than {MAX_COLUMNS:,}")
        if not self.train.rows.is_table:
            X = np.concatenate([part if isinstance(part, np.ndarray) else part.toarray() for part in parts])
            return dict(zip(self.card.features, np.asfortranarray(X).T, strict=True))
        return dict(self._cells(parts))

    @cached_property
    def dates(self) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Of each column of dates, those of the sampled training and test rows that are known, as integers."""
        if not self.train.rows.is_table:
            return {}
        train, test = (part.rows.X for part in self.samples)
        names = [field.name for field in train.schema if str(field.type).startswith("timestamp")]
        return {name: (_known_times(train[name]), _known_times(test[name])) for name in names}

    def _cells(self, tables: list[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
        import pyarrow as pa

        table = pa.concat_tables(tables, promote_options="permissive")
        for column in self.card.columns:
            cells = read_cells(column, table[column.name], self.card.missing_values)
            if column.kind != "text":
                yield column.name, cells.positions if isinstance(cells, Codes) else cells

    @cached_property
    def features(self) -> tuple[Features, Features]:
        """The features of the sampled training and test rows."""
        return self.encoded(self.samples[0]), self.encoded(self.samples[1])

    @cached_property
    def dense_features(self) -> tuple[Array, Array]:
        """The same as arrays. Raises NotApplicable where they are too many."""
        if (width := len(self.card.features)) > MAX_FEATURES:
            raise NotApplicable(f"not looked at: {width:,} features, more than {MAX_FEATURES}")
        first, second = (np.asarray(X if isinstance(X, np.ndarray) else X.toarray(), np.float64) for X in self.features)
        return first, second

    def encoded(self, part: Part) -> Features:
        """X (n, d) of its rows."""
        if self.predictor.encoder is None:
            return part.rows.X
        return encode(self.predictor.encoder, self.card.columns, part.rows.X)

    def weights(self, part: Part) -> Array:
        """What each row counts in a fit's loss (n,), with the factors of the classes."""
        return np.asarray(part.weight * self._class_factors[part.y.astype(int)])

    @property
    def weighting(self) -> str:
        """What follows a number in a sentence in which the factors of the classes count."""
        return ", with model.class_weight," if self.has_class_weight else ""

    @property
    def has_class_weight(self) -> bool:
        """Whether the rows of one class count more in the fit than those of the other, so that its log-odds are shifted."""
        return not np.isclose(*self._class_factors)

    @cached_property
    def _class_factors(self) -> Array:
        class_weight = self.card.config["model"].get("class_weight", NONE)
        first = [int(np.argmax(self.train.y == label)) for label in (0, 1)]
        weight = self.train.rows.weight
        _, _, m = training_rows(np.zeros((len(self.train), 1)), self.train.y, weight, class_weight, self.card.classes)
        if m is None:
            return np.ones(2)
        return np.asarray(m[first] if weight is None else m[first] / weight[first], np.float64)

    @property
    def strength(self) -> float:
        """The l2 of the fit."""
        found = self.card.ended.penalty
        return float(found["l2"] if found else self.card.config["model"].get("l2", 0.0))


def standardised(X: Array) -> Array:
    """Columns that vary, X (n, d), with mean 0 and variance 1; halved first until no square overflows."""
    X = np.ldexp(X, -np.frexp(np.abs(X).max(axis=0))[1])
    return np.asarray((X - X.mean(axis=0)) / X.std(axis=0))


def _known_times(column: Any) -> NDArray[np.int64]:
    return np.asarray(column.drop_null().to_numpy().astype(np.int64))
