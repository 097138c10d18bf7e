"""How runs and their data are called where people read of them: in MLflow and in the report."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pipeline.config.hydra import CONF
from pipeline.config.schema import GROUPS, read_yaml
from pipeline.learning.separation import sentence
from pipeline.model.card import ModelCard
from pipeline.redaction import scrub

NOTE = "mlflow.note.content"  # the tag that MLflow shows as a description
FIRST = ("lr", "l2")  # of the keys in a run's name
NAMED = ("name", "path", "target")  # which it has anyway
LONGEST_NAME, LONGEST_VALUE, LONGEST_OVERRIDES = 40, 24, 60  # letters in a run's name
FINGERPRINT = 6
MOST_COLUMNS = 10  # in a description
Section = Mapping[str, Any]


def data_name(data: Mapping[str, Any]) -> str:
    """The name of a configuration's data: that of its file or, where it has none, of its source."""
    path = data.get("path")
    return Path(scrub(path)).name if path else str(data["name"])


def run_name(card: ModelCard) -> str:
    """What is not as by default, model, optimizer, data, target, and the fingerprint's beginning.

    MLflow's table of runs shows 15 to 25 letters of it, and the data in a column of their own.
    """
    config = card.config
    names = [config["model"]["name"], config["optimizer"]["name"], data_name(config["data"])]
    if "target" in config["data"]:
        names.append(card.target)
    shown = [_short(name, LONGEST_NAME) for name in names]
    return scrub(" ".join([*_fitting(config), *shown, card.fingerprint[:FINGERPRINT]]))


def _fitting(config: Mapping[str, Section]) -> Iterator[str]:
    """KEY=VALUE of what is not as by default, as far as there is room: lr and l2 first."""
    letters = 0
    for key, value in sorted(_overrides(config), key=lambda override: override[0] not in FIRST):
        word = f"{key}={_short(text(value), LONGEST_VALUE)}"
        letters += len(word) + 1
        if letters > LONGEST_OVERRIDES:
            yield "..."
            return
        yield word


def _overrides(config: Mapping[str, Section]) -> Iterator[tuple[str, Any]]:
    """With its group where two have the key."""
    keys = [key for group in GROUPS for key in config[group]]
    preset = CONF / "data_model" / f"{config['data']['name']}_{config['model']['name']}.yaml"
    usual_here = read_yaml(preset) if preset.is_file() else {}
    for group in ("optimizer", "model", "data"):
        kind = GROUPS[group].get(config[group]["name"])
        usual = {field.name: field.default for field in fields(kind)} if kind else {}
        usual |= usual_here.get(group, {})
        for key, value in config[group].items():
            if key not in NAMED and (key not in usual or usual[key] != value):
                yield f"{group}.{key}" if keys.count(key) > 1 else key, value


def _short(name: str, longest: int) -> str:
    name = " ".join(name.split())
    return name if len(name) <= longest else f"{name[: longest - 3]}..."


def note(card: ModelCard) -> str:
    """The run's description, in Markdown."""
    fit, data, config = card.ended, card.data, card.config
    found = fit.separation
    warning = f"\n\n**No finite best model exists** without a penalty: {sentence(found)}." if found else ""
    return (
        f"Logistic regression of **{card.target}** on {len(card.features)} features, "
        f"{data.rows['training']} training rows of `{data_name(config['data'])}`. "
        f"`{fit.optimizer}` in `{config['model']['name']}` stopped by {fit.stopped_by} "
        f"after {fit.epochs} epochs at loss {fit.loss:.4f}.{warning}\n\n{_usage(card)}\n\n"
        f"Fingerprint `{card.fingerprint}`"
    )


def _usage(card: ModelCard) -> str:
    """What the model takes and gives: MLflow is told no schema of its input."""
    listed = ", ".join(map(_quoted, card.features[:MOST_COLUMNS]))
    more = len(card.features) - MOST_COLUMNS
    columns = f"{listed} and {more} more" if more > 0 else listed
    negative, positive = (_quoted(str(label)) for label in card.classes)
    return (
        f"It takes the columns {columns} and gives the prediction, {negative} or {positive}, and the probability of {positive}."
    )


def _quoted(name: str) -> str:
    return "`" + _short(name, LONGEST_NAME).replace("`", "'") + "`"


def text(value: Any) -> str:
    """A configuration's value as MLflow takes it."""
    return value if isinstance(value, str) else json.dumps(value)
