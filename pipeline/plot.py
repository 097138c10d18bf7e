"""Draw one model's figures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context, rcdefaults, rcParams

from pipeline import _terminal
from pipeline._config import Tracking
from pipeline._files import ABOUT, OUT, read_array, read_csv, read_features, read_json, read_model, staged, write_figure
from pipeline._tracking import stage_tracking, track
from pipeline.numerics import figures as f

CURVES = {
    "roc": ("false_positive_rate", "true_positive_rate"),
    "precision_recall": ("recall", "precision"),
    "calibration": ("predicted", "observed", "rows"),
}
MOST_POINTS = 5000  # of a scatter: more hide each other


def plot(data: Path, folder: Path, tracking: Tracking) -> None:
    """Draw the model, its history and its evaluation in `folder` into folder/figures/."""
    with track(tracking, "plot", read_json(folder / "model.json", *ABOUT)) as tracker, rc_context():
        about, model = read_model(folder, data)
        features, classes = about["features"], about["classes"]
        values = read_json(folder / "metrics.json", "rows", "roc_auc")
        history = read_csv(folder / "history.csv", "epoch", "loss")
        curves = {name: read_csv(folder / f"curves.{name}.csv", *columns) for name, columns in CURVES.items()}
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
            "weights": f.weights_figure(model.w, features, about["config"]["model"]["standardize"]),
        }
        if len(features) == 2 and isinstance(X := read_features(data / "train", len(features)), np.ndarray):
            X, y = np.array(X[:MOST_POINTS]), read_array(data / "train" / "y.npy")[:MOST_POINTS]
            names = [f"{about['target']} = {c}" for c in classes]
            figures["data"] = f.data_figure(X, y, features, names)
            figures["decision_boundary"] = f.boundary_figure(X, y, features, names, model)
        with staged(folder) as made:
            (made / "figures").mkdir()
            for name, figure in figures.items():
                write_figure(made / "figures" / f"{name}.png", figure)
        _terminal.say(f"{', '.join(figures)} -> {folder / 'figures'}")
        tracker.publish(folder)


def main(words: Sequence[str]) -> None:
    parser = _terminal.parser("plot", __doc__, "python -m pipeline.plot numpy")
    parser.add_argument("model", help="the model's folder in out/")
    plot(OUT / "data", OUT / parser.parse_args(words).model, stage_tracking(OUT))


if __name__ == "__main__":
    _terminal.run(main)
