"""Sections of a configuration as frozen dataclasses: names resolve through a registry, each value has its field's type."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from enum import Enum
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pipeline.errors import ConfigError, PipelineError
from pipeline.text import shorten

MAX_VALUE, MAX_SENTENCE = 200, 600  # letters of a value that is shown; of an error, which may have several
Section = Mapping[str, Any]
Registry = Mapping[str, type[Any]]
T = TypeVar("T")


class Kind(Enum):
    """What a key takes whose value is text: text, text or null, a list of texts, or the name of a file of a group in conf/."""

    TEXT = 1
    OPTIONAL_TEXT = 2
    TEXTS = 3
    OPTION = 4


def kind_of(hint: Any) -> Kind | None:
    """What a field of this type takes, if that is text."""
    parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if any(get_origin(part) in (list, tuple) and str in get_args(part) for part in parts):
        return Kind.TEXTS
    if str not in parts:
        return None
    return Kind.OPTIONAL_TEXT if NoneType in parts else Kind.TEXT


def text_fields(group: str, schema: type[Any]) -> dict[str, Kind]:
    """The text fields of a dataclass, by their dotted keys in the configuration."""
    kinds = {f"{group}.{key}": kind_of(hint) for key, hint in get_type_hints(schema).items()}
    return {key: kind for key, kind in kinds.items() if kind}


def vocabulary(registries: Mapping[str, Registry], *schemas: Any) -> tuple[str, ...]:
    """What a configuration holds by itself: no secret, even where a variable such as SOME_TOKEN has it."""
    names = [name for group, registry in registries.items() for name in (group, *registry)]
    schemas = (*schemas, *(schema for registry in registries.values() for schema in registry.values()))
    return (*names, *(text for schema in schemas for field in fields(schema) for text in (field.name, str(field.default))))


def build(group: str, registry: Mapping[str, type[T]], section: Section) -> T:
    """The registered dataclass that section["name"] names, with the section's other values."""
    values = dict(section)
    name = values.pop("name", None)
    if not isinstance(name, str) or name not in registry:
        raise ConfigError(f"{group}.name must be one of {', '.join(registry)}; got {shorten(str(name), MAX_VALUE)}")
    return build_typed(group, registry[name], values)


def build_typed(group: str, schema: type[T], values: Section) -> T:
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
        raise ConfigError(shorten(f"{group}.{error}", MAX_SENTENCE)) from None


def _value(key: str, hint: Any, value: Any) -> Any:
    """A value as the type of its field has it."""
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not NoneType]
    if hint is Any or (value is None and len(kinds) < len(get_args(hint))):
        return value
    if text := kind_of(hint):
        return _text(key, value, is_list=text is Kind.TEXTS)
    kind = kinds[0]
    try:
        if isinstance(value, bool) != (kind is bool):
            raise TypeError
        return _whole_number(value) if kind is int else kind(value)
    except OverflowError:
        limit = "whole number of 64 bits" if kind is int else "number below 1.8e308"
        raise ConfigError(f"{key} must be a {limit}; got {_excerpt(value)}") from None
    except (TypeError, ValueError):
        raise ConfigError(f"{key} must be of type {kind.__name__}; got {_excerpt(value)}") from None


def _text(key: str, value: Any, is_list: bool) -> Any:
    """A text, or a list of texts."""
    texts: Sequence[Any] = value if is_list and isinstance(value, list | tuple) else [value]
    if isinstance(value, list | tuple) != is_list or not all(isinstance(text, str) for text in texts):
        wanted = "a list of texts, such as [a, b], each" if is_list else "text,"
        raise ConfigError(f"{key} must be {wanted} in quotes where YAML would read something else; got {_excerpt(value)}")
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{key} must be text in UTF-8; got {_excerpt(value)}") from None
    return value


def _excerpt(value: Any) -> str:
    return shorten(repr(value), MAX_VALUE)


def _whole_number(value: Any) -> int:
    """Of 64 bits; 1e3 is one."""
    if isinstance(value, float) and not value.is_integer():
        raise TypeError
    number = int(value)
    if abs(number) >= 2**63:
        raise OverflowError
    return number
