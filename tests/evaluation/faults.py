"""Data sets that are made with one fault each, and the checks that must find it and nothing else."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arrays import Array
from pipeline.data.dataset import Dataset
from pipeline.data.sources.table import Table
from pipeline.evaluation.checks import Context
from pipeline.learning.models.numpy import NumpyModel
from tests.evaluation.checked import context_of, dataset, noisy

N = 800
FAULTS: dict[str, tuple[set[str], Callable[[], Context]]] = {}


def fault(*found: str) -> Callable[[Callable[[], Context]], Callable[[], Context]]:
    """Of a function that makes a context: the checks that must fail."""

    def register(make: Callable[[], Context]) -> Callable[[], Context]:
        FAULTS[make.__name__] = set(found), make
        return make

    return register


def mask(n: int = N, seed: int = 0) -> Any:
    return np.random.default_rng(seed).random(n) < 0.3


def with_column(column: Array, **changes: Any) -> Context:
    """A column beside those of a table without a fault."""
    X, y = noisy(len(column))
    return context_of(dataset(np.column_stack([X, column]), y, mask(len(column))), **changes)


def table(frame: pd.DataFrame, **settings: Any) -> Dataset:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.csv")
        frame.to_csv(path, index=False)
        return Table(path=str(path), target="y", **settings).load()


def frame(seed: int = 0) -> pd.DataFrame:
    X, y = noisy(N, seed=seed)
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": y.astype(int)})


def mostly(y: Array) -> Array:
    """y but in 3 rows."""
    y = y.copy()
    y[[5, N // 2, N - 5]] = 1 - y[[5, N // 2, N - 5]]
    return y


@fault()
def no_fault() -> Context:
    return context_of(dataset(*noisy(N), mask()))


@fault()
def no_fault_in_a_table() -> Context:
    rng = np.random.default_rng(0)
    text = np.array(["red", "green", "blue"])[rng.integers(3, size=N)]
    dates = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(700, size=N), "D")
    return context_of(table(frame().assign(colour=text, day=dates, n=rng.integers(90, size=N))))


@fault("leak")
def leak_in_a_number() -> Context:
    return with_column(mostly(noisy(N)[1]))


@fault("leak")
def leak_in_the_size_of_a_number() -> Context:
    rng = np.random.default_rng(1)
    return with_column((mostly(noisy(N)[1]) + rng.random(N)) * rng.choice([-1, 1], N))


@fault("leak")
def leak_in_levels() -> Context:
    codes = np.array([["A", "B", "C"], ["D", "E", "F"]])
    cause = codes[mostly(frame()["y"].to_numpy()), np.random.default_rng(1).integers(3, size=N)]
    return context_of(table(frame().assign(cause=cause)), model=NumpyModel(l2=1 / N))


@fault("leak")
def leak_in_what_is_missing() -> Context:
    values = np.where(mostly(frame()["y"].to_numpy()) == 1, np.random.default_rng(1).random(N), np.nan)
    return context_of(table(frame().assign(paid=values)), model=NumpyModel(l2=1 / N))


@fault("leak")
def leak_of_rare_positives() -> Context:
    X, _ = noisy(20 * N)
    y = (np.random.default_rng(1).random(20 * N) < 1 / (1 + np.exp(6 - X[:, 0]))).astype(np.float64)
    known = y + 0.16 * np.random.default_rng(2).standard_normal(20 * N)
    return context_of(dataset(np.column_stack([X, known]), y, mask(20 * N)), model=NumpyModel(l2=1 / N))


@fault("index_column")
def index() -> Context:
    return with_column(np.arange(N, dtype=np.float64))


@fault("index_column")
def index_in_other_units() -> Context:
    return with_column((np.arange(N) * 0.07 - 3.1)[np.random.default_rng(1).permutation(N)])


@fault("index_column")
def index_with_gaps() -> Context:
    return with_column(np.random.default_rng(1).choice(20 * N, N, replace=False).astype(np.float64))


@fault("index_column")
def index_that_a_user_keeps() -> Context:
    return context_of(table(frame().assign(ticket=np.arange(N) + 100), keep=["ticket"]))


@fault("shared_rows")
def shared_rows() -> Context:
    X, y = noisy(N)
    test = mask()
    copied = np.flatnonzero(test)[:20]
    X[copied], y[copied] = X[~test][:20], y[~test][:20]
    return context_of(dataset(X, y, test))


@fault("shared_rows")
def shared_rows_of_a_table() -> Context:
    whole = frame()
    return context_of(table(pd.concat([whole, whole[:100]])))


@fault("baseline")
def noise() -> Context:
    X, _ = noisy(4 * N, 1)
    return context_of(dataset(X, np.arange(4 * N) % 2.0))


@fault("predicted_classes")
def a_class_that_is_never_predicted() -> Context:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 5 * N)
    y = (rng.random(5 * N) < 1 / (1 + np.exp(2.4 - 1.5 * x))).astype(np.float64)
    return context_of(dataset(x[:, None], y))


@fault("separation")
def separable() -> Context:
    X = np.random.default_rng(0).standard_normal((3 * N, 3))
    margin = X @ [1, -1, 1]
    far = np.abs(margin) > 0.5
    return context_of(dataset(X[far], (margin[far] > 0).astype(np.float64)))


@fault("overfitting", "calibration")
def too_many_columns() -> Context:
    return context_of(dataset(*noisy(2 * N, 150), mask(2 * N)))


@fault("calibration")
def a_penalty_that_is_too_strong() -> Context:
    return context_of(dataset(*noisy(2 * N), mask(2 * N)), model=NumpyModel(l2=0.5))


@fault("drift")
def another_mean() -> Context:
    X, y = noisy(N)
    test = mask()
    X[test, 2] += 0.8
    return context_of(dataset(X, y, test))


@fault("drift")
def another_spread() -> Context:
    X, y = noisy(N)
    test = mask()
    X[test, 2] *= 3
    return context_of(dataset(X, y, test))


@fault("time_order")
def test_before_training() -> Context:
    seconds = pd.Timestamp("2024-01-01 10:00") + pd.to_timedelta(np.arange(N), "s")
    parts = np.where(np.arange(N) < N / 4, "test", "train")
    return context_of(table(frame().assign(at=seconds, part=parts), split="part"))


@fault("collinear")
def a_sum_of_columns() -> Context:
    X, _ = noisy(N)
    return with_column(X[:, 1] - X[:, 2] + 0.01 * np.random.default_rng(1).standard_normal(N))


@fault("collinear")
def levels_by_another_name() -> Context:
    levels = np.random.default_rng(1).integers(3, size=N)
    return context_of(table(frame().assign(one=np.array([*"abc"])[levels], other=np.array([*"XYZ"])[levels])))


@fault("scales")
def other_units() -> Context:
    X, y = noisy(N)
    X[:, 1] *= 1e5
    return context_of(dataset(X, y, mask()), model=NumpyModel(standardize=False))


@fault("unconverged", "calibration")
def too_few_epochs() -> Context:
    return context_of(dataset(*noisy(2 * N), mask(2 * N)), "gd", epochs=5)


@fault("edge")
def the_weakest_penalty() -> Context:
    made = context_of(dataset(*noisy(N), mask()))
    found = {"asked": "cv", "l2": 0.0, "separation": None, "validation": {"best": 0.001, "l2": [1.0, 0.01, 0.001]}}
    return replace(made, card=replace(made.card, fit=replace(made.card.ended, penalty=found)))
