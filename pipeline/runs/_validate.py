"""Whether a model's folder holds all that its stages make, and all of one fit."""

from pathlib import Path

import numpy as np

from pipeline.errors import CommandError
from pipeline.evaluation.metrics import measure
from pipeline.files import HISTORY, read_numbers
from pipeline.learning.prediction import load_predictor, predicting
from pipeline.manifest import REPORT, read_evaluation, read_figures, read_manifest
from pipeline.model.card import ModelCard, read_card, read_schema_of
from pipeline.model.predictor import probability
from pipeline.runs._find import read_predictions
from pipeline.stages import STAGES

TOLERANCE = 1e-6  # other processors and versions give other last bits


def validate_model_dir(folder: Path) -> ModelCard:
    """The model's card. Raises CommandError unless the files are there, undamaged, and of one fit."""
    if not folder.is_dir():
        raise CommandError(f"a model's folder must be there to be published; {folder} is not")
    missing = [pattern for stage in STAGES.values() if stage.artifacts for pattern in stage.missing(folder)]
    if missing:
        raise CommandError(f"a model's folder must be complete to be published; {folder} lacks {', '.join(missing)}")
    trained = read_card(folder)
    predictor, tables = load_predictor(trained), read_schema_of(trained, folder.parent.parent / "data")
    if not reported(folder):
        raise CommandError(f"the report must be of the model beside it; {folder} needs `python -m pipeline.stages.report`")
    trained.csv("history.csv", *HISTORY)
    X, y = tables.features("test", len(trained.content.features)), tables.array("test/y.npy")
    predicted = read_predictions(folder / "predictions.parquet", str(folder))["probability"]
    with predicting():
        z = predictor.log_odds(X)
    if len(predicted) != len(y) or not np.allclose(predicted, probability(z), rtol=TOLERANCE, atol=0):
        raise CommandError(f"predictions.parquet must be of the model beside it; {folder} must be evaluated again")
    metrics = read_numbers(folder / "metrics.json")
    measured = measure(z, y)
    if not all(np.isclose(measured[name], metrics.get(name, np.nan), rtol=TOLERANCE, atol=TOLERANCE) for name in measured):
        raise CommandError(f"metrics.json must be of the model beside it; {folder} must be evaluated again")
    evaluation = read_evaluation(trained)
    evaluation.verify()
    read_figures(evaluation).verify()
    return trained.content


def reported(folder: Path) -> bool:
    """Whether the report beside a model's folder is of that model."""
    report = read_manifest(folder.parent.parent / "report" / REPORT, lambda content: content)
    report.verify()
    return bool(report.content["models"].get(folder.name) == read_card(folder).checksum)
