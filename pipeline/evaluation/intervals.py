"""How sure a metric is, and the difference of two models in it: bootstrap intervals over a test table's rows (Efron 1979)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import comb
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array, drawn_counts
from pipeline.determinism import one_thread
from pipeline.errors import DataError
from pipeline.evaluation.curves import BAND, CURVES, Curve, Share
from pipeline.evaluation.exact import ScoredTable, of_share, of_unchanged
from pipeline.evaluation.metrics import COMPARED_METRICS, METRICS, Metric, of_rows
from pipeline.evaluation.samples import Counts, Places, Sample, ScoredRows
from pipeline.interval import CONFIDENCE, TAILS, Groups, Interval, observations, share_interval
from pipeline.threads import side_by_side

RESAMPLES, MIN_RESAMPLES = 2000, 500
MANY_ROWS = 100_000  # beyond which `evaluate` takes fewer resamples, so that they take no longer
BLOCK = 200_000  # counts of resamples that are worked on at once: what fits in a processor's caches
Draws = tuple[tuple[Counts, ...], Array]  # what a Sample is made of: counts of each class's rows, and shares (2, B)
Predicted = tuple[Array, Array, Array | None]  # log-odds z (n,), labels y (n,) and weights (n,), if there are any
Scored = tuple[Array, float, Iterable[str]]  # log-odds z (n,), the cut above which they are positive, and metrics
ROUNDING = 1e-12  # of a score that no resample changes, relatively
AT = (1 - np.cos(np.linspace(0, np.pi, 257))) / 2  # where along x curves are resampled: densest where they are steep
MIN_OF_CLASS = 2  # rows, or groups that have such rows: from one nothing can be said of how its class varies


class Resampled(NamedTuple):
    """A metric's value on the table, those (resamples,) of the resamples, and of a norm its `noise` in them."""

    value: float
    values: Array
    noise: Array | None = None


class ResampledShares(NamedTuple):
    """A curve at AT (k,): shares (k,), the rows (k,) that they are of, and the shares (k, resamples) of the resamples."""

    shares: Array
    rows: Array
    drawn: Array


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
    Chance raises a norm, as a maximum or a sum of distances, in each resample once more. By the triangle inequality it is too
    great by no more than the norm of what chance has changed, which the resamples have beside the table: that is the low end;
    the high one is freed from the mean by which resampling raises it. The interval of a share of equal rows is exact, and so is
    that of a score which no resample changes (`exact`). The others are wider where a class has few rows
    (`_small_sample_factor`), and a class of one row, or in one group, has none.
    """
    (found,), _ = _resampled([(z, cut, COMPARED_METRICS)], y, weight, group, resamples, seed)
    return _intervals(found, (z, y, weight), cut, group)


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

    models: log-odds z (n,) and the cut of each. The first may have been chosen as the best by these very rows, so of more than
    two models the intervals reach further, by the ratio of the normal quantiles with which those of all pairs hold together
    (Bonferroni). A difference that no resample changes is as uncertain as the intervals of its two scores allow.
    """
    from scipy.special import ndtri

    if {len(z) for z, _ in models} != {len(y)}:
        sizes = " and ".join(str(len(z)) for z, _ in models)
        raise DataError(f"all models must have predicted the {len(y)} rows; got {sizes}")
    (a, *others), _ = _resampled([(z, cut, COMPARED_METRICS) for z, cut in models], y, weight, group, resamples, seed)
    first, *tables = (ScoredTable.of(z, y, weight, group, cut) for z, cut in models)
    factor = _small_sample_factor(first)
    factor_of_all = factor * float(ndtri(TAILS[0] / comb(max(len(models), 2), 2)) / ndtri(TAILS[0]))

    def difference(metric: Metric, a: Resampled, b: Resampled, table: ScoredTable) -> Difference:
        values = b.values - a.values
        if b.value != a.value and _is_unchanged(values):
            (a_low, a_high), (b_low, b_high) = _ends(metric, a, first, factor), _ends(metric, b, table, factor)
            return Difference(b.value - a.value, b_low - a_high, b_high - a_low)
        return _difference(metric, b.value - a.value, values, factor_of_all)

    return [
        {name: difference(METRICS[name], a[name], b[name], table) for name in COMPARED_METRICS}
        for b, table in zip(others, tables, strict=True)
    ]


def resamples_for(rows: int, many: int = MANY_ROWS) -> int:
    """RESAMPLES and, beyond `many` rows, fewer, so that they take less time. By MIN_RESAMPLES an end varies by 6 % of its
    distance from the value, by RESAMPLES by 3 %."""
    return max(MIN_RESAMPLES, int(RESAMPLES * min(1.0, many / rows) ** 2))


@dataclass(frozen=True)
class Evaluation:
    """A model's numbers by metric, beside those of the training rate: the baseline, which predicts it for every row."""

    metrics: dict[str, float]  # all on the test table
    test: dict[str, Interval]  # the scores (COMPARED_METRICS), as all below
    training: dict[str, float]
    baseline: dict[str, float]
    bands: dict[str, tuple[Array, Array]]  # by curve: the ends at each of AT; nan where there are none

    def band(self, curve: Curve, x: Array) -> dict[str, NDArray[np.float64]]:
        """The columns of a curve's band at x (n,); none if it has none."""
        ends = self.bands.get(curve.name, ())
        return {name: np.interp(x, AT, end).round(6) for name, end in zip(BAND, ends, strict=False)}

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
    shares = {curve.name: curve.share for curve in CURVES.values() if curve.share}
    (found,), curves = _resampled([(z, cut, METRICS)], y, weight, group, resamples, seed, list(shares.values()))
    known = np.ones(len(y)) if weight is None else weight
    factor = observations(known, group) / known.sum()
    return Evaluation(
        {name: each.value for name, each in found.items()},
        _intervals(found, test, cut, group),
        of_rows(ScoredRows(*training, cut), COMPARED_METRICS),
        of_rows(ScoredRows(constant, y, weight, cut), COMPARED_METRICS),
        {name: _band(of, factor) for name, of in zip(shares, curves, strict=True)},
    )


def _band(found: ResampledShares, factor: float) -> tuple[Array, Array]:
    """The ends (k,), no nearer to the shares than those of exact intervals, since near 0 and 1 shares hardly vary; nan where
    none was drawn. factor: the effective number of rows over the sum of their weights."""
    low, high = np.quantile(found.drawn, TAILS, axis=1)
    rows = zip(found.shares, found.rows * factor, strict=True)
    least, most = np.array([share_interval(share * n, n) for share, n in rows]).T
    return np.minimum(low, least), np.maximum(high, most)


def _intervals(found: Mapping[str, Resampled], predicted: Predicted, cut: float, group: Groups | None) -> dict[str, Interval]:
    table = ScoredTable.of(*predicted, group, cut)
    factor = _small_sample_factor(table)
    ends = {name: np.clip(_ends(METRICS[name], found[name], table, factor), *METRICS[name].bounds) for name in COMPARED_METRICS}
    return {name: Interval(found[name].value, float(low), float(high)) for name, (low, high) in ends.items()}


def _small_sample_factor(table: ScoredTable) -> float:
    """By how much an interval is wider than the percentiles of resamples: the spread of m rows is less than that which they are
    drawn from, and known from m - 1 alone (Student's t). m: the rows, or groups, of the smaller class."""
    from scipy.special import ndtri, stdtrit

    m = max(min(table.observations(table.y == label) for label in (0, 1)), MIN_OF_CLASS)
    return float(stdtrit(m - 1, TAILS[1]) / ndtri(TAILS[1]) * np.sqrt(m / (m - 1)))


def _is_unchanged(values: Array) -> bool:
    """Whether a score is known of resamples, and is the same in all of them."""
    known = values[~np.isnan(values)]
    return len(known) > 0 and bool(np.ptp(known) <= ROUNDING * abs(known).max())


def _ends(metric: Metric, found: Resampled, table: ScoredTable, factor: float) -> tuple[float, float]:
    """factor: by which an interval is wider than the percentiles."""
    known, is_unchanged = found.values[~np.isnan(found.values)], _is_unchanged(found.values)
    if metric.share_of and (is_unchanged or not len(known) or table.is_of_equal_rows):
        return of_share(metric, found.value, table)
    if is_unchanged:
        return of_unchanged(metric, found.value, table)
    if found.noise is None or not len(known):
        return _widened(found.value, _percentiles(known), factor)
    low, high = np.quantile(known, TAILS)
    raised = known.mean() - found.value
    return float(found.value - np.quantile(found.noise, CONFIDENCE)), float(max(high - raised, 2 * found.value - low))


def _percentiles(values: Array) -> tuple[float, float]:
    """nan where there are none."""
    return tuple(np.quantile(values, TAILS).tolist()) if len(values) else (np.nan, np.nan)


def _widened(value: float, ends: tuple[float, float], factor: float) -> tuple[float, float]:
    """An interval whose ends are so many times as far from the value."""
    low, high = ends
    below, above = ((factor - 1) * max(distance, 0.0) for distance in (value - low, high - value))
    return low - below, high + above


def _difference(metric: Metric, value: float, values: Array, factor: float) -> Difference:
    """Of a norm, which chance raises in both models, the percentiles and the basic interval, which is these mirrored at the
    value (Davison and Hinkley 1997), together.

    values (resamples,): the difference in each. factor: by which the interval is wider than that.
    """
    low, high = _percentiles(values[~np.isnan(values)])
    if metric.noise:
        low, high = min(low, 2 * value - high), max(high, 2 * value - low)
    return Difference(value, *_widened(value, (low, high), factor))


def _resampled(
    models: Sequence[Scored],
    y: Array,
    weight: Array | None,
    group: Groups | None,
    resamples: int,
    seed: int,
    shares: Sequence[Share] = (),
) -> tuple[list[dict[str, Resampled]], list[ResampledShares]]:
    """For each model the metrics that are named for it, all on the same resampled rows, and the shares of the first one."""
    order = np.argsort(-models[0][0], kind="stable")  # so that the first model's counts are drawn as they are used
    if weight is not None:
        order = order[weight[order] > 0]
    labels, weights = y[order], None if weight is None else weight[order]
    scored = [(ScoredRows(z[order], labels, weights, cut), [METRICS[name] for name in names]) for z, cut, names in models]

    def values(drawn: Draws) -> list[Array]:
        samples = [(Sample(rows, *drawn), metrics) for rows, metrics in scored]
        found = [np.stack([of(sample) for metric in metrics for of in metric.resampled]) for sample, metrics in samples]
        return [*found, *(share(samples[0][0], AT)[0].T for share in shares)]

    if group is None:
        units = [int((labels == label).sum()) for label in (1, 0)]
        draws = _draws(units, resamples, seed)
    else:
        codes = np.unique(group[order], return_inverse=True)[1]
        groups = codes[labels == 1], codes[labels != 1]
        units = [len(np.unique(of)) for of in groups]
        draws = _group_draws(groups, resamples, seed)
    with one_thread, np.errstate(divide="ignore", invalid="ignore"):
        of_table = [share(scored[0][0].table, AT) for share in shares]
        if min(units) < MIN_OF_CLASS:
            drawn = [np.full_like(of, np.nan) for of in values(next(draws))]
        else:
            drawn = [np.concatenate(parts, axis=1) for parts in zip(*side_by_side(values, draws), strict=True)]
        found = []
        for (rows, metrics), of in zip(scored, map(iter, drawn), strict=False):
            found.append({each.name: Resampled(each.of(rows), *(next(of) for _ in each.resampled)) for each in metrics})
    return found, [
        ResampledShares(of[0], rows[0], each) for (of, rows), each in zip(of_table, drawn[len(models) :], strict=True)
    ]


def _draws(sizes: Sequence[int], resamples: int, seed: int) -> Iterator[Draws]:
    """Draws of B resamples at a time of two classes with so many rows."""
    *of_classes, of_shares = np.random.default_rng(seed).spawn(len(sizes) + 1)
    n = sum(sizes)
    for size in _block_sizes(n, resamples):
        positives = of_shares.binomial(n, sizes[0] / n, size)
        shares = np.stack([positives / sizes[0], (n - positives) / sizes[1]])
        yield tuple(drawn_counts(rng, rows, size) for rng, rows in zip(of_classes, sizes, strict=True)), shares


def _group_draws(groups: Places, resamples: int, seed: int) -> Iterator[Draws]:
    """Draws of B resamples at a time of whole groups, numbered from 0; groups: those of each class's rows.

    The classes have the shares that they have among the rows drawn.
    """
    rng, count = np.random.default_rng(seed), 1 + max(int(of.max()) for of in groups)
    for size in _block_sizes(sum(map(len, groups)), resamples):
        drawn = drawn_counts(rng, count, size)
        yield tuple(np.take(drawn, of, axis=1) for of in groups), np.ones((len(groups), size))


def _block_sizes(rows: int, resamples: int) -> Iterator[int]:
    block = max(1, BLOCK // rows)
    for start in range(0, resamples, block):
        yield min(block, resamples - start)
