"""Tables that Hypothesis draws, written in a dialect that it draws, are read as they were."""

import csv
import datetime
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.data import csv_file, csv_types
from pipeline.data.dialect import CsvFormat
from tests.data.tables import all_rows, load

ROWS = 30
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).map(lambda text: f"t{text}t")
DAYS = st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1))
CELLS: dict[str, tuple[Any, Callable[[Any], str]]] = {
    "integers": (st.integers(-(2**53), 2**53), str),
    "numbers": (st.floats(allow_nan=False, allow_infinity=False), repr),
    "texts": (TEXTS, str),
    "codes": (st.integers(0, 99).map(lambda n: f"{n:05d}"), str),
    "days": (DAYS.map(lambda day: datetime.datetime(day.year, day.month, day.day)), lambda day: f"{day:%Y-%m-%d}"),
    "german days": (DAYS.map(lambda day: datetime.datetime(day.year, day.month, day.day)), lambda day: f"{day:%d.%m.%Y}"),
    "times": (st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1)), lambda time: time.isoformat(" ")),
    "flags": (st.booleans(), str),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[dict[str, list[Any]], dict[str, list[str]]]:
    """Columns of values, some missing, and as they are written."""
    values, written = {}, {}
    for i, name in enumerate(draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=4))):
        cell, write = CELLS[name]
        column = draw(st.lists(st.one_of(st.none(), cell, cell, cell), min_size=ROWS, max_size=ROWS))
        column[0] = column[0] if column[0] is not None else draw(cell)
        values[f"{name} {i}"] = column
        written[f"{name} {i}"] = [draw(st.sampled_from(["", "NA"])) if each is None else write(each) for each in column]
    return values, written


@settings(max_examples=75, deadline=None, suppress_health_check=[*HealthCheck])
@given(
    tables(),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from([200, 1 << 20]),
)
def test_a_table_is_read_as_it_was(
    tmp_path: Path, table: Any, delimiter: str, encoding: str, end: str, quoting: Any, block: int
) -> None:
    values, written = table
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow([*written, "y"])
    writer.writerows(zip(*written.values(), ["no", "yes"] * (ROWS // 2), strict=True))
    content = out.getvalue().encode(encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "BLOCK_BYTES", block)
        patch.setattr(csv_types, "PLANNED_BYTES", block)
        data = load(tmp_path, content, keep=[*values], csv=CsvFormat(delimiter=delimiter))
    found = all_rows(data).to_pydict()
    for name, column in values.items():
        assert sorted(found[name], key=_key) == sorted(column, key=_key), name


def _key(value: Any) -> Any:
    return (value is None, value if value is not None else 0)
