"""Draw one model's figures."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context, rcdefaults, rcParams

from pipeline import console
from pipeline.arrays import Array
from pipeline.atomic import atomic_dir
from pipeline.config.schema import Tracking
from pipeline.evaluation import figures as f
from pipeline.files import OUT, write_figure
from pipeline.learning.fit import LogisticModel
from pipeline.manifest import FIGURES, Manifest, read_evaluation, write_manifest
from pipeline.model.card import DataSchema, read_card, read_schema_of
from pipeline.tracking.client import stage_tracking, track, wait_at_end

logger = logging.getLogger("pipeline.stages.plot")

CURVES = {
    "roc": ("false_positive_rate", "true_positive_rate"),
    "precision_recall": ("recall", "precision"),
    "calibration": ("predicted", "observed", "rows"),
}
COUNTS = ("true_positives", "false_positives", "false_negatives", "true_negatives")
NEEDED = ("rows", "roc_auc", "average_precision", "calibration_error", *COUNTS)  # of metrics.json
MOST_POINTS = 5000  # of a scatter: more hide each other


def plot(data: Path, folder: Path, tracking: Tracking) -> None:
    """Draw the model, its history and its evaluation in `folder` into folder/figures/."""
    trained = read_card(folder)
    card = trained.content
    with track(tracking, "plot", card.to_dict()) as tracker, rc_context():
        model, tables = LogisticModel.from_arrays(trained.arrays("model.npz")), read_schema_of(trained, data)
        evaluation = read_evaluation(trained)
        features, classes = card.features, card.classes
        values = evaluation.numbers("metrics.json", *NEEDED)
        history = trained.csv("history.csv", "epoch", "loss")
        curves = {name: evaluation.csv(f"curves.{name}.csv", *columns) for name, columns in CURVES.items()}
        points = _points(tables)
        rcdefaults()  # no matplotlibrc of the user's changes a figure's bytes
        rcParams["text.parse_math"] = False  # a $ in a column's name starts no formula
        positives = values["true_positives"] + values["false_negatives"]
        figures = {
            "loss": f.loss_figure(history["epoch"], history["loss"]),
            "roc": f.roc_figure(curves["roc"], values["roc_auc"]),
            "precision_recall": f.precision_recall_figure(
                curves["precision_recall"], values["average_precision"], positives / values["rows"]
            ),
            "calibration": f.calibration_figure(curves["calibration"], values["calibration_error"]),
            "confusion": f.confusion_figure(values, [str(c) for c in classes]),
            "weights": f.weights_figure(model.w, features, card.config["model"]["standardize"]),
        }
        if points:
            X, y = points
            names = [f"{card.target} = {c}" for c in classes]
            figures["data"] = f.data_figure(X, y, features, names)
            figures["decision_boundary"] = f.boundary_figure(X, y, features, names, model)
        with atomic_dir(folder, check=evaluation.require_unchanged) as made:
            (made / "figures").mkdir()
            for name, figure in figures.items():
                write_figure(made / "figures" / f"{name}.png", figure)
            names = [f"{name}.png" for name in figures]
            write_manifest(made / "figures" / FIGURES, {"evaluation": evaluation.checksum}, names)
        logger.info(f"{', '.join(figures)} -> {folder / 'figures'}")
        tracker.publish(folder)


def _points(tables: Manifest[DataSchema]) -> tuple[Array, Array] | None:
    """X (n, 2) and y (n,) of the first training rows, where they can be drawn."""
    columns = len(tables.content.features)
    if columns != 2 or not isinstance(X := tables.features("train", columns), np.ndarray):
        return None
    return np.array(X[:MOST_POINTS]), tables.array("train/y.npy")[:MOST_POINTS]


def main(words: Sequence[str]) -> None:
    parser = console.parser("plot", __doc__, "python -m pipeline.stages.plot numpy")
    parser.add_argument("model", help="the model's folder in out/")
    plot(OUT / "data", OUT / parser.parse_args(words).model, stage_tracking(OUT))


if __name__ == "__main__":
    console.run(main, wait_at_end)
