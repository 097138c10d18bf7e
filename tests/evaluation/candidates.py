"""Evaluated candidates of a report, made from log-odds alone."""

from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.arrays import Array
from pipeline.evaluation.checks import CHECKS
from pipeline.evaluation.comparison import Predictions
from pipeline.evaluation.curves import CURVES
from pipeline.evaluation.intervals import evaluate
from pipeline.evaluation.report.candidate import Evaluated
from pipeline.files import nan_as_none
from pipeline.learning.coefficients import COLUMNS
from pipeline.model.card import DataSchema, ModelCard
from pipeline.model.decision import Decision
from tests.evaluation.context import FIT, card

FINE = {"passed": True, "sentence": "fine", "advice": "none", "value": 0.2, "low": 0.1, "high": 0.3}
PASSED = [{"name": name, "looks_at": each.looks_at, "severe": each.severe, **FINE} for name, each in CHECKS.items()]
HOSTILE = "</script><script>document.title='executed'</script><img src=x onerror=alert(1)> $x^2$ \"'&\n" + "long " * 40
RTL = "\u05e2\u05de\u05d5\u05d3\u05d4 \u202eabc"  # letters from right to left, and a character that turns others around


def scored(rows: int = 200, seed: int = 0) -> tuple[Array, Array]:
    """z and y (rows,)."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(rows) * 2
    return z, (rng.random(rows) < 1 / (1 + np.exp(-z))).astype(np.float64)


def schema(of: ModelCard, **changes: Any) -> DataSchema:
    content: dict[str, Any] = {
        "features": of.features,
        "target": of.target,
        "classes": of.classes,
        "rows": of.data.rows,
        "positives": {"training": 30, "test": 20},
        "digest": of.data.digest,
        "source": of.config["data"],
    }
    return DataSchema(**{**content, **changes})


def coefficient(feature: str, effect: float, **others: str) -> dict[str, str]:
    row = dict.fromkeys(COLUMNS, "")
    numbers = {"per_unit": effect, "per_deviation": effect, "odds_ratio": np.exp(effect)}
    return {**row, "feature": feature, **{key: str(value) for key, value in numbers.items()}, **others}


def candidate(
    z: Array,
    y: Array,
    of: ModelCard | None = None,
    decision: Decision | None = None,
    **changes: Any,
) -> Evaluated:
    """One that predicted y (n,) by z (n,), with two epochs and two coefficients."""
    decided = decision or Decision()
    found = evaluate((z, y, None), (z, y, None), decided.log_odds, resamples=50)
    tables = {name: (curve, curve.of(z, y)) for name, curve in CURVES.items()}
    made = Evaluated(
        name="one",
        card=of or card(fit=replace(FIT, inference={"method": "HC1", "sentence": "standard errors by HC1"})),
        decision=decided,
        metrics=found.metrics,
        intervals=nan_as_none(found.intervals()),
        checks=PASSED,
        curves={name: {**table, **found.band(curve, table[curve.columns[1]])} for name, (curve, table) in tables.items()},
        history={"epoch": np.array([0.0, 50.0]), "loss": np.array([0.7, 0.6])},
        predictions=Predictions(z, y, decided.log_odds),
        weights_digest="5eed",
        coefficients=[coefficient("(intercept)", 0.1), coefficient("x1", -1.5), coefficient("x2", 0.5)],
    )
    return replace(made, **changes)
