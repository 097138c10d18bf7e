"""A model that is fitted to a data set in memory, and what the checks find of it."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from pipeline.arrays import Array
from pipeline.data.dataset import Dataset, Split
from pipeline.evaluation.checks import Context, Part, run_checks
from pipeline.learning.encoding import encode, fit_encoder
from pipeline.learning.models.numpy import NumpyModel, log_odds
from pipeline.learning.optimizers import OPTIMIZERS
from pipeline.model.card import FitSummary
from pipeline.model.predictor import Predictor
from pipeline.registry import name_of
from tests.evaluation.context import card

Entries = dict[str, dict[str, Any]]


def context_of(data: Dataset, optimizer: str = "newton", model: NumpyModel | None = None, **changes: Any) -> Context:
    """changes: of the optimizer."""
    model, configured = model or NumpyModel(), OPTIMIZERS[optimizer](**changes)
    X, columns, encoder = data.train.X, [], None
    if data.train.is_table:
        columns = [column for column in data.columns if column.is_used]
        encoder = fit_encoder(X, columns, model.encoder, data.train.weight)
        columns = [column for column in columns if column.name in {step.column for step in encoder.steps}]
        X = encode(encoder, columns, X)
    features = encoder.features if encoder else data.features
    fit = model.fit(X, data.train.y, configured, features, None, data.train.weight, data.classes)
    separation = dict(fit.separation) if fit.separation else None
    summary = FitSummary(name_of(fit.optimizer), fit.epochs, fit.stopped_by, fit.loss, fit.gradient_norm, separation)
    config = {"data": {}, "model": asdict(model), "optimizer": {"name": optimizer, **asdict(configured)}}
    made = card(features=features, columns=columns, classes=list(data.classes), target=data.target, config=config, fit=summary)
    predictor = Predictor(features, data.classes, fit.arrays, log_odds, columns, encoder)
    train, test = (Part.of(part, predictor.log_odds(part.X)) for part in (data.train, data.test))
    return Context(made, predictor, train, test)


def checked(data: Dataset, optimizer: str = "newton", model: NumpyModel | None = None, **changes: Any) -> Entries:
    """The checks' entries by name."""
    return by_name(context_of(data, optimizer, model, **changes))


def by_name(context: Context, **changes: Any) -> Entries:
    return {entry["name"]: entry for entry in run_checks(replace(context, **changes))}


def failed(entries: Entries) -> set[str]:
    return {name for name, entry in entries.items() if entry["passed"] is False}


def noisy(rows: int = 400, d: int = 3, seed: int = 0, signal: float = 1.0) -> tuple[Array, Array]:
    """X (rows, d) and labels that a logistic model in the first column makes."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, d))
    return X, (rng.random(rows) < 1 / (1 + np.exp(-2 * signal * X[:, 0]))).astype(np.float64)


def in_groups(groups: int, size: int, seed: int = 0) -> Dataset:
    """Rows of a group have most of their columns in common, and of what makes them positive; the last quarter of the groups is
    the test table."""
    rng, group = np.random.default_rng(seed), np.arange(groups).repeat(size)
    X, noise = (
        0.7**0.5 * rng.standard_normal((groups, 3))[group] + 0.3**0.5 * rng.standard_normal((len(group), 3)) for _ in "ab"
    )
    test = group >= 0.75 * groups
    data = dataset(X, (X[:, 0] + noise[:, 0] > 0).astype(np.float64), test)
    return replace(data, train=replace(data.train, group=group[~test]), test=replace(data.test, group=group[test]))


def dataset(X: Any, y: Array, test: Any = None, **changes: Any) -> Dataset:
    """The last quarter of the rows, or those of the mask `test`, are the test table."""
    test = np.arange(len(y)) >= 0.75 * len(y) if test is None else test
    names = [f"x{j + 1}" for j in range(X.shape[1])]
    return Dataset(names, "label", (0, 1), Split(X[~test], y[~test]), Split(X[test], y[test]), **changes)
