"""Sections of a configuration as frozen dataclasses: names resolve through a registry, each value has its field's type."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pipeline.errors import ConfigError, PipelineError
from pipeline.text import shorten

MAX_VALUE, MAX_SENTENCE = 200, 600  # letters of a value that is shown; of an error, which may have several
Section = Mapping[str, Any]
Registry = Mapping[str, type[Any]]
T = TypeVar("T")


class Kind(Enum):
    """What a key takes whose value is text."""

    TEXT = 1
    OPTIONAL_TEXT = 2  # or null
    TEXTS = 3  # a list
    TEXT_OR_TEXTS = 4
    TEXT_BY_TEXT = 5  # a mapping
    OPTION = 6  # the name of a file of a group in conf/
    TEXT_OR_NUMBER = 7


def kind_of(hint: Any) -> Kind | None:
    """What a field of this type takes, if that is text."""
    parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if any(get_origin(part) is dict for part in parts):
        return Kind.TEXT_BY_TEXT
    if any(get_origin(part) in (list, tuple) and str in get_args(part) for part in parts):
        return Kind.TEXT_OR_TEXTS if str in parts else Kind.TEXTS
    if str not in parts:
        return None
    if float in parts:
        return Kind.TEXT_OR_NUMBER
    return Kind.OPTIONAL_TEXT if NoneType in parts else Kind.TEXT


def text_fields(group: str, schema: type[Any]) -> dict[str, Kind]:
    """The text fields of a dataclass and of those nested in it, by their dotted keys in the configuration."""
    kinds: dict[str, Kind] = {}
    for name, hint in get_type_hints(schema).items():
        key = f"{group}.{name}"
        if is_dataclass(hint):
            kinds |= text_fields(key, hint)  # type: ignore[arg-type]
        elif kind := kind_of(hint):
            kinds[key] = kind
    return kinds


def vocabulary(registries: Mapping[str, Registry], *schemas: Any) -> tuple[str, ...]:
    """What a configuration holds by itself: no secret, even where a variable such as SOME_TOKEN has it."""
    names = [name for group, registry in registries.items() for name in (group, *registry)]
    schemas = (*schemas, *(schema for registry in registries.values() for schema in registry.values()))
    return (*names, *(text for schema in schemas for text in _names_and_defaults(schema)))


def _names_and_defaults(schema: Any) -> Iterator[str]:
    hints = get_type_hints(schema)
    for field in fields(schema):
        yield field.name
        if is_dataclass(hints[field.name]):
            yield from _names_and_defaults(hints[field.name])
        else:
            yield str(field.default)


def build(group: str, registry: Mapping[str, type[T]], section: Section) -> T:
    """The registered dataclass that section["name"] names, with the section's other values."""
    values = dict(section)
    name = values.pop("name", None)
    if not isinstance(name, str) or name not in registry:
        raise ConfigError(f"{group}.name must be one of {', '.join(registry)}; got {shorten(str(name), MAX_VALUE)}")
    return build_typed(group, registry[name], values)


def to_values(part: Any) -> dict[str, Any]:
    """What `build_typed` makes the part of. A mapping of texts is a list of `NAME: VALUE` each: one entry for MLflow."""
    values = asdict(part)
    for key, hint in get_type_hints(type(part)).items():
        if kind_of(hint) is Kind.TEXT_BY_TEXT and values[key] is not None:
            values[key] = [f"{name}: {value}" for name, value in values[key].items()]
    return values


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
    if is_dataclass(hint):
        return _nested(key, hint, value)
    text = kind_of(hint)
    if text is Kind.TEXT_BY_TEXT:
        return _mapping(key, value)
    if text is Kind.TEXT_OR_NUMBER and is_number(value):
        return value
    if text:
        return _text(key, value, text is Kind.TEXTS or (text is Kind.TEXT_OR_TEXTS and isinstance(value, list | tuple)))
    kind, words = kinds[0], [word for part in kinds[1:] if get_origin(part) is Literal for word in get_args(part)]
    if value in words:
        return value
    try:
        if isinstance(value, bool) != (kind is bool):
            raise TypeError
        return _whole_number(value) if kind is int else kind(value)
    except OverflowError:
        limit = "whole number of 64 bits" if kind is int else "number below 1.8e308"
        raise ConfigError(f"{key} must be a {limit}; got {_excerpt(value)}") from None
    except (TypeError, ValueError):
        allowed = f"{', '.join(words)} or of type {kind.__name__}" if words else f"of type {kind.__name__}"
        raise ConfigError(f"{key} must be {allowed}; got {_excerpt(value)}") from None


def _nested(key: str, schema: Any, value: Any) -> Any:
    """The dataclass of a section within a section."""
    if not isinstance(value, Mapping):
        names = ", ".join(field.name for field in fields(schema))
        raise ConfigError(f"{key} must be a mapping of some of {names}; got {_excerpt(value)}")
    return build_typed(key, schema, value)


def _mapping(key: str, value: Any) -> dict[str, str]:
    """A mapping of texts, which may be given as a list of `NAME: VALUE` each."""
    if isinstance(value, list | tuple):
        pairs = [text.rpartition(":") for text in _text(key, value, is_list=True)]
        value = {name.strip(): content.strip() for name, colon, content in pairs if colon}
        if len(value) < len(pairs):
            value = None
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for pair in value.items() for text in pair):
        form = "a mapping of texts, such as {a: b}, each in quotes where YAML would read something else"
        raise ConfigError(f"{key} must be {form}; got {_excerpt(value)}")
    return dict(value)


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


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


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
