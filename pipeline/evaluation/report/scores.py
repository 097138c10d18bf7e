"""The report's tables of scores: candidates beside each other, and their differences to the best."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from pipeline.evaluation.comparison import SURELY_BETTER, SURELY_WORSE, verdict
from pipeline.evaluation.intervals import Difference
from pipeline.evaluation.metrics import COMPARED_METRICS, LEADING_METRICS, METRICS, OBJECTIVE
from pipeline.evaluation.report.candidate import Evaluated
from pipeline.evaluation.report.display import MINUS, ends, fixed
from pipeline.interval import CONFIDENCE

BASELINE = "training rate"
SIDE_BY_SIDE = 2  # candidates in one wide table that fits a page
T = TypeVar("T")
SURELY = {SURELY_BETTER: "good", SURELY_WORSE: "bad"}  # the classes of such cells


@dataclass(frozen=True)
class Cell:
    """A number, and below it from where to where its interval reaches."""

    text: str
    interval: str = ""
    kind: str = ""  # its class in the style sheet


@dataclass(frozen=True)
class Row:
    """Of a table. series: the candidate's number, where the row is one's."""

    name: str
    cells: Sequence[Cell]
    series: int | None = None


@dataclass(frozen=True)
class Table:
    """groups: headings above the columns, and how many columns each is above; none where there are no such."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Row]
    corner: str = ""
    groups: Sequence[tuple[str, int]] = ()


def leaderboard(candidates: Mapping[str, Evaluated], differences: Mapping[str, Mapping[str, Difference]]) -> Table:
    """A row of each candidate, the best first, and one of the training rate. candidates: as they were named."""
    series = {name: i for i, name in enumerate(candidates)}
    best = {name: _best(name, list(candidates.values())) for name in LEADING_METRICS}
    rows = []
    for name in sorted(candidates, key=lambda name: candidates[name].loss):
        cells = [_score(candidates[name], metric, best[metric]) for metric in LEADING_METRICS]
        if differences:
            cells.append(_difference(differences[name]) if name in differences else Cell("best"))
        rows.append(Row(name, cells, series[name]))
    cells = [Cell(fixed(_of_training_rate(metric, candidates))) for metric in LEADING_METRICS]
    rows.append(Row(BASELINE, [*cells, Cell("")] if differences else cells))
    columns = [METRICS[name].label for name in LEADING_METRICS]
    if differences:
        columns.append(f"{METRICS[OBJECTIVE].label}: difference to the best")
    return Table(f"Scores on the test table, with {CONFIDENCE:.0%} intervals", columns, rows, "candidate")


def all_scores(candidates: Mapping[str, Evaluated]) -> list[Table]:
    """Each metric on the test table, on the training table and, where there is one, in validation; some candidates a table."""
    is_validated = any(each.validated(OBJECTIVE) for each in candidates.values())
    parts = ["test", "interval", "training", *(["validation"] if is_validated else [])]
    found = []
    for some in batched(candidates.items(), SIDE_BY_SIDE):
        rows = []
        for name in COMPARED_METRICS:
            cells = [cell for _, each in some for cell in _parts(each, name, is_validated)]
            rows.append(Row(METRICS[name].label, [*cells, Cell(fixed(_of_training_rate(name, candidates)))]))
        groups = [(name, len(parts)) for name, _ in some]
        columns = [*(parts * len(some)), BASELINE]
        found.append(Table("All scores", columns, rows, "metric", [*groups, ("baseline", 1)]))
    return found


def difference_tables(best: str, differences: Mapping[str, Mapping[str, Difference]]) -> list[Table]:
    """Each metric of each other candidate minus that of the best, with its interval and verdict; some a table."""
    found = []
    for some in batched(differences.items(), SIDE_BY_SIDE):
        rows = []
        for name in COMPARED_METRICS:
            rows.append(Row(METRICS[name].label, [cell for _, of in some for cell in _verdict_cells(name, of[name])]))
        groups = [(f"{name} {MINUS} {best}", 3) for name, _ in some]
        found.append(Table("Paired differences", ["difference", "interval", "which is"] * len(some), rows, "metric", groups))
    return found


def training_rate_note(candidates: Mapping[str, Evaluated]) -> str:
    """What the training rate is and, if so, why it lacks a score."""
    note = "The training rate predicts the share of positives for every row"
    if all(len(_training_rates(name, candidates)) == 1 for name in COMPARED_METRICS):
        return f"{note}."
    return f"{note}; it has a dash where its score depends on the threshold, since those of the candidates differ."


def validation_note(candidates: Mapping[str, Evaluated]) -> str:
    """Which scores of a validation are not comparable with those beside them; nothing where all are."""
    if not any(each.decision.log_odds for each in candidates.values() if each.validated(OBJECTIVE)):
        return ""
    return "Scores that depend on the threshold are at 0.5 in validation, and elsewhere at the decided one."


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """So many at a time."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def _training_rates(metric: str, candidates: Mapping[str, Evaluated]) -> set[float | None]:
    """The scores of the training rate at the candidates' thresholds."""
    return {each.intervals["baseline"][metric] for each in candidates.values()}


def _of_training_rate(metric: str, candidates: Mapping[str, Evaluated]) -> float | None:
    """Its score; None where the candidates' thresholds make it several."""
    found = _training_rates(metric, candidates)
    return found.pop() if len(found) == 1 else None


def _verdict_cells(metric: str, difference: Difference) -> list[Cell]:
    which = verdict(metric, difference)
    value, interval = fixed(difference.value, sign="+"), ends(difference, sign="+")
    return [Cell(value), Cell(interval), Cell(which, kind=SURELY.get(which, "unsure"))]


def _parts(of: Evaluated, metric: str, is_validated: bool) -> list[Cell]:
    test = of.test(metric)
    cells = [Cell(fixed(test.value)), Cell(ends(test), kind="ends"), Cell(fixed(of.intervals["training"][metric]))]
    if is_validated:
        validated = of.validated(metric)
        cells.append(Cell(fixed(validated.value if validated else None)))
    return cells


def _best(metric: str, candidates: Sequence[Evaluated]) -> str | None:
    """The best of several values as it is shown; None where all are alike."""
    greater_is_better = METRICS[metric].greater_is_better
    values = [value for each in candidates if (value := each.test(metric).value) == value]
    if greater_is_better is None or len({fixed(value) for value in values}) < 2:
        return None
    return fixed(max(values) if greater_is_better else min(values))


def _score(of: Evaluated, metric: str, best: str | None) -> Cell:
    score = of.test(metric)
    text = fixed(score.value)
    return Cell(text, ends(score), "best" if text == best else "")


def _difference(of: Mapping[str, Difference]) -> Cell:
    return Cell(fixed(of[OBJECTIVE].value, sign="+"), ends(of[OBJECTIVE], sign="+"))
