"""Text cells as values: numbers, true and false, dates and times. What could be read in two ways is refused, never guessed."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?|nan)", re.IGNORECASE | re.ASCII)
BOOLEANS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
DIGITS = {"1": True, "0": False}  # that are booleans in a column of such
MISSING_VALUES = (
    *("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NaT", "NULL", "null", "None"),
    *("?", "-", "--", "."),
)
MAX_TRIED = 100  # distinct cells by which most text is distinguished from numbers and dates
MICROSECONDS = pa.timestamp("us")

_SPACES = "[ '\u2019\u00a0\u202f]"  # between groups of three digits; all patterns are of whole cells, for RE2 and Python alike
_INTEGER = r"[+-]?\d+"
_PADDED = r"[+-]?0\d+"
_PLAIN = r"[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[Ii][Nn][Ff]([Ii][Nn][Ii][Tt][Yy])?|[Nn][Aa][Nn])"
_POINT = rf"[+-]?[1-9]\d{{0,2}}((,\d{{3}})+|({_SPACES}\d{{3}})+)(\.\d*)?"  # with groups
_COMMA = rf"[+-]?(\d*|[1-9]\d{{0,2}}((\.\d{{3}})+|({_SPACES}\d{{3}})+)),\d+([eE][+-]?\d+)?"
_COMMA_GROUPS = rf"[+-]?[1-9]\d{{0,2}}((\.\d{{3}})+|({_SPACES}\d{{3}})+)"
_DATE = re.compile(
    r"(?:(?P<y>\d{4})(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})"
    r"|(?P<first>\d{1,2})(?P<t>[-/.])(?P<second>\d{1,2})(?P=t)(?P<year>\d{4})"
    r"|(?P<day>\d{1,2})[ -](?P<month>[A-Za-z]{3,9})\.?[ -](?P<year2>\d{4})"
    r"|(?P<month2>[A-Za-z]{3,9})\.? (?P<day2>\d{1,2}),? (?P<year3>\d{4}))"
    r"(?:(?:T|,? +)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<sec>\d{2})(?P<fraction>\.\d+)?)?(?: ?(?P<half>[AaPp])[Mm])?)?"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def is_number(text: str) -> bool:
    """Whether text is a finite number, as Python writes it."""
    return NUMBER.fullmatch(text) is not None and bool(np.isfinite(float(text)))


def numbers_among(texts: Iterable[str]) -> list[float]:
    """The texts that are numbers: -999 stands for -999.0, too."""
    return [float(text) for text in texts if is_number(text)]


@dataclass(frozen=True)
class Texts:
    """A column of text: its distinct cells without spaces around them, null where missing, and for each row the position of
    its own, -1 where missing."""

    distinct: Any  # pa.StringArray
    positions: NDArray[np.int64]

    @classmethod
    def of(cls, column: Any, missing_values: Sequence[str]) -> "Texts":
        distinct, positions = factorize(column)
        trimmed = pc.utf8_trim_whitespace(distinct)
        missing = pc.is_in(trimmed, value_set=pa.array(["", *missing_values], pa.string()))
        return cls(pc.if_else(missing, pa.scalar(None, pa.string()), trimmed), positions)

    @property
    def known(self) -> Any:
        return self.distinct.drop_null()

    def rows(self, values: Any) -> Any:
        """An array (n,) of values (of the distinct cells)."""
        return values.take(pa.array(self.positions, mask=self.positions < 0))

    def first_row(self, mask: NDArray[np.bool_]) -> int:
        """The first row whose distinct cell is in the mask."""
        return int(np.argmax(np.append(mask, False)[self.positions]))


def is_text(column: Any) -> bool:
    """Whether a column is of text, with a dictionary or without."""
    return bool(pa.types.is_string(column.type) or pa.types.is_dictionary(column.type))


def factorize(column: Any) -> tuple[Any, NDArray[np.int64]]:
    """A column's distinct values, an Arrow array, and for each row the position among them, -1 for null."""
    column = pa.chunked_array(column) if not isinstance(column, pa.ChunkedArray) else column
    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column)
    encoded = pa.chunked_array(column).unify_dictionaries() if column.num_chunks > 1 else column
    if encoded.num_chunks == 0:
        return pa.array([], column.type.value_type), np.zeros(0, np.int64)
    codes = pa.chunked_array([chunk.indices for chunk in encoded.chunks])
    return encoded.chunk(0).dictionary, pc.fill_null(codes, -1).to_numpy().astype(np.int64)


def matches(texts: Any, *patterns: str) -> NDArray[np.bool_]:
    """Which texts are wholly of one of these patterns; null is of any."""
    pattern = f"^({'|'.join(patterns)})$"
    return np.asarray(pc.fill_null(pc.match_substring_regex(texts, pattern), True).to_numpy(zero_copy_only=False))


def booleans(texts: Any) -> Any:
    """True and false as such; None if there is other text."""
    if len(texts) - texts.null_count > len(BOOLEANS):
        return None
    found = [BOOLEANS.get(text, text) for text in texts.to_pylist()]
    return pa.array(found, pa.bool_()) if all(not isinstance(value, str) for value in found) else None


def decimal_marks(texts: Any) -> str:
    """The signs ".", "," or ".,", each of which may be the decimal mark so that all texts are numbers; "" if none can.

    Numbers without groups and commas have a point.
    """
    if not matches(texts[:MAX_TRIED], _PLAIN, _POINT, _COMMA, _COMMA_GROUPS).all():
        return ""
    if matches(texts, _PLAIN).all():
        return "."
    marks = "." if are_numbers(texts, ".").all() else ""
    has_comma = bool(pc.any(pc.match_substring(texts, ",")).as_py())
    return marks + ("," if has_comma and are_numbers(texts, ",").all() else "")


class AmbiguousSign(Exception):
    """A sign in numbers, "comma" or "point", may be the decimal mark or not."""

    def __init__(self, sign: str) -> None:
        self.sign = sign

    @property
    def pattern(self) -> str:
        """Of texts that have it."""
        return ".*,.*" if self.sign == "comma" else r".*\..*"


def column_mark(texts: Any, known: str, is_set: bool, in_commas: bool) -> str:
    """The decimal mark of a column's texts; "" if they are no numbers. Raises AmbiguousSign.

    known: the mark that is set, or that other columns of the file show; in_commas: whether commas separate the file's fields.
    """
    if is_set:
        return known if are_numbers(texts, known).all() else "." if matches(texts, _PLAIN).all() else ""
    marks = decimal_marks(texts)
    if marks == "." and known == "," and has_point_groups(texts):
        raise AmbiguousSign("point")
    if (marks == ".," and known != ",") or (marks == "," and in_commas):
        raise AmbiguousSign("comma")
    return marks[-1:]


def are_numbers(texts: Any, mark: str) -> NDArray[np.bool_]:
    """Which texts are numbers with this decimal mark; null is one."""
    return matches(texts, _PLAIN, _POINT) if mark == "." else matches(texts, _INTEGER, _COMMA, _COMMA_GROUPS)


def has_groups(texts: Any) -> bool:
    """Whether some of these numbers with a decimal point have groups of three digits."""
    return not matches(texts, _PLAIN).all()


def has_point_groups(texts: Any) -> bool:
    """Whether all texts are integers if the point separates thousands, and some have one."""
    return bool(matches(texts, _INTEGER, _COMMA_GROUPS).all() and not matches(texts, _INTEGER).all())


def is_padded(texts: Any) -> bool:
    """Whether all texts are digits, some of which begin with 0: codes, such as 00501."""
    return bool(matches(texts, r"\d+").all() and (matches(texts, _PADDED) & texts.is_valid().to_numpy(False)).any())


def numbers(texts: Any, mark: str) -> Any:
    """Texts as int64 or, where they are not all such, float64. mark: the decimal mark; see `decimal_marks`."""
    plain = pc.replace_substring_regex(texts, _SPACES, "")
    plain = pc.replace_substring(plain, "," if mark == "." else ".", "")
    if mark == ",":
        plain = pc.replace_substring(plain, ",", ".")
    plain = pc.utf8_ltrim(plain, "+")
    with suppress(pa.ArrowInvalid):
        return pc.cast(plain, pa.int64())
    with suppress(pa.ArrowInvalid):
        return pc.cast(plain, pa.float64())
    return pa.array([None if text is None else float(text) for text in plain.to_pylist()], pa.float64())


def date_orders(texts: Any, order: str = "") -> list[str]:
    """What may stand first in dates without a month's name, "d" or "m", so that all texts are dates; [] if they are not.

    order: the one that is set.
    """
    tried = [text for text in texts[:MAX_TRIED].to_pylist() if text is not None]
    if not all(_DATE.fullmatch(text) or _from_iso(text) for text in tried):
        return []
    known = [text for text in texts.to_pylist() if text is not None]
    orders = [first for first in order or "dm" if all(parse_date(text, first) for text in known)]
    return orders if any(map(has_two_orders, known)) else orders[:1]


def dates(texts: Any, form: str) -> Any:
    """Texts as timestamps, those with a zone at UTC; null for what is none. form: see `date_orders`, or as strftime writes."""
    parse = _from_form if "%" in form else parse_date
    return pa.array([None if text is None else parse(text, form) for text in texts.to_pylist()], MICROSECONDS)


def parse_date(text: str, order: str) -> datetime | None:
    found = _DATE.fullmatch(text)
    if found is None:
        return _from_iso(text)
    part = found.groupdict()
    month = part["month"] or part["month2"]
    try:
        if month and month[:3].lower() not in _MONTHS:
            return None
        if part["first"]:
            day, number = (part["first"], part["second"]) if order == "d" else (part["second"], part["first"])
        else:
            day = part["d"] or part["day"] or part["day2"]
            number = part["m"] or _MONTHS.index(month[:3].lower()) + 1
        hour = int(part["hour"] or 0)
        if part["half"]:
            hour = hour % 12 + 12 * (part["half"] in "Pp")
        microsecond = int(float(part["fraction"] or 0) * 1_000_000)
        year = part["y"] or part["year"] or part["year2"] or part["year3"]
        return datetime(int(year), int(number), int(day), hour, int(part["minute"] or 0), int(part["sec"] or 0), microsecond)
    except ValueError:  # such as a day 31 in June
        return None


def has_two_orders(text: str) -> bool:
    """Whether a date is another one with day and month exchanged; a point is written after days alone."""
    found = _DATE.fullmatch(text)
    return bool(found and found["first"] and found["t"] != "." and int(found["first"]) != int(found["second"]))


def _from_iso(text: str) -> datetime | None:
    """Of ISO 8601, a date at least."""
    if not re.match(r"\d{4}-\d", text):
        return None
    with suppress(ValueError, OverflowError):  # of a zone, at an end of the calendar
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found
    return None


def _from_form(text: str, form: str) -> datetime | None:
    with suppress(ValueError, OverflowError):
        found = datetime.strptime(text, form)
        return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found
    return None
