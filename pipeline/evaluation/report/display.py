"""Numbers and names as the report shows them."""

from math import isfinite, isnan

from pipeline.interval import Interval
from pipeline.text import shorten

MAX_NAME = 60  # letters of a name in a sentence
UNDEFINED = "\u2013"  # a dash
MINUS = "\u2212"
MOST_DIGITS = 1e6  # from which a number is written by its exponent


def fixed(value: float | None, decimals: int = 4, sign: str = "-") -> str:
    """With so many decimals, so that those of a column stand below each other. sign: "+" also writes that of a gain."""
    if value is None or isnan(value):
        return UNDEFINED
    if not isfinite(value) or abs(value) >= MOST_DIGITS:
        return significant(value)
    rounded = round(value, decimals)
    return f"{rounded:{sign if rounded else '-'}.{decimals}f}".replace("-", MINUS if rounded else "")


def significant(value: float | None, digits: int = 3) -> str:
    """With so many digits, for numbers of any size."""
    return UNDEFINED if value is None or isnan(value) else f"{value:.{digits}g}".replace("-", MINUS)


def ends(interval: Interval, sign: str = "-") -> str:
    """From where to where an interval reaches; nothing where there is none."""
    if isnan(interval.low) or isnan(interval.high):
        return ""
    return f"{fixed(interval.low, sign=sign)} to {fixed(interval.high, sign=sign)}"


def whole(value: float) -> str:
    """A count with separators; that of weighted rows may be none."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"


def share(value: float) -> str:
    """In percent."""
    return "<0.1%" if 0 < value < 0.0005 else f"{value:.1%}"


def sentence(text: str) -> str:
    """With a capital letter and a full stop; nothing of nothing."""
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def isolated(name: object) -> str:
    """A name inside a sentence, its beginning where it is long; its direction of writing does not reach the rest."""
    text = shorten(" ".join(str(name).split()), MAX_NAME)
    return text if text.isascii() else f"\u2068{text}\u2069"


def listed(names: list[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
