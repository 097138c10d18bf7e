"""Measure one model on the test table."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline import _terminal
from pipeline._atomic import staged
from pipeline._config import Tracking
from pipeline._described import EVALUATION, read_about, read_model, write_described
from pipeline._files import OUT, write_csv, write_json, write_parquet
from pipeline._tracking import stage_tracking, track
from pipeline.numerics import metrics as m
from pipeline.numerics import require

LATER = ("figures",)  # what is drawn of an evaluation


def evaluate(data: Path, folder: Path, tracking: Tracking, checksum: str | None = None) -> dict[str, float]:
    """Predict the test table in `data` with the model in `folder`; write predictions, curves and metrics, and return these.

    checksum: of the model.json that is meant.
    """
    described = read_about(folder)
    require(checksum in (None, described.checksum), f"{folder} must stay what was trained; another process has replaced it")
    about = described.content
    with track(tracking, "evaluate", about) as tracker:
        model, schema = read_model(described, data)
        X, y = schema.features("test"), schema.array("test/y.npy")
        require(X.shape[0] == len(y), f"X and y in {data}/test must have as many rows; got {X.shape[0]} and {len(y)}")
        z = model.log_odds(X)
        p = model.predict_proba(X)
        schema.require_steady()
        values = m.metrics(z, y)
        classes = np.array(about["classes"])
        actual, predicted = classes[y.astype(int)], classes[(z > 0).astype(int)]
        with staged(folder, EVALUATION, LATER, described.require_unchanged) as made:
            write_json(made / "metrics.json", values)
            write_parquet(made / "predictions.parquet", {"actual": actual, "predicted": predicted, "probability": p})
            write_csv(made / "curves.roc.csv", m.roc_curve(z, y))
            write_csv(made / "curves.precision_recall.csv", m.precision_recall_curve(z, y))
            write_csv(made / "curves.calibration.csv", m.calibration_curve(p, y))
            write_csv(made / "curves.confusion.csv", {"actual": actual, "predicted": predicted})
            write_described(made / EVALUATION, {"model": described.checksum}, [path.name for path in made.iterdir()])
        shown = ", ".join(f"{name} {values[name]:.4f}" for name in ("accuracy", "roc_auc", "log_loss", "brier"))
        _terminal.say(f"{len(y)} test rows: {shown} -> {folder}")
        tracker.publish(folder)
    return values


def main(words: Sequence[str]) -> None:
    parser = _terminal.parser("evaluate", __doc__, "python -m pipeline.evaluate numpy")
    parser.add_argument("model", help="the model's folder in out/")
    evaluate(OUT / "data", OUT / parser.parse_args(words).model, stage_tracking(OUT))


if __name__ == "__main__":
    _terminal.run(main)
