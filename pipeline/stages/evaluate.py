"""Measure one model on the test table."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.config.schema import build_typed
from pipeline.config.tracking import Tracking
from pipeline.errors import ArtifactError
from pipeline.evaluation.curves import CURVES
from pipeline.evaluation.metrics import SUMMARY_METRICS, measure
from pipeline.evaluation.options import EvaluationOptions
from pipeline.evaluation.threshold import ValidationRows, decide
from pipeline.files import (
    METRICS_FILE,
    PREDICTIONS_FILE,
    VALIDATION_PREDICTIONS_FILE,
    WEIGHTS_FILE,
    digest_of,
    read_json,
    read_parquet,
    write_csv,
    write_json,
    write_parquet,
)
from pipeline.learning.prediction import load_predictor, predicting
from pipeline.manifest import DECISION, EVALUATION, read_evaluation, write_manifest
from pipeline.model.card import read_card, read_schema_of
from pipeline.model.decision import Decision, decision_of
from pipeline.model.predictor import probability
from pipeline.stages import STAGES
from pipeline.stages._command import run_on_candidate
from pipeline.tracking.client import track, wait_at_end
from pipeline.tracking.events import Artifacts
from pipeline.tracking.names import WEIGHTS_TAG

logger = logging.getLogger("pipeline.stages.evaluate")

STAGE = STAGES["evaluate"]


def evaluate(data: Path, folder: Path, tracking: Tracking, config: Mapping[str, Any] | None = None) -> dict[str, float]:
    """Decide on a threshold, and predict the test table in `data` with the model in `folder`; write decision, predictions,
    curves and metrics, and return these.

    config: sections of a configuration: `evaluation`, and those that the model must have been trained by.
    """
    trained, config = read_card(folder), config or {}
    card, options = trained.content, build_typed("evaluation", EvaluationOptions, config.get("evaluation", {}))
    made_by = {group: config[group] for group in card.config if group in config}
    if made_by and card.fingerprint_of["config"] != digest_of(made_by):
        raise ArtifactError(f"{folder} must stay what was trained; another process has replaced it")
    with track(tracking, STAGE.name, card, folder.name) as tracker:
        decision = decide(str(options.threshold), _validation_rows(folder))
        predictor, tables = load_predictor(trained, decision), read_schema_of(trained, data)
        X = tables.table("test.parquet") if card.columns else tables.features("test", len(card.features))
        y, weight = tables.array("test/y.npy"), tables.weight("test")
        if X.shape[0] != len(y):
            raise ArtifactError(f"X and y in {data}/test must have as many rows; got {X.shape[0]} and {len(y)}")
        with predicting():
            z = predictor.log_odds(X)
        tables.check_not_modified()
        values = measure(z, y, weight, decision.log_odds)
        classes = np.array(card.classes)
        predictions = {"actual": classes[y.astype(int)], "predicted": predictor.decide(z)}
        with atomic_dir(folder, EVALUATION, STAGE.downstream(), trained.check_not_replaced) as made:
            write_json(made / DECISION, decision.to_dict())
            write_json(made / METRICS_FILE, values)
            weights = {} if weight is None else {"weight": weight}
            write_parquet(made / PREDICTIONS_FILE, {**predictions, "probability": probability(z), **weights})
            for curve in CURVES.values():
                write_csv(made / curve.file, curve.of(z, y, weight))
            write_csv(made / "curves.confusion.csv", predictions)  # counted by `dvc plots`
            write_manifest(made / EVALUATION, STAGE.name, {"model": trained.checksum}, [path.name for path in made.iterdir()])
        summary = ", ".join(f"{name} {values[name]:.4f}" for name in SUMMARY_METRICS)
        logger.info(f"{len(y)} test rows: {summary} -> {folder}")
        if decision.rule != Decision.rule:
            logger.log(logging.WARNING if decision.is_constant else logging.INFO, decision.sentence)
        tracker.files(lambda: artifacts(folder))
    return values


def artifacts(folder: Path, in_dvc: bool = False) -> Artifacts:
    """What MLflow shows of the evaluation in `folder`."""
    trained = read_card(folder)
    evaluation = read_evaluation(trained)
    evaluation.verify()
    decision = decision_of(evaluation)
    values = {f"test/{name}": value for name, value in read_json(folder / METRICS_FILE).items()}
    tags = {"decision.threshold": f"{decision.threshold:.6g}", "decision.rule": decision.rule}
    tags[WEIGHTS_TAG] = trained.files[WEIGHTS_FILE]
    return Artifacts(STAGE.artifacts, STAGE.files(folder), values, tags, table="test", are_outs=True)


def _validation_rows(folder: Path) -> ValidationRows | None:
    """What the models of the folds predict of the rows that they were fitted without, if there are any."""
    if not (folder / VALIDATION_PREDICTIONS_FILE).is_file():
        return None
    columns = read_parquet(folder / VALIDATION_PREDICTIONS_FILE)
    rows = len(np.unique(columns["row"]))
    return ValidationRows(rows, columns["log_odds"], columns["label"], columns.get("weight")) if rows else None


def run(data: Path, folder: Path, tracking: Tracking, config: Mapping[str, Any]) -> None:
    evaluate(data, folder, tracking, config)


def main(argv: Sequence[str]) -> None:
    run_on_candidate(STAGE, __doc__, evaluate, argv)


if __name__ == "__main__":
    console.run(main, wait_at_end)
