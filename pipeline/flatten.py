"""Nested mappings as pairs of a dotted key and a value."""

from collections.abc import Iterator, Mapping
from typing import Any


def flatten(content: Any, key: str = "", into_lists: bool = False) -> Iterator[tuple[str, Any]]:
    """Every (dotted key, value) below `key`. A list is one value or, with `into_lists`, one for each element, under its key."""
    if isinstance(content, Mapping):
        for name, part in content.items():
            yield from flatten(part, f"{key}.{name}" if key else str(name), into_lists)
    elif into_lists and isinstance(content, list | tuple):
        for part in content:
            yield from flatten(part, key, into_lists)
    else:
        yield key, content
