"""The model as MLflow serves it: raw columns in, class and probability out.

MLflow copies this file beside the model and runs it alone (models-from-code): it imports nothing of the project but the package
that was logged with the model, whose name no other code has.
"""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException


class ServedModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A predictor, from model.json, model.npz and, perhaps, decision.json."""

    def load_context(self, context: Any) -> None:
        card = json.loads(Path(context.artifacts["card"]).read_text(encoding="utf-8"))
        with np.load(context.artifacts["weights"]) as weights:
            arrays = {name: weights[name] for name in weights.files}
        decision = Path(context.artifacts["card"]).with_name("decision.json")  # there once the model was evaluated
        cut = json.loads(decision.read_text(encoding="utf-8"))["log_odds"] if decision.is_file() else 0.0
        package = context.model_config["package"]
        self._module = import_module(f"{package}.predictor")
        formula = import_module(f"{package}.models.{card['config']['model']['name']}").log_odds
        self.predictor = self._module.Predictor.from_card(card, arrays, formula, cut)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """model_input: see `Predictor.log_odds`. Raises MLflow's error in one sentence."""
        try:
            answer: pd.DataFrame = self.predictor.predict(model_input)
            return answer
        except self._module.PredictionError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


mlflow.models.set_model(ServedModel())
