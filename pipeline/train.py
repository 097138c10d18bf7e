"""Fit one model to the training table."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import _terminal
from pipeline._atomic import staged
from pipeline._checkpoints import Keeper
from pipeline._config import Tracking, build, compose, read_config
from pipeline._described import EVALUATION, read_schema, write_described
from pipeline._files import HISTORY, OUT, code_hash, digest_of, write_csv
from pipeline._tracking import Tracker, home, stage_tracking, track
from pipeline.numerics import InvalidInput, require, separation
from pipeline.numerics.data.reading import listed
from pipeline.numerics.matrix import Array
from pipeline.numerics.models import MODELS, Fit, Model, Record, fit, picked, varying
from pipeline.numerics.optimizers import OPTIMIZERS, Auto, GradientDescent, Optimizer, State
from pipeline.numerics.precision import TooLarge, blurred
from pipeline.numerics.suboptimality import distance

LATER = (EVALUATION, "metrics.json", "predictions.parquet", "curves.*.csv", "figures")  # what later stages put beside a model
STOPPED_BY = {"epochs": "the epoch limit", "tol": "tol", "precision": "rounding: no step lowers the loss further"}


def describe(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The head of model.json: the fingerprint and what it is made of."""
    parts = {
        "config": digest_of(config),
        "data": digest_of(schema["digest"]),
        "code": code_hash("pipeline.numerics.models"),
    }
    return {
        "fingerprint": digest_of(parts),
        "fingerprint_of": parts,
        "features": schema["features"],
        "target": schema["target"],
        "classes": schema["classes"],
        "data": {"rows": schema["rows"], "digest": schema["digest"]},
        "config": config,
    }


class Recorder:
    """The history of a fit while it lasts: shown, tracked, and kept for a fit that goes on after this one was killed."""

    def __init__(self, tracker: Tracker, keeper: Keeper, epochs: int) -> None:
        self._tracker, self._keeper, self.checkpoint = tracker, keeper, keeper.read()
        self._first = self.checkpoint.epoch if self.checkpoint else 0
        if self.checkpoint:
            _terminal.say(f"going on from epoch {self._first}, which an earlier run had reached")
        self.history: list[Record] = []
        self.progress = _terminal.Progress(epochs, self._first)

    def record(self, row: Record) -> None:
        self.history.append(row)
        if row.epoch >= self._first:
            self.progress.clear()
            _terminal.say(f"Epoch {row.epoch}, Loss: {row.loss:.4f}")
        self._tracker.loss(row.epoch, row.loss, row.gradient_norm)

    def watch(self, epoch: int, state: State) -> None:
        self._keeper.keep(epoch, state, self.history)
        if self.progress.due():
            norm = f", gradient {np.abs(state['gradient']).max():.1e}" if "gradient" in state else ""
            last = self.history[-1]
            loss = f"loss {state['loss']:.6g}" if "loss" in state else f"loss {last.loss:.4g} at {last.epoch}"
            self.progress.show(epoch, f"{loss}{norm}")


def train(
    config: Mapping[str, Any], data: Path, folder: Path, tracking: Tracking, source: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Fit what config["model"] and config["optimizer"] say to the table in `data`; write the model and its history.

    source: the configuration that the table must have been made by. Returns the content of model.json.
    """
    described = read_schema(data)
    schema = described.content
    require(source in (None, schema["source"]), f"{data} must stay what was asked for; another process has replaced it")
    model, optimizer = build("model", MODELS, config["model"]), build("optimizer", OPTIMIZERS, config["optimizer"])
    about = describe({"data": schema["source"], **config}, schema)
    with track(tracking, "train", about) as tracker:
        X, y = described.features("train"), described.array("train/y.npy")
        _warn_of_constants(X, model, schema["features"])
        if isinstance(optimizer, Auto):
            optimizer = picked(optimizer, X)
            _terminal.say(f"auto picks {_name(optimizer)}")
        keeper = Keeper(home() / OUT / "checkpoints", about["fingerprint"])
        recorder = Recorder(tracker, keeper, optimizer.epochs)
        try:
            result = fit(X, y, model, optimizer, recorder.record, recorder.watch, recorder.checkpoint)
        except TooLarge as error:
            raise InvalidInput(error.of(schema["features"])) from None
        recorder.progress.clear()
        about["fit"] = _measured(X, y, model, result, schema["features"])
        _warn_of_a_rise(result.loss, recorder.history[0].loss)
        _warn_of_blurred_columns(X, model, result, schema["features"])
        if about["fit"]["separation"]:
            _warn_of_a_separation(about["fit"])
        elif result.stopped_by != "tol":
            _warn_of_a_distance(X, y, model, result)
        elif not model.l2 and X.shape[1] >= separation.LARGEST:
            _warn_of_what_was_not_sought(X.shape[1])
        try:
            described.require_steady()
        except InvalidInput:
            keeper.drop()  # it is of other numbers, too
            raise
        _write(folder, about, result, recorder.history)
        keeper.drop()
        _terminal.say(_summary(about["fit"], folder))
        tracker.publish(folder)
    return about


def _measured(X: Array, y: Array, model: Model, result: Fit, features: Sequence[str]) -> dict[str, Any]:
    """How a fit has ended, as model.json has it."""
    return {
        "optimizer": _name(result.optimizer),
        "epochs": result.epochs,
        "stopped_by": result.stopped_by,
        "loss": result.loss,
        "gradient_norm": result.gradient_norm,
        "separation": _separation(X, y, model, result, features),
    }


def _name(optimizer: Optimizer) -> str:
    return next(name for name, kind in OPTIMIZERS.items() if isinstance(optimizer, kind))


def _summary(fit: Mapping[str, Any], folder: Path) -> str:
    how = f"{fit['epochs']} epochs, stopped by {STOPPED_BY[fit['stopped_by']]}"
    return f"{fit['optimizer']}: {how}, loss {fit['loss']:.4f} -> {folder}"


def _warn_of_constants(X: Array, model: Model, features: Sequence[str]) -> None:
    constant = [name for name, varies in zip(features, varying(X), strict=True) if not varies]
    if constant and model.standardize:
        _terminal.warn(f"constant in the training table, so without any say in the model: {listed(constant)}")


def _warn_of_a_rise(end: float, start: float) -> None:
    if end > start:
        _terminal.warn(
            f"the loss ended at {end:.4g}, above its start of {start:.4g}: try a smaller optimizer.lr, or standardise"
        )


def _separation(X: Array, y: Array, model: Model, result: Fit, features: Sequence[str]) -> dict[str, Any] | None:
    """By which columns the classes can be separated, where there is no penalty that makes a best model all the same."""
    found = None if model.l2 else separation.find(X, y, result.model)
    return {**asdict(found), "columns": [features[j] for j in found.columns]} if found else None


def _warn_of_a_separation(fit: Mapping[str, Any]) -> None:
    _terminal.warn(
        f"{separation.sentence(fit['separation'])}, so without a penalty no finite best model exists and where this fit "
        "stopped is arbitrary: set model.l2, such as model.l2=0.01"
    )


def _warn_of_what_was_not_sought(columns: int) -> None:
    _terminal.warn(
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
    _terminal.warn(
        f"stopped by {end} far from the optimum: the loss of {left.loss:.4g} could still fall by about {left.decrease:.1g}; "
        f"what helps is {', '.join(ways)}"
    )


def _warn_of_blurred_columns(X: Array, model: Model, result: Fit, features: Sequence[str]) -> None:
    found = [features[j] for j in blurred(X, result.model.mean, result.model.scale, model.dtype)]
    if found:
        way = "model.dtype=float64 may" if model.dtype == "float32" else "smaller numbers, such as their logarithms, would"
        _terminal.warn(
            f"{model.dtype} does not tell all values apart, for some are so much larger than the rest, in {listed(found)}: "
            f"{way}"
        )


def _write(folder: Path, about: dict[str, Any], result: Fit, history: Sequence[Record]) -> None:
    fitted = result.model
    with staged(folder, "model.json", LATER) as made:
        np.savez(made / "model.npz", mean=fitted.mean, scale=fitted.scale, w=fitted.w, b=fitted.b)
        write_csv(made / "history.csv", {name: [getattr(row, name) for row in history] for name in HISTORY})
        about |= write_described(made / "model.json", about, ["model.npz", "history.csv"])


def main(words: Sequence[str]) -> None:
    parser = _terminal.parser("train", __doc__, "python -m pipeline.train model=torch optimizer=adam optimizer.lr=0.05")
    _terminal.add_configuration(parser)
    args = _terminal.parse_configuration(parser, words)
    data = OUT / "data"
    made = None
    if args.config:
        config, tracking = read_config(args.config, "model", "optimizer"), stage_tracking(OUT)
    else:
        composed = compose(args.overrides)
        config = {group: composed.plain[group] for group in ("model", "optimizer")}
        tracking = composed.tracking
        made = read_schema(data).content["source"]
        first = f"run `python -m pipeline.generate {shlex.join(args.overrides)}` first"
        require(composed.plain["data"] == made, f"the configuration's data must be what {data} holds; {first}")
    train(config, data, OUT / config["model"]["name"], tracking, made)


if __name__ == "__main__":
    _terminal.run(main)
