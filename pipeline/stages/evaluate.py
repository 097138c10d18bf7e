"""Measure one model on the test table, beside the training table and the training rate."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.config.tracking import Tracking
from pipeline.errors import ArtifactError
from pipeline.evaluation import intervals
from pipeline.evaluation.curves import CURVES
from pipeline.evaluation.intervals import CONFIDENCE, Evaluation, Predicted
from pipeline.evaluation.metrics import METRICS, OBJECTIVE, SUMMARY_METRICS
from pipeline.files import (
    INTERVALS_FILE,
    METRICS_FILE,
    PREDICTIONS_FILE,
    digest_of,
    nan_as_none,
    read_json,
    write_csv,
    write_json,
    write_parquet,
)
from pipeline.learning.prediction import load_predictor, predicting
from pipeline.manifest import EVALUATION, Manifest, read_evaluation, write_manifest
from pipeline.model.card import ModelCard, read_card, read_schema_of
from pipeline.model.predictor import Predictor, probability
from pipeline.stages import STAGES
from pipeline.stages._command import run_on_candidate
from pipeline.tracking.client import track, wait_at_end
from pipeline.tracking.events import Artifacts

logger = logging.getLogger("pipeline.stages.evaluate")

STAGE = STAGES["evaluate"]


def evaluate(data: Path, folder: Path, tracking: Tracking, config: Mapping[str, Any] | None = None) -> dict[str, float]:
    """Predict the tables in `data` with the model in `folder`; write the test table's predictions, curves and metrics, with
    intervals, and return these metrics.

    config: the configuration that the model must have been trained by.
    """
    trained = read_card(folder)
    card = trained.content
    if config and card.fingerprint_of["config"] != digest_of({group: config[group] for group in card.config}):
        raise ArtifactError(f"{folder} must stay what was trained; another process has replaced it")
    with track(tracking, STAGE.name, card, folder.name) as tracker:
        predictor, tables = load_predictor(trained), read_schema_of(trained, data)
        test, training = (_predict(predictor, card, tables, part) for part in ("test", "train"))
        tables.check_not_modified()
        z, y, weight = test
        found = intervals.evaluate(test, training)
        classes = np.array(card.classes)
        predictions = {"actual": classes[y.astype(int)], "predicted": predictor.decide(z)}
        with atomic_dir(folder, EVALUATION, STAGE.downstream(), trained.check_not_replaced) as made:
            write_json(made / METRICS_FILE, nan_as_none(found.metrics))
            write_json(made / INTERVALS_FILE, nan_as_none(found.intervals()))
            weights = {} if weight is None else {"weight": weight}
            write_parquet(made / PREDICTIONS_FILE, {**predictions, "probability": probability(z), **weights})
            for curve in CURVES.values():
                write_csv(made / curve.file, curve.of(z, y, weight))
            write_csv(made / "curves.confusion.csv", predictions)  # counted by `dvc plots`
            write_manifest(made / EVALUATION, STAGE.name, {"model": trained.checksum}, [path.name for path in made.iterdir()])
        logger.info(f"{len(y)} test rows: {_verdict(found)} -> {folder}\n{_table(found)}")
        tracker.files(lambda: artifacts(folder))
    return found.metrics


def _predict(predictor: Predictor, card: ModelCard, tables: Manifest[Any], part: str) -> Predicted:
    """The log-odds, labels and weights of a part of the data."""
    X = tables.table(f"{part}.parquet") if card.columns else tables.features(part, len(card.features))
    y = tables.array(f"{part}/y.npy")
    if X.shape[0] != len(y):
        raise ArtifactError(f"X and y in {tables.path.parent}/{part} must have as many rows; got {X.shape[0]} and {len(y)}")
    with predicting():
        return predictor.log_odds(X), y, tables.weight(part)


def _verdict(found: Evaluation) -> str:
    """Whether the model surely beats the training rate, in the metric that decides."""
    change = found.over_baseline
    better = "better" if change.sign < 0 else "no better"
    losses = f"{METRICS[OBJECTIVE].label} {found.metrics[OBJECTIVE]:.4f} against {found.baseline[OBJECTIVE]:.4f}"
    return f"{better} than the training rate, {losses} ({change.value:+.4f}, {change.ends('+.4f')})"


def _table(found: Evaluation) -> str:
    """The metrics that a summary has, on the test and the training table, beside the baseline's."""
    rows = []
    for name in SUMMARY_METRICS:
        test = found.test[name]
        rows.append([METRICS[name].label, test.value, test.ends(), found.training[name], found.baseline[name]])
    return console.table(["", "test", f"{CONFIDENCE:.0%} interval", "training", "training rate"], rows)


def artifacts(folder: Path, in_dvc: bool = False) -> Artifacts:
    """What MLflow shows of the evaluation in `folder`."""
    read_evaluation(read_card(folder)).verify()
    intervals = read_json(folder / INTERVALS_FILE, "test", "training")
    ends = {f"test.{end}": {name: test[end] for name, test in intervals["test"].items()} for end in ("low", "high")}
    named = {"test": read_json(folder / METRICS_FILE), **ends, "training": intervals["training"]}
    values = {f"{kind}/{name}": value for kind, of in named.items() for name, value in of.items() if value is not None}
    return Artifacts(STAGE.artifacts, STAGE.files(folder), values, table="test", are_outs=True)


def run(data: Path, folder: Path, tracking: Tracking, config: Mapping[str, Any]) -> None:
    evaluate(data, folder, tracking, config)


def main(argv: Sequence[str]) -> None:
    run_on_candidate(STAGE, __doc__, evaluate, argv)


if __name__ == "__main__":
    console.run(main, wait_at_end)
