"""The model as MLflow serves it: raw columns in, class and probability out. MLflow copies this file beside the weights and
runs it alone (models-from-code), so it imports nothing of the project."""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd


class LogisticRegression(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """p = sigmoid(((x - mean) / scale) . w + b), from model.json and model.npz."""

    def load_context(self, context: Any) -> None:
        self.about = json.loads(Path(context.artifacts["about"]).read_text(encoding="utf-8"))
        with np.load(context.artifacts["weights"]) as weights:
            self.weights = {name: weights[name].astype(np.float64) for name in weights.files}

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        X = model_input[self.about["features"]].to_numpy(np.float64)
        z = (X - self.weights["mean"]) / self.weights["scale"] @ self.weights["w"] + self.weights["b"]
        probability = np.exp(-np.logaddexp(0, -z))
        return pd.DataFrame(
            {"prediction": np.array(self.about["classes"])[(z > 0).astype(int)], "probability": probability},
            index=model_input.index,
        )


mlflow.models.set_model(LogisticRegression())
