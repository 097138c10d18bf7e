"""From conf/ and overrides to checked, frozen dataclasses, and to the stages' YAML files."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml

from pipeline.config.hydra import CONF, PRIMARY, composed, options, short
from pipeline.config.overrides import Kind, as_typed
from pipeline.data.dataset import Source
from pipeline.data.sources import SOURCES
from pipeline.errors import ConfigError, PipelineError
from pipeline.flatten import flatten
from pipeline.learning.fit import MODELS, Model
from pipeline.learning.optimizers import OPTIMIZERS, Optimizer
from pipeline.redaction import URI_VARIABLE, refuse_secrets, with_credentials, without_credentials

MOST_LETTERS = 250  # in the name of an MLflow experiment, which names a folder
LONGEST_SENTENCE = 600  # letters of an error's, which may have what was given in it
T = TypeVar("T")


@dataclass(frozen=True)
class Tracking:
    """Where runs are logged. uri: MLflow's tracking URI, an SQLite path being relative to the repository; null: nowhere."""

    uri: str | None = None
    experiment: str = "logistic-regression"

    def __post_init__(self) -> None:
        name = self.experiment.strip(". ")
        if not 0 < len(name) <= MOST_LETTERS:
            raise ConfigError(f"experiment must have 1 to {MOST_LETTERS} letters; got {self.experiment!r}")
        somewhere = self.uri is None or re.fullmatch(r"sqlite:///[^?]+|(?!sqlite:)[\w+-]+://.+", self.uri)
        shown = self.plain["uri"]
        if not somewhere:
            raise ConfigError(f"uri must be like sqlite:///FILE or http://HOST:PORT, or null; got {shown}")
        ways = f"set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or all of it as {URI_VARIABLE} with tracking=server"
        open_to_all = self.uri == shown or self.uri == os.environ.get(URI_VARIABLE)
        if not open_to_all:
            raise ConfigError(f"uri must have no credentials in it: {ways}; got some for {shown}")

    @property
    def plain(self) -> dict[str, str | None]:
        """As it may be written and shown: without credentials."""
        return {"uri": self.uri and without_credentials(self.uri), "experiment": self.experiment}


@dataclass(frozen=True)
class Config:
    """One configuration, checked. `plain` is the same as nested dicts, as it is written, hashed and shown."""

    data: Source
    model: Model
    optimizer: Optimizer
    tracking: Tracking
    plain: dict[str, dict[str, Any]]


GROUPS: dict[str, Mapping[str, type[Any]]] = {"data": SOURCES, "model": MODELS, "optimizer": OPTIMIZERS}
SCHEMAS: tuple[Any, ...] = (Tracking, *(schema for registry in GROUPS.values() for schema in registry.values()))
VOCABULARY = (  # what a configuration holds by itself: no secret, even where a variable such as SOME_TOKEN has it
    *(word for group, registry in GROUPS.items() for word in (group, *registry)),
    *(word for schema in SCHEMAS for field in fields(schema) for word in (field.name, str(field.default))),
)


def compose(overrides: Sequence[str] = (), primary: str = PRIMARY) -> Config:
    """The configuration that conf/ and the overrides make. Raises ConfigError in one sentence."""
    return check(composed(as_typed(overrides, text_keys()), primary))


def check_sweep(choices: Sequence[Sequence[str]], primary: str = PRIMARY) -> Config:
    """A sweep's first configuration. Raises ConfigError unless every value, each with the others' first, makes one.

    choices: what each override of the sweep stands for, in Hydra's syntax.
    """
    first = [words[0] for words in choices]
    config = check(composed(first, primary))
    for i, words in enumerate(choices):
        for word in words[1:]:
            check(composed([*first[:i], word, *first[i + 1 :]], primary))
    return config


@cache
def text_keys() -> Mapping[str, Kind]:
    """The keys whose values are taken as they are typed: text fields of the registered dataclasses, and conf/'s groups."""
    schemas = [*((group, schema) for group, registry in GROUPS.items() for schema in registry.values()), ("tracking", Tracking)]
    kinds = {f"{group}.{key}": _kind(hint) for group, schema in schemas for key, hint in get_type_hints(schema).items()}
    groups = dict.fromkeys((path.name for path in CONF.iterdir() if path.is_dir()), Kind.OPTION)
    return {key: kind for key, kind in kinds.items() if kind} | groups


def _kind(hint: Any) -> Kind | None:
    """What a field of this type takes, if that is text."""
    parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if any(get_origin(part) in (list, tuple) and str in get_args(part) for part in parts):
        return Kind.TEXTS
    if str not in parts:
        return None
    return Kind.OPTIONAL_TEXT if NoneType in parts else Kind.TEXT


def check(composed: Any) -> Config:
    """A composed configuration, as plain dicts, made into checked objects."""
    refuse_secrets(flatten(composed), VOCABULARY)
    known = [*GROUPS, "tracking"]
    if set(composed) != set(known):
        raise ConfigError(f"the keys must be {', '.join(known)}; got {short(', '.join(map(str, composed)))}")
    for group in known:
        if not isinstance(section := composed[group], dict):
            raise ConfigError(f"{group} must be one of {', '.join(options(group))}; got {short(str(section))}")
    parts = {group: build(group, registry, composed[group]) for group, registry in GROUPS.items()}
    tracking = _typed("tracking", Tracking, composed["tracking"])
    plain = {group: {"name": composed[group]["name"], **asdict(part)} for group, part in parts.items()}
    return Config(**parts, tracking=tracking, plain={**plain, "tracking": tracking.plain})


def build(group: str, registry: Mapping[str, type[T]], section: Mapping[str, Any]) -> T:
    """The registered dataclass that section["name"] names, with the section's other values."""
    values = dict(section)
    name = values.pop("name", None)
    if not isinstance(name, str) or name not in registry:
        raise ConfigError(f"{group}.name must be one of {', '.join(registry)}; got {short(str(name))}")
    return _typed(group, registry[name], values)


def _typed(group: str, schema: type[T], values: Mapping[str, Any]) -> T:
    """schema(**values) with every value's type checked against the schema's."""
    hints = get_type_hints(schema)
    typed = {}
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(f"{group}.{key} is not a key; {group} takes {', '.join(hints)}")
        typed[key] = _value(f"{group}.{key}", hints[key], value)
    try:
        return schema(**typed)
    except PipelineError as error:
        raise ConfigError(short(f"{group}.{error}", LONGEST_SENTENCE)) from None


def _value(key: str, hint: Any, value: Any) -> Any:
    """A value as the type of its field has it."""
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not NoneType]
    if hint is Any or (value is None and len(kinds) < len(get_args(hint))):
        return value
    if text := _kind(hint):
        return _text(key, value, listed=text is Kind.TEXTS)
    try:
        return {bool: _truth, int: _whole, float: _real}[kinds[0]](value)
    except OverflowError:
        limit = "whole number of 64 bits" if kinds[0] is int else "number below 1.8e308"
        raise ConfigError(f"{key} must be a {limit}; got {short(repr(value))}") from None
    except (TypeError, ValueError):
        raise ConfigError(f"{key} must be of type {kinds[0].__name__}; got {short(repr(value))}") from None


def _text(key: str, value: Any, listed: bool) -> Any:
    """A text, or a list of texts."""
    texts = value if listed and isinstance(value, list | tuple) else [value]
    if isinstance(value, list | tuple) != listed or not all(isinstance(text, str) for text in texts):
        wanted = "a list of texts, such as [a, b], each" if listed else "text,"
        raise ConfigError(f"{key} must be {wanted} in quotes where YAML would read something else; got {short(repr(value))}")
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{key} must be text in UTF-8; got {short(repr(value))}") from None
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _whole(value: Any) -> int:
    """Of 64 bits; 1e3 is one."""
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise TypeError
    number = int(value)
    if abs(number) >= 2**63:
        raise OverflowError
    return number


def _real(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def to_yaml(content: Mapping[str, Any]) -> str:
    """Nested dicts as YAML, in their own order. Text that DVC's YAML takes for a number, as 1e5, is in quotes."""
    return yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    def represent_str(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="'" if text[:1] in tuple("0123456789+-.") else None)


_Dumper.add_representer(str, _Dumper.represent_str)


def read_yaml(path: Path) -> dict[str, Any]:
    """Raises ConfigError where there is no such file, or no mapping in it."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no {path}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} must be YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold a mapping; it does not")
    return dict(content)


def read_config(path: Path, *groups: str) -> dict[str, dict[str, Any]]:
    """A file that `compose` wrote: these groups and nothing else, their values not checked yet."""
    content = read_yaml(path)
    fits = set(content) == set(groups) and all(isinstance(section, dict) for section in content.values())
    if not fits:
        raise ConfigError(f"{path} must hold {' and '.join(groups)}; it has {', '.join(map(str, content)) or 'nothing'}")
    refuse_secrets(flatten(content), VOCABULARY)
    return content


def read_tracking(path: Path) -> Tracking:
    """tracking.yaml as `compose` wrote it."""
    return tracking_of(read_yaml(path))


def tracking_of(written: Mapping[str, Any]) -> Tracking:
    """A tracking section as it was written, with the credentials that the environment has."""
    return _typed("tracking", Tracking, {**written, "uri": with_credentials(written.get("uri"))})
