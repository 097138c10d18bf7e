"""Draw one model's figures."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import console
from pipeline.arrays import Array
from pipeline.atomic import atomic_dir
from pipeline.config.tracking import Tracking
from pipeline.evaluation import figures
from pipeline.learning.models import linear_model
from pipeline.learning.prediction import load_predictor
from pipeline.manifest import FIGURES, Manifest, read_evaluation, read_figures, write_manifest
from pipeline.model.card import DataSchema, ModelCard, read_card, read_schema_of
from pipeline.model.predictor import Predictor
from pipeline.stages import STAGES
from pipeline.stages._command import run_on_candidate
from pipeline.stages._drawing import draw, read_context
from pipeline.tracking.client import track, wait_at_end
from pipeline.tracking.events import Artifacts

logger = logging.getLogger("pipeline.stages.plot")

STAGE = STAGES["plot"]


def plot(data: Path, folder: Path, tracking: Tracking) -> None:
    """Draw the model, its history and its evaluation in `folder` into folder/figures/."""
    trained = read_card(folder)
    with track(tracking, STAGE.name, trained.content, folder.name) as tracker:
        tables, evaluation = read_schema_of(trained, data), read_evaluation(trained)
        context = replace(read_context(trained, evaluation), **_of_features(trained, tables))
        tables.check_not_modified()
        with atomic_dir(folder, check=evaluation.check_not_replaced) as made:
            (made / "figures").mkdir()
            drawn = [figure for figure in figures.FIGURES.values() if figure.applies(context)]
            files = [name for figure in drawn for name in draw(made / "figures", figure, context)]
            write_manifest(made / "figures" / FIGURES, STAGE.name, {"evaluation": evaluation.checksum}, files)
        logger.info(f"{', '.join(figure.name for figure in drawn)} -> {folder / 'figures'}")
        tracker.files(lambda: artifacts(folder))


def _of_features(trained: Manifest[ModelCard], tables: Manifest[DataSchema]) -> dict[str, Any]:
    """What a FigureContext has of a model of two features."""
    if len(trained.content.features) != 2:
        return {}
    predictor = load_predictor(trained)
    model = linear_model(predictor.arrays)
    return {
        "log_odds": predictor.of_features,
        "raw_weights": model.raw_weights() if model else None,
        "points": _points(predictor, tables),
    }


def _points(predictor: Predictor, tables: Manifest[DataSchema]) -> tuple[Array, Array] | None:
    """X (n, 2) and y (n,) of the first training rows; None of sparse ones."""
    if predictor.encoder:
        X = next(predictor.encoded(tables.table("train.parquet").slice(0, figures.MAX_POINTS)))[1].toarray()
    elif not isinstance(X := tables.features("train", 2), np.ndarray):
        return None
    return np.array(X[: figures.MAX_POINTS]), tables.array("train/y.npy")[: figures.MAX_POINTS]


def artifacts(folder: Path, in_dvc: bool = False) -> Artifacts:
    """What MLflow shows of the figures in `folder`."""
    read_figures(read_evaluation(read_card(folder))).verify()
    return Artifacts(STAGE.artifacts, STAGE.files(folder))


def run(data: Path, folder: Path, tracking: Tracking, config: Mapping[str, Any]) -> None:
    plot(data, folder, tracking)


def main(argv: Sequence[str]) -> None:
    run_on_candidate(STAGE, __doc__, run, argv)


if __name__ == "__main__":
    console.run(main, wait_at_end)
