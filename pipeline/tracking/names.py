"""The names of runs and of their data, and a run's description, as MLflow and the report show them."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.config.files import read_yaml
from pipeline.config.hydra import CONF, composed, options
from pipeline.flatten import flatten
from pipeline.model.card import ENDS, ModelCard, separation_sentence
from pipeline.redaction import scrub
from pipeline.text import count, join_limited, shorten

NOTE = "mlflow.note.content"  # the tag that MLflow shows as a description
CHOSEN = "sweep.chosen"  # the tag that says whether a sweep's job that was validated is the one that is fitted to all rows
DATA_TAG, SWEEP_TAG = "data", "sweep"  # tags with the names of a run's data set and of its sweep, by which views group
SWEEP_NAME_TAG, SWEPT_TAG = "sweep.name", "sweep.keys"  # of a sweep's run: its name, and the keys that have several values
VALIDATION_TAG = "validation"  # of a run: by what it was validated
SECONDS = "train/seconds"  # the metric with the time that a fit took
WEIGHTS_TAG = "model.sha256"  # of a run: which weights its model has
GROUPS = ("optimizer", "model", "data")
FIRST_KEYS = ("model", "optimizer", "lr", "l2")  # among the overrides in a run's name
IN_DATA = re.compile(r"data\.(name|path|target|positive|csv\..*)")  # what says which data set it is, and how to read it
SUFFIXES = (".gz", ".zst", ".csv", ".tsv", ".txt", ".parquet", ".svm", ".svmlight", ".libsvm")  # not in a data set's name
SEPARATOR = " | "
MAX_NAME, MAX_VALUE, MAX_OVERRIDES, MAX_PART, MAX_SWEEP = 40, 24, 60, 160, 60  # letters in a name
MAX_IN_RUN = 16  # letters of a file or a target in a run's name: MLflow's first column shows some 40 of all
FINGERPRINT_LETTERS = 6
MAX_COLUMNS = 10  # in a description
Section = Mapping[str, Any]


def data_name(data: Section) -> str:
    """The name of a configuration's data: that of its file or, where it has none, of its source."""
    path = data.get("path")
    return Path(scrub(path)).name if path else str(data["name"])


def dataset_name(card: ModelCard, limit: int = MAX_NAME) -> str:
    """What a model was trained on, as MLflow names it: the file without its suffixes, and the target where a user gave one.

    limit: letters of each.
    """
    name = data_name(card.config["data"])
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix) or name
    target = [card.target] if "target" in card.config["data"] else []
    return scrub(" ".join(_printable(part, limit) for part in [name, *target]))


def run_name(card: ModelCard, candidate: str = "", swept: Collection[str] = ()) -> str:
    """`DATA | DIFFERENCES | FINGERPRINT`: the data set, what differs from the defaults, and the fingerprint's beginning.

    candidate: the model's name in the DAG. swept: the keys in which the jobs of a sweep differ, whatever the defaults are.
    """
    named = [candidate] if candidate and candidate != card.model else []
    differing = [*named, *_shortened(_overrides(card.config, swept))] or [card.model]
    parts = [dataset_name(card, MAX_IN_RUN), " ".join(differing), card.fingerprint[:FINGERPRINT_LETTERS]]
    return scrub(SEPARATOR.join(_printable(part) for part in parts))


def _printable(text: str, limit: int = MAX_PART) -> str:
    """On one line, without the letters that change what stands around them, such as marks of direction."""
    return shorten(" ".join("".join(letter if letter.isprintable() else " " for letter in text).split()), limit)


def _shortened(overrides: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """KEY=VALUE, or a group's NAME, up to MAX_OVERRIDES letters: FIRST_KEYS first."""
    letters = 0
    ranks = {key: rank for rank, key in enumerate(FIRST_KEYS)}
    for key, value in sorted(overrides, key=lambda override: ranks.get(override[0], len(ranks))):
        shown = f"{value:g}" if isinstance(value, float) else shorten(text(value), MAX_VALUE)
        override = shown if key in GROUPS else f"{key}={shown}"
        letters += len(override) + 1
        if letters > MAX_OVERRIDES:
            yield "..."
            return
        yield override


def _overrides(config: Mapping[str, Section], swept: Collection[str]) -> Iterator[tuple[str, Any]]:
    """(Key, value) of what differs from the defaults, or is swept; the key with its group where two groups have it."""
    keys = [key for group in GROUPS for key in config[group]]
    source = config["data"]["name"]
    preset = _conf_file("data_model", f"{source}_{config['model']['name']}")
    for group in GROUPS:
        defaults = {**_conf_file(group, config[group]["name"]), **preset.get(group, {}), "name": _default_names(source)[group]}
        known = dict(flatten(defaults))
        for key, value in flatten(config[group]):
            full = group if key == "name" else f"{group}.{key}"
            is_named = IN_DATA.fullmatch(f"{group}.{key}")
            if not is_named and (full in swept or key not in known or known[key] != value):
                yield full if key == "name" or keys.count(key) > 1 else key, value


def sweep_name(name: str, swept: Mapping[str, str], key: str) -> str:
    """What is swept, or else what the user has typed, and the beginning of the sweep's key, so that no two have one name."""
    typed = " ".join(f"{full.rpartition('.')[2]}={values}" for full, values in swept.items()) or name
    return f"{_printable(typed, MAX_SWEEP)} {key[:FINGERPRINT_LETTERS]}"


@cache
def _default_names(source: str) -> dict[str, str]:
    """What conf/ takes of each group for a source of data; for any where this version has no such source."""
    config = composed([f"data={source}"] if source in options("data") else [])
    return {group: config[group]["name"] for group in GROUPS}


def _conf_file(group: str, name: str) -> dict[str, Any]:
    """The content of a file in conf/; nothing where this version has no such file."""
    path = CONF / group / f"{name}.yaml"
    return read_yaml(path) if path.is_file() else {}


def note(card: ModelCard) -> str:
    """The run's description, in Markdown."""
    fit, data, config = card.ended, card.data, card.config
    separated = (
        f"\n\n**No finite best model exists** without a penalty: {_printable(separation_sentence(fit.separation))}."
        if fit.separation
        else ""
    )
    return (
        f"A model of {_code(card.target)} on {count(len(card.features), 'feature')}{_origin(card)}, "
        f"{count(data.rows['training'], 'training row')} of {_code(data_name(config['data']))}. "
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
    return "`" + _printable(name, MAX_NAME).replace("`", "'") + "`"


def text(value: Any) -> str:
    """A configuration's value as MLflow takes it."""
    return value if isinstance(value, str) else json.dumps(value)
