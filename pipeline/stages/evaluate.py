"""Measure one model on the test table, beside the training table and the training rate."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.config.schema import build_typed
from pipeline.config.tracking import Tracking
from pipeline.data.dataset import Split
from pipeline.errors import ArtifactError
from pipeline.evaluation import intervals
from pipeline.evaluation.checks import Context, Part, failed_checks, run_checks
from pipeline.evaluation.curves import CURVES
from pipeline.evaluation.intervals import Evaluation
from pipeline.evaluation.metrics import METRICS, SUMMARY_METRICS
from pipeline.evaluation.options import EvaluationOptions
from pipeline.evaluation.samples import require_measurable
from pipeline.evaluation.threshold import ValidationRows, decide
from pipeline.files import (
    CHECKS_FILE,
    INTERVALS_FILE,
    METRICS_FILE,
    PREDICTIONS_FILE,
    VALIDATION_PREDICTIONS_FILE,
    WEIGHTS_FILE,
    digest_of,
    nan_as_none,
    read_parquet,
    write_csv,
    write_json,
    write_parquet,
)
from pipeline.interval import CONFIDENCE, Interval
from pipeline.learning.inference import MIN_GROUPS
from pipeline.learning.prediction import load_predictor, predicting
from pipeline.manifest import DECISION, EVALUATION, VALIDATION, Manifest, read_evaluation, read_validation, write_manifest
from pipeline.model.card import DataSchema, ModelCard, read_card, read_schema_of
from pipeline.model.decision import GIVEN, Decision, decision_of
from pipeline.model.predictor import probability
from pipeline.stages import STAGES
from pipeline.stages._command import run_on_candidate
from pipeline.tracking.client import track, wait_at_end
from pipeline.tracking.events import Artifacts
from pipeline.tracking.names import WEIGHTS_TAG

logger = logging.getLogger("pipeline.stages.evaluate")

STAGE = STAGES["evaluate"]


def evaluate(data: Path, folder: Path, tracking: Tracking, config: Mapping[str, Any] | None = None) -> dict[str, float]:
    """Decide on a threshold and predict the tables in `data` with the model in `folder`; write the decision, the test table's
    predictions, curves, checks and metrics, with intervals, and return these metrics.

    config: sections of a configuration: `evaluation`, and those that the model must have been trained by.
    """
    trained, config = read_card(folder), config or {}
    card, options = trained.content, build_typed("evaluation", EvaluationOptions, config.get("evaluation", {}))
    made_by = {group: config[group] for group in card.config if group in config}
    if made_by and card.fingerprint_of["config"] != digest_of(made_by):
        raise ArtifactError(f"{folder} must stay what was trained; another process has replaced it")
    with track(tracking, STAGE.name, card, folder.name) as tracker:
        decision = decide(str(options.threshold), _validation_rows(trained) if options.chooses_threshold else None)
        predictor, tables = load_predictor(trained, decision), read_schema_of(trained, data)
        rows = {part: read_rows(tables, card, part) for part in ("train", "test")}
        with predicting():
            log_odds = {part: predictor.log_odds(rows[part].X) for part in rows}
        for z in log_odds.values():
            require_measurable(z)
        train, test = ((log_odds[part], rows[part].y, rows[part].weight) for part in ("train", "test"))
        group = rows["test"].group
        found = intervals.evaluate(test, train, decision.log_odds, group=group)
        parts = {part: Part.of(rows[part], log_odds[part]) for part in rows}
        checks = run_checks(Context(card, predictor, **parts, cut=decision.log_odds, reference=options.reference))
        tables.check_not_modified()
        z, y, weight = test
        classes = np.array(card.classes)
        predictions = {"actual": classes[y.astype(int)], "predicted": predictor.decide(z)}
        with atomic_dir(folder, EVALUATION, STAGE.downstream(), trained.check_not_replaced) as made:
            write_json(made / DECISION, decision.to_dict())
            write_json(made / METRICS_FILE, nan_as_none(found.metrics))
            write_json(made / INTERVALS_FILE, nan_as_none(found.intervals()))
            write_json(made / CHECKS_FILE, {"checks": checks})
            given = {name: values for name, values in {"weight": weight, "group": group}.items() if values is not None}
            write_parquet(made / PREDICTIONS_FILE, {**predictions, "probability": probability(z), "log_odds": z, **given})
            for curve in CURVES.values():
                table = curve.of(z, y, weight, group)
                write_csv(made / curve.file, {**table, **found.band(curve, table[curve.columns[1]])})
            write_csv(made / "curves.confusion.csv", predictions)  # counted by `dvc plots`
            write_manifest(made / EVALUATION, STAGE.name, {"model": trained.checksum}, [path.name for path in made.iterdir()])
        logger.info(f"{len(y)} test rows: {_verdict(checks)} -> {folder}\n{_table(found)}")
        if group is not None:
            logger.info(_groups(len(np.unique(group))))
        if decision.rule != Decision.rule:
            logger.log(logging.WARNING if decision.is_constant else logging.INFO, decision.sentence)
        log_checks(checks)
        tracker.files(lambda: artifacts(folder))
    return found.metrics


def _verdict(checks: Sequence[dict[str, Any]]) -> str:
    """Whether the model surely beats the training rate, or why that is not known."""
    (check,) = (check for check in checks if check["name"] == "baseline")
    unknown = "whether the model is better than the training rate is not known: "
    return f"{'' if check['passed'] is not None else unknown}{check['sentence']}"


def _groups(count: int) -> str:
    few = f", fewer than {MIN_GROUPS}: mostly too narrow" if count < MIN_GROUPS else ""
    return f"the intervals are of whole groups drawn anew (data.group), {count} in the test table{few}"


def _table(found: Evaluation) -> str:
    """The metrics that a summary has, on the test and the training table, beside the baseline's."""
    columns = ["", f"test ({CONFIDENCE:.0%} interval)", "training", "training rate"]
    rows = [
        [METRICS[name].label, str(found.test[name]), found.training[name], found.baseline[name]] for name in SUMMARY_METRICS
    ]
    return console.table(columns, rows)


def read_rows(tables: Manifest[DataSchema], card: ModelCard, part: str) -> Split:
    """The rows of `train` or `test`. Raises ArtifactError where a file is not as described."""
    X = tables.table(f"{part}.parquet") if card.columns else tables.features(part, len(card.features))
    arrays = {name: tables.optional_array(f"{part}/{name}.npy") for name in ("weight", "group", "time")}
    y = tables.array(f"{part}/y.npy")
    if X.shape[0] != len(y):
        raise ArtifactError(f"X and y in {tables.path.parent}/{part} must have as many rows; got {X.shape[0]} and {len(y)}")
    return Split(X, y, **arrays)


def log_checks(checks: Sequence[dict[str, Any]]) -> None:
    """How many checks failed, and a line for each."""
    outcomes = [check["passed"] for check in checks]
    failed, passed, other = (outcomes.count(outcome) for outcome in (False, True, None))
    logger.info(f"checks: {failed} failed, {passed} passed, {other} do not apply")
    for check in failed_checks(checks):
        severe = " (bars promotion)" if check["severe"] else ""
        logger.warning(f"{check['name']}{severe}: {check['sentence']}; {check['advice']}")


def artifacts(folder: Path, in_dvc: bool = False) -> Artifacts:
    """What MLflow shows of the evaluation in `folder`."""
    trained = read_card(folder)
    evaluation = read_evaluation(trained)
    evaluation.verify()
    values = {f"test/{name}": value for name, value in evaluation.numbers(METRICS_FILE).items()}
    for name, test in evaluation.json(INTERVALS_FILE, "test")["test"].items():
        values |= Interval.from_dict(test).by_name(f"test/{name}")
    decision = decision_of(evaluation)
    rule = f" by {decision.rule}" if decision.chosen_on != GIVEN else ""
    tags = {"threshold": f"{decision.threshold:.6g}{rule}", WEIGHTS_TAG: trained.files[WEIGHTS_FILE]}
    checks = evaluation.json(CHECKS_FILE, "checks")["checks"]
    tags |= {f"checks.{kind}": _names(failed_checks(checks, kind == "severe")) for kind in ("failed", "severe")}
    return Artifacts(STAGE.artifacts, STAGE.files(folder), values, tags, table="test")


def _names(checks: Sequence[dict[str, Any]]) -> str:
    return ", ".join(check["name"] for check in checks) or "none"


def _validation_rows(trained: Manifest[ModelCard]) -> ValidationRows | None:
    """What models of the same configuration predict of the rows that they were fitted without, if there are any.

    Raises ArtifactError where there are those of another configuration.
    """
    folder = trained.path.parent
    if not (folder / VALIDATION).is_file():
        return None
    read_validation(folder, trained.content.fingerprint).verify()
    columns = read_parquet(folder / VALIDATION_PREDICTIONS_FILE)
    rows = len(np.unique(columns["row"]))
    return ValidationRows(rows, columns["log_odds"], columns["label"], columns.get("weight")) if rows else None


def run(data: Path, folder: Path, tracking: Tracking, config: Mapping[str, Any]) -> None:
    evaluate(data, folder, tracking, config)


def main(argv: Sequence[str]) -> None:
    run_on_candidate(STAGE, __doc__, evaluate, argv)


if __name__ == "__main__":
    console.run(main, wait_at_end)
