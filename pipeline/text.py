"""Values in sentences: shortened, on one line, in quotes where they would mislead without, in lists of a few, and counted."""

from collections.abc import Callable, Sequence

MAX_VALUE = 60  # letters of a value, or of a path's part, that a sentence shows
MAX_NAMES = 10


def shorten(text: str, limit: int) -> str:
    """A text on one line, and only its first `limit` letters where it is longer."""
    return _truncate(" ".join(text.splitlines()), limit)


def quote(value: object) -> str:
    """A value in quotes, on one line, its beginning where it is long."""
    return repr(_truncate(str(value), MAX_VALUE))


def quote_if_needed(value: object) -> str:
    """A value as it is or, where that would mislead, in quotes."""
    text = str(value)
    return text if is_one_line(text) and text == text.strip() and 0 < len(text) <= MAX_VALUE else quote(text)


def join_limited(names: Sequence[str], limit: int = MAX_NAMES) -> str:
    """Names with commas between them, and how many more there are than `limit`."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def position_of(name: str, labels: Sequence[object]) -> int | None:
    """The label that a name as typed means: the one with this text or, where none has, with this number, or apart from case."""
    matches: tuple[Callable[[object], bool], ...] = (
        lambda label: str(label) == name,
        lambda label: not isinstance(label, bool) and _number(str(label)) == _number(name) is not None,
        lambda label: str(label).strip().casefold() == name.strip().casefold(),
    )
    for match in matches:
        if len(found := [i for i, label in enumerate(labels) if match(label)]) == 1:
            return found[0]
    return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def count(number: int, noun: str) -> str:
    """A number and its noun, in the singular or the plural."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def is_one_line(text: str) -> bool:
    """Whether text has no control character and no line break in it."""
    return not any(ord(letter) < 32 or 127 <= ord(letter) < 160 or letter in "\u2028\u2029" for letter in text)


def _truncate(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}..."
