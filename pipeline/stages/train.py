"""Fit one model to the training table."""

import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import console
from pipeline.arrays import Array
from pipeline.atomic import atomic_dir
from pipeline.config.code import numerical_code
from pipeline.config.files import compose_overrides, read_config
from pipeline.config.schema import build
from pipeline.config.tracking import Tracking, stage_tracking
from pipeline.errors import ArtifactError, PipelineError
from pipeline.files import HISTORY, OUT, digest_of, write_csv
from pipeline.learning import separation
from pipeline.learning.checkpoints import CheckpointFile
from pipeline.learning.fit import MODELS, Fit, Model, Record, fit, picked, varying
from pipeline.learning.optimizers import OPTIMIZERS, Auto, GradientDescent, Optimizer, State
from pipeline.learning.precision import TooLarge, blurred
from pipeline.learning.suboptimality import distance
from pipeline.manifest import write_manifest
from pipeline.model.card import DataFacts, DataSchema, FitSummary, ModelCard, read_schema
from pipeline.stages import MODELS as MODELS_DIR
from pipeline.stages import downstream
from pipeline.text import join_limited
from pipeline.tracking.client import Tracker, project_root, track, wait_at_end

logger = logging.getLogger("pipeline.stages.train")

DOWNSTREAM_OUTPUTS = downstream("train")
STOPPED_BY = {"epochs": "the epoch limit", "tol": "tol", "precision": "rounding: no step lowers the loss further"}


def describe(config: dict[str, dict[str, Any]], schema: DataSchema) -> ModelCard:
    """The card of a model that is still to be fitted."""
    parts = {
        "config": digest_of(config),
        "data": digest_of(schema.digest),
        "code": numerical_code(),
    }
    facts = DataFacts(schema.rows, schema.digest)
    return ModelCard(digest_of(parts), parts, schema.features, schema.target, schema.classes, facts, config, None)


class Recorder:
    """The history of a fit while it lasts: shown, tracked, and kept for a fit that goes on after this one was killed."""

    def __init__(self, tracker: Tracker, keeper: CheckpointFile, epochs: int) -> None:
        self._tracker, self._keeper, self.checkpoint = tracker, keeper, keeper.read()
        self._first = self.checkpoint.epoch if self.checkpoint else 0
        if self.checkpoint:
            logger.info(f"going on from epoch {self._first}, which an earlier run had reached")
        self.history: list[Record] = []
        self.progress = console.EpochProgress(epochs, self._first)

    def record(self, row: Record) -> None:
        self.history.append(row)
        if row.epoch >= self._first:
            self.progress.clear()
            logger.info(f"Epoch {row.epoch}, Loss: {row.loss:.4f}")
        self._tracker.loss(row.epoch, row.loss, row.gradient_norm)

    def watch(self, epoch: int, state: State) -> None:
        self._keeper.keep(epoch, state, self.history)
        if self.progress.is_due():
            norm = f", gradient {np.abs(state['gradient']).max():.1e}" if "gradient" in state else ""
            last = self.history[-1]
            loss = f"loss {state['loss']:.6g}" if "loss" in state else f"loss {last.loss:.4g} at {last.epoch}"
            self.progress.show(epoch, f"{loss}{norm}")


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
    model, optimizer = build("model", MODELS, config["model"]), build("optimizer", OPTIMIZERS, config["optimizer"])
    card = describe({"data": schema.source, **config}, schema)
    with track(tracking, "train", card.to_dict()) as tracker:
        X, y = tables.features("train", len(schema.features)), tables.array("train/y.npy")
        _warn_of_constants(X, model, schema.features)
        if isinstance(optimizer, Auto):
            optimizer = picked(optimizer, X)
            logger.info(f"auto picks {_name(optimizer)}")
        keeper = CheckpointFile(project_root() / OUT / "checkpoints", card.fingerprint)
        recorder = Recorder(tracker, keeper, optimizer.epochs)
        try:
            result = fit(X, y, model, optimizer, recorder.record, recorder.watch, recorder.checkpoint)
        except TooLarge as error:
            raise ArtifactError(error.of(schema.features)) from None
        recorder.progress.clear()
        ended = _measured(X, y, model, result, schema.features)
        _warn_of_a_rise(result.loss, recorder.history[0].loss)
        _warn_of_blurred_columns(X, model, result, schema.features)
        if ended.separation:
            _warn_of_a_separation(ended.separation)
        elif result.stopped_by != "tol":
            _warn_of_a_distance(X, y, model, result)
        elif not model.l2 and X.shape[1] >= separation.LARGEST:
            _warn_of_what_was_not_sought(X.shape[1])
        try:
            tables.check_not_modified()
        except PipelineError:
            keeper.drop()  # it is of other numbers, too
            raise
        checksum = _write(folder, replace(card, fit=ended), result, recorder.history)
        keeper.drop()
        logger.info(_summary(ended, folder))
        tracker.publish(folder)
    return checksum


def _measured(X: Array, y: Array, model: Model, result: Fit, features: Sequence[str]) -> FitSummary:
    return FitSummary(
        _name(result.optimizer),
        result.epochs,
        result.stopped_by,
        result.loss,
        result.gradient_norm,
        _separation(X, y, model, result, features),
    )


def _name(optimizer: Optimizer) -> str:
    return next(name for name, kind in OPTIMIZERS.items() if isinstance(optimizer, kind))


def _summary(fit: FitSummary, folder: Path) -> str:
    how = f"{fit.epochs} epochs, stopped by {STOPPED_BY[fit.stopped_by]}"
    return f"{fit.optimizer}: {how}, loss {fit.loss:.4f} -> {folder}"


def _warn_of_constants(X: Array, model: Model, features: Sequence[str]) -> None:
    constant = [name for name, varies in zip(features, varying(X), strict=True) if not varies]
    if constant and model.standardize:
        logger.warning(f"constant in the training table, so without any say in the model: {join_limited(constant)}")


def _warn_of_a_rise(end: float, start: float) -> None:
    if end > start:
        logger.warning(
            f"the loss ended at {end:.4g}, above its start of {start:.4g}: try a smaller optimizer.lr, or standardise"
        )


def _separation(X: Array, y: Array, model: Model, result: Fit, features: Sequence[str]) -> dict[str, Any] | None:
    """By which columns the classes can be separated, where there is no penalty that makes a best model all the same."""
    found = None if model.l2 else separation.find(X, y, result.model)
    return {**asdict(found), "columns": [features[j] for j in found.columns]} if found else None


def _warn_of_a_separation(found: Mapping[str, Any]) -> None:
    logger.warning(
        f"{separation.sentence(found)}, so without a penalty no finite best model exists and where this fit "
        "stopped is arbitrary: set model.l2, such as model.l2=0.01"
    )


def _warn_of_what_was_not_sought(columns: int) -> None:
    logger.warning(
        f"with {columns} columns it was not looked for whether several together separate all but rows on the boundary "
        "between the classes; if so, no finite best model exists without a penalty: set model.l2, such as model.l2=0.01"
    )


def _warn_of_a_distance(X: Array, y: Array, model: Model, result: Fit) -> None:
    left = distance(X, y, result.model, model.l2)
    if not left.is_far:
        return
    ways, most = ["optimizer=auto", "more optimizer.epochs"], 1 / left.steepest
    if result.stopped_by == "precision":
        ways = ["model.dtype=float64"] if model.dtype == "float32" else ["smaller numbers in the table, such as logarithms"]
    elif isinstance(result.optimizer, GradientDescent) and result.optimizer.lr < most / 2:
        ways.append(f"an optimizer.lr of up to {most:.1g}")
    ways += [] if model.standardize else ["model.standardize=true"]
    end = STOPPED_BY[result.stopped_by].partition(":")[0]
    logger.warning(
        f"stopped by {end} far from the optimum: the loss of {left.loss:.4g} could still fall by about {left.decrease:.1g}; "
        f"what helps is {', '.join(ways)}"
    )


def _warn_of_blurred_columns(X: Array, model: Model, result: Fit, features: Sequence[str]) -> None:
    found = [features[j] for j in blurred(X, result.model.mean, result.model.scale, model.dtype)]
    if found:
        way = "model.dtype=float64 may" if model.dtype == "float32" else "smaller numbers, such as their logarithms, would"
        logger.warning(
            f"{model.dtype} does not tell all values apart, for some are so much larger than the rest, in "
            f"{join_limited(found)}: {way}"
        )


def _write(folder: Path, card: ModelCard, result: Fit, history: Sequence[Record]) -> str:
    fitted = result.model
    with atomic_dir(folder, "model.json", DOWNSTREAM_OUTPUTS) as made:
        np.savez(made / "model.npz", mean=fitted.mean, scale=fitted.scale, w=fitted.w, b=fitted.b)
        write_csv(made / "history.csv", {name: [getattr(row, name) for row in history] for name in HISTORY})
        return write_manifest(made / "model.json", "train", card.to_dict(), ["model.npz", "history.csv"])


def main(argv: Sequence[str]) -> None:
    parser = console.parser("train", __doc__, "python -m pipeline.stages.train model=torch optimizer=adam optimizer.lr=0.05")
    console.add_configuration(parser)
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
        first = f"run `python -m pipeline.stages.generate {shlex.join(args.overrides)}` first"
        if content["data"] != made:
            raise ArtifactError(f"the configuration's data must be what {data} holds; {first}")
    train(config, data, OUT / MODELS_DIR / (args.candidate or config["model"]["name"]), tracking, made)


if __name__ == "__main__":
    console.run(main, wait_at_end)
