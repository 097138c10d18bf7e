"""The model as MLflow serves it: raw columns in, class and probability out. MLflow copies this file beside the weights and
runs it alone (models-from-code), so it imports nothing of the project."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException


class LogisticRegression(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """p = sigmoid(((x - mean) / scale) . w + b), from model.json and model.npz."""

    def load_context(self, context: Any) -> None:
        self.about = json.loads(Path(context.artifacts["about"]).read_text(encoding="utf-8"))
        with np.load(context.artifacts["weights"]) as weights:
            self.weights = {name: weights[name].astype(np.float64) for name in weights.files}

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """model_input: a DataFrame with the features among its columns; of wide data, an array or a SciPy CSR matrix, too."""
        mean, scale, w, b = (self.weights[name] for name in ("mean", "scale", "w", "b"))
        if hasattr(model_input, "tocsr"):
            require_numbers(model_input.data, lambda place: f"entry {place[0]} of the matrix")
            z = model_input @ (w / scale) + (b - mean @ (w / scale))
        else:
            named = isinstance(model_input, pd.DataFrame)
            X = model_input[self.about["features"]].to_numpy(np.float64) if named else np.asarray(model_input, np.float64)
            require_numbers(X, lambda place: f"column {self.about['features'][place[1]]} in row {place[0]}")
            with np.errstate(all="ignore"):  # an overflow shows in z
                z = (X - mean) / scale @ w + b
        require_numbers(z, lambda place: f"the log-odds of row {place[0]}")
        probability = np.exp(-np.logaddexp(0, -z))
        return pd.DataFrame(
            {"prediction": np.array(self.about["classes"])[(z > 0).astype(int)], "probability": probability},
            index=getattr(model_input, "index", None),
        )


def require_numbers(values: Any, name: Callable[[Any], str]) -> None:
    """Raise MLflow's error, with the first place's name, where a value is missing or infinite: there is no answer to that."""
    if not np.isfinite(values).all():
        place = np.argwhere(~np.isfinite(values))[0]
        said = f"every value must be a finite number; {name(place)} is {values[tuple(place)]}"
        raise MlflowException.invalid_parameter_value(said)


mlflow.models.set_model(LogisticRegression())
