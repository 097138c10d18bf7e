"""Bootstrap intervals: beside exact ones, the laws of a difference, and how often they hold what is true."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from pipeline.arrays import Array
from pipeline.errors import PipelineError
from pipeline.evaluation import intervals
from pipeline.evaluation.curves import CURVES
from pipeline.evaluation.intervals import AT, bootstrap, evaluate, paired_bootstrap
from pipeline.evaluation.metrics import COMPARED_METRICS, METRICS, RANKING_METRICS, measure
from pipeline.interval import TAILS, share_interval
from pipeline.model.predictor import probability

ROWS_OF_GROUP = 5
POINTS = np.array([0.02, 0.1, 0.3, 0.6, 0.9])  # false positive rates, or recalls
SEPARATION, RATE = 1.5, 0.3  # of two normal classes, and the share of positives


def table(n: int = 200, seed: int = 0) -> tuple[Array, Array, Array]:
    """Log-odds of a good and of a worse model, with ties, and labels."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-3 * z))).astype(float)
    return np.round(3 * z, 1), np.round(z + rng.normal(size=n), 1), y


def clopper_pearson(hits: int, n: int) -> tuple[float, float]:
    found = binomtest(hits, n).proportion_ci()
    return float(found.low), float(found.high)


def de_long(z: Array, y: Array) -> tuple[float, float]:
    """The interval of DeLong et al. (1988)."""
    ahead = np.sign(z[y == 1][:, None] - z[y == 0]) / 2 + 0.5
    variance = sum(ahead.mean(axis=axis).var(ddof=1) / ahead.shape[1 - axis] for axis in (0, 1))
    reach = norm.ppf(0.975) * np.sqrt(variance)
    return float(ahead.mean() - reach), float(ahead.mean() + reach)


def of_mean(values: Array) -> tuple[float, float]:
    reach = norm.ppf(0.975) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - reach), float(values.mean() + reach)


EXACT: dict[str, Callable[[Array, Array], tuple[float, float]]] = {
    "accuracy": lambda z, y: clopper_pearson(int(((z > 0) == y).sum()), len(y)),
    "recall": lambda z, y: clopper_pearson(int((z[y == 1] > 0).sum()), int(y.sum())),
    "precision": lambda z, y: clopper_pearson(int(y[z > 0].sum()), int((z > 0).sum())),
    "roc_auc": de_long,
    "brier": lambda z, y: of_mean((probability(z) - y) ** 2),
}


@pytest.mark.parametrize("name", EXACT)
def test_where_there_is_an_exact_interval_the_bootstrap_s_is_like_it(name: str) -> None:
    z, _, y = table(2000)
    found, (low, high) = bootstrap(z, y, resamples=1000)[name], EXACT[name](z, y)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9 if METRICS[name].share_of else 0.1 * (high - low))


def test_equal_inputs_give_equal_intervals_around_the_value() -> None:
    z, _, y = table()
    found = bootstrap(z, y, resamples=200)
    assert found == bootstrap(z, y, resamples=200) != bootstrap(z, y, resamples=200, seed=1)
    assert tuple(found) == COMPARED_METRICS
    assert {name: interval.value for name, interval in found.items()}.items() <= measure(z, y).items()
    assert all(interval.low <= interval.value <= interval.high for interval in found.values())


def test_laws_of_a_difference() -> None:
    good, bad, y = table()
    there, back, same = (paired_bootstrap(*pair, y, resamples=500) for pair in ((good, bad), (bad, good), (good, good)))
    for name in COMPARED_METRICS:
        assert there[name].value == pytest.approx(measure(bad, y)[name] - measure(good, y)[name])
        assert (there[name].low, there[name].high) == pytest.approx((-back[name].high, -back[name].low), rel=0.2, abs=0.05)
        assert (same[name].value, same[name].low, same[name].high, same[name].sign) == pytest.approx((0, 0, 0, 0), abs=1e-9)
    for name in RANKING_METRICS:
        assert there[name].sign in (0, -1 if METRICS[name].greater_is_better else 1)
    assert there["log_loss"].sign == 1


def test_the_size_of_a_block_changes_nothing_but_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    z, _, y = table()
    in_one = bootstrap(z, y, resamples=100)
    monkeypatch.setattr(intervals, "BLOCK", 200 * 37)
    for name, found in bootstrap(z, y, resamples=100).items():
        assert (found.low, found.high) == pytest.approx((in_one[name].low, in_one[name].high), abs=1e-6)


def test_a_class_of_one_row_leaves_intervals_of_shares_alone() -> None:
    found = bootstrap(np.array([1.0, -1.0, 2.0]), np.array([1.0, 0.0, 1.0]))
    known = {name: (each.low, each.high) for name, each in found.items() if not np.isnan(each.low)}
    assert {*known} == {"accuracy", "precision", "recall"}
    assert known["accuracy"] == pytest.approx(clopper_pearson(3, 3))
    assert known["recall"] == pytest.approx(clopper_pearson(2, 2))
    assert (found["roc_auc"].value, found["accuracy"].value) == (1, 1)


def separated(positives: int, negatives: int) -> tuple[Array, Array]:
    return np.append(np.linspace(1, 2, positives), -np.linspace(1, 2, negatives)), np.repeat([1.0, 0.0], [positives, negatives])


UNCHANGED = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "mcc", "roc_auc", "gini", "ks", "average_precision")


@pytest.mark.parametrize(("positives", "negatives"), [(40, 40), (15, 120)])
def test_every_score_of_separated_classes_has_an_interval(positives: int, negatives: int) -> None:
    found = bootstrap(*separated(positives, negatives), resamples=50)
    assert {name for name, each in found.items() if np.isnan(each.low)} == {"calibration_slope"}
    assert all(found[name].low < found[name].value == pytest.approx(1) == found[name].high for name in UNCHANGED)
    pairs, _ = clopper_pearson(positives, positives)
    assert (found["roc_auc"].low, found["gini"].low) == pytest.approx((pairs, 2 * pairs - 1))
    assert found["accuracy"].low == pytest.approx(clopper_pearson(positives + negatives, positives + negatives)[0])


def test_a_constant_prediction_has_intervals_around_its_scores() -> None:
    found = bootstrap(np.zeros(200), np.arange(200) % 2.0, resamples=50)
    assert {name for name, each in found.items() if np.isnan(each.low)} == {"calibration_slope", "log_loss"}
    assert all(each.low <= each.value <= each.high > each.low for each in found.values() if not np.isnan(each.low))
    assert (found["precision"].low, found["precision"].high) == (0, 1)
    assert found["recall"].high == pytest.approx(clopper_pearson(0, 100)[1])


def test_weights_and_groups_count_as_equal_rows() -> None:
    z, y = separated(40, 40)
    weight = 1.0 + np.arange(80) % 2
    kish = weight.sum() ** 2 / np.square(weight).sum()
    weighted, grouped = bootstrap(z, y, weight, 50), bootstrap(z, y, resamples=50, group=np.arange(80) // 4)
    assert weighted["accuracy"].low == pytest.approx(0.025 ** (1 / kish))
    assert weighted["roc_auc"].low == pytest.approx(0.025 ** (2 / kish))
    assert grouped["accuracy"].low == pytest.approx(clopper_pearson(20, 20)[0])
    assert grouped["roc_auc"].low == pytest.approx(clopper_pearson(10, 10)[0])


def contaminated(rng: np.random.Generator, m: int, share: float) -> tuple[Array, Array]:
    """m positive and m negative rows, of which such a share lies beyond all rows of the other class."""
    z, y = separated(m, m)
    return np.where(rng.random(2 * m) < share, -3 * z, z), y


def overlapping(rng: np.random.Generator, m: int, share: float) -> tuple[Array, Array]:
    """m positive and m negative rows, whose uniform distributions have such a share in common."""
    return np.append(rng.random(m) - share / 2, rng.random(m) - 1 + share / 2), np.repeat([1.0, 0.0], m)


@pytest.mark.parametrize("tables", [300, pytest.param(20_000, marks=pytest.mark.evidence)])
@pytest.mark.parametrize("make", [contaminated, overlapping])
def test_what_is_true_is_seldom_below_the_interval_of_separated_classes(
    make: Callable[..., tuple[Array, Array]], tables: int
) -> None:
    rng, m = np.random.default_rng(0), 30
    found = bootstrap(*separated(m, m), resamples=50)
    for share in (0.02, 0.05, 0.1, 0.15):
        truth = measure(*make(rng, 20_000, share))
        drawn = [make(rng, m, share) for _ in range(tables)]
        are_separated = [z[y == 1].min() > max(0, z[y == 0].max()) and z[y == 0].max() <= 0 for z, y in drawn]
        too_high = {name for name in UNCHANGED if truth[name] < found[name].low}
        assert not too_high or np.mean(are_separated) <= 0.05, (share, too_high)


def test_a_model_is_measured_beside_its_training_table_and_the_training_rate() -> None:
    z, other, y = table(300)
    found = evaluate((z, y, None), (other[:100], y[:100], None), resamples=200)
    rate = y[:100].mean()
    constant = np.full(300, np.log(rate / (1 - rate)))
    assert found.metrics == measure(z, y)
    assert found.training == pytest.approx({name: measure(other[:100], y[:100])[name] for name in COMPARED_METRICS})
    assert found.baseline == pytest.approx({name: measure(constant, y)[name] for name in COMPARED_METRICS}, nan_ok=True)
    assert found.test == bootstrap(z, y, resamples=200)


def test_a_band_is_that_of_curves_of_resampled_rows() -> None:
    z, _, y = table(300)
    found = evaluate((z, y, None), (z, y, None), resamples=1000).bands["roc"]
    rng, at, places = np.random.default_rng(1), np.array([0.1, 0.3, 0.6]), [np.flatnonzero(y == label) for label in (0, 1)]
    drawn = [np.concatenate([rng.choice(of, len(of)) for of in places]) for _ in range(1000)]
    curves = [CURVES["roc"].of(z[rows], y[rows]) for rows in drawn]
    values = [np.interp(at, curve["false_positive_rate"], curve["true_positive_rate"]) for curve in curves]
    for ends, expected in zip(found, np.quantile(values, TAILS, axis=0), strict=True):
        assert np.interp(at, AT, ends) == pytest.approx(expected, abs=0.04)
    five = np.repeat(z, 5), np.repeat(y, 5), None
    grouped, rows = (
        evaluate(five, five, resamples=300, group=group).bands["roc"] for group in (np.repeat(np.arange(300), 5), None)
    )
    width, of_groups, of_rows = (np.nanmean(high - low) for low, high in (found, grouped, rows))
    assert of_groups == pytest.approx(width, rel=0.1)  # five alike are one
    assert of_rows == pytest.approx(width / 5**0.5, rel=0.1)


def test_a_steep_curve_lies_within_its_band() -> None:
    z, y = np.random.default_rng(0).standard_normal(20_000), np.arange(20_000) % 4 == 0
    test = 4 * (z + 4 * y), y.astype(float), None
    found = evaluate(test, test, resamples=20)
    for name in ("roc", "precision_recall"):
        curve = CURVES[name]
        table = curve.of(*test)
        x, value = (table[column] for column in curve.columns[1:3])
        band = found.band(curve, x)
        highest = np.append(np.diff(x) > 0, True) if name == "roc" else np.append(True, np.diff(x) > 0)  # at one x
        assert ((band["low"] <= value) & (value <= band["high"]))[highest].all()


def test_where_no_resample_changes_a_curve_its_band_is_that_of_a_share() -> None:
    z = np.arange(40.0) - 20
    (y, one), curve, at = ((z > 0).astype(float), (z == 0).astype(float)), CURVES["roc"], np.array([0.5])
    found = evaluate((z, y, None), (z, y, None), resamples=50)
    assert [*found.band(curve, at).values()] == [pytest.approx(end, abs=1e-6) for end in share_interval(19, 19)]
    weighted = evaluate((z, y, 1 + np.arange(40.0) % 2), (z, y, None), resamples=50)
    assert found.band(curve, at)["low"] > weighted.band(curve, at)["low"]  # with an effective number of fewer rows
    assert np.isnan(evaluate((z, one, None), (z, one, None), resamples=50).band(curve, at)["low"]).all()
    assert found.band(CURVES["threshold"], at) == {}


def test_the_baseline_knows_the_weighted_rate() -> None:
    z, _, y = table(100)
    found = evaluate((z, y, None), (z, y, 1 + y), resamples=20)
    rate = np.average(y, weights=1 + y)
    assert found.baseline["brier"] == pytest.approx(np.mean((rate - y) ** 2))


@pytest.mark.parametrize(
    ("z_b", "y", "sentence"),
    [
        (np.zeros(3), np.array([0, 1]), "all models must have predicted the 2 rows; got 2 and 3"),
        (np.zeros(2), np.array([1, 1]), "the rows to measure a model by must be of both classes; 2 of 2 are positive"),
    ],
)
def test_what_cannot_be_compared(z_b: Array, y: Array, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        paired_bootstrap(np.zeros(2), z_b, y)


def test_groups_of_equal_rows_tell_as_much_as_one_row_of_each() -> None:
    z, other, y = table(150)
    group, many = np.arange(150), np.repeat(np.arange(150), 3)
    weight = 1.0 + np.arange(150) % 3
    once, paired = bootstrap(z, y, weight, 200, group=group), paired_bootstrap(z, other, y, 200, group=group)
    for name, found in bootstrap(z[many], y[many], weight[many], 200, group=7 - many).items():
        assert (found.low, found.high) == pytest.approx((once[name].low, once[name].high), rel=0.3, abs=0.03), name
    for name, difference in paired_bootstrap(z[many], other[many], y[many], 200, group=many).items():
        expected = paired[name].low, paired[name].high
        assert (difference.low, difference.high) == pytest.approx(expected, abs=1e-3), name
    by_rows = bootstrap(z[many], y[many], resamples=200)["log_loss"]
    assert (by_rows.high - by_rows.low) * 3**0.5 == pytest.approx(once["log_loss"].high - once["log_loss"].low, rel=0.4)


def test_a_class_in_one_group_leaves_intervals_of_shares_alone() -> None:
    z, _, y = table(60)
    alone = bootstrap(z, y, resamples=20, group=np.where(y == 1, 0, np.arange(60)))
    assert {name for name, each in alone.items() if not np.isnan(each.low)} == {"accuracy", "precision", "recall"}
    assert (alone["recall"].low < 0.06, alone["recall"].high > 0.99) == (True, True)
    rare = bootstrap(z, y, resamples=200, group=np.where(y == 1, np.arange(60) % 2, np.arange(60)))  # some draw no positive
    assert rare["roc_auc"].low < rare["roc_auc"].value < rare["roc_auc"].high
    assert rare["log_loss"].low < rare["log_loss"].high


def drawn(rng: np.random.Generator, n: int, a: float = -0.8, b: float = 1.3) -> tuple[Array, Array]:
    """z and y (n,) of a model that is not quite calibrated."""
    z = rng.normal(size=n)
    return a + b * 1.2 * z, (rng.random(n) < probability(1.3 * z - 0.6)).astype(float)


def drawn_in_groups(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    """The same in groups of ROWS_OF_GROUP rows, which have most of z in common, and part of what makes them positive."""
    z, noise = (
        0.9**0.5 * rng.normal(size=n // ROWS_OF_GROUP).repeat(ROWS_OF_GROUP) + 0.1**0.5 * rng.normal(size=n) for _ in "ab"
    )
    return -0.8 + 1.56 * z, (1.3 * z - 0.6 + 2 * noise > 0).astype(float)


def covered(
    simulations: int, n: int, resamples: int, make: Callable[..., tuple[Array, Array]] = drawn, rows_of_group: int = 0
) -> dict[str, float]:
    """In what share of tables of n rows the intervals hold the metrics of a table without end."""
    rng = np.random.default_rng(0)
    truth = measure(*make(rng, min(20_000 * simulations, 2_000_000)))
    held = dict.fromkeys(COMPARED_METRICS, 0)
    group = np.arange(n) // rows_of_group if rows_of_group else None
    for seed in range(simulations):
        for name, found in bootstrap(*make(rng, n), resamples=resamples, seed=seed, group=group).items():
            held[name] += found.low <= truth[name] <= found.high
    return {name: count / simulations for name, count in held.items()}


def test_intervals_hold_what_is_true() -> None:
    found = covered(simulations=30, n=300, resamples=100)
    assert min(found.values()) >= 0.75, found


def test_intervals_by_groups_hold_what_is_true_of_rows_in_groups() -> None:
    found = covered(20, 600, 60, drawn_in_groups, ROWS_OF_GROUP)
    assert min(found.values()) >= 0.75, found


@pytest.mark.evidence
def test_intervals_by_groups_hold_what_is_true_in_about_95_of_100_tables() -> None:
    found = covered(1000, 2000, 500, drawn_in_groups, ROWS_OF_GROUP)
    print(found)
    for name, share in found.items():
        assert 0.91 <= share <= (1 if METRICS[name].noise else 0.97), (name, found)


@pytest.mark.evidence
@pytest.mark.parametrize("n", [300, 2000])
def test_intervals_hold_what_is_true_in_about_95_of_100_tables(n: int) -> None:
    """Those of KS and the calibration error in more; as mere percentiles, in 79 and in none of the tables of 300 rows."""
    found = covered(simulations=2000, n=n, resamples=500)
    print(n, found)
    for name, share in found.items():
        assert 0.92 <= share <= (1 if METRICS[name].noise else 0.975), (name, found)


def calibrated(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    z = 1.3 * rng.normal(size=n) - 0.6
    return z, (rng.random(n) < probability(z)).astype(float)


@pytest.mark.parametrize(("tables", "resamples"), [(40, 60), pytest.param(1000, 500, marks=pytest.mark.evidence)])
def test_the_calibration_error_of_a_calibrated_model_holds_zero(tables: int, resamples: int) -> None:
    rng = np.random.default_rng(0)
    held = sum(bootstrap(*calibrated(rng, 300), resamples=resamples)["calibration_error"].low == 0 for _ in range(tables))
    assert held >= 0.93 * tables - 2


@pytest.mark.parametrize("rows", [(10, 5), (100, 4), pytest.param((500, 5), marks=pytest.mark.evidence)])
@pytest.mark.parametrize("tables", [60, pytest.param(400, marks=pytest.mark.evidence)])
def test_equal_models_are_seldom_surely_different_on_few_rows(rows: tuple[int, int], tables: int) -> None:
    """rows: all, and those that are positive. Percentiles alone call one in seven surely different in log loss."""
    rng, y = np.random.default_rng(0), (np.arange(rows[0]) < rows[1]).astype(float)
    signs = dict.fromkeys(COMPARED_METRICS, 0)
    for seed in range(tables):
        both = rng.normal(size=len(y)) + 2 * y - 1
        a, b = (both + 0.6 * rng.normal(size=len(y)) for _ in range(2))
        for name, difference in paired_bootstrap(a, b, y, resamples=200, seed=seed).items():
            signs[name] += abs(difference.sign)
    assert {name: count for name, count in signs.items() if count > 0.1 * tables + 1} == {}


def test_a_difference_that_no_resample_changes_is_as_unsure_as_its_scores() -> None:
    """Of three positives one model finds all, the other none."""
    y = np.array([1.0, 1, 1, 0, 0, 0, 0])
    found = paired_bootstrap(2 * y - 1, -np.ones(7), y, resamples=100)["recall"]
    low, high = clopper_pearson(3, 3)
    assert (found.value, found.low, found.high) == pytest.approx((-1, -1, 1 - low - low))
    assert (high, found.sign) == (1, 0)


def bands_hold(simulations: int, n: int, resamples: int) -> dict[str, Array]:
    """The share of simulated tables in which a band holds the true curve, at each of POINTS along x; of calibration's bins."""
    found: dict[str, Any] = {
        **{name: np.zeros(len(POINTS)) for name in ("roc", "precision_recall")},
        "calibration": np.zeros(2),
    }
    false = norm.sf(norm.isf(POINTS) + SEPARATION)  # at these recalls
    true = {
        "roc": norm.sf(norm.isf(POINTS) - SEPARATION),
        "precision_recall": RATE * POINTS / (RATE * POINTS + (1 - RATE) * false),
    }
    for seed in range(simulations):
        rng = np.random.default_rng(seed)
        y = (rng.random(n) < RATE).astype(float)
        score = rng.normal(size=n) + SEPARATION * y
        z = SEPARATION * score - SEPARATION**2 / 2 + np.log(RATE / (1 - RATE))  # the true log-odds
        evaluation = evaluate((z, y, None), (z, y, None), resamples=resamples, seed=seed)
        for name, values in true.items():
            band = evaluation.band(CURVES[name], POINTS)
            found[name] += (band["low"] <= values) & (values <= band["high"])
        bins = CURVES["calibration"].of(z, y)
        held = (bins["low"] <= bins["predicted"]) & (bins["predicted"] <= bins["high"])
        found["calibration"] += [held.sum(), len(held)]
    bins_held, bins_seen = found.pop("calibration")
    return {name: held / simulations for name, held in found.items()} | {"calibration": np.array([bins_held / bins_seen])}


def test_bands_hold_the_true_curves() -> None:
    found = bands_hold(simulations=25, n=200, resamples=100)
    assert min(values.min() for values in found.values()) >= 0.8, found


@pytest.mark.evidence
@pytest.mark.parametrize("n", [300, 2000])
def test_bands_hold_the_true_curves_in_95_of_100_tables_or_more(n: int) -> None:
    found = bands_hold(simulations=1000, n=n, resamples=500)
    print(n, found)
    for name, values in found.items():
        assert ((values >= 0.92) & (values <= 1)).all(), (name, found)


def test_the_difference_of_equal_models_holds_zero() -> None:
    """Two models of equal worth: a 95 % interval holds zero in about 57 of 60 tables."""
    held = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        signal, y = rng.normal(size=300), (np.arange(300) % 2).astype(float)
        z_a, z_b = (signal + 2 * y + rng.normal(size=300) for _ in "ab")
        held += paired_bootstrap(z_a, z_b, y, resamples=100)["log_loss"].sign == 0
    assert 51 <= held <= 60
