"""Cross-validation: the rows of each fold, and the features that a fit gets of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array, Features
from pipeline.errors import DataError
from pipeline.learning.encoding import encode, fit_encoder
from pipeline.learning.models import EncoderOptions
from pipeline.manifest import Manifest
from pipeline.model.card import DataSchema
from pipeline.model.columns import Column
from pipeline.model.encoder import Encoder
from pipeline.text import quote_if_needed

TIE = 1e-5  # by how much more shares may vary in a smaller fold, relatively
Rows = NDArray[np.intp]
Fold = tuple[Rows, Rows]  # the rows that are trained on, and those that the model is measured on
FoldFeatures = Callable[[Rows, Rows], Features]  # (training rows, rows) -> X of the rows, by what the training rows say


@dataclass(frozen=True)
class FoldRule:
    """How rows are dealt to folds.

    class: at random and stratified; group: so too, but all rows of a group stay together; time: the rows of a fold come after
    those that are trained on.
    """

    by: Literal["class", "group", "time"] = "class"
    keys: NDArray[np.int64] | None = None  # (n,): each row's group, or its rank in time
    column: str = ""  # that has these

    @property
    def description(self) -> str:
        """What follows "5 folds" in a sentence."""
        if self.by == "class":
            return ""
        how = "of whole groups" if self.by == "group" else "that follow their training rows"
        return f" {how} ({quote_if_needed(self.column)})"

    def take(self, rows: Rows) -> "FoldRule":
        """The rule for some of the rows."""
        return self if self.keys is None else replace(self, keys=self.keys[rows])

    def folds(self, y: Array, count: int = 5, seed: int = 0, classes: tuple[Any, Any] = (0, 1)) -> list[Fold]:
        """`count` folds, or fewer where there are not so many groups or times; the rows of each in their order.

        classes: what y = 0 and y = 1 stand for. Raises DataError where no folds let every fit see both classes.
        """
        if self.keys is None:
            return stratified_folds(y, count, seed, classes)
        if self.by == "group":
            return group_folds(y, self.keys, count, seed, classes, self.column)
        return time_folds(y, self.keys, count, self.column)


STRATIFIED = FoldRule()


@dataclass(frozen=True)
class FoldRows:
    """Rows that are fitted to in folds: their features, labels y (n,) in {0, 1} and, perhaps, weights (n,).

    classes: what y = 0 and y = 1 stand for; rule: how the rows are dealt to folds.
    """

    features: FoldFeatures
    y: Array
    weight: Array | None = None
    classes: Sequence[Any] = (0, 1)
    rule: FoldRule = STRATIFIED

    def take(self, rows: Rows) -> "FoldRows":
        """Some of the rows."""
        weight = None if self.weight is None else self.weight[rows]
        taken = replace(self, y=self.y[rows], weight=weight, rule=self.rule.take(rows))
        return replace(taken, features=lambda training_rows, others: self.features(rows[training_rows], rows[others]))


def fold_rule(tables: Manifest[DataSchema]) -> FoldRule:
    """Folds of the training rows are made as the test part was."""
    source = tables.content.source
    if name := source.get("group"):
        return FoldRule("group", tables.array("train/group.npy"), name)
    if name := source.get("time"):
        return FoldRule("time", tables.array("train/time.npy"), name)
    return STRATIFIED


def features_of(X: Features) -> FoldFeatures:
    """Those of a matrix, which is the same in every fold."""
    return lambda training_rows, rows: X[rows]


def encoded_features(tables: Manifest[DataSchema], columns: Sequence[Column], options: EncoderOptions) -> FoldFeatures:
    """Features of rows of the training table, by an encoder that is fitted to other rows of it."""
    table, weight = cache(lambda: tables.table("train.parquet")), tables.weight("train")

    @lru_cache(maxsize=1)
    def encoder_of(training_rows: bytes) -> Encoder:
        rows = np.frombuffer(training_rows, np.intp)
        return fit_encoder(table().take(rows), columns, options, None if weight is None else weight[rows])

    def features(training_rows: Rows, rows: Rows) -> Features:
        return encode(encoder_of(training_rows.tobytes()), columns, table().take(rows))

    return features


def stratified_folds(y: Array, count: int = 5, seed: int = 0, classes: tuple[Any, Any] = (0, 1)) -> list[Fold]:
    """Folds whose sizes, and whose numbers of rows of each class, differ by 1 at most; the rows in their order.

    classes: what y = 0 and y = 1 stand for. Raises DataError where a class has fewer rows than there are folds.
    """
    _check_classes(y, count, classes)
    rng, fold_of, dealt = np.random.default_rng(seed), np.empty(len(y), np.intp), 0
    for label in (0, 1):
        rows = rng.permutation(np.flatnonzero(y == label))
        fold_of[rows] = (dealt + np.arange(len(rows))) % count
        dealt += len(rows)
    return [_fold(fold_of != fold, fold_of == fold) for fold in range(count)]


def group_folds(
    y: Array, groups: NDArray[np.int64], count: int, seed: int, classes: tuple[Any, Any], column: str
) -> list[Fold]:
    """Each group in one fold, the classes as evenly as that allows: the folds of scikit-learn's StratifiedGroupKFold, which
    takes some seconds for a million rows."""
    names, group_of = np.unique(groups, return_inverse=True)
    count = min(count, len(names))
    if count < 2:
        raise DataError(f"cross-validation needs training rows of at least 2 groups; {quote_if_needed(column)} has one there")
    _check_classes(y, count, classes)
    of_class = [np.bincount(group_of[y == label], minlength=len(names)) for label in (0, 1)]
    sizes = np.column_stack(of_class).astype(np.float64)  # (groups, classes)
    shuffled = np.arange(len(names))
    np.random.RandomState(seed).shuffle(shuffled)
    fold_of = np.empty(len(names), np.intp)
    fold_of[shuffled] = _deal(sizes[shuffled], count)
    folds = [_fold(fold_of[group_of] != fold, fold_of[group_of] == fold) for fold in range(count)]
    folds = [(rows, held_out) for rows, held_out in folds if len(held_out)]
    if missing := [classes[label] for rows, _ in folds for label in (0, 1) if not (y[rows] == label).any()]:
        rule = "cross-validation needs each class in several groups"
        raise DataError(f"{rule}; without those of one fold, no training row is {missing[0]} (data.group={column})")
    return folds


def _deal(sizes: Array, count: int) -> Rows:
    """The fold of each group, most unequal ones first: where the shares of each class vary least between folds,
    or hardly more in a smaller fold. sizes: (groups, classes)."""
    fold_of, folds, total = np.empty(len(sizes), np.intp), np.zeros((count, sizes.shape[1])), sizes.sum(axis=0)
    one_each = np.eye(count)[:, :, None]
    for group in np.argsort(-sizes.std(axis=1), kind="stable"):
        spreads = ((folds + one_each * sizes[group]) / total).std(axis=1).mean(axis=1)  # (count,), by the fold that gets it
        best, least, rows = 0, np.inf, np.inf
        for fold, (spread, size) in enumerate(zip(spreads.tolist(), folds.sum(axis=1).tolist(), strict=True)):
            if spread < least or (size < rows and spread - least <= TIE * least):
                best, least, rows = fold, spread, size
        fold_of[group] = best
        folds[best] += sizes[group]
    return fold_of


def time_folds(y: Array, times: NDArray[np.int64], count: int, column: str) -> list[Fold]:
    """scikit-learn's TimeSeriesSplit, but for rows of one time, which are on one side; a fold before which the training rows
    are of one class is left out."""
    count = min(count, len(y) - 1)
    first = len(y) - np.arange(count, 0, -1) * (len(y) // (count + 1))  # of each fold, in the order of time
    edges = np.unique(np.sort(times)[first])
    ends = [*edges[1:], times.max() + 1]
    folds = [_fold(times < start, (times >= start) & (times < end)) for start, end in zip(edges, ends, strict=True)]
    folds = [(rows, held_out) for rows, held_out in folds if len(np.unique(y[rows])) == 2]
    if len(folds) < 2:
        rule = "cross-validation needs 2 folds before which there are training rows of both classes"
        raise DataError(f"{rule}; by data.time={column} there {'is 1' if folds else 'are none'}")
    return folds


def _check_classes(y: Array, count: int, classes: tuple[Any, Any]) -> None:
    for label, name in enumerate(classes):
        if (rows := int(np.count_nonzero(y == label))) < count:
            raise DataError(f"{count}-fold cross-validation needs {count} training rows of each class; {name} has {rows}")


def _fold(training: NDArray[np.bool_], held_out: NDArray[np.bool_]) -> Fold:
    return np.flatnonzero(training), np.flatnonzero(held_out)
