"""The configuration that conf/ and overrides make, checked: the one place that knows all registries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pipeline.config.hydra import CONF, PRIMARY, composed, options
from pipeline.config.overrides import as_typed
from pipeline.config.schema import MAX_VALUE, Kind, Registry, build, build_typed, text_fields, to_values, vocabulary
from pipeline.config.tracking import Tracking
from pipeline.data.dataset import Source
from pipeline.data.sources import SOURCES
from pipeline.errors import ConfigError
from pipeline.evaluation.options import NONE, EvaluationOptions
from pipeline.flatten import flatten
from pipeline.learning.model import Model
from pipeline.learning.models import MODELS
from pipeline.learning.optimizer import Optimizer
from pipeline.learning.optimizers import OPTIMIZERS
from pipeline.redaction import refuse_secrets
from pipeline.registry import name_of
from pipeline.text import shorten

REGISTRIES: dict[str, Registry] = {"data": SOURCES, "model": MODELS, "optimizer": OPTIMIZERS}
SECTIONS: dict[str, type[Any]] = {"evaluation": EvaluationOptions, "tracking": Tracking}
OF_COLUMNS = ("columns", "drop", "keep", "kinds")  # settings of the data that leave a table's rows as they are
VOCABULARY = vocabulary(REGISTRIES, *SECTIONS.values())


@dataclass(frozen=True)
class Config:
    """One configuration, checked."""

    data: Source
    model: Model
    optimizer: Optimizer
    evaluation: EvaluationOptions
    tracking: Tracking

    def __post_init__(self) -> None:
        self.evaluation.require_validation()

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """As it is written, hashed and shown."""
        parts = {group: getattr(self, group) for group in REGISTRIES}
        groups = {group: {"name": name_of(part), **to_values(part)} for group, part in parts.items()}
        return {**groups, "evaluation": to_values(self.evaluation), "tracking": self.tracking.to_dict()}

    @property
    def model_name(self) -> str:
        return name_of(self.model)


def compose(overrides: Sequence[str] = (), primary: str = PRIMARY) -> Config:
    """The configuration that conf/ and the overrides make. Raises ConfigError in one sentence."""
    return check(composed(as_typed(overrides, text_keys()), primary))


def check(content: Any) -> Config:
    """A composed configuration, as nested dicts, made into checked objects."""
    refuse_secrets(flatten(content), VOCABULARY)
    known = [*REGISTRIES, *SECTIONS]
    if set(content) != set(known):
        given = shorten(", ".join(map(str, content)), MAX_VALUE)
        raise ConfigError(f"the keys must be {', '.join(known)}; got {given}")
    for group in known:
        if not isinstance(section := content[group], dict):
            given = shorten(str(section), MAX_VALUE)
            names = options(group)
            allowed = f"one of {', '.join(names)}" if names else "a mapping"
            raise ConfigError(f"{group} must be {allowed}; got {given}")
    parts = {group: build(group, registry, content[group]) for group, registry in REGISTRIES.items()}
    return Config(**parts, **{name: build_typed(name, schema, content[name]) for name, schema in SECTIONS.items()})


def check_sweep(choices: Sequence[Sequence[str]], primary: str = PRIMARY) -> Config:
    """A sweep's first configuration. Raises ConfigError unless every value, each with the others' first, makes one.

    choices: what each override of the sweep stands for, in Hydra's syntax.
    """
    for key in (overrides[0].partition("=")[0].lstrip("+") for overrides in choices if len(overrides) > 1):
        if key.startswith("evaluation."):
            raise ConfigError(f"a sweep must be over what is trained, since jobs with equal models would be one run; got {key}")
    first = [overrides[0] for overrides in choices]
    config = check(composed(first, primary))
    compared = _validated_rows(config)
    for i, overrides in enumerate(choices):
        for override in overrides[1:]:
            rows = _validated_rows(check(composed([*first[:i], override, *first[i + 1 :]], primary)))
            compared = compared or rows
            if rows and rows != compared:
                rule = "a sweep that chooses by validation must be over models of the same rows"
                raise ConfigError(f"{rule}; got {shorten(override, MAX_VALUE)}: sweep it with evaluation.validation=none")
    return config


def _validated_rows(config: Config) -> dict[str, Any] | None:
    """The settings of the data that decide which rows there are, and in which part; None where nothing is validated."""
    if config.evaluation.validation == NONE:
        return None
    return {name: value for name, value in config.to_dict()["data"].items() if name not in OF_COLUMNS}


@cache
def text_keys() -> Mapping[str, Kind]:
    """The keys whose values are taken as they are typed: text fields of the registered dataclasses, and conf/'s groups."""
    kinds: dict[str, Kind] = {}
    for name, section in SECTIONS.items():
        kinds |= text_fields(name, section)
    for group, registry in REGISTRIES.items():
        for schema in registry.values():
            kinds |= text_fields(group, schema)
    return kinds | dict.fromkeys((path.name for path in CONF.iterdir() if path.is_dir()), Kind.OPTION)
