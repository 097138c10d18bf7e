"""How sure a metric is, and the difference of two models in it: bootstrap intervals over a test table's rows (Efron 1979)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.arrays import Array
from pipeline.determinism import one_thread
from pipeline.errors import DataError
from pipeline.evaluation.metrics import COMPARED_METRICS, METRICS, OBJECTIVE, of_rows
from pipeline.evaluation.samples import Counts, Sample, ScoredRows
from pipeline.threads import side_by_side

RESAMPLES, CONFIDENCE = 2000, 0.95
BLOCK = 400_000  # counts of resamples that are worked on at once: what fits in a processor's caches
Resampled = tuple[float, Array]  # a metric's value on the table, and those (resamples,) of the resamples
Draws = tuple[tuple[Counts, ...], Array]  # what a Sample is made of: counts of each class's rows, and shares (2, B)
Predicted = tuple[Array, Array, Array | None]  # log-odds z (n,), labels y (n,) and weights (n,), if there are any
MIN_OF_CLASS = 2  # rows: from one row nothing can be said of how its class varies


@dataclass(frozen=True)
class Interval:
    """A number on the table itself, and the ends of its interval; nan where there are none."""

    value: float
    low: float
    high: float

    def ends(self, form: str = ".4f") -> str:
        """As a user reads them."""
        return "no interval" if np.isnan(self.low) else f"{self.low:{form}} to {self.high:{form}}"


@dataclass(frozen=True)
class Difference(Interval):
    """A metric of model b minus that of model a."""

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies wholly above or below zero; else 0."""
        return int(self.low > 0) - int(self.high < 0)


def bootstrap(
    z: Array, y: Array, weight: Array | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """Each of COMPARED_METRICS of log-odds z (n,) and labels y (n,) of both classes, with its percentile interval.

    Rows are drawn with equal chances, those of each class by themselves (see `Sample`), and bring their weights (n,), if there
    are any: a row is one observation, whatever it weighs. A resample in which a metric is nan is left out of its interval.
    Chance raises a maximum or a sum of distances (`is_reflected`) in each resample once more: such an interval is mirrored at
    the value (the basic interval of Davison and Hinkley 1997), and reaches to it. There is no interval where a class has one
    row, nor of a score that no resample changes, such as a precision of 1: how far below it the truth lies, none can say.
    """
    (found,) = _resampled([(z, COMPARED_METRICS)], y, weight, resamples, seed)
    return _intervals(found)


def paired_bootstrap(
    z_a: Array,
    z_b: Array,
    y: Array,
    resamples: int = RESAMPLES,
    seed: int = 0,
    weight: Array | None = None,
) -> dict[str, Difference]:
    """b - a in each of COMPARED_METRICS, on the same resampled rows. Intervals are made as those of `bootstrap`."""
    if not len(z_a) == len(z_b) == len(y):
        raise DataError(f"both models must have predicted the {len(y)} rows; got {len(z_a)} and {len(z_b)}")
    a, b = _resampled([(z_a, COMPARED_METRICS), (z_b, COMPARED_METRICS)], y, weight, resamples, seed)
    return {name: _difference(name, a[name], b[name]) for name in COMPARED_METRICS}


@dataclass(frozen=True)
class Evaluation:
    """A model's numbers by metric, beside those of the training rate: the baseline, which predicts it for every row."""

    metrics: dict[str, float]  # all on the test table
    test: dict[str, Interval]  # the scores (COMPARED_METRICS), as all below
    training: dict[str, float]
    baseline: dict[str, float]
    over_baseline: Difference  # the model's log loss on the test table minus the baseline's, on the same resampled rows

    def intervals(self) -> dict[str, Any]:
        """The content of intervals.json; nan where a number is undefined, as the slope of a constant prediction."""
        test = {name: asdict(interval) for name, interval in self.test.items()}
        return {"test": test, "training": self.training, "baseline": self.baseline}


def evaluate(test: Predicted, training: Predicted, resamples: int = RESAMPLES, seed: int = 0) -> Evaluation:
    """The numbers of a model from its predictions of the test table and of the training table."""
    (z, y, weight), (_, labels, weights) = test, training
    training_rows = ScoredRows(*training)
    rate = np.average(labels, weights=weights)
    constant = np.full(len(y), np.log(rate / (1 - rate)))
    of_model, of_baseline = _resampled([(z, METRICS), (constant, [OBJECTIVE])], y, weight, resamples, seed)
    return Evaluation(
        {name: value for name, (value, _) in of_model.items()},
        _intervals(of_model),
        of_rows(training_rows, COMPARED_METRICS),
        of_rows(ScoredRows(constant, y, weight), COMPARED_METRICS),
        _difference(OBJECTIVE, of_baseline[OBJECTIVE], of_model[OBJECTIVE]),
    )


def _intervals(found: Mapping[str, Resampled]) -> dict[str, Interval]:
    ends = {name: _ends(name, *found[name], least=0.0) for name in COMPARED_METRICS}
    known = {name: (low, high) if low < high else (np.nan, np.nan) for name, (low, high) in ends.items()}
    return {name: Interval(found[name][0], *known[name]) for name in COMPARED_METRICS}


def _difference(name: str, a: Resampled, b: Resampled) -> Difference:
    value = b[0] - a[0]
    return Difference(value, *_ends(name, value, b[1] - a[1]))


def _ends(name: str, value: float, values: Array, least: float = -np.inf) -> tuple[float, float]:
    """The ends of a metric's interval, nan left out; nan where there are no others."""
    if not len(values := values[~np.isnan(values)]):
        return np.nan, np.nan
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    if METRICS[name].is_reflected:
        low, high = max(least, min(value, 2 * value - high)), max(value, 2 * value - low)
    return float(low), float(high)


def _resampled(
    models: Sequence[tuple[Array, Iterable[str]]], y: Array, weight: Array | None, resamples: int, seed: int
) -> list[dict[str, Resampled]]:
    """For each model, given as its z (n,), the metrics that are named for it; all on the same resampled rows."""
    order = np.argsort(-models[0][0], kind="stable")  # so that the first model's counts are drawn as they are used
    labels, weights = y[order], None if weight is None else weight[order]
    scored = [(ScoredRows(z[order], labels, weights), names) for z, names in models]

    def values(drawn: Draws) -> list[Array]:
        samples = [(Sample(rows, *drawn), names) for rows, names in scored]
        return [np.stack([METRICS[name].function(sample) for name in names]) for sample, names in samples]

    sizes = [len(z) for z in scored[0][0].z]
    with one_thread, np.errstate(divide="ignore", invalid="ignore"):
        tables = [of_rows(rows, names) for rows, names in scored]
        if min(sizes) < MIN_OF_CLASS:
            return [{name: (value, np.array([np.nan])) for name, value in table.items()} for table in tables]
        blocks = zip(*side_by_side(values, _draws(sizes, resamples, seed)), strict=True)
        drawn = [np.concatenate(parts, axis=1) for parts in blocks]
    return [
        dict(zip(table, zip(table.values(), of, strict=True), strict=True)) for table, of in zip(tables, drawn, strict=True)
    ]


def _draws(sizes: Sequence[int], resamples: int, seed: int) -> Iterator[Draws]:
    """Draws of B resamples at a time of two classes with so many rows."""
    *of_classes, of_shares = np.random.default_rng(seed).spawn(len(sizes) + 1)
    n = sum(sizes)
    block = max(1, BLOCK // n)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        positives = of_shares.binomial(n, sizes[0] / n, size)
        shares = np.stack([positives / sizes[0], (n - positives) / sizes[1]])
        yield tuple(_counts(rng, rows, size) for rng, rows in zip(of_classes, sizes, strict=True)), shares


def _counts(rng: np.random.Generator, rows: int, size: int) -> Counts:
    """How often each row is drawn in each of `size` times so many draws with replacement, (size, rows)."""
    drawn = rng.integers(rows, size=(size, rows))
    drawn += rows * np.arange(size)[:, None]
    return np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows)
