"""What plot and report share: what figures are drawn from, and their files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.evaluation.curves import COURSE, CURVES, mean_course
from pipeline.evaluation.figures import MAX_COEFFICIENTS, Figure, FigureContext, largest_coefficients, stable_rendering
from pipeline.evaluation.metrics import METRICS
from pipeline.files import COEFFICIENTS_FILE, HISTORY_FILE, METRICS_FILE, VALIDATION_HISTORY_FILE, Table, write_figure
from pipeline.manifest import VALIDATION, Manifest, read_validation
from pipeline.model.card import ModelCard
from pipeline.model.decision import decision_of


def read_context(
    trained: Manifest[ModelCard], evaluation: Manifest[Mapping[str, Any]], limit: int = MAX_COEFFICIENTS
) -> FigureContext:
    """A candidate with its curves, its metrics and up to `limit` coefficients.

    Raises ArtifactError unless the files are as described.
    """
    return FigureContext(
        name=trained.path.parent.name,
        card=trained.content,
        decision=decision_of(evaluation),
        history=trained.csv(HISTORY_FILE, "epoch", "loss"),
        course=_course(trained),
        curves={name: evaluation.csv(curve.file, *curve.file_columns) for name, curve in CURVES.items()},
        metrics=evaluation.numbers(METRICS_FILE, *METRICS),
        coefficients=largest_coefficients(trained.read(COEFFICIENTS_FILE), limit),
    )


def _course(trained: Manifest[ModelCard]) -> Table | None:
    """The mean over the folds of a validation, if there was one that has epochs."""
    folder = trained.path.parent
    if not (folder / VALIDATION).is_file():
        return None
    validation = read_validation(folder, trained.content.fingerprint)
    rows = validation.csv(VALIDATION_HISTORY_FILE, "repeat", "fold", *COURSE)
    starts = np.flatnonzero((np.diff(rows["repeat"]) != 0) | (np.diff(rows["fold"]) != 0)) + 1
    folds = zip(*(np.split(rows[name], starts) for name in COURSE), strict=True)
    return mean_course([dict(zip(COURSE, fold, strict=True)) for fold in folds]) if len(rows["epoch"]) else None


def draw(folder: Path, figure: Figure, *candidates: FigureContext) -> list[str]:
    """Write a figure to `folder` as PNG and SVG. Returns the files' names."""
    with stable_rendering():
        drawn = figure.draw(*candidates)
        names = [f"{figure.name}.{kind}" for kind in ("png", "svg")]
        for name in names:
            write_figure(folder / name, drawn)
            drawn.set_layout_engine("none")  # it has found its place
    return names
