"""Scores of rows that were held out: each fold's are scikit-learn's, and the interval of their mean is honest."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.arrays import Array
from pipeline.errors import DataError
from pipeline.evaluation.folds import STRATIFIED, FoldRows, FoldRule, features_of
from pipeline.evaluation.intervals import bootstrap
from pipeline.evaluation.metrics import OBJECTIVE
from pipeline.evaluation.options import EvaluationOptions
from pipeline.evaluation.validation import Held, Validation, corrected, splits
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.optimizers.newton import Newton

CV, HOLDOUT, MODEL = EvaluationOptions("cv"), EvaluationOptions("holdout"), NumpyModel(l2=0.01)
NAMES = {"accuracy": "accuracy", "roc_auc": "roc_auc", "log_loss": "neg_log_loss", "brier": "neg_brier_score"}


def table(n: int = 200, d: int = 3, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, (X[:, 0] + rng.logistic(size=n) > 0).astype(float)


def held(
    X: Array,
    y: Array,
    model: Any = MODEL,
    options: EvaluationOptions = CV,
    rule: FoldRule = STRATIFIED,
    weight: Array | None = None,
) -> list[Held]:
    return list(validation(X, y, model, rule, weight).held(splits(options, rule, y, (0, 1), 0)))


def validation(X: Array, y: Array, model: Any = MODEL, rule: FoldRule = STRATIFIED, weight: Array | None = None) -> Validation:
    return Validation(model, Newton(), FoldRows(features_of(X), y, weight, rule=rule))


def test_each_fold_s_scores_are_scikit_learn_s() -> None:
    X, y = table()
    model = NumpyModel(l2=0.02)
    options = EvaluationOptions("cv", folds=4, repeats=2)
    found = held(X, y, model, options)
    folds = [fold for repeat in splits(options, STRATIFIED, y, (0, 1), 0) for fold in repeat]
    oracle = make_pipeline(StandardScaler(), LogisticRegression(C=1 / (0.02 * 150), tol=1e-10))
    expected = cross_validate(oracle, X, y, cv=folds, scoring=NAMES)
    for name, scorer in NAMES.items():
        sign = -1 if scorer.startswith("neg_") else 1
        assert [each.scores[name] for each in found] == pytest.approx(sign * expected[f"test_{name}"], abs=1e-6)
    assert [(each.repeat, each.fold, each.training) for each in found] == [(r, k, 150) for r in range(2) for k in range(4)]
    for repeat in range(2):
        assert np.array_equal(np.sort(np.concatenate([e.rows for e in found if e.repeat == repeat])), np.arange(200))
    assert not np.array_equal(found[0].rows, found[4].rows)
    assert [each.scores for each in held(X, y, model, options)] == [each.scores for each in found]


def test_the_interval_is_that_of_nadeau_and_bengio() -> None:
    values = [0.5, 0.6, 0.4, 0.7, 0.55]
    score = corrected(values, 0.25)
    half = student.ppf(0.975, 4) * np.sqrt((1 / 5 + 1 / 4) * np.var(values, ddof=1))
    assert (score.value, score.low, score.high) == pytest.approx((0.55, 0.55 - half, 0.55 + half), rel=1e-12)
    assert str(score) == f"0.5500 ({0.55 - half:.4f} to {0.55 + half:.4f})"
    cut = corrected(values, 0.25, (0.5, 0.6))
    assert (cut.value, cut.low, cut.high) == (score.value, 0.5, 0.6)


@pytest.mark.parametrize("values", [[0.1], [0.1] * 3])
def test_one_value_or_equal_ones_show_no_interval(values: list[float]) -> None:
    score = corrected(values, 0.25)
    assert np.isnan([score.low, score.high]).all()
    assert str(score) == "0.1000"


def test_a_holdout_is_a_fifth_of_the_rows() -> None:
    X, y = table()
    (fold,) = held(X, y, options=HOLDOUT)
    assert (fold.training, len(fold.rows)) == (160, 40)
    weight, groups = 1.0 + np.arange(200) % 3, np.arange(200) // 4
    for given in ({}, {"weight": weight}, {"rule": FoldRule("group", groups, "ward")}):
        (fold,) = held(X, y, options=HOLDOUT, **given)
        group = groups[fold.rows] if "rule" in given else None
        expected = bootstrap(fold.log_odds, y[fold.rows], weight[fold.rows] if "weight" in given else None, group=group)
        found = validation(X, y, **given).mean_scores([fold])
        assert found == {name: expected[name] for name in fold.scores}
        assert found["accuracy"].low < found["accuracy"].value < found["accuracy"].high
    (last,) = held(X, y, options=HOLDOUT, rule=FoldRule("time", np.arange(200)[::-1].copy(), "day"))
    assert last.rows.tolist() == list(range(40))


def test_groups_stay_together_and_time_goes_forward() -> None:
    X, y = table()
    groups = np.arange(200) // 8
    for each in held(X, y, rule=FoldRule("group", groups, "ward")):
        assert len({*groups[each.rows]}) * 8 == len(each.rows)
    times = np.random.default_rng(1).permutation(200)
    for each in held(X, y, rule=FoldRule("time", times, "day")):
        assert each.training == (times < times[each.rows].min()).sum()


def test_the_penalty_is_found_anew_in_each_fold() -> None:
    X, y = table()
    found = held(X, y, NumpyModel(l2="auto"))
    assert [each.l2 for each in found] == [1 / each.training for each in found]
    assert [each.l2 for each in held(X, y)] == [None] * 5
    assert all(each.l2 and each.l2 > 1e-5 for each in held(X, y, NumpyModel(l2="cv")))


def test_whole_weights_score_as_repeated_rows() -> None:
    X, y = table(60)
    weight = np.random.default_rng(1).integers(0, 3, 60).astype(float)
    repeated = np.repeat(np.arange(60), weight.astype(int))
    folds = splits(CV, STRATIFIED, y, (0, 1), 0)
    positions = [[np.flatnonzero(np.isin(repeated, part)) for part in fold] for fold in folds[0]]
    weighted = list(validation(X, y, weight=weight).held(folds))
    plain = validation(X[repeated], y[repeated]).held([[(rows, held_out) for rows, held_out in positions]])
    for one, other in zip(weighted, plain, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-9)


def test_a_fold_of_one_class_has_the_objective_alone() -> None:
    X, y = table()
    y[140:] = 1
    found = held(X, y, rule=FoldRule("time", np.arange(200), "day"))
    assert [list(each.scores) == [OBJECTIVE] for each in found] == [False, False, False, False, True]
    scores = validation(X, y).mean_scores(found)
    assert scores["log_loss"].value == pytest.approx(np.mean([each.scores["log_loss"] for each in found]))
    assert scores["roc_auc"].value == pytest.approx(np.mean([e.scores["roc_auc"] for e in found if "roc_auc" in e.scores]))


def test_held_out_rows_without_weight_are_refused() -> None:
    X, y = table()
    ((rows, _),) = splits(HOLDOUT, STRATIFIED, y, (0, 1), 0)[0]
    weight = np.isin(np.arange(200), rows).astype(float)
    with pytest.raises(DataError, match="needs rows with a weight above 0 .*: evaluation.validation=none does without$"):
        validation(X, y).mean_scores(held(X, y, options=HOLDOUT, weight=weight))


@dataclass(frozen=True)
class NeverFits:
    def fit(self, *given: Any, **more: Any) -> Any:
        raise AssertionError


@pytest.mark.parametrize(
    ("y", "rule", "options", "reason"),
    [
        ([0, 1, 1], STRATIFIED, CV, "5-fold cross-validation needs 5 training rows of each class; 0 has 1"),
        ([0] * 9 + [1] * 4, STRATIFIED, CV, "5-fold cross-validation needs 5 training rows of each class; 1 has 4"),
        ([0, 1] * 9, FoldRule("group", np.zeros(18, np.int64), "ward"), CV, "needs training rows of at least 2 groups; ward"),
        ([0, 1] * 9, FoldRule("group", np.zeros(18, np.int64), "ward"), HOLDOUT, "of at least 2 groups; ward has one there"),
        ([0] * 9 + [1], FoldRule("time", np.arange(10), "day"), CV, "by data.time=day there are none"),
    ],
)
def test_rows_that_allow_no_folds(y: list[int], rule: FoldRule, options: EvaluationOptions, reason: str) -> None:
    with pytest.raises(DataError, match=f"{reason}.*: evaluation.validation=none does without$"):
        held(np.ones((len(y), 1)), np.array(y, float), NeverFits(), options, rule)


def test_time_has_no_repeats() -> None:
    with pytest.raises(DataError, match=r"^evaluation.repeats must be 1 with data.time, .*; got 2$"):
        splits(EvaluationOptions("cv", repeats=2), FoldRule("time", np.arange(9), "day"), np.ones(9), (0, 1), 0)


def test_a_fold_that_cannot_be_fitted_is_named() -> None:
    X, y = table()
    with pytest.raises(DataError, match=r"\(in fold 1 of 5 of the training rows; evaluation.validation=none does without\)$"):
        held(X, y, NumpyModel(init=[0.0]))


def of_noise(seed: int, rows: int = 60, test_rows: int = 200, jobs: int = 30) -> tuple[float, bool]:
    """The validation accuracy of the best of many columns that say nothing, and whether the exact interval of its accuracy on
    the test table holds the truth, 0.5."""
    rng = np.random.default_rng(seed)
    y, y_test = (rng.permutation(np.arange(n) % 2).astype(float) for n in (rows, test_rows))
    X, X_test = (rng.standard_normal((n, jobs)) for n in (rows, test_rows))
    scores = [validation(X[:, [job]], y).mean_scores(held(X[:, [job]], y))["accuracy"].value for job in range(jobs)]
    best = int(np.argmax(scores))
    fitted = MODEL.fit(X[:, [best]], y, Newton())
    w, b = fitted.arrays["w"] / fitted.arrays["scale"], float(fitted.arrays["b"])
    hits = ((X_test[:, best] - fitted.arrays["mean"]) * w + b > 0) == (y_test == 1)
    interval = binomtest(int(hits.sum()), test_rows).proportion_ci(0.95)
    return scores[best], interval.low <= 0.5 <= interval.high


def test_the_best_of_a_sweep_over_noise_is_optimistic() -> None:
    best, _ = of_noise(0)
    assert best > 0.55


@pytest.mark.evidence
def test_the_test_score_of_the_best_of_a_sweep_over_noise_is_honest() -> None:
    best, holds = zip(*map(of_noise, range(100)), strict=True)
    assert np.mean(best) > 0.55
    assert sum(holds) >= 90
