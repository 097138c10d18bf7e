"""Measure one configuration on training rows that are held out, before it is fitted to all of them."""

import logging
from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import console
from pipeline.arrays import Array
from pipeline.atomic import atomic_dir
from pipeline.config.schema import build, build_typed
from pipeline.config.tracking import Tracking
from pipeline.evaluation.curves import COURSE
from pipeline.evaluation.folds import FoldRows, encoded_features, features_of, fold_rule
from pipeline.evaluation.metrics import COMPARED_METRICS, OBJECTIVE, SUMMARY_METRICS
from pipeline.evaluation.options import NONE, EvaluationOptions
from pipeline.evaluation.validation import Held, Validation, description, splits
from pipeline.files import VALIDATION_HISTORY_FILE, VALIDATION_PREDICTIONS_FILE, nan_as_none, write_csv, write_parquet
from pipeline.interval import Interval
from pipeline.learning.models import MODELS
from pipeline.learning.optimizers import OPTIMIZERS
from pipeline.manifest import VALIDATION, Manifest, read_validation, write_manifest
from pipeline.model.card import DataSchema, ModelCard
from pipeline.stages import STAGES
from pipeline.stages._fitting import Config, card_of, encoder_options, read_tables, run_on_tables
from pipeline.tracking.client import track, wait_at_end
from pipeline.tracking.events import Artifacts
from pipeline.tracking.names import CHOSEN, VALIDATION_TAG

logger = logging.getLogger("pipeline.stages.validate")

STAGE = STAGES["validate"]


def validate_candidate(
    config: Config, data: Path, folder: Path, tracking: Tracking, source: Mapping[str, Any] | None = None
) -> None:
    """Measure what config["model"] and config["optimizer"] make of the training table in `data`, as config["evaluation"] says;
    write the scores and predictions, none where it says so. source: the configuration that the table must have been made by.
    """
    tables = read_tables(data, source)
    options = build_typed("evaluation", EvaluationOptions, config["evaluation"])
    card = card_of(config, tables)
    with track(tracking, STAGE.name, card, folder.name) as tracker:
        validation = _validation(config, tables, card)
        rows = validation.rows
        held = [] if options.validation == NONE else _held(validation, options, tables.content)
        scores, by = validation.mean_scores(held) if held else {}, description(options, rows.rule, held)
        tables.check_not_modified()
        with atomic_dir(folder, VALIDATION) as made:
            write_parquet(made / VALIDATION_PREDICTIONS_FILE, _predictions(held, rows.y, rows.weight))
            write_csv(made / VALIDATION_HISTORY_FILE, _history(held))
            content = {
                "fingerprint": card.fingerprint,
                "by": by,
                **{name: getattr(options, name) for name in ("validation", "folds", "repeats")},
                "folds_by": rows.rule.by,
                "scores": nan_as_none({name: vars(score) for name, score in scores.items()}),
                "of_folds": [each.to_dict() for each in held],
            }
            write_manifest(made / VALIDATION, STAGE.name, content, [VALIDATION_PREDICTIONS_FILE, VALIDATION_HISTORY_FILE])
        if held:
            summary = ", ".join(f"{name} {scores[name]}" for name in SUMMARY_METRICS if name in scores)
            logger.info(f"validation by {by}: {summary} -> {folder}")
        tracker.files(lambda: artifacts(folder))


def _validation(config: Config, tables: Manifest[DataSchema], card: ModelCard) -> Validation:
    model, optimizer = build("model", MODELS, config["model"]), build("optimizer", OPTIMIZERS, config["optimizer"])
    if card.columns:
        features = encoded_features(tables, card.columns, encoder_options(model))
    else:
        features = features_of(tables.features("train", len(card.features)))
    y, weight = tables.array("train/y.npy"), tables.weight("train")
    return Validation(model, optimizer, FoldRows(features, y, weight, card.classes, fold_rule(tables)))


def _held(validation: Validation, options: EvaluationOptions, schema: DataSchema) -> list[Held]:
    """What each fold gives, with one line that shows how many are done."""
    negative, positive = schema.classes
    folds = splits(options, validation.rows.rule, validation.rows.y, (negative, positive), int(schema.source.get("seed") or 0))
    held: list[Held] = []
    with console.Progress(sum(map(len, folds)), unit="fold") as progress:
        for each in validation.held(folds):
            held.append(each)
            if progress.is_due():
                progress.show(len(held), "validation")
    return held


def _predictions(held: Sequence[Held], y: Array, weight: Array | None) -> dict[str, Array]:
    """The columns of VALIDATION_PREDICTIONS_FILE: each row's number in the training table, label, log-odds and fold."""
    rows = np.concatenate([np.empty(0, np.intp), *(each.rows for each in held)])
    columns = {
        "row": rows,
        "label": y[rows],
        "log_odds": np.concatenate([np.empty(0), *(each.log_odds for each in held)]),
        **_folds(held, [len(each.rows) for each in held]),
    }
    return columns if weight is None else {**columns, "weight": weight[rows]}


def _history(held: Sequence[Held]) -> dict[str, Array]:
    """The columns of VALIDATION_HISTORY_FILE: COURSE of each fold."""
    losses = {name: np.concatenate([np.empty(0, np.intp), *(each.course[name] for each in held)]) for name in COURSE}
    return {**_folds(held, [len(each.course["epoch"]) for each in held]), **losses}


def _folds(held: Sequence[Held], sizes: Sequence[int]) -> dict[str, Array]:
    """The numbers of each fold, as often as it has rows."""
    return {name: np.repeat(np.array([getattr(each, name) for each in held], np.int64), sizes) for name in ("repeat", "fold")}


def scores_of(validation: Manifest[Mapping[str, Any]]) -> dict[str, Interval]:
    """The mean scores by name; none where there was no validation."""
    return {name: Interval.from_dict(score) for name, score in validation.content["scores"].items()}


def artifacts(folder: Path, in_dvc: bool = False) -> Artifacts:
    """What MLflow shows of the validation in `folder`."""
    validation = read_validation(folder)
    validation.verify()
    none = dict.fromkeys((OBJECTIVE, *COMPARED_METRICS), Interval(nan))  # so that no score of an earlier one is left
    scores = none | scores_of(validation)
    values = {f"validation/{name}": score.value for name, score in scores.items()}
    for name in SUMMARY_METRICS:
        values |= scores[name].by_name(f"validation/{name}")
    return Artifacts(STAGE.artifacts, STAGE.files(folder), values, {VALIDATION_TAG: validation.content["by"]})


def record_choice(data: Path, folder: Path, tracking: Tracking, config: Config, is_chosen: bool) -> None:
    """Tag the run of a sweep's job that was validated: whether it is the one that is fitted to all training rows."""
    with track(tracking, STAGE.name, card_of(config, read_tables(data, config["data"])), folder.name) as tracker:
        tracker.files(lambda: Artifacts("", tags={CHOSEN: str(is_chosen).lower()}))


def run(data: Path, folder: Path, tracking: Tracking, config: Mapping[str, Any]) -> None:
    validate_candidate(STAGE.settings(config), data, folder, tracking, config["data"])


def main(argv: Sequence[str]) -> None:
    run_on_tables(STAGE, __doc__, "model.l2=0.1 evaluation.validation=cv", validate_candidate, argv)


if __name__ == "__main__":
    console.run(main, wait_at_end)
