"""The report's long tables, of coefficients and of columns: a few rows are shown, and the page holds the others."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from pipeline.evaluation.figures import REACH, Coefficient
from pipeline.evaluation.report.candidate import Evaluated
from pipeline.evaluation.report.display import UNDEFINED, fixed, isolated, sentence, share, significant, whole
from pipeline.interval import CONFIDENCE
from pipeline.model.card import DataSchema
from pipeline.model.encoder import Encoder
from pipeline.text import join_limited

MAX_ROWS = 2000  # that the page holds
SHOWN = 20  # at first
SPAN = 1000  # units of a plot in a cell
DECIMALS, NEAR_ONE = 3, 6  # of an effect, and of an odds ratio that is nearly 1
NAMING = ("target", "weight", "group", "time", "split", "drop")  # settings under data that name columns which are no features
FIGURE_SPACE = "\u2007"  # as wide as a digit, so that decimal points stand below each other
NAME, TEXT, NUMBER, ENDS, PLOT = "name", "text", "number", "ends", "plot"  # kinds of columns


@dataclass(frozen=True)
class Heading:
    """Of a column, and what its cells are: a row's name, text, numbers, or the ends and the middle of an interval to draw."""

    text: str
    kind: str = NUMBER


@dataclass(frozen=True)
class LongTable:
    """rows: of as many cells as there are headings; what the note says of those that the page does not hold."""

    id: str
    caption: str
    headings: Sequence[Heading]
    rows: Sequence[Sequence[str]]
    note: str = ""

    @property
    def shown(self) -> Sequence[Sequence[str]]:
        return self.rows[:SHOWN]

    @property
    def rest(self) -> Sequence[Sequence[str]]:
        return self.rows[SHOWN:]


def coefficient_table(id: str, name: str, of: Evaluated) -> LongTable:
    """The intercept, then the largest effects first."""
    features = len(of.card.features) + 1
    others = features - len(of.coefficients)
    inference = sentence((of.card.ended.inference or {}).get("sentence", ""))
    more = f"{whole(others)} smaller ones are in coefficients.csv." if others > 0 else ""
    headings = [
        Heading("feature", NAME),
        Heading("log-odds per standard deviation"),
        Heading("effect", PLOT),
        Heading(f"{CONFIDENCE:.0%} interval", ENDS),
        Heading("odds ratio per unit"),
        Heading(f"{CONFIDENCE:.0%} interval", ENDS),
        Heading("p"),
    ]
    effects = [abs(float(row["per_deviation"])) for row in of.coefficients if row["per_deviation"]]
    reach = max([effect for effect in effects if isfinite(effect)], default=0.0) or 1.0
    reach = min(REACH * reach, max([reach, *_ends(of.coefficients)]))
    rows = [_coefficient(row, reach) for row in of.coefficients]
    known = [i for i in range(len(headings)) if any(row[i] for row in rows)]  # there may be no intervals, or no p-values
    note = " ".join(filter(None, [inference, more]))
    return LongTable(id, name, [headings[i] for i in known], [[row[i] for i in known] for row in rows], note)


def _ends(rows: Sequence[Coefficient]) -> list[float]:
    """How far the intervals reach from zero."""
    texts = [row[f"per_deviation{end}"] for row in rows for end in ("_low", "_high")]
    return [abs(float(text)) for text in texts if text and isfinite(float(text))]


def _coefficient(row: Coefficient, reach: float) -> list[str]:
    value, low, high = (_number(row[f"per_deviation{end}"]) for end in ("", "_low", "_high"))
    ratio, least, most = (_number(row[f"odds_ratio{end}"]) for end in ("", "_low", "_high"))
    against = f" against {row['against']}" if row["against"] else ""
    decimals = NEAR_ONE if any(end and abs(end - 1) < 0.01 for end in (ratio, least, most)) else DECIMALS
    plot = [value if low is None else low, value, value if high is None else high]
    return [
        row["feature"] + against,
        fixed(value, DECIMALS),
        "" if value is None else " ".join(str(_position(end, reach)) for end in plot if end is not None),
        "" if low is None else f"{fixed(low, DECIMALS)} to {fixed(high, DECIMALS)}",
        fixed(ratio, decimals) + FIGURE_SPACE * (NEAR_ONE - decimals),
        "" if least is None else f"{fixed(least, decimals)} to {fixed(most, decimals)}",
        "" if not row["p"] else significant(float(row["p"]), 2),
    ]


def _number(text: str) -> float | None:
    return float(text) if text else None


def _position(value: float, reach: float) -> int:
    """In a plot from -reach to reach."""
    return round(SPAN / 2 * (1 + max(-1.0, min(1.0, value / reach))))


def column_table(schema: DataSchema, encoder: Encoder | None) -> LongTable | None:
    """The columns in the file's order, as they were recognised; None where the data are a matrix of numbers."""
    if not schema.columns:
        return None
    made = Counter(column for column, _ in encoder.levels) if encoder else Counter[str]()
    total = sum(schema.rows.values())
    headings = [
        Heading("column", NAME),
        Heading("kind", TEXT),
        Heading("missing"),
        Heading("distinct"),
        Heading("example", TEXT),
        Heading("features"),
    ]
    rows = [
        [
            column.name,
            column.kind if column.is_used else f"not used, {column.kind}: {column.reason}",
            f"{whole(column.missing)} ({share(column.missing / total)})" if column.missing else "0",
            whole(column.distinct),
            column.example,
            whole(made[column.name]) if column.is_used else UNDEFINED,
        ]
        for column in schema.columns[:MAX_ROWS]
    ]
    others = len(schema.columns) - len(rows)
    more = f"{whole(others)} more are in schema.json." if others else ""
    return LongTable("columns", "Columns", headings, rows, " ".join(filter(None, [more, _beside(schema)])))


def _beside(schema: DataSchema) -> str:
    """The columns of the file that no row of the table is of, and the settings that name them."""
    shown = {column.name for column in schema.columns}
    named = {key: schema.source[key] for key in NAMING if schema.source.get(key)}
    roles = [(key, name) for key, names in named.items() for name in ([names] if isinstance(names, str) else names)]
    beside = [f"{isolated(name)} (data.{key})" for key, name in roles if name not in shown]
    return f"Beside these the file has {join_limited(beside)}." if beside else ""
