"""Measure one model on the test table."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.config.files import read_stage_file
from pipeline.config.tracking import Tracking
from pipeline.data.dataset import Split
from pipeline.errors import ArtifactError
from pipeline.evaluation.checks import Context, Part, failed_checks, run_checks
from pipeline.evaluation.curves import CURVES
from pipeline.evaluation.metrics import SUMMARY_METRICS, measure
from pipeline.files import (
    CHECKS_FILE,
    METRICS_FILE,
    OUT,
    PREDICTIONS_FILE,
    digest_of,
    read_json,
    write_csv,
    write_json,
    write_parquet,
)
from pipeline.learning.prediction import load_predictor, predicting
from pipeline.manifest import EVALUATION, Manifest, read_evaluation, write_manifest
from pipeline.model.card import DataSchema, ModelCard, read_card, read_schema_of
from pipeline.model.predictor import probability
from pipeline.stages import STAGES
from pipeline.stages._command import run_on_candidate
from pipeline.tracking.client import track, wait_at_end
from pipeline.tracking.events import Artifacts

logger = logging.getLogger("pipeline.stages.evaluate")

STAGE = STAGES["evaluate"]


def evaluate(
    data: Path, folder: Path, tracking: Tracking, config: Mapping[str, Any] | None = None, reference: bool = False
) -> dict[str, float]:
    """Predict the test table in `data` with the model in `folder`; write predictions, curves, checks and metrics, and return
    these.

    config: the configuration that the model must have been trained by; reference: see `EvaluationOptions`.
    """
    trained = read_card(folder)
    card = trained.content
    if config and card.fingerprint_of["config"] != digest_of({group: config[group] for group in card.config}):
        raise ArtifactError(f"{folder} must stay what was trained; another process has replaced it")
    with track(tracking, STAGE.name, card, folder.name) as tracker:
        predictor, tables = load_predictor(trained), read_schema_of(trained, data)
        rows = {part: read_rows(tables, card, part) for part in ("train", "test")}
        with predicting():
            log_odds = {part: predictor.log_odds(rows[part].X) for part in rows}
        z, y, weight = log_odds["test"], rows["test"].y, rows["test"].weight
        values = measure(z, y, weight)
        train, test = (Part.of(rows[part], log_odds[part]) for part in ("train", "test"))
        checks = run_checks(Context(card, predictor, train, test, reference=reference))
        tables.check_not_modified()
        classes = np.array(card.classes)
        predictions = {"actual": classes[y.astype(int)], "predicted": predictor.decide(z)}
        with atomic_dir(folder, EVALUATION, STAGE.downstream(), trained.check_not_replaced) as made:
            write_json(made / METRICS_FILE, values)
            write_json(made / CHECKS_FILE, {"checks": checks})
            weights = {} if weight is None else {"weight": weight}
            write_parquet(made / PREDICTIONS_FILE, {**predictions, "probability": probability(z), **weights})
            for curve in CURVES.values():
                write_csv(made / curve.file, curve.of(z, y, weight))
            write_csv(made / "curves.confusion.csv", predictions)  # counted by `dvc plots`
            write_manifest(made / EVALUATION, STAGE.name, {"model": trained.checksum}, [path.name for path in made.iterdir()])
        summary = ", ".join(f"{name} {values[name]:.4f}" for name in SUMMARY_METRICS)
        logger.info(f"{len(y)} test rows: {summary} -> {folder}")
        log_checks(checks)
        tracker.files(lambda: artifacts(folder))
    return values


def read_rows(tables: Manifest[DataSchema], card: ModelCard, part: str) -> Split:
    """The rows of `train` or `test`. Raises ArtifactError where a file is not as described."""
    X = tables.table(f"{part}.parquet") if card.columns else tables.features(part, len(card.features))
    arrays = {name: tables.optional_array(f"{part}/{name}.npy") for name in ("weight", "group", "time")}
    y = tables.array(f"{part}/y.npy")
    if X.shape[0] != len(y):
        raise ArtifactError(f"X and y in {tables.path.parent}/{part} must have as many rows; got {X.shape[0]} and {len(y)}")
    return Split(X, y, **arrays)


def log_checks(checks: Sequence[dict[str, Any]]) -> None:
    """A line for each check that failed, and how many did not."""
    for check in failed_checks(checks):
        severe = ", which bars promotion" if check["severe"] else ""
        logger.warning(f"{check['name']} failed{severe}: {check['sentence']}: {check['advice']}")
    outcomes = [check["passed"] for check in checks]
    logger.info(f"{outcomes.count(True)} of {len(checks)} checks passed, {outcomes.count(None)} do not apply")


def artifacts(folder: Path, in_dvc: bool = False) -> Artifacts:
    """What MLflow shows of the evaluation in `folder`."""
    evaluation = read_evaluation(read_card(folder))
    evaluation.verify()
    values = {f"test/{name}": value for name, value in read_json(folder / METRICS_FILE).items()}
    checks = evaluation.json(CHECKS_FILE, "checks")["checks"]
    tags = {f"checks.{kind}": _names(failed_checks(checks, kind == "severe")) for kind in ("failed", "severe")}
    return Artifacts(STAGE.artifacts, STAGE.files(folder), values, tags, table="test", are_outs=True)


def _names(checks: Sequence[dict[str, Any]]) -> str:
    return ", ".join(check["name"] for check in checks) or "none"


def run(data: Path, folder: Path, tracking: Tracking, config: Mapping[str, Any]) -> None:
    evaluate(data, folder, tracking, config, **STAGE.settings(config)["evaluation"])


def _evaluate_in_dag(data: Path, folder: Path, tracking: Tracking) -> None:
    """What `compose` wrote for the stage says how, if it was there."""
    path = OUT / "config" / STAGE.config_file
    settings = read_stage_file(path, STAGE.name, "evaluation")["evaluation"] if path.is_file() else {}
    evaluate(data, folder, tracking, **settings)


def main(argv: Sequence[str]) -> None:
    run_on_candidate(STAGE, __doc__, _evaluate_in_dag, argv)


if __name__ == "__main__":
    console.run(main, wait_at_end)
