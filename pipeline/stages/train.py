"""Fit one model to the training table."""

import csv
import io
import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import console
from pipeline.arrays import Features
from pipeline.atomic import atomic_dir
from pipeline.config.code import numerical_code
from pipeline.config.files import compose_overrides, read_config, to_yaml
from pipeline.config.schema import build
from pipeline.config.tracking import Tracking, stage_tracking
from pipeline.errors import ArtifactError, DataError, PipelineError
from pipeline.files import HISTORY, OUT, digest_of, write_csv
from pipeline.learning.checkpoints import CheckpointFile
from pipeline.learning.diagnosis import ENDS
from pipeline.learning.encoding import encode, fit_encoder
from pipeline.learning.model import Fit, Observer, Record
from pipeline.learning.models import MODELS, EncoderOptions, linear_model
from pipeline.learning.optimizer import State
from pipeline.learning.optimizers import OPTIMIZERS
from pipeline.manifest import Manifest, write_manifest
from pipeline.model.card import DataFacts, DataSchema, FitSummary, ModelCard, read_card, read_schema
from pipeline.registry import name_of
from pipeline.stages import MODELS as MODELS_DIR
from pipeline.stages import downstream
from pipeline.tracking.client import Tracker, track, wait_at_end
from pipeline.tracking.events import Artifacts
from pipeline.tracking.names import NOTE, note
from pipeline.tracking.store import project_root

logger = logging.getLogger("pipeline.stages.train")

DOWNSTREAM_OUTPUTS = downstream("train")
MAX_WEIGHTS = 1000  # that MLflow shows


def describe(config: dict[str, dict[str, Any]], schema: DataSchema) -> ModelCard:
    """The card of a model that is still to be fitted."""
    parts = {"config": digest_of(config), "data": digest_of(schema.digest), "code": numerical_code()}
    facts = DataFacts(schema.rows, schema.digest)
    columns, features = schema.used, [] if schema.columns else schema.features
    made = ModelCard(digest_of(parts), parts, features, schema.target, schema.classes, facts, config, None)
    identifiers = [column.name for column in schema.columns if column.kind == "identifier"]
    return replace(made, columns=columns, missing_values=schema.missing_values, identifiers=identifiers)


def training_features(tables: Manifest[DataSchema], card: ModelCard, options: EncoderOptions) -> tuple[Features, ModelCard]:
    """X (n, d) of the training rows, and the card with what encodes a table's columns, if it is one."""
    if not card.columns:
        return tables.features("train", len(card.features)), card
    from pyarrow import default_memory_pool

    table = tables.table("train.parquet")
    encoder = fit_encoder(table, card.columns, options)
    if not encoder.features:
        raise DataError("a column must vary among the training rows for a model to learn from it; none does")
    used = {step.column for step in encoder.steps}
    columns = [column for column in card.columns if column.name in used]
    X = encode(encoder, columns, table)
    del table
    default_memory_pool().release_unused()  # which the fit may need
    how = "" if isinstance(X, np.ndarray) else f", {X.nnz / X.shape[0]:.0f} of them not 0 in a row"
    logger.info(f"{len(columns)} columns become {X.shape[1]} features{how}")
    return X, replace(card, columns=columns, features=encoder.features, encoder=encoder.to_list())


class FitObserver:
    """What a fit's records and states are used for while it lasts: shown, tracked, and saved to go on from."""

    def __init__(self, tracker: Tracker, checkpoints: CheckpointFile, progress: console.Progress, first: int) -> None:
        self._tracker, self._checkpoints, self._progress, self._first = tracker, checkpoints, progress, first
        self.history: list[Record] = []

    def record(self, row: Record) -> None:
        self.history.append(row)
        if row.epoch >= self._first:
            logger.info(f"Epoch {row.epoch}, Loss: {row.loss:.4f}")
        self._tracker.epoch(row.epoch, row.loss, row.gradient_norm)

    def callback(self, epoch: int, state: State) -> None:
        self._checkpoints.write_if_due(epoch, state, self.history)
        if self._progress.is_due():
            last = self.history[-1]
            loss = f"loss {state['loss']:.6g}" if "loss" in state else f"loss {last.loss:.4g} at {last.epoch}"
            norm = f", gradient {np.abs(state['gradient']).max():.1e}" if "gradient" in state else ""
            self._progress.show(epoch, f"{loss}{norm}")


def train(
    config: Mapping[str, Any], data: Path, folder: Path, tracking: Tracking, source: Mapping[str, Any] | None = None
) -> str:
    """Fit what config["model"] and config["optimizer"] say to the table in `data`; write the model and its history.

    source: the configuration that the table must have been made by. Returns the checksum of model.json.
    """
    tables = read_schema(data)
    schema = tables.content
    if source not in (None, schema.source):
        raise ArtifactError(f"{data} must stay what was asked for; another process has replaced it")
    model, configured = build("model", MODELS, config["model"]), build("optimizer", OPTIMIZERS, config["optimizer"])
    card = describe({"data": schema.source, **config}, schema)
    with track(tracking, "train", card, folder.name, trains=True) as tracker:
        if "train/weight.npy" in tables.files:
            raise DataError("data.weight must be empty, since no model takes weights yet; the table has a column of them")
        y = tables.array("train/y.npy")
        X, card = training_features(tables, card, vars(model).get("encoder", EncoderOptions()))
        optimizer = configured.for_shape(X.shape, sparse=not isinstance(X, np.ndarray))
        if optimizer != configured:
            logger.info(f"{name_of(configured)} picks {name_of(optimizer)}")
        checkpoints = CheckpointFile(project_root() / OUT / "checkpoints", card.fingerprint, logger.warning)
        checkpoint = checkpoints.read()
        first = checkpoint.epoch if checkpoint else 0
        if first:
            logger.info(f"going on from epoch {first}, which an earlier run had reached")
        with console.Progress(optimizer.epochs, first) as progress:
            observer = FitObserver(tracker, checkpoints, progress, first)
            seen = Observer(observer.record, observer.callback, checkpoint)
            result = model.fit(X, y, optimizer, card.features, seen)
        if not observer.history:  # of a model that has no epochs
            observer.history.append(Record(result.epochs, result.loss, result.gradient_norm))
        for warning in result.warnings:
            logger.warning(warning)
        try:
            tables.check_not_modified()
        except PipelineError:
            checkpoints.delete()  # it is of other numbers, too
            raise
        checksum = _write(folder, replace(card, fit=_summary(result)), result, observer.history)
        checkpoints.delete()
        end = f"{result.epochs} epochs, stopped by {ENDS[result.stopped_by]}"
        logger.info(f"{name_of(result.optimizer)}: {end}, loss {result.loss:.4f} -> {folder}")
        tracker.epoch(result.epochs, result.loss, result.gradient_norm)
        tracker.files(artifacts(folder))
    return checksum


def artifacts(folder: Path, in_dvc: bool = False) -> Artifacts:
    """What MLflow shows of the fit in `folder`."""
    trained = read_card(folder)
    trained.verify()
    card, fit = trained.content, trained.content.ended
    tags = {"fitted_by": fit.optimizer, "stopped_by": fit.stopped_by, "model.sha256": trained.files["model.npz"]}
    if found := fit.separation:
        tags["separation"] = f"{found['kind']}: {', '.join(found['columns'])}"[:500]
    return Artifacts(
        "training",
        [folder / name for name in ("model.json", "model.npz", "history.csv")],
        metrics={f"train/{name}": getattr(fit, name) for name in ("loss", "gradient_norm", "epochs")},
        tags={**tags, NOTE: note(card)},
        texts={"config.yaml": to_yaml(card.config), **_weights(trained)},
        table="training",
        is_model=True,
        are_outs=True,
    )


def _weights(trained: Manifest[ModelCard]) -> dict[str, str]:
    """weights.csv of a linear model: its largest weights, on the scale that it was trained on and on that of the features."""
    model = linear_model(trained.arrays("model.npz"))
    if model is None:
        return {}
    raw, b = model.raw_weights()
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["feature", "weight", "raw_weight"])
    for i in np.argsort(-np.abs(model.w), kind="stable")[:MAX_WEIGHTS]:
        writer.writerow([trained.content.features[i], float(model.w[i]), float(raw[i])])
    writer.writerow(["(intercept)", float(model.b), b])
    return {"weights.csv": file.getvalue()}


def _summary(result: Fit) -> FitSummary:
    separation = dict(result.separation) if result.separation else None
    name = name_of(result.optimizer)
    return FitSummary(name, result.epochs, result.stopped_by, result.loss, result.gradient_norm, separation)


def _write(folder: Path, card: ModelCard, result: Fit, history: Sequence[Record]) -> str:
    with atomic_dir(folder, "model.json", DOWNSTREAM_OUTPUTS) as made:
        np.savez(made / "model.npz", **result.arrays)  # type: ignore[arg-type]
        write_csv(made / "history.csv", {name: [getattr(row, name) for row in history] for name in HISTORY})
        return write_manifest(made / "model.json", "train", card.to_dict(), ["model.npz", "history.csv"])


def main(argv: Sequence[str]) -> None:
    parser = console.parser("stages.train", __doc__, "model=torch optimizer=adam optimizer.lr=0.05")
    parser.add_argument("--candidate", metavar="NAME", help="the folder in out/models/; the model's name if not given")
    args = console.parse_configuration(parser, argv)
    data = OUT / "data"
    made = None
    if args.config:
        config = read_config(args.config, "train", {"model": MODELS, "optimizer": OPTIMIZERS})
        tracking = stage_tracking(OUT)
    else:
        composed = compose_overrides(args.overrides)
        content = composed.to_dict()
        config = {group: content[group] for group in ("model", "optimizer")}
        tracking = composed.tracking
        made = read_schema(data).content.source
        if content["data"] != made:
            first = f"run `python -m pipeline.stages.generate {shlex.join(args.overrides)}` first"
            raise ArtifactError(f"the configuration's data must be what {data} holds; {first}")
    train(config, data, OUT / MODELS_DIR / (args.candidate or config["model"]["name"]), tracking, made)


if __name__ == "__main__":
    console.run(main, wait_at_end)
