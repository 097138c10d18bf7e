"""Log-odds and labels, and a small evaluated model of two features."""

from typing import Any

import numpy as np

from pipeline.arrays import Array
from pipeline.evaluation.curves import CURVES
from pipeline.evaluation.figures import FigureContext
from pipeline.evaluation.metrics import measure
from pipeline.learning.coefficients import COLUMNS
from pipeline.model.card import DataFacts, FitSummary, ModelCard
from pipeline.model.decision import Decision

X, Y = np.random.default_rng(0).standard_normal((60, 2)), np.arange(60) % 2.0
LINE = np.array([1.0, -2.0]), 0.0  # w and b
FIT = FitSummary("gd", 100, "epochs", 0.5, 0.1, None)


def scores(ties: bool) -> tuple[Array, Array]:
    """z and y (500,)."""
    rng = np.random.default_rng(0)
    y = (rng.random(500) < 0.3).astype(np.float64)
    z = rng.standard_normal(500) + 1.5 * y
    return (np.round(z, 1) if ties else z), y


def card(**changes: Any) -> ModelCard:
    model = {"name": "numpy", "standardize": True}
    config = {"data": {"name": "document", "rows": 60}, "model": model, "optimizer": {"lr": 0.1}}
    data = DataFacts({"training": 60, "test": 60}, {"training": "a", "test": "b"})
    content: dict[str, Any] = {
        "fingerprint": "0123456789abcdef",
        "fingerprint_of": {},
        "features": ["x1", "x2"],
        "target": "label",
        "classes": [0, 1],
        "data": data,
        "config": config,
        "fit": FIT,
    }
    return ModelCard(**{**content, **changes})


def coefficient(feature: str, effect: float, **others: str) -> dict[str, str]:
    """A row of coefficients.csv."""
    row = dict.fromkeys(COLUMNS, "")
    return {**row, "feature": feature, "per_unit": str(effect), "per_deviation": str(effect), **others}


def context(line: tuple[Array, float] | None = LINE, **changes: Any) -> FigureContext:
    """Of a linear model with w and b, or with None of one whose log-odds are a circle's; changes: of the card."""

    def log_odds(X: Array) -> Array:
        return X @ line[0] + line[1] if line else (X**2).sum(axis=1) - 1

    z = log_odds(X)
    return FigureContext(
        name="numpy",
        card=card(**changes),
        decision=Decision(),
        history={"epoch": np.arange(3.0), "loss": np.array([0.7, 0.6, 0.5])},
        curves={name: curve.of(z, Y) for name, curve in CURVES.items()},
        metrics=measure(z, Y),
        log_odds=log_odds,
        coefficients=[coefficient(name, 1.0) for name in changes.get("features", ["x1", "x2"])] if line else [],
        raw_weights=line,
        points=(X, Y),
    )
