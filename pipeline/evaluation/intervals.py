"""How sure a metric is, and the difference of two models in it: bootstrap intervals over a test table's rows (Efron 1979)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.determinism import one_thread
from pipeline.errors import DataError
from pipeline.evaluation.metrics import COMPARED_METRICS, METRICS, OBJECTIVE, of_rows
from pipeline.evaluation.samples import Counts, Places, Sample, ScoredRows
from pipeline.interval import TAILS, Interval
from pipeline.threads import side_by_side

RESAMPLES, MIN_RESAMPLES = 2000, 500
MANY_ROWS = 100_000  # beyond which `evaluate` takes fewer resamples, so that they take no longer
BLOCK = 200_000  # counts of resamples that are worked on at once: what fits in a processor's caches
Resampled = tuple[float, Array]  # a metric's value on the table, and those (resamples,) of the resamples
Draws = tuple[tuple[Counts, ...], Array]  # what a Sample is made of: counts of each class's rows, and shares (2, B)
Predicted = tuple[Array, Array, Array | None]  # log-odds z (n,), labels y (n,) and weights (n,), if there are any
Groups = NDArray[np.int64]  # (n,): the group of each row, such as the person whom several rows are of
Scored = tuple[Array, float, Iterable[str]]  # log-odds z (n,), the cut above which they are positive, and metrics
MIN_OF_CLASS = 2  # rows, or groups that have such rows: from one nothing can be said of how its class varies


@dataclass(frozen=True)
class Difference(Interval):
    """A metric of model b minus that of model a."""

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies wholly above or below zero; else 0."""
        return int(self.low > 0) - int(self.high < 0)


def bootstrap(
    z: Array,
    y: Array,
    weight: Array | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    cut: float = 0.0,
    group: Groups | None = None,
) -> dict[str, Interval]:
    """Each of COMPARED_METRICS of log-odds z (n,) and labels y (n,) of both classes, with its percentile interval.

    Rows are drawn with equal chances, those of each class by themselves (see `Sample`), and bring their weights (n,), if there
    are any: a row is one observation, whatever it weighs. Where rows have groups, whole groups are drawn instead, of both
    classes together, since rows of one group may be alike (Field and Welsh 2007). A resample in which a metric is nan is left
    out of its interval.
    Chance raises a maximum or a sum of distances (`is_reflected`) in each resample once more: such an interval is mirrored at
    the value (the basic interval of Davison and Hinkley 1997), and reaches to the value. Neither a class of one row, or in one
    group, leaves an interval nor a score that no resample changes, as a precision of 1 from few rows.
    """
    (found,) = _resampled([(z, cut, COMPARED_METRICS)], y, weight, group, resamples, seed)
    return _intervals(found)


def paired_bootstrap(
    z_a: Array,
    z_b: Array,
    y: Array,
    resamples: int = RESAMPLES,
    seed: int = 0,
    weight: Array | None = None,
    cuts: tuple[float, float] = (0.0, 0.0),
    group: Groups | None = None,
) -> dict[str, Difference]:
    """b - a in each of COMPARED_METRICS, on the same resampled rows. Intervals are made as those of `bootstrap`.

    cuts: the log-odds above which a and b predict the positive class.
    """
    return paired_differences([(z_a, cuts[0]), (z_b, cuts[1])], y, resamples, seed, weight, group)[0]


def paired_differences(
    models: Sequence[tuple[Array, float]],
    y: Array,
    resamples: int = RESAMPLES,
    seed: int = 0,
    weight: Array | None = None,
    group: Groups | None = None,
) -> list[dict[str, Difference]]:
    """Of each model but the first what `paired_bootstrap` finds of it and the first, all on the same resampled rows.

    models: log-odds z (n,) and the cut of each.
    """
    if {len(z) for z, _ in models} != {len(y)}:
        sizes = " and ".join(str(len(z)) for z, _ in models)
        raise DataError(f"all models must have predicted the {len(y)} rows; got {sizes}")
    a, *others = _resampled([(z, cut, COMPARED_METRICS) for z, cut in models], y, weight, group, resamples, seed)
    return [{name: _difference(name, a[name], b[name]) for name in COMPARED_METRICS} for b in others]


def resamples_for(rows: int, many: int = MANY_ROWS) -> int:
    """RESAMPLES and, beyond `many` rows, fewer, so that they take no longer; the ends hardly vary more, since rows are many."""
    return max(MIN_RESAMPLES, RESAMPLES * many // max(rows, many))


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


def evaluate(
    test: Predicted,
    training: Predicted,
    cut: float = 0.0,
    resamples: int | None = None,
    seed: int = 0,
    group: Groups | None = None,
) -> Evaluation:
    """The numbers of a model from its predictions of the test table and of the training table. group: of the test rows.

    resamples: those of `resamples_for` if not given.
    """
    z, y, weight = test
    _, labels, weights = training
    if resamples is None:
        resamples = resamples_for(len(y))
    rate = np.average(labels, weights=weights)
    constant = np.full(len(y), np.log(rate / (1 - rate)))
    models: list[Scored] = [(z, cut, METRICS), (constant, cut, [OBJECTIVE])]
    of_model, of_baseline = _resampled(models, y, weight, group, resamples, seed)
    return Evaluation(
        {name: value for name, (value, _) in of_model.items()},
        _intervals(of_model),
        of_rows(ScoredRows(*training, cut), COMPARED_METRICS),
        of_rows(ScoredRows(constant, y, weight, cut), COMPARED_METRICS),
        _difference(OBJECTIVE, of_baseline[OBJECTIVE], of_model[OBJECTIVE]),
    )


def _intervals(found: Mapping[str, Resampled]) -> dict[str, Interval]:
    ends = {name: _ends(name, *found[name], METRICS[name].bounds[0]) for name in COMPARED_METRICS}
    known = {name: (low, high) if low < high else (np.nan, np.nan) for name, (low, high) in ends.items()}
    return {name: Interval(found[name][0], *known[name]) for name in COMPARED_METRICS}


def _difference(name: str, a: Resampled, b: Resampled) -> Difference:
    value = b[0] - a[0]
    return Difference(value, *_ends(name, value, b[1] - a[1]))


def _ends(name: str, value: float, values: Array, least: float = -np.inf) -> tuple[float, float]:
    """The ends of a metric's interval, nan left out; nan where there are no others."""
    if not len(values := values[~np.isnan(values)]):
        return np.nan, np.nan
    low, high = np.quantile(values, TAILS)
    if METRICS[name].is_reflected:
        low, high = max(least, min(value, 2 * value - high)), max(value, 2 * value - low)
    return float(low), float(high)


def _resampled(
    models: Sequence[Scored], y: Array, weight: Array | None, group: Groups | None, resamples: int, seed: int
) -> list[dict[str, Resampled]]:
    """For each model the metrics that are named for it, all on the same resampled rows."""
    order = np.argsort(-models[0][0], kind="stable")  # so that the first model's counts are drawn as they are used
    if weight is not None:
        order = order[weight[order] > 0]
    labels, weights = y[order], None if weight is None else weight[order]
    scored = [(ScoredRows(z[order], labels, weights, cut), names) for z, cut, names in models]

    def values(drawn: Draws) -> list[Array]:
        samples = [(Sample(rows, *drawn), names) for rows, names in scored]
        return [np.stack([METRICS[name].function(sample) for name in names]) for sample, names in samples]

    if group is None:
        units = [int((labels == label).sum()) for label in (1, 0)]
        draws = _draws(units, resamples, seed)
    else:
        codes = np.unique(group[order], return_inverse=True)[1]
        groups = codes[labels == 1], codes[labels != 1]
        units = [len(np.unique(of)) for of in groups]
        draws = _group_draws(groups, resamples, seed)
    with one_thread, np.errstate(divide="ignore", invalid="ignore"):
        tables = [of_rows(rows, names) for rows, names in scored]
        if min(units) < MIN_OF_CLASS:
            return [{name: (value, np.array([np.nan])) for name, value in table.items()} for table in tables]
        blocks = zip(*side_by_side(values, draws), strict=True)
        drawn = [np.concatenate(parts, axis=1) for parts in blocks]
    return [
        dict(zip(table, zip(table.values(), of, strict=True), strict=True)) for table, of in zip(tables, drawn, strict=True)
    ]


def _draws(sizes: Sequence[int], resamples: int, seed: int) -> Iterator[Draws]:
    """Draws of B resamples at a time of two classes with so many rows."""
    *of_classes, of_shares = np.random.default_rng(seed).spawn(len(sizes) + 1)
    n = sum(sizes)
    for size in _block_sizes(n, resamples):
        positives = of_shares.binomial(n, sizes[0] / n, size)
        shares = np.stack([positives / sizes[0], (n - positives) / sizes[1]])
        yield tuple(_counts(rng, rows, size) for rng, rows in zip(of_classes, sizes, strict=True)), shares


def _group_draws(groups: Places, resamples: int, seed: int) -> Iterator[Draws]:
    """Draws of B resamples at a time of whole groups, numbered from 0; groups: those of each class's rows.

    The classes have the shares that they have among the rows drawn.
    """
    rng, count = np.random.default_rng(seed), 1 + max(int(of.max()) for of in groups)
    for size in _block_sizes(sum(map(len, groups)), resamples):
        drawn = _counts(rng, count, size)
        yield tuple(np.take(drawn, of, axis=1) for of in groups), np.ones((len(groups), size))


def _block_sizes(rows: int, resamples: int) -> Iterator[int]:
    block = max(1, BLOCK // rows)
    for start in range(0, resamples, block):
        yield min(block, resamples - start)


def _counts(rng: np.random.Generator, rows: int, size: int) -> Counts:
    """How often each row is drawn in each of `size` times so many draws with replacement, (size, rows)."""
    drawn = rng.integers(rows, size=(size, rows))
    drawn += rows * np.arange(size)[:, None]
    return np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows)
