"""The names of runs and of their data, and a run's description, as MLflow and the report show them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.config.files import read_yaml
from pipeline.config.hydra import CONF
from pipeline.flatten import flatten
from pipeline.model.card import ENDS, ModelCard, separation_sentence
from pipeline.redaction import scrub
from pipeline.text import count, join_limited, shorten

NOTE = "mlflow.note.content"  # the tag that MLflow shows as a description
CHOSEN = "sweep.chosen"  # the tag that says whether a sweep's job that was validated is the one that is fitted to all rows
WEIGHTS_TAG = "model.sha256"  # of a run: which weights its model has
GROUPS = ("optimizer", "model", "data")
FIRST_KEYS = ("lr", "l2")  # among the overrides in a run's name
NAMED = ("name", "path", "target")  # keys whose values are in a run's name anyway
MAX_NAME, MAX_VALUE, MAX_OVERRIDES = 40, 24, 60  # letters in a run's name
FINGERPRINT_LETTERS = 6
MAX_COLUMNS = 10  # in a description
Section = Mapping[str, Any]


def data_name(data: Section) -> str:
    """The name of a configuration's data: that of its file or, where it has none, of its source."""
    path = data.get("path")
    return Path(scrub(path)).name if path else str(data["name"])


def run_name(card: ModelCard) -> str:
    """What differs from the defaults, model, optimizer, data, target, and the fingerprint's beginning.

    MLflow's table of runs shows 15 to 25 letters of it, and the data in a column of their own.
    """
    config = card.config
    names = [config["model"]["name"], config["optimizer"]["name"], data_name(config["data"])]
    if "target" in config["data"]:
        names.append(card.target)
    names = [shorten(name, MAX_NAME) for name in names]
    return scrub(" ".join([*_first_overrides(config), *names, card.fingerprint[:FINGERPRINT_LETTERS]]))


def _first_overrides(config: Mapping[str, Section]) -> Iterator[str]:
    """KEY=VALUE of what differs from the defaults, up to MAX_OVERRIDES letters: lr and l2 first."""
    letters = 0
    for key, value in sorted(_overrides(config), key=lambda override: override[0] not in FIRST_KEYS):
        override = f"{key}={shorten(text(value), MAX_VALUE)}"
        letters += len(override) + 1
        if letters > MAX_OVERRIDES:
            yield "..."
            return
        yield override


def _overrides(config: Mapping[str, Section]) -> Iterator[tuple[str, Any]]:
    """(Key, value) of what differs from the defaults; the key with its group where two groups have it."""
    keys = [key for group in GROUPS for key in config[group]]
    preset = _conf_file("data_model", f"{config['data']['name']}_{config['model']['name']}")
    for group in GROUPS:
        defaults = _conf_file(group, config[group]["name"]) | preset.get(group, {})
        known = dict(flatten(defaults))
        for key, value in flatten(config[group]):
            if key not in NAMED and (key not in known or known[key] != value):
                yield f"{group}.{key}" if keys.count(key) > 1 else key, value


def _conf_file(group: str, name: str) -> dict[str, Any]:
    """The content of a file in conf/; nothing where this version has no such file."""
    path = CONF / group / f"{name}.yaml"
    return read_yaml(path) if path.is_file() else {}


def note(card: ModelCard) -> str:
    """The run's description, in Markdown."""
    fit, data, config = card.ended, card.data, card.config
    separated = (
        f"\n\n**No finite best model exists** without a penalty: {separation_sentence(fit.separation)}."
        if fit.separation
        else ""
    )
    return (
        f"A model of **{card.target}** on {count(len(card.features), 'feature')}{_origin(card)}, "
        f"{count(data.rows['training'], 'training row')} of `{data_name(config['data'])}`. "
        f"`{fit.optimizer}` in `{config['model']['name']}` ran for {count(fit.epochs, 'epoch')}, to a loss of {fit.loss:.4f}, "
        f"and was stopped by {ENDS[fit.stopped_by]}.{separated}\n\n{_usage(card)}\n\n"
        f"Fingerprint `{card.fingerprint}`"
    )


def _origin(card: ModelCard) -> str:
    return f" of {count(len(card.columns), 'column')}" if card.columns else ""


def _usage(card: ModelCard) -> str:
    """A model's input and output, since not every MLflow model has a schema of the input."""
    names = [column.name for column in card.columns] or card.features
    columns = join_limited([_code(name) for name in names], MAX_COLUMNS)
    negative, positive = (_code(str(label)) for label in card.classes)
    return (
        f"It takes the columns {columns} and gives the prediction, {negative} or {positive}, and the probability of {positive}."
    )


def _code(name: str) -> str:
    """As Markdown's code."""
    return "`" + shorten(name, MAX_NAME).replace("`", "'") + "`"


def text(value: Any) -> str:
    """A configuration's value as MLflow takes it."""
    return value if isinstance(value, str) else json.dumps(value)
