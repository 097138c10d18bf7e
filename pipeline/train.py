"""Fit one model to the training table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import _terminal
from pipeline._config import Tracking, build, compose, read_yaml
from pipeline._files import OUT, code_hash, digest_of, read_array, read_json, staged, write_csv, write_json
from pipeline._tracking import Tracker, track
from pipeline.numerics.models import MODELS, Fit, Record, fit
from pipeline.numerics.optimizers import OPTIMIZERS


def describe(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The head of model.json: the fingerprint and what it is made of."""
    parts = {
        "config": digest_of(config),
        "data": schema["digest"]["training"],
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


def train(config: Mapping[str, Any], data: Path, folder: Path, tracking: Tracking) -> dict[str, Any]:
    """Fit what config["model"] and config["optimizer"] say to the table in `data`; write the model and its history.

    Returns the content of model.json.
    """
    schema = read_json(data / "schema.json")
    model, optimizer = build("model", MODELS, config["model"]), build("optimizer", OPTIMIZERS, config["optimizer"])
    X, y = read_array(data / "train.X.npy", mapped=True), read_array(data / "train.y.npy")
    about = describe({"data": schema["source"], **config}, schema)
    with track(tracking, "train", about) as tracker:
        history: list[Record] = []
        result = fit(X, y, model, optimizer, lambda row: _record(row, history, tracker))
        _warn_of_constants(X, schema["features"])
        about["fit"] = {
            "epochs": result.epochs,
            "stopped_by": result.stopped_by,
            "loss": result.loss,
            "gradient_norm": result.gradient_norm,
        }
        _write(folder, about, result, history)
        _terminal.say(f"{result.epochs} epochs, stopped by {result.stopped_by}, loss {result.loss:.4f} -> {folder}")
        tracker.publish(folder)
    return about


def _record(row: Record, history: list[Record], tracker: Tracker) -> None:
    history.append(row)
    _terminal.say(f"Epoch {row.epoch}, Loss: {row.loss:.4f}")
    tracker.loss(row.epoch, row.loss, row.gradient_norm)


def _warn_of_constants(X: np.ndarray[Any, Any], features: Sequence[str]) -> None:
    constant = [name for name, spread in zip(features, np.ptp(X, axis=0), strict=True) if spread == 0]
    if constant:
        _terminal.warn(f"constant in the training table, so without any say in the model: {', '.join(constant)}")


def _write(folder: Path, about: Mapping[str, Any], result: Fit, history: Sequence[Record]) -> None:
    fitted = result.model
    with staged(folder) as made:
        write_json(made / "model.json", about)
        np.savez(made / "model.npz", mean=fitted.mean, scale=fitted.scale, w=fitted.w, b=fitted.b)
        columns = ("epoch", "loss", "gradient_norm")
        write_csv(made / "history.csv", {name: [getattr(row, name) for row in history] for name in columns})


def main(words: Sequence[str]) -> None:
    parser = _terminal.parser("train", __doc__, "python -m pipeline.train model=torch optimizer=adam optimizer.lr=0.05")
    _terminal.add_configuration(parser)
    args = parser.parse_args(words)
    if args.config:
        config = read_yaml(args.config)
        tracking = Tracking(**read_yaml(args.config.with_name("tracking.yaml")))
    else:
        composed = compose(args.overrides)
        config = {group: composed.plain[group] for group in ("model", "optimizer")}
        tracking = composed.tracking
    train(config, OUT / "data", OUT / config["model"]["name"], tracking)


if __name__ == "__main__":
    _terminal.run(main)
