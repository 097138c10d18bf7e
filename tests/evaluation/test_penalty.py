"""The penalty that `auto`, `cv` and `cv_1se` find, beside scikit-learn's LogisticRegression."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from pipeline.arrays import Array, Features
from pipeline.errors import ConfigError, DataError
from pipeline.evaluation import penalty
from pipeline.evaluation.folds import FoldRows, features_of, stratified_folds
from pipeline.evaluation.penalty import Curve, Resolved, cross_validate, resolve
from pipeline.learning.models import Logistic
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.models.torch import TorchModel


def table(n: int = 400, d: int = 12, signal: float = 0.7, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * np.logspace(-1, 1, d) + 2
    z = signal * (X[:, :4] / X[:, :4].std(axis=0)).sum(axis=1)
    return X, (rng.random(n) < 1 / (1 + np.exp(z.mean() - z))).astype(float)


def plain_loop(X: Features, y: Array, l2s: Array, seed: int, weight: Array | None = None) -> Array:
    """The validation loss of each fold and each l2, by scikit-learn."""
    w, losses = np.ones(len(y)) if weight is None else weight, []
    A = X if isinstance(X, np.ndarray) else X.toarray()
    for rows, held_out in stratified_folds(y, 5, seed):
        mean = np.average(A[rows], axis=0, weights=w[rows])
        Z = (A - mean) / np.sqrt(np.average((A[rows] - mean) ** 2, axis=0, weights=w[rows]))
        for l2 in l2s:
            model = LogisticRegression(C=1 / (l2 * w[rows].sum()), tol=1e-9, max_iter=1000, solver="newton-cholesky")
            z = model.fit(Z[rows], y[rows], sample_weight=w[rows]).decision_function(Z[held_out])
            losses.append(np.average(np.logaddexp(0, (1 - 2 * y[held_out]) * z), weights=w[held_out]))
    return np.reshape(losses, (5, -1))


def check(X: Features, y: Array, model: Logistic, weight: Array | None = None) -> None:
    m = None if weight is None else weight / weight.mean()
    curve = cross_validate(model, FoldRows(features_of(X), y, m))
    folds = plain_loop(X, y, curve.l2, model.seed, weight)
    shares = [(np.ones(len(y)) if m is None else m)[rows].sum() for _, rows in stratified_folds(y, 5, model.seed)]
    expected = np.average(folds, axis=0, weights=shares)
    np.testing.assert_allclose(curve.loss, expected, rtol=1e-4)
    if weight is None and len(y) % 5 == 0:
        np.testing.assert_allclose(curve.standard_error, folds.std(axis=0, ddof=1) / np.sqrt(5), rtol=1e-3)


@pytest.mark.parametrize("model", [NumpyModel(seed=3), TorchModel()])
def test_the_curve_is_that_of_a_plain_loop(model: Logistic) -> None:
    check(*table(), model)


def test_the_curve_with_weights() -> None:
    X, y = table()
    check(X, y, NumpyModel(), np.random.default_rng(1).random(len(y)) + 0.2)


def test_the_curve_of_sparse_features() -> None:
    X, y = table(300, 6)
    check(csr_array(np.where(np.random.default_rng(1).random(X.shape) < 0.6, 0, X)), y, NumpyModel())


def test_the_curve_of_more_columns_than_rows() -> None:
    check(*table(60, 80), NumpyModel())


def test_the_curve_where_classes_can_be_separated() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    check(X, y.astype(float), NumpyModel())


def test_features_of_a_fold_are_asked_by_its_training_rows() -> None:
    X, y = table(60, 3)
    asked = []

    def features(training_rows: Any, rows: Any) -> Any:
        asked.append((tuple(training_rows), tuple(rows)))
        return X[rows]

    cross_validate(NumpyModel(), FoldRows(features, y))
    every, folds = tuple(range(60)), [tuple(map(tuple, fold)) for fold in stratified_folds(y)]
    assert asked == [(every, every), *(pair for rows, held in folds for pair in ((rows, rows), (rows, held)))]


def test_both_models_choose_the_same_and_another_seed_has_other_folds() -> None:
    X, y = table()
    numpy, torch, other = (
        resolve(model, FoldRows(features_of(X), y))
        for model in (NumpyModel(l2="cv"), TorchModel(l2="cv"), NumpyModel(l2="cv", seed=1))
    )
    assert numpy.to_dict(None) == torch.to_dict(None)
    assert numpy.curve is not None
    assert other.curve is not None
    assert (numpy.curve.loss != other.curve.loss).all()


def test_the_least_loss_and_the_strongest_within_one_standard_error_are_chosen() -> None:
    X, y = table(200)
    least, one_se = (resolve(NumpyModel(l2=asked), FoldRows(features_of(X), y)) for asked in ("cv", "cv_1se"))
    curve = least.curve
    assert curve is not None
    assert len(curve.l2) >= 20
    assert (np.diff(curve.l2) < 0).all()
    assert 0 < curve.best < len(curve.l2) - 1
    assert least.l2 == curve.l2[curve.loss.argmin()]
    limit = curve.loss.min() + curve.standard_error[curve.loss.argmin()]
    assert one_se.l2 == max(l2 for l2, loss in zip(curve.l2, curve.loss, strict=True) if loss <= limit) > least.l2
    assert least.sentence.startswith(f"model.l2=cv is {least.l2:.3g}: the least validation loss of 20 values in 5 folds (")
    assert least.sentence.endswith(f"; one standard error allows {one_se.l2:.3g}")
    assert "the strongest within one standard error of the least validation loss" in one_se.sentence


@pytest.mark.parametrize("n", [100, 1000, pytest.param(20_000, marks=pytest.mark.evidence)])
@pytest.mark.parametrize("d", [2, 20])
@pytest.mark.parametrize("signal", [0.2, 1.0])
def test_the_best_is_seldom_at_an_edge(n: int, d: int, signal: float) -> None:
    edges = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X, w = rng.standard_normal((n, d)), rng.standard_normal(d)
        z = signal * X @ w
        curve = cross_validate(NumpyModel(), FoldRows(features_of(X), (rng.random(n) < 1 / (1 + np.exp(-z))).astype(float)))
        edges += curve.best in (0, len(curve.l2) - 1)
    assert edges <= 2


def test_the_best_at_an_edge_and_separable_classes_are_named() -> None:
    rng = np.random.default_rng(1)
    X, noise = rng.standard_normal((200, 10)), (rng.random(200) < 0.5).astype(float)
    strongest = resolve(NumpyModel(l2="cv"), FoldRows(features_of(X), noise))
    assert strongest.curve is not None
    assert strongest.curve.best == 0
    assert [*strongest.warnings(None)] == [
        f"the strongest of the penalties, {strongest.l2:.3g}, has the least validation loss: the columns do not seem to "
        "predict the target"
    ]
    weakest = resolve(NumpyModel(l2="cv"), FoldRows(features_of(X), (X[:, 0] > 0.3).astype(float)))
    found = {"kind": "complete", "alone": True, "columns": ["a"]}
    assert [*weakest.warnings(found)] == [
        f"the classes can be separated by a: only the penalty, model.l2={weakest.l2:.3g}, keeps the weights finite",
        f"the weakest of the penalties, {weakest.l2:.3g}, has the least validation loss, so a weaker one may be better: set "
        "model.l2 to a number to try it",
    ]


def test_auto_is_scikit_learn_s_c_of_1() -> None:
    X, y = table()
    weight = np.random.default_rng(0).integers(0, 4, len(y)).astype(float)
    asked = NumpyModel(l2="auto")
    assert resolve(asked, FoldRows(features_of(X), y)) == Resolved(
        "auto", 1 / 400, "model.l2=auto is 0.0025: 1/(training rows), scikit-learn's C=1"
    )
    assert resolve(asked, FoldRows(features_of(X), y, weight)).l2 == pytest.approx(1 / weight.sum(), rel=1e-15)
    repeated = np.repeat(np.arange(len(y)), weight.astype(int))
    assert resolve(asked, FoldRows(features_of(X[repeated]), y[repeated])).l2 == pytest.approx(1 / weight.sum(), rel=1e-15)
    factored = resolve(replace(asked, class_weight={"yes": 5.0}), FoldRows(features_of(X), y, weight, ("no", "yes")))
    assert factored.l2 == pytest.approx(1 / (weight[y == 0].sum() + 5 * weight[y == 1].sum()), rel=1e-15)
    assert resolve(replace(asked, class_weight="balanced"), FoldRows(features_of(X), y)).l2 == pytest.approx(
        1 / len(y), rel=1e-12
    )


def test_rows_without_a_weight_are_in_no_fold() -> None:
    X, y = table()
    weight = (np.arange(len(y)) % 3 > 0).astype(float)
    some = weight > 0
    found, expected = (
        resolve(NumpyModel(l2="cv"), FoldRows(features_of(X), y, weight)),
        resolve(NumpyModel(l2="cv"), FoldRows(features_of(X[some]), y[some])),
    )
    assert found.to_dict(None) == expected.to_dict(None)


def test_too_few_rows_of_a_class_are_one_sentence() -> None:
    X, _ = table(30, 2)
    with pytest.raises(DataError, match="needs 5 training rows of each class; yes has 3"):
        resolve(NumpyModel(l2="cv"), FoldRows(features_of(X), np.repeat([0.0, 1.0], [27, 3]), classes=("no", "yes")))


def test_a_row_far_from_all_others_leaves_finite_numbers_or_one_sentence() -> None:
    X, y = table(60, 3)
    far = 1e200 if y[7] == 0 else -1e200  # on the wrong side
    X[7, 1] = far
    curve = cross_validate(NumpyModel(), FoldRows(features_of(X), y))
    assert np.isfinite(curve.loss).all()
    assert np.isfinite(curve.standard_error).all()
    assert curve.loss.max() > 1e150
    X[:, 1] /= 1e200
    X[7, 1] = far
    with pytest.raises(DataError, match="^cross-validation needs finite log-odds; a row has values too far from all others"):
        cross_validate(NumpyModel(), FoldRows(features_of(X), y))


def test_a_fit_takes_a_number_alone() -> None:
    X, y = table()
    with pytest.raises(ConfigError, match="^model.l2 must be a number by the time a model is fitted; got auto$"):
        NumpyModel(l2="auto").fit(X, y, _optimizer())


def _optimizer() -> Any:
    from pipeline.learning.optimizers.auto import Auto

    return Auto()


def test_a_curve_whose_losses_are_equal_has_the_strongest_penalty() -> None:
    curve = Curve(np.array([2.0, 1.0, 0.5]), np.ones(3), np.zeros(3), 0)
    assert (curve.best, curve.within_one_standard_error) == (0, 0)


def test_the_path_covers_the_columns_own_scale_where_they_are_not_standardised() -> None:
    X, y = table()
    narrow, wide = (penalty.l2_path(X * scale, y, None, standardize=False) for scale in (1, 100))
    np.testing.assert_allclose(wide, 1e4 * narrow, rtol=1e-2)
