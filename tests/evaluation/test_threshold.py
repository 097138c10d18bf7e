"""The rules of evaluation.threshold: as they are typed, and by brute force over all thresholds of small tables with ties."""

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.arrays import Array
from pipeline.errors import PipelineError
from pipeline.evaluation.curves import CURVES
from pipeline.evaluation.metrics import measure
from pipeline.evaluation.options import EvaluationOptions
from pipeline.evaluation.threshold import ValidationRows, decide, parse_threshold
from pipeline.model.decision import GREATEST, Decision
from pipeline.model.predictor import probability

Goodness = Callable[[float, float, float, float], float]
COST = "cost:{false_positive: 2, false_negative: 3}"
BEST: dict[str, Goodness] = {
    "f1": lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fp + fn),
    "youden": lambda tp, fp, fn, tn: tp * (tn + fp) - fp * (tp + fn),
    COST: lambda tp, fp, fn, tn: -2 * fp - 3 * fn,
}


def rows(z: Array, y: Array, weight: Array | None = None) -> ValidationRows:
    return ValidationRows(len(z), z, y, weight)


def tables() -> list[ValidationRows]:
    """Of 2 to 12 rows of both classes, with ties, half of them with whole weights, some 0."""
    made = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 13))
        y = rng.permutation(np.append([0.0, 1.0], rng.integers(0, 2, n - 2)))
        z = rng.integers(-3, 4, n) / 2 + (seed % 3) * y
        weight = rng.integers(1, 4, n) * np.where((y == y[0]) & (np.arange(n) > 0), rng.integers(0, 2, n), 1)
        made.append(rows(z, y, weight.astype(float) if seed % 2 else None))
    return made


def every_cut(table: ValidationRows) -> list[float]:
    """All that differ in what they predict of rows with a weight, the highest first."""
    z = table.z if table.weight is None else table.z[table.weight > 0]
    levels = np.unique(z)[::-1]
    return [np.inf, *((levels[1:] + levels[:-1]) / 2), -np.inf]


def at(table: ValidationRows, cut: float) -> tuple[float, float, float, float]:
    weight = np.ones(len(table.z)) if table.weight is None else table.weight
    predicted, actual = table.z > cut, table.y == 1
    pairs = ((predicted, actual), (predicted, ~actual), (~predicted, actual), (~predicted, ~actual))
    tp, fp, fn, tn = (float(weight[a & b].sum()) for a, b in pairs)
    return tp, fp, fn, tn


@pytest.mark.parametrize("rule", BEST)
def test_no_threshold_is_better_and_of_equal_ones_none_nearer_to_a_half(rule: str) -> None:
    for table in tables():
        found = decide(rule, table)
        values = {cut: BEST[rule](*at(table, cut)) for cut in every_cut(table)}
        best = [cut for cut, value in values.items() if value == max(values.values())]
        assert found.log_odds == np.clip(min(best, key=abs), -GREATEST, GREATEST)
        assert BEST[rule](*at(table, found.log_odds)) == max(values.values())
        assert found.threshold == probability(np.array(found.log_odds))


def test_recall_is_reached_at_the_highest_and_precision_at_the_lowest_threshold() -> None:
    for table in tables():
        cuts = every_cut(table)
        counts = [at(table, cut) for cut in cuts]
        recalls = [tp / (tp + fn) for tp, _, fn, _ in counts]
        precisions = [tp / (tp + fp) if tp + fp else 0.0 for tp, fp, _, _ in counts]
        highest = next(i for i, recall in enumerate(recalls) if recall >= 0.6)
        found = decide("recall:0.6", table)
        assert at(table, found.log_odds) == counts[highest]
        assert found.reached["recall"] == recalls[highest]
        reaching = [i for i, precision in enumerate(precisions) if precision >= 0.6]
        if reaching:
            assert at(table, decide("precision:0.6", table).log_odds) == counts[reaching[-1]]
        else:
            with pytest.raises(PipelineError, match="must be at most precision:0.*, the greatest on the validation rows; got"):
                decide("precision:0.6", table)


def test_no_row_lies_on_a_threshold_that_was_chosen() -> None:
    below = np.nextafter(1.0, 0)
    found = decide("f1", rows(np.array([below, 1.0]), np.array([0.0, 1.0])))
    assert at(rows(np.array([below, 1.0]), np.array([0.0, 1.0])), found.log_odds) == (1, 0, 0, 1)  # no float lies between
    assert decide("f1", rows(np.array([40.0, 42.0]), np.array([0.0, 1.0]))).log_odds == 41  # where p is 1.0 of both
    found = decide("f1", rows(np.array([-1.0, 3.0]), np.array([0.0, 1.0])))
    perfect = dict.fromkeys(("precision", "recall", "specificity", "f1"), 1.0)
    assert found == Decision(float(probability(np.array(1.0))), 1.0, "f1", "validation", 2, perfect)


def test_every_row_or_none_may_be_predicted_positive() -> None:
    z, y = np.array([2.0, 1.0]), np.array([0.0, 1.0])
    all_positive = decide("recall:1", rows(z, y))
    assert (all_positive.threshold, all_positive.is_constant, all_positive.sentence) == (
        0.0,
        True,
        "every row is predicted positive, threshold 0 (recall:1, chosen on 2 validation rows)",
    )
    none = decide("cost:{false_positive: 9, false_negative: 1}", rows(z, y))
    assert none.threshold == 1
    assert none.sentence.startswith("no row is predicted positive, threshold 1 (cost:")
    for decision, count in ((all_positive, 1), (none, 0)):
        values = measure(np.array([-700.0, 700.0]), y, cut=decision.log_odds)
        assert (values["true_positives"], values["false_positives"]) == (count, count)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.3", 0.3),
        ("1", 1.0),
        ("recall: 0.9", {"least": 0.9}),
        ("cost:{false_negative:10,false_positive:1}", {"false_positive": 1, "false_negative": 10}),
    ],
)
def test_what_is_typed(text: str, expected: object) -> None:
    parsed = parse_threshold(text)
    assert (parsed if isinstance(parsed, float) else parsed[1]) == expected
    assert EvaluationOptions(threshold=f" {text}").threshold == text


@pytest.mark.parametrize(
    "text", ["", "half", "nan", "-0.1", "1.5", "f1:3", "recall", "recall:0", "recall:2", "cost:{false_positive: 1}", "cost:1"]
)
def test_what_is_no_threshold(text: str) -> None:
    with pytest.raises(PipelineError, match=r"threshold must be a number from 0 to 1 or a rule such as f1, .*10}; got "):
        parse_threshold(text)


def test_a_choice_needs_rows_of_both_classes() -> None:
    with pytest.raises(PipelineError, match="no validation rows to choose it on, which evaluation.validation=cv makes; got f1"):
        decide("f1", None)
    for weight in (np.array([0.0, 1.0]), np.zeros(2)):
        with pytest.raises(PipelineError, match="validation rows of both classes must have a weight above 0"):
            decide("f1", rows(np.ones(2), np.array([0.0, 1.0]), weight))


def test_the_table_of_thresholds_has_what_each_would_do() -> None:
    rng = np.random.default_rng(0)
    z, y = 30 * rng.normal(size=3000), np.arange(3000) % 2.0
    columns = CURVES["threshold"].of(z, y)
    assert 200 < len(columns["threshold"]) <= 301
    assert (columns["threshold"][0], columns["threshold"][-1]) == (0, 1)
    assert {0.05, 0.5, 0.95} <= set(columns["threshold"].tolist())
    for i in range(0, len(columns["threshold"]), 10):
        decision = Decision.given(columns["threshold"][i], "")
        values = measure(z, y, cut=decision.log_odds)
        shown = {name: column[i] for name, column in columns.items() if name in values}
        assert shown == pytest.approx({name: values[name] for name in shown})
