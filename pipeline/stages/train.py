"""Fit one model to the training table."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import console
from pipeline.arrays import Features
from pipeline.atomic import atomic_dir
from pipeline.config.files import to_yaml
from pipeline.config.schema import build
from pipeline.config.tracking import Tracking
from pipeline.errors import DataError, PipelineError
from pipeline.evaluation.folds import FoldRows, encoded_features, features_of, fold_rule
from pipeline.evaluation.penalty import CURVE, Resolved, with_number
from pipeline.files import COEFFICIENTS_FILE, HISTORY, HISTORY_FILE, OUT, PENALTY_FILE, WEIGHTS_FILE, write_csv
from pipeline.learning.checkpoints import CheckpointFile
from pipeline.learning.coefficients import coefficients
from pipeline.learning.diagnosis import separated_completely
from pipeline.learning.encoding import encode, fit_encoder
from pipeline.learning.inference import CLUSTER
from pipeline.learning.model import Checkpoint, Fit, Model, Observer, Record, TrainingRows
from pipeline.learning.models import MODELS, EncoderOptions, LinearModel
from pipeline.learning.optimizer import Optimizer, State
from pipeline.learning.optimizers import OPTIMIZERS
from pipeline.manifest import CARD, Manifest, write_manifest
from pipeline.model.card import ENDS, DataSchema, FitSummary, ModelCard, read_card
from pipeline.model.encoder import Encoder
from pipeline.registry import name_of
from pipeline.stages import STAGES
from pipeline.stages._fitting import card_of, encoder_options, read_tables, run_on_tables
from pipeline.text import count, join_limited, quote_if_needed
from pipeline.tracking.client import Tracker, track, wait_at_end
from pipeline.tracking.events import Artifacts
from pipeline.tracking.names import NOTE, SECONDS, WEIGHTS_TAG, note
from pipeline.tracking.store import project_root

logger = logging.getLogger("pipeline.stages.train")

STAGE = STAGES["train"]


def training_features(tables: Manifest[DataSchema], card: ModelCard, options: EncoderOptions) -> tuple[Features, ModelCard]:
    """X (n, d) of the training rows, and the card with what encodes a table's columns, if it is one."""
    if not card.columns:
        return tables.features("train", len(card.features)), card
    from pyarrow import default_memory_pool

    table = tables.table("train.parquet")
    encoder = fit_encoder(table, card.columns, options, tables.weight("train"))
    if not encoder.features:
        raise DataError("a column must vary among the training rows for a model to learn from it; none does")
    used = {step.column for step in encoder.steps}
    if without := [quote_if_needed(column.name) for column in card.columns if column.name not in used]:
        why = f"all of one value, or of values in fewer than {options.min_rows} training rows each (model.encoder.min_rows)"
        logger.info(f"no features come of {join_limited(without)}: {why}")
    columns = [column for column in card.columns if column.name in used]
    X = encode(encoder, columns, table)
    del table
    default_memory_pool().release_unused()  # which the fit may need
    how = "" if isinstance(X, np.ndarray) else f", {X.nnz / X.shape[0]:.0f} of them not 0 in a row"
    logger.info(f"{len(columns)} columns become {X.shape[1]} features{how}")
    return X, replace(card, columns=columns, features=encoder.features, encoder=encoder.to_list())


def observer(
    tracker: Tracker,
    checkpoints: CheckpointFile,
    progress: console.Progress,
    resume: Checkpoint | None,
    history: list[Record],
) -> Observer:
    """Logs and tracks a fit's records, which `history` gets, and saves its states to go on from."""

    def record(row: Record) -> None:
        history.append(row)
        if not resume or row.epoch >= resume.epoch:
            logger.info(f"Epoch {row.epoch}, Loss: {row.loss:.4f}")
        tracker.epoch(row.epoch, row.loss, row.gradient_norm)

    def callback(epoch: int, state: State) -> None:
        checkpoints.write_if_due(epoch, state, history)
        if progress.is_due():
            last = history[-1]
            loss = f"loss {state['loss']:.6g}" if "loss" in state else f"loss {last.loss:.4g} at {last.epoch}"
            norm = f", gradient {np.abs(state['gradient']).max():.1e}" if "gradient" in state else ""
            progress.show(epoch, f"{loss}{norm}")

    return Observer(record, callback, resume)


def train(
    config: Mapping[str, Any], data: Path, folder: Path, tracking: Tracking, source: Mapping[str, Any] | None = None
) -> None:
    """Fit what config["model"] and config["optimizer"] say to the table in `data`; write the model and its history.

    source: the configuration that the table must have been made by.
    """
    tables = read_tables(data, source)
    model, configured = build("model", MODELS, config["model"]), build("optimizer", OPTIMIZERS, config["optimizer"])
    group = tables.optional_array("train/group.npy")
    if vars(model).get("inference") == CLUSTER and group is None:
        raise DataError("model.inference=cluster needs the column whose rows may be alike, data.group=COLUMN; there is none")
    card = card_of(config, tables)
    with track(tracking, STAGE.name, card, folder.name, trains=True) as tracker:
        X, card = training_features(tables, card, encoder_options(model))
        rows = TrainingRows(X, tables.array("train/y.npy"), tables.weight("train"), card.features, card.classes, group)
        model, resolved = resolve_penalty(model, rows, tables, card)
        checkpoints = CheckpointFile(project_root() / OUT / "checkpoints", card.fingerprint, logger.warning)
        result, history, seconds = fit(model, configured, rows, tracker, checkpoints)
        if not history:  # of a model that has no epochs
            logger.info(f"{card.model} has no epochs, so the optimizer {name_of(configured)} has no effect")
            history.append(Record(result.epochs, result.loss, result.gradient_norm))
        table, inference = coefficients(rows, model, result, Encoder.from_list(card.encoder) if card.encoder else None)
        is_asked = not result.separation and vars(model).get("inference") != "none"
        if inference and is_asked and (group is not None or not inference["method"]):
            logger.info(inference["sentence"])
        card = replace(card, fit=replace(summarise(result, rows, resolved), inference=inference))
        try:
            tables.check_not_modified()
        except PipelineError:
            checkpoints.delete()  # it is of other numbers, too
            raise
        _write(folder, card, result, history, table)
        checkpoints.delete()
        end = f"{count(result.epochs, 'epoch')}, stopped by {ENDS[result.stopped_by]}"
        logger.info(f"{name_of(result.optimizer)}: {end}, loss {result.loss:.4f} -> {folder}")
        tracker.epoch(result.epochs, result.loss, result.gradient_norm)
        tracker.files(lambda: replace(made := artifacts(folder), metrics={**made.metrics, **seconds}))


def resolve_penalty(
    model: Model, rows: TrainingRows, tables: Manifest[DataSchema], card: ModelCard
) -> tuple[Model, Resolved | None]:
    """The model with a number for its l2, and how that was found where it is a word."""
    features = encoded_features(tables, card.columns, encoder_options(model)) if card.columns else features_of(rows.X)
    model, resolved = with_number(model, FoldRows(features, rows.y, rows.weight, rows.classes, fold_rule(tables)))
    if resolved:
        logger.info(resolved.sentence)
    return model, resolved


def fit(
    model: Model, configured: Optimizer, rows: TrainingRows, tracker: Tracker, checkpoints: CheckpointFile
) -> tuple[Fit, list[Record], dict[str, float]]:
    """The fit, from where an earlier one of the same was ended if it was, its records of some epochs, and the run's metric that
    says how many seconds it took, if it took them in one piece."""
    optimizer = configured.for_shape(rows.X.shape, sparse=not isinstance(rows.X, np.ndarray))
    if optimizer != configured:
        logger.info(f"{name_of(configured)} picks {name_of(optimizer)}")
    checkpoint = checkpoints.read()
    first = checkpoint.epoch if checkpoint else 0
    if first:
        logger.info(f"going on from epoch {first}, which an earlier run had reached")
    history: list[Record] = []
    with console.Progress(optimizer.epochs, first) as progress:
        seen = observer(tracker, checkpoints, progress, checkpoint, history)
        started = time.perf_counter()
        result = model.fit(rows.X, rows.y, optimizer, rows.features, seen, rows.weight, rows.classes)
        seconds = {} if first else {SECONDS: time.perf_counter() - started}
    for warning in result.warnings:
        logger.warning(warning)
    return result, history, seconds


def summarise(result: Fit, rows: TrainingRows, resolved: Resolved | None) -> FitSummary:
    """What a card has of the fit; of a penalty that was found, too, which may be all that keeps the weights finite."""
    separation = dict(result.separation) if result.separation else None
    name = name_of(result.optimizer)
    summary = FitSummary(name, result.epochs, result.stopped_by, result.loss, result.gradient_norm, separation)
    if not resolved:
        return summary
    separated = _separation(rows, result)
    for warning in resolved.warnings(separated):
        logger.warning(warning)
    return replace(summary, penalty=resolved.to_dict(separated))


def artifacts(folder: Path, in_dvc: bool = False) -> Artifacts:
    """What MLflow shows of the fit in `folder`."""
    trained = read_card(folder)
    trained.verify()
    card, fit = trained.content, trained.content.ended
    metrics: dict[str, float] = {"train/epochs": fit.epochs}
    if fit.penalty:
        metrics["train/l2"] = fit.penalty["l2"]
    return Artifacts(
        STAGE.artifacts,
        STAGE.files(folder),
        metrics=metrics,
        tags={WEIGHTS_TAG: trained.files[WEIGHTS_FILE], NOTE: note(card)},
        texts={"config.yaml": to_yaml(card.config)},
        table="training",
        is_model=True,
    )


def _separation(rows: TrainingRows, result: Fit) -> dict[str, Any] | None:
    """By what the classes can be separated, of the rows that have a weight."""
    X, y = rows.X, rows.y
    if rows.weight is not None:
        X, y = X[rows.weight > 0], y[rows.weight > 0]
    return separated_completely(X, y, LinearModel.from_arrays(result.arrays), rows.features)


def _write(folder: Path, card: ModelCard, result: Fit, history: Sequence[Record], table: Mapping[str, Any]) -> None:
    with atomic_dir(folder, CARD, STAGE.downstream()) as made:
        np.savez(made / WEIGHTS_FILE, **result.arrays)  # type: ignore[arg-type]
        write_csv(made / HISTORY_FILE, {name: [getattr(row, name) for row in history] for name in HISTORY})
        validation = (card.ended.penalty or {}).get("validation") or {}
        write_csv(made / PENALTY_FILE, {name: validation.get(name, []) for name in CURVE})
        write_csv(made / COEFFICIENTS_FILE, table)
        names = [WEIGHTS_FILE, HISTORY_FILE, PENALTY_FILE, COEFFICIENTS_FILE]
        write_manifest(made / CARD, STAGE.name, card.to_dict(), names)


def run(data: Path, folder: Path, tracking: Tracking, config: Mapping[str, Any]) -> None:
    train(STAGE.settings(config), data, folder, tracking, config["data"])


def main(argv: Sequence[str]) -> None:
    run_on_tables(STAGE, __doc__, "model=torch optimizer=adam optimizer.lr=0.05", train, argv)


if __name__ == "__main__":
    console.run(main, wait_at_end)
