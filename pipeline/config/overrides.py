"""What a user types, KEY=VALUE, as Hydra is to read it: a text field takes its value as it was typed.

Hydra's grammar makes numbers, booleans and null of words that look like them (1_1 is 11), and refuses signs such as ( and >. So
the value of a text field is quoted where Hydra would read something else. Three things keep Hydra's meaning: a value in quotes
is its content, a backslash escapes what Hydra lets it escape, and ${...} is an interpolation. In a sweep, commas outside of
quotes and brackets separate values, and functions such as choice(...) are Hydra's.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.config.schema import Kind
from pipeline.errors import ConfigError

OPENING, CLOSING, QUOTES = "([{", ")]}", "'\""
BEFORE_QUOTES = ("", *OPENING, ",", ":", "=")  # elsewhere a quote is a letter, as in don't
_BRACKETS = {Kind.TEXTS: ("[]",), Kind.TEXT_OR_TEXTS: ("[]",), Kind.TEXT_BY_TEXT: ("{}", "[]")}  # around several texts
FOLDERS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")  # text that Hydra itself takes, and never sweeps over


def as_typed(overrides: Sequence[str], kinds: Mapping[str, Kind], sweep: bool = False) -> list[str]:
    """Overrides in Hydra's syntax, the values of text fields as they were typed. kinds: of the keys that take text."""
    return [_typed(override, kinds, sweep) for override in overrides]


def unquoted(override: str) -> tuple[str, str]:
    """An override's key and value as people read them: without Hydra's quotes and escapes."""
    key, _, value = override.partition("=")
    content = _read(value) if _means_more(value) else None
    return key, content if isinstance(content, str) else value


def quoted(text: str) -> str:
    """A text as a quoted string in Hydra's syntax."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(text, Quote.single if '"' in text and "'" not in text else Quote.double).with_quotes()


def _typed(override: str, kinds: Mapping[str, Kind], sweep: bool) -> str:
    key, equals, value = override.partition("=")
    name = key.lstrip("+")
    if not equals:
        return override
    if name in FOLDERS:
        return f"{key}={_value(key, value, Kind.TEXT)}"
    kind = Kind.OPTION if name.startswith("hydra/") else kinds.get(name)
    if kind is None:
        return override
    return f"{key}={_values(key, value, kind) if sweep else _value(key, value, kind)}"


def _values(key: str, text: str, kind: Kind) -> str:
    """A value in a sweep, which may be several."""
    choice = re.fullmatch(r"choice\((.*)\)", text, re.DOTALL)
    if not choice and re.fullmatch(r"[a-z]+\(.*\)", text, re.DOTALL) and _is_sweep(text):
        return text
    parts = _parts(key, choice[1] if choice else text)
    if not choice and len(parts) == 1:
        return _value(key, text, kind)
    values = ",".join(_value(key, part.strip(), kind) for part in parts)
    return f"choice({values})" if choice else values


def _value(key: str, text: str, kind: Kind) -> str:
    """One value, quoted where Hydra would read something else than the typed text."""
    bare = text.strip()
    if bare[:1] + bare[-1:] in _BRACKETS.get(kind, ()):
        parts = [part.strip() for part in _parts(key, bare[1:-1]) if part.strip()]
        return f"[{','.join(_pair(part) if bare[0] == '{' else _value(key, part, Kind.TEXT) for part in parts)}]"
    if kind in (Kind.OPTIONAL_TEXT, Kind.TEXTS, Kind.TEXT_BY_TEXT) and text == "null":
        return text
    read = _read(text)
    if kind is Kind.OPTION:
        if isinstance(read, list | dict):
            raise ConfigError(f"{key} must be the name of one of its options; got {text}")
        return quoted(text) if isinstance(read, int | float) or bare == "null" else text
    return text if read == text or (_means_more(text) and isinstance(read, str)) else quoted(text)


def _pair(text: str) -> str:
    """`NAME: VALUE` as one text, since Hydra's mappings take few names; quotes around the name are Hydra's."""
    name, _, value = (part.strip() for part in text.rpartition(":"))
    content = _read(name) if _means_more(name) else name
    return quoted(f"{content if isinstance(content, str) else name}: {value}")


def _means_more(text: str) -> bool:
    """Whether a value may have quotes or escapes that are Hydra's."""
    return text.strip()[:1] in tuple(QUOTES) or "\\" in text


def _parts(key: str, text: str) -> list[str]:
    """The text between commas that stand outside of quotes and brackets."""
    if "," not in text:
        return [text]
    parts, start, depth, quote, i = [], 0, 0, "", 0
    while i < len(text):
        letter = text[i]
        if letter == "\\":
            i += 1
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in QUOTES and text[:i].rstrip()[-1:] in BEFORE_QUOTES:
            quote = letter
        elif letter in OPENING:
            depth += 1
        elif letter in CLOSING:
            depth = max(depth - 1, 0)
        elif letter == "," and not depth:
            parts.append(text[start:i])
            start = i + 1
        i += 1
    if depth or quote:
        form = shlex.quote(f"{key}={quoted(text)}")  # the argument that sets it to just this text
        raise ConfigError(f"{key} must have its brackets and quotes closed, or be quoted as {form}; got {text}")
    return [*parts, text[start:]]


def _read(text: str) -> Any:
    """What Hydra reads as a value; None where it is no value, or several."""
    override = _parsed(text)
    return None if override is None or override.is_sweep_override() else override.value()


def _is_sweep(text: str) -> bool:
    override = _parsed(text)
    return override is not None and bool(override.is_sweep_override())


def _parsed(text: str) -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    try:
        return OverridesParser.create().parse_override(f"key={text}")
    except Exception:  # Hydra declares none, and raises many
        return None
