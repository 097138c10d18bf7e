"""What MLflow shows of a model besides its run: the model to load, the tables that it saw, a description."""

import json
import shutil
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow import MlflowClient, pyfunc
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModel, LoggedModelOutput
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType

from pipeline.files import ROOT, WEIGHTS_FILE, digest, file_digest
from pipeline.manifest import CARD, DECISION
from pipeline.model.card import ModelCard
from pipeline.tracking.mlflow_run import params_of
from pipeline.tracking.names import NOTE, dataset_name, note

WIDE = 1000  # columns above which a data set's schema and a model's example are without names, of which MLflow makes slow work
PREDICTING = ("predictor.py", "encoder.py", "columns.py")
TYPES = {"integer": "long", "number": "double", "boolean": "boolean", "date": "datetime", "text": "string"}  # of cells
PACKAGE_DOCSTRING = '"""Predicts with the model beside it."""\n'
ARTIFACTS = "artifacts"  # where MLflow puts what it calls a model's artifacts: the card, the weights
DIGEST_LETTERS = 12  # of a SHA-256, in the UI; MLflow takes 36 at most


def dataset_of(card: ModelCard, part: str) -> dict[str, str]:
    """What MLflow knows the table of a part by: its name and its digest."""
    return {"name": dataset_name(card), "digest": card.data.digest[part][:DIGEST_LETTERS]}


def log_dataset(client: MlflowClient, run_id: str, card: ModelCard, part: str) -> None:
    """The table that a stage read, as an MLflow dataset with its digest."""
    types = _types(card)
    rows, columns = card.data.rows[part], len(types)
    is_wide = columns > WIDE
    kind = "mlflow_tensorspec" if is_wide else "mlflow_colspec"
    wide = [TensorSpec(np.dtype(np.float64), (-1, columns))]
    schema = Schema(wide if is_wide else [ColSpec(cells, name) for name, cells in types.items()])
    dataset = Dataset(
        **dataset_of(card, part),
        source_type="local",
        source=json.dumps(card.config["data"]),
        schema=json.dumps({kind: schema.to_dict()}),
        profile=json.dumps({"num_rows": rows, "num_elements": rows * columns}),
    )
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", part)])])


def log_model(client: MlflowClient, run_id: str, card: ModelCard, folder: Path) -> None:
    """The model in `folder`, to be loaded by MLflow, unless it is there."""
    label = {bool: "boolean", int: "long", float: "double", str: "string"}[type(card.classes[0])]
    outputs = Schema([ColSpec(label, "prediction"), ColSpec("double", "probability")])
    made = logged_model(client, run_id, card, file_digest(folder / WEIGHTS_FILE))
    if made.status == "READY":
        return
    files = {"card": folder / CARD, "weights": folder / WEIGHTS_FILE}
    described = Model(made.artifact_location, run_id, model_uuid=made.model_id, model_id=made.model_id)
    with tempfile.TemporaryDirectory() as temporary:
        package = _copy_package(Path(temporary), card.model)
        pyfunc.save_model(
            f"{temporary}/model",
            mlflow_model=described,
            python_model=str(Path(__file__).with_name("serving.py")),
            code_paths=[str(package)],
            model_config={"package": package.name},
            artifacts={name: path.resolve().as_uri() for name, path in files.items()},  # URIs: a path may have a ?
            signature=ModelSignature(_inputs(card), outputs),
            input_example=_example(card),
            metadata={"columns": _types(card)} if card.columns else None,
            pip_requirements=[f"mlflow=={version('mlflow')}"],  # it brings numpy and pandas
        )
        client.log_model_artifacts(made.model_id, f"{temporary}/model")
    if made.model_id not in [output.model_id for output in client.get_run(run_id).outputs.model_outputs]:
        client.log_outputs(run_id, [LoggedModelOutput(made.model_id, step=0)])
    client.finalize_logged_model(made.model_id, "READY")


def log_decision(client: MlflowClient, run_id: str, card: ModelCard, weights: str, decision: Path) -> None:
    """By which threshold the model with these weights predicts when it is loaded again; in place of an earlier decision."""
    client.log_model_artifact(logged_model(client, run_id, card, weights).model_id, str(decision), ARTIFACTS)


def has_decision(client: MlflowClient, model: LoggedModel) -> bool:
    files = client.list_logged_model_artifacts(model.model_id, ARTIFACTS)
    return f"{ARTIFACTS}/{DECISION}" in [item.path for item in files]


def _inputs(card: ModelCard) -> Schema | None:
    """The columns of a table that is not of numbers alone, whose model MLflow is to give any number, array or matrix.

    Each is `any`, and its type is among the model's metadata: MLflow converts what it is given to the types of a schema, or
    refuses it. Of a JSON null it makes false or the text None, of 2.5 the integer 2, of 05/06/2024 some date. It refuses
    whole numbers in a frame where double is asked for, nullable integers and booleans, and categories for text; and of a batch
    with one bad value it names no row.
    """
    if len(card.columns) > WIDE or _is_numeric(card):
        return None
    return Schema([ColSpec(AnyType(), column.name, required=False) for column in card.columns])


def _types(card: ModelCard) -> dict[str, str]:
    """What MLflow calls the types of the columns' cells."""
    return {column.name: TYPES[column.type] for column in card.columns} or dict.fromkeys(card.features, "double")


def _is_numeric(card: ModelCard) -> bool:
    return all(column.kind in ("number", "boolean") for column in card.columns)


def _example(card: ModelCard) -> Any:
    names = [column.name for column in card.columns] or card.features
    if _is_numeric(card):
        zeros = np.zeros((1, len(names)))
        return pd.DataFrame(zeros, columns=names) if len(names) <= WIDE else zeros
    read: dict[str, Callable[[str], Any]] = {"number": float, "integer": int, "boolean": lambda text: text.lower() == "true"}
    row = {column.name: read.get(column.type, str)(column.example) if column.example else None for column in card.columns}
    return pd.DataFrame([row])


def _copy_package(folder: Path, model: str) -> Path:
    """All that predicts, as a package in `folder` named by its content: no other code, at any commit, has the name."""
    models = ROOT / "pipeline" / "learning" / "models"
    shared = sorted(path for path in models.glob("_*.py") if path.name != "__init__.py")
    predicting = [ROOT / "pipeline" / "model" / name for name in PREDICTING]
    files = [*predicting, models / f"{model}.py", *shared]
    made = folder / f"served_{digest(*(file.read_bytes() for file in files))[:DIGEST_LETTERS]}"
    (made / "models").mkdir(parents=True)
    for file in files:
        shutil.copy(file, made if file in predicting else made / "models")
    for package in (made, made / "models"):
        (package / "__init__.py").write_text(PACKAGE_DOCSTRING)  # an empty file is sent in a way that proxies refuse
    return made


def logged_model(client: MlflowClient, run_id: str, card: ModelCard, weights: str) -> LoggedModel:
    """MLflow's entry for the model with these weights, made where there is none."""
    experiment = client.get_run(run_id).info.experiment_id
    known = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    if found := next((model for model in known if model.tags.get("sha256") == weights), None):
        return found
    tags = {"sha256": weights, NOTE: note(card)}
    return client.create_logged_model(experiment, "model", run_id, tags, params_of(card.config))
