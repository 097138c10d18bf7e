"""The table of a linear model's weights: of which column and level each is, and how sure it is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.determinism import one_thread
from pipeline.learning.features import standardised
from pipeline.learning.inference import Inference, infer, unknown
from pipeline.learning.model import Fit, Model, TrainingRows
from pipeline.learning.models import LinearModel, Logistic, linear_model
from pipeline.learning.weights import NONE
from pipeline.model.encoder import Encoder

INTERCEPT = "(intercept)"
ENDS = ("", "_low", "_high")  # of an estimate, and of its interval
COLUMNS = (
    *("column", "level", "feature", "against", "weight", *(f"per_unit{end}" for end in ENDS), "standard_error", "z", "p"),
    *(f"{name}{end}" for name in ("odds_ratio", "per_deviation") for end in ENDS),
)


def coefficients(
    rows: TrainingRows, model: Model, fit: Fit, encoder: Encoder | None
) -> tuple[dict[str, NDArray[Any]], dict[str, Any] | None]:
    """The table of what `model` was fitted to these rows as, and the method and the sentence of its inference.

    An empty table and None where the model is not linear. Without an encoder, the features are the columns.
    """
    fitted = linear_model(fit.arrays)
    if fitted is None:
        return {name: np.empty(0) for name in COLUMNS}, None
    if isinstance(model, Logistic):
        inference = infer(rows, model, fit, encoder.choices if encoder else ())
    else:
        inference = unknown(fitted, "the model is no logistic regression of the project")
    is_scaled = isinstance(model, Logistic) and model.standardize and model.class_weight == NONE
    table = _table(fitted, inference, fitted.scale if is_scaled else _deviations(rows), rows.features, encoder)
    return table, {"method": inference.method, "sentence": inference.sentence}


def _deviations(rows: TrainingRows) -> Array:
    """The standard deviation of each feature (d,), by the weights of the rows; 1 of a constant one."""
    with one_thread:
        m = None if rows.weight is None else rows.weight / rows.weight.mean()
        return standardised(rows.X, np.float64, rows.features, m)[2]


def _table(
    model: LinearModel, inference: Inference, deviations: Array, features: Sequence[str], encoder: Encoder | None
) -> dict[str, NDArray[Any]]:
    """COLUMNS, the intercept first and then the features in their order; None where nothing is known.

    deviations (d,): the standard deviations of the features.
    """
    from scipy.special import ndtr

    levels = encoder.levels if encoder else [(name, "") for name in features]
    against = [""] * len(features)
    for position, reference in inference.against.items():
        against[position] = levels[reference][1]
    with np.errstate(all="ignore"):
        z = np.divide(inference.value, inference.standard_error)
        numbers = {"weight": model.theta, "standard_error": inference.standard_error, "z": z, "p": 2 * ndtr(-abs(z))}
        for end, per_unit in zip(ENDS, (inference.value, inference.low, inference.high), strict=True):
            numbers[f"per_unit{end}"], numbers[f"odds_ratio{end}"] = per_unit, np.exp(per_unit)
            numbers[f"per_deviation{end}"] = per_unit * np.append(deviations, np.nan)
    found: dict[str, list[Any]] = {
        "column": [*(column for column, _ in levels), ""],
        "level": [*(level for _, level in levels), ""],
        "feature": [*features, INTERCEPT],
        "against": [*against, ""],
        **{name: [None if number != number else number for number in values.tolist()] for name, values in numbers.items()},
    }
    return {name: np.roll(np.array(found[name], object), 1) for name in COLUMNS}
