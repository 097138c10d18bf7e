"""Whether a model's folder holds all that its stages make, and all of one fit."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline._described import read_about, read_evaluation, read_figures, read_model
from pipeline._files import HISTORY, read_numbers
from pipeline._mlflow import reported
from pipeline.numerics import metrics as m
from pipeline.numerics import require
from pipeline.runs._find import STAGE_FILES, consistent, read_predictions

CLOSE = 1e-6  # relative: other processors and versions give other last bits


def whole(folder: Path) -> dict[str, Any]:
    """The content of model.json. Raises InvalidInput unless the files are there, undamaged, and of one fit."""
    require(folder.is_dir(), f"a model's folder must be there to be published; {folder} is not")
    patterns = [pattern for _, patterns in STAGE_FILES.values() for pattern in patterns]
    missing = [pattern for pattern in patterns if not any(folder.glob(pattern))]
    require(not missing, f"a model's folder must be complete to be published; {folder} lacks {', '.join(missing)}")
    described = read_about(folder)
    about = described.content
    model, schema = read_model(described, folder.parent / "data")
    require(consistent(about), f"model.json must be what its fingerprint says; {folder} must be trained again")
    require(reported(folder), f"the report must be of the model beside it; {folder} needs `python -m pipeline.report`")
    described.csv("history.csv", *HISTORY)
    X, y = schema.features("test"), schema.array("test/y.npy")
    kept, metrics = read_predictions(folder / "predictions.parquet", str(folder)), read_numbers(folder / "metrics.json")
    same = len(kept["probability"]) == len(y) and np.allclose(kept["probability"], model.predict_proba(X), rtol=CLOSE, atol=0)
    require(bool(same), f"predictions.parquet must be of the model beside it; {folder} must be evaluated again")
    now = m.metrics(model.log_odds(X), y)
    same = all(np.isclose(now[name], metrics.get(name, np.nan), rtol=CLOSE, atol=CLOSE) for name in now)
    require(bool(same), f"metrics.json must be of the model beside it; {folder} must be evaluated again")
    evaluation = read_evaluation(described)
    evaluation.verify()
    read_figures(evaluation).verify()
    return about
