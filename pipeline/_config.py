"""Hydra and OmegaConf: from conf/ and overrides to checked, frozen dataclasses, and to the stages' YAML files."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from pipeline._files import ROOT
from pipeline._secrets import URI_VARIABLE, refuse_secrets, with_credentials, without_credentials
from pipeline.numerics import InvalidInput, require
from pipeline.numerics.data import SOURCES, Source
from pipeline.numerics.models import MODELS, Model
from pipeline.numerics.optimizers import OPTIMIZERS, Optimizer

CONF = ROOT / "conf"
MOST_LETTERS = 250  # in the name of an MLflow experiment, which names a folder
T = TypeVar("T")


@dataclass(frozen=True)
class Tracking:
    """Where runs are logged. uri: MLflow's tracking URI, an SQLite path being relative to the repository; null: nowhere."""

    uri: str | None = None
    experiment: str = "logistic-regression"

    def __post_init__(self) -> None:
        name = self.experiment.strip(". ")
        require(0 < len(name) <= MOST_LETTERS, f"experiment must have 1 to {MOST_LETTERS} letters; got {self.experiment!r}")
        somewhere = self.uri is None or re.fullmatch(r"sqlite:///[^?]+|(?!sqlite:)[\w+-]+://.+", self.uri)
        shown = self.plain["uri"]
        require(bool(somewhere), f"uri must be like sqlite:///FILE or http://HOST:PORT, or null; got {shown}")
        ways = f"set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or all of it as {URI_VARIABLE} with tracking=server"
        open_to_all = self.uri == shown or self.uri == os.environ.get(URI_VARIABLE)
        require(open_to_all, f"uri must have no credentials in it: {ways}; got some for {shown}")

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


def compose(overrides: Sequence[str] = ()) -> Config:
    """The configuration that conf/ and the overrides, in Hydra's syntax, make. Raises InvalidInput in one sentence."""
    return check(_composed(overrides))


def _composed(overrides: Sequence[str]) -> Any:
    """The same as plain dicts, their values not checked yet."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return OmegaConf.to_container(hydra_compose("config", list(overrides)), resolve=True)
    except (HydraException, OmegaConfBaseException, ValueError, yaml.YAMLError) as error:
        raise InvalidInput(_sentence(error, overrides)) from None


def check_sweep(overrides: Sequence[str]) -> Config:
    """A sweep's first configuration. Raises InvalidInput unless every value, each with the others' first, makes one."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        choices = [_choices(override) for override in parsed if not override.is_hydra_override()]
    except HydraException as error:
        raise InvalidInput(_sentence(error, overrides)) from None
    first = [words[0] for words in choices]
    config = compose(first)
    for i, words in enumerate(choices):
        for word in words[1:]:
            compose([*first[:i], word, *first[i + 1 :]])
    return config


def _choices(override: Any) -> list[str]:
    """The single overrides that a sweep's override stands for."""
    if not override.is_sweep_override():
        return [override.input_line]
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def check(composed: Any) -> Config:
    """A composed configuration, as plain dicts, made into checked objects."""
    refuse_secrets(leaves(composed), VOCABULARY)
    known = [*GROUPS, "tracking"]
    require(set(composed) == set(known), f"the keys must be {', '.join(known)}; got {', '.join(map(str, composed))}")
    for group in known:
        require(isinstance(composed[group], dict), f"{group} must be one of {', '.join(options(group))}; got {composed[group]}")
    parts = {group: build(group, registry, composed[group]) for group, registry in GROUPS.items()}
    tracking = _typed("tracking", Tracking, composed["tracking"])
    plain = {group: {"name": composed[group]["name"], **asdict(part)} for group, part in parts.items()}
    return Config(**parts, tracking=tracking, plain={**plain, "tracking": tracking.plain})


def build(group: str, registry: Mapping[str, type[T]], section: Mapping[str, Any]) -> T:
    """The registered dataclass that section["name"] names, with the section's other values."""
    values = dict(section)
    name = values.pop("name", None)
    require(name in registry, f"{group}.name must be one of {', '.join(registry)}; got {name}")
    return _typed(group, registry[str(name)], values)


def _typed(group: str, schema: type[T], values: Mapping[str, Any]) -> T:
    """schema(**values) with every value's type checked against the schema's."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    allowed = {field.name: field for field in fields(schema)}  # type: ignore[arg-type]
    typed: Any = OmegaConf.structured(schema)
    for key, value in values.items():
        require(key in allowed, f"{group}.{key} is not a key; {group} takes {', '.join(allowed)}")
        kind = allowed[key].type
        wrong = f"{group}.{key} must be of type {getattr(kind, '__name__', kind)}; got {value!r}"
        try:
            typed = OmegaConf.merge(typed, {key: value})
        except OmegaConfBaseException:
            raise InvalidInput(wrong) from None
        require(isinstance(value, bool) == isinstance(typed[key], bool), wrong)
    try:
        return schema(**OmegaConf.to_container(typed))  # type: ignore[arg-type]
    except InvalidInput as error:
        raise InvalidInput(f"{group}.{error}") from None


def _sentence(error: Exception, overrides: Sequence[str]) -> str:
    """Hydra's report of a wrong override, in one sentence that says what is allowed."""
    from hydra.errors import OverrideParseException

    text = str(error)
    if isinstance(error, OverrideParseException):
        several = ", with commas between them in overrides.yaml" if " " in error.override else ""
        return f"overrides must be KEY=VALUE each, in Hydra's syntax{several}; got {error.override}"
    if found := re.search(r"Could not find '([^']+)/([^'/]+)'", text):
        group, name = found.groups()
        known = ", ".join(options(group))
        return f"{group}={name}: there is no such {group}" + (f"; choose {known}" if known else "")
    if found := re.search(r"Could not override '([^'@]+)(?:@[^']*)?'", text):
        return _unknown_key(found[1], overrides)
    if found := re.search(r"Environment variable '([^']+)' not found", text):
        return f"the environment variable {found[1]} must be set"
    hint = "; only `python -m pipeline -m` sweeps over several values" if "Ambiguous value" in text else ""
    return text.splitlines()[0] + hint


def _unknown_key(key: str, overrides: Sequence[str]) -> str:
    group, _, rest = key.partition(".")
    chosen = [o for o in overrides if "." not in o.partition("=")[0]]
    if rest and isinstance(section := _composed(chosen).get(group), dict):
        return f"{key} is not a key; {group} takes {', '.join(k for k in section if k != 'name')}"
    return f"{key} is not a key; the keys are {', '.join([*GROUPS, 'tracking', 'experiment'])}"


def options(group: str) -> list[str]:
    """The names that a group of conf/ offers."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def leaves(plain: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every (dotted key, value) of nested dicts; a list is one value."""
    for key, value in plain.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def to_yaml(content: Mapping[str, Any]) -> str:
    """Nested dicts as YAML, in their own order."""
    return yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)


def read_yaml(path: Path) -> dict[str, Any]:
    """Raises InvalidInput where there is no such file, or no mapping in it."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidInput(f"there is no {path}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} must be YAML: {' '.join(str(error).split())}") from None
    require(isinstance(content, dict), f"{path} must hold a mapping; it does not")
    return dict(content)


def read_config(path: Path, *groups: str) -> dict[str, dict[str, Any]]:
    """A file that `compose` wrote: these groups and nothing else, their values not checked yet."""
    content = read_yaml(path)
    fits = set(content) == set(groups) and all(isinstance(section, dict) for section in content.values())
    require(fits, f"{path} must hold {' and '.join(groups)}; it has {', '.join(map(str, content)) or 'nothing'}")
    refuse_secrets(leaves(content), VOCABULARY)
    return content


def read_tracking(path: Path) -> Tracking:
    """tracking.yaml as `compose` wrote it."""
    return tracking_of(read_yaml(path))


def tracking_of(written: Mapping[str, Any]) -> Tracking:
    """A tracking section as it was written, with the credentials that the environment has."""
    return _typed("tracking", Tracking, {**written, "uri": with_credentials(written.get("uri"))})
