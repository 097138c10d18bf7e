"""The report's page: what it says, and that names and odd numbers never break it."""

import base64
import hashlib
import json
import re
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.arrays import Array
from pipeline.config.code import Code
from pipeline.evaluation.comparison import Predictions
from pipeline.evaluation.curves import COURSE
from pipeline.evaluation.figures import DASHES, FIGURES, PALETTE, largest_coefficients
from pipeline.evaluation.intervals import paired_bootstrap
from pipeline.evaluation.metrics import COMPARED_METRICS, METRICS, OBJECTIVE
from pipeline.evaluation.report import charts, lines, tables, threshold
from pipeline.evaluation.report.candidate import Evaluated
from pipeline.evaluation.report.display import fixed, isolated, share, whole
from pipeline.evaluation.report.page import FOLDER, PICTURES, Page, build, render
from pipeline.files import write_csv
from pipeline.learning.coefficients import COLUMNS
from pipeline.model.card import ModelCard
from pipeline.model.columns import Column
from pipeline.model.decision import Decision
from tests.evaluation.candidates import HOSTILE, PASSED, RTL, candidate, coefficient, schema, scored
from tests.evaluation.context import FIT, card

Z, Y = scored(80)


def similar(seed: int) -> Array:
    """Log-odds that are about as good as Z."""
    return Z + 0.2 * np.random.default_rng(seed).standard_normal(len(Z))


def page_of(candidates: dict[str, Evaluated], source: str = "patients.csv", **changes: Any) -> Page:
    return build(candidates, schema(next(iter(candidates.values())).card, **changes), source)


@pytest.fixture(scope="module")
def two() -> Page:
    """Of a good candidate and one that ranks at random."""
    noise = np.random.default_rng(1).standard_normal(len(Z))
    return page_of({"weak": candidate(noise, Y), "good": candidate(Z, Y)})


@pytest.fixture(scope="module")
def html(two: Page) -> str:
    return render(two, charts.bundle())


def without_charts(page: Page) -> str:
    """The HTML of what is read: drawing takes longer."""
    return render(replace(page, charts=[]), "")


def failing(**sentences: str) -> list[dict[str, Any]]:
    """The checks, of which those with a sentence failed."""
    return [
        {**check, "passed": False, "sentence": sentences[check["name"]]} if check["name"] in sentences else check
        for check in PASSED
    ]


def test_the_page_says_what_was_predicted_from_what(two: Page) -> None:
    assert {fact.label: fact.values[0] for fact in two.facts} == {
        "Data set": "patients.csv",
        "Target": "label: 1 is positive, 0 negative",
        "Rows": "60 training, 60 test",
        "Share of positives": "50.0% in training, 33.3% in test",
        "Columns": "2 used",
    }
    assert two.heading == "Predicting label = 1"
    assert two.title == "Predicting label: weak, good"


def test_the_verdict_says_who_is_better_by_how_much_and_how_surely(two: Page) -> None:
    noise = np.random.default_rng(1).standard_normal(len(Z))
    gap = paired_bootstrap(Z, noise, Y)[OBJECTIVE]
    interval = f"{gap.low:.4f} to {gap.high:.4f}"
    assert two.verdict.headline == (
        f"good is surely better than weak (its log loss is lower by {gap.value:.4f}, 95% interval {interval})."
    )
    assert "It is surely better than that." in two.verdict.sentences
    alike = page_of({"a": candidate(Z, Y), "b": candidate(similar(1), Y)}).verdict.headline
    assert alike.startswith("a and b are not surely different (the log loss of a is lower by ")


def test_the_verdict_of_one_and_of_many() -> None:
    alone = page_of({"one": candidate(Z, Y, checks=failing(baseline="no better"))})
    assert alone.verdict.headline == "one is not surely better than the training rate."
    assert not alone.differences
    many = {f"c{i}": candidate(similar(i), Y) for i in range(5)} | {"bad": candidate(-Z, Y)}
    page = page_of(many)
    verdict = page.verdict
    assert [len(table.names) for table in page.fit] == [4, 2]
    assert [name for table in page.all_scores for name, _ in table.groups if name != "baseline"] == list(many)
    assert len([group for table in page.differences for group in table.groups]) == 5
    assert "surely better than bad" in verdict.headline
    assert "not surely different from c" in verdict.headline
    assert any(sentence.startswith("The best of 6 was found on the test rows themselves") for sentence in verdict.sentences)


@pytest.mark.parametrize(
    ("passed", "low", "value", "high", "beats"),
    [
        (True, 0.1, 0.2, 0.3, "surely better"),
        (True, -0.1, 0.1, 0.3, "surely better"),
        (False, -0.1, 0.1, 0.3, "not surely better"),
        (False, -0.3, -0.1, 0.1, "no better"),
        (False, -0.3, -0.2, -0.1, "surely worse"),
        (None, None, None, None, "not known to be better"),
    ],
)
def test_the_verdict_says_how_a_model_compares_with_the_training_rate(
    passed: bool | None, low: float, value: float, high: float, beats: str
) -> None:
    check = {**PASSED[0], "name": "baseline", "passed": passed, "low": low, "value": value, "high": high}
    verdict = page_of({"one": candidate(Z, Y, checks=[check])}).verdict
    assert verdict.headline == f"one is {beats} than the training rate."
    ranks = any("positives surely score above negatives" in sentence for sentence in verdict.sentences)
    assert ranks == (beats == "surely better" and low <= 0), "where the losses alone do not show it"


def test_every_score_is_shown_with_its_interval_and_the_baseline(two: Page) -> None:
    labels = [METRICS[name].label for name in COMPARED_METRICS]
    assert [row.name for row in two.all_scores[0].rows] == labels
    assert [row.name for row in two.differences[0].rows] == labels
    assert two.all_scores[0].groups == [("weak", 3), ("good", 3), ("baseline", 1)]
    assert [row.name for row in two.leaderboard.rows] == ["good", "weak", "training rate"]
    best = two.leaderboard.rows[0].cells[0]
    assert (best.text, best.kind) == (fixed(candidate(Z, Y).test(OBJECTIVE).value), "best")
    assert " to " in best.interval


def test_validation_is_a_column_where_there_is_one() -> None:
    scores = {OBJECTIVE: {"value": 0.4321, "low": 0.4, "high": None}}
    page = page_of({"a": candidate(Z, Y, validation={"scores": scores, "by": "5 folds"})})
    row = next(row for row in page.all_scores[0].rows if row.name == METRICS[OBJECTIVE].label)
    assert dict(zip(page.all_scores[0].columns, row.cells, strict=True))["validation"].text == "0.4321"
    assert next(fact for fact in page.fit[0].rows if fact.label == "validation").values == ["5 folds"]


@pytest.mark.parametrize(("threshold", "accuracy"), [(0.5, fixed(Y.mean())), (0.9, fixed(None))])
def test_the_training_rate_has_a_dash_where_the_candidates_thresholds_differ(threshold: float, accuracy: str) -> None:
    """The share of positives is above one half, and below 0.9."""
    page = page_of({"a": candidate(Z, Y), "b": candidate(Z, Y, decision=Decision.given(threshold, ""))})
    every = {row.name: row.cells[-1].text for row in page.all_scores[0].rows}
    leading = {name: cell.text for name, cell in zip(page.leaderboard.columns, page.leaderboard.rows[-1].cells, strict=False)}
    assert (every["accuracy"], leading["accuracy"]) == (accuracy, accuracy)
    assert every["log loss"] == leading["log loss"] != fixed(None)
    assert ("dash" in page.training_rate_note) == (accuracy == fixed(None))


def test_validation_is_at_another_threshold_than_a_decision_by_a_note() -> None:
    scores = {OBJECTIVE: {"value": 0.4, "low": None, "high": None}}
    decided, validated = {"decision": Decision.given(0.3, "0.3")}, {"validation": {"scores": scores, "by": "5 folds"}}
    pages = [page_of({"a": candidate(Z, Y, **given)}) for given in ({**decided, **validated}, decided, validated)]
    assert [bool(page.validation_note) for page in pages] == [True, False, False]
    assert pages[0].validation_note in without_charts(pages[0])


def test_checks_that_failed_come_first_severe_ones_before_and_what_is_alike_once() -> None:
    one = candidate(Z, Y, checks=failing(baseline="no better", drift="they differ"))
    other = candidate(Z, Y, checks=failing(drift="they differ"))
    page = page_of({"one": one, "other": other})
    assert [check.name for check in page.failed] == ["baseline", "drift"]
    baseline, drift = page.failed
    assert (baseline.severe, [found.candidates for found in baseline.findings], baseline.others) == (True, ["one"], "other")
    assert (drift.severe, [found.candidates for found in drift.findings], drift.others) == (False, [""], "")
    assert page.failed_count == f"2 of {len(PASSED)} checks failed, 1 of them severely, which bars promotion:"
    assert not any(found.advice for check in page.others for found in check.findings), "what passed needs no advice"
    assert page.models[0].limits[-1].startswith("It failed the checks baseline and drift")


def test_a_failure_is_severe_of_the_candidates_whose_own_is() -> None:
    mild, severe = ([{**PASSED[0], "passed": False, "severe": each, "sentence": f"is {each}"}] for each in (False, True))
    page = page_of({"A": candidate(Z, Y, checks=mild), "B": candidate(Z, Y, checks=severe)})
    shown = re.findall(r'<li class="(.*?)">.*?<bdi>(.)</bdi>: (.*?)</li>', without_charts(page))
    assert shown == [("severe", "B", f'is True (<a href="#check-{PASSED[0]["name"]}">1 more</a>)')]
    assert [found.severe for found in page.failed[0].findings] == [True, False]


def test_the_verdict_lists_one_finding_of_a_check_and_counts_the_others() -> None:
    many = {f"c{i}": candidate(Z, Y, checks=failing(drift=f"found {i}")) for i in range(6)}
    html = without_charts(page_of(many)).partition('id="scores"')[0]
    assert re.findall(r"found \d", html) == ["found 0"]
    assert '(<a href="#check-drift">5 more</a>)</li>' in html


def test_a_check_that_did_not_apply_to_a_candidate_has_found_nothing_out_about_it() -> None:
    unknown = [{**entry, "passed": None} for entry in PASSED]
    page = page_of({"one": candidate(Z, Y, checks=failing(drift="they differ")), "other": candidate(Z, Y, checks=unknown)})
    assert [check.others for check in page.failed] == [""]


def test_only_a_linear_model_adds_up_effects() -> None:
    linear, other = (page_of({"a": of}).models[0].limits for of in (candidate(Z, Y), candidate(Z, Y, coefficients=())))
    assert [limit for limit in linear if limit not in other] == [linear[1]]


def test_a_threshold_moves_the_counts_and_starts_at_the_decision() -> None:
    given = Decision.given(0.3, "0.3")
    of = candidate(Z, Y, decision=given)
    moved = threshold.thresholds([of, candidate(-Z, Y)])
    first = moved["candidates"][0]
    assert moved["threshold"][first["start"]] == "0.3"
    assert first["tp"][first["start"]] == of.metrics["true_positives"]
    assert first["fp"][first["start"]] == of.metrics["false_positives"]
    half = moved["threshold"].index("0.5")
    assert moved["candidates"][1]["start"] == half
    assert first["tp"][half] == ((Z > 0) & (Y == 1)).sum()
    assert (first["positives"], first["negatives"]) == (Y.sum(), (1 - Y).sum())
    assert (first["tp"][0], first["tp"][-1]) == (Y.sum(), 0)


def test_many_rows_are_counted_to_the_last_one() -> None:
    z, y = np.zeros(300_001), np.zeros(300_001)
    y[:123_457] = 1
    of = replace(candidate(Z, Y), predictions=Predictions(z, y))
    assert threshold.thresholds([of])["candidates"][0]["tp"][0] == 123_457


def test_curves_are_thinned_to_points_of_the_curve_itself() -> None:
    z, y = scored(20_000)
    of = candidate(z, y)
    line = charts.charts([of] * 5)[0].lines[0]
    assert len(line["x"]) <= charts.MAX_ALL_POINTS / 5
    (many, *_) = charts.charts([of] * 60)
    assert 2 <= len(many.lines[0]["x"]) <= charts.MAX_ALL_POINTS / 60
    curve = of.curves["roc"]
    points = {*zip(curve["false_positive_rate"], curve["true_positive_rate"], curve["threshold"], strict=True)}
    assert {*zip(line["x"], line["y"], line["t"], strict=True)} <= points
    assert (line["x"][0], line["y"][0], line["x"][-1], line["y"][-1]) == (0, 0, 1, 1)
    area = np.trapezoid(line["y"], line["x"])
    assert area == pytest.approx(of.metrics["roc_auc"], abs=0.002)


@pytest.mark.slow  # altair is imported
def test_the_specifications_are_of_the_schema() -> None:
    import altair

    course = dict.fromkeys(COURSE, np.array([0.0, 1.0]))
    for chart in charts.charts([candidate(Z, Y, course=course)]):
        altair.Chart.from_dict({key: value for key, value in chart.spec.items() if key != "background"})


def test_each_candidate_looks_different() -> None:
    """In colour and, where colours begin anew, in dashes; the static picture has both."""
    looks = [(i % len(PALETTE), i % len(DASHES)) for i in range(10)]
    assert len({*looks}) == 10
    assert all(f"--c{colour}:" in charts.palette_css() for colour, _ in looks)
    svg = charts.charts([candidate(Z, Y)] * 2)[0].svg()
    assert "var(--c1)" in svg
    assert 'stroke-dasharray="6,2"' in svg


def test_the_largest_coefficients_come_first_and_the_others_are_reached(tmp_path: Path) -> None:
    sure = {"per_deviation_low": "-9.5", "per_deviation_high": "-8.5", "p": "0.00123", "against": "cook"}
    numbers = (coefficient(f"x{i}", 0.1 * i) for i in range(1, 25))
    rows = [coefficient("(intercept)", 0.1), *numbers, coefficient("job\r=,\n<b>", -9, **sure)]
    write_csv(tmp_path / "coefficients.csv", {name: [row[name] for row in rows] for name in COLUMNS})
    content = (tmp_path / "coefficients.csv").read_bytes()
    fit = replace(FIT, inference={"method": "HC1", "sentence": "standard errors by HC1"})
    of = card(fit=fit, features=[row["feature"] for row in rows[1:]] + ["x25"])
    found = tables.coefficient_table("t", "one", candidate(Z, Y, of, coefficients=largest_coefficients(content, 2000)))
    assert [row[0] for row in found.rows] == ["(intercept)", "job\r=,\n<b> against cook", *(f"x{i}" for i in range(24, 0, -1))]
    assert found.rows[1][1:4] == [fixed(-9, 3), "0 26 53", f"{fixed(-9.5, 3)} to {fixed(-8.5, 3)}"]
    assert found.rows[1][-1] == "0.0012"
    assert found.note == "Standard errors by HC1. 1 smaller ones are in coefficients.csv."
    assert (len(found.shown), len(found.rest)) == (tables.SHOWN, 6)


def test_columns_of_which_nothing_is_known_are_left_out() -> None:
    """Where the classes can be separated, coefficients have no intervals and no p-values."""
    headings = [heading.text for heading in tables.coefficient_table("t", "one", candidate(Z, Y)).headings]
    assert headings == ["feature", "log-odds per standard deviation", "effect", "odds ratio per unit"]


def test_the_columns_are_shown_as_they_were_recognised() -> None:
    columns = [
        Column("age", "number", "integer", 6, 50, "30"),
        Column("id", "identifier", "integer", 0, 120, "1", "names rows"),
    ]
    page = page_of({"a": candidate(Z, Y)}, columns=columns)
    assert page.columns
    assert [list(row) for row in page.columns.rows] == [
        ["age", "number", "6 (5.0%)", "50", "30", "0"],
        ["id", "not used, identifier: names rows", "0", "120", "1", fixed(None)],
    ]
    assert page.columns.note == ""


def test_the_columns_that_are_no_features_are_named() -> None:
    columns = [Column("ward", "category", "text", 0, 3, "A")]  # which data.keep made a feature
    source = {"target": "y", "group": "ward", "weight": "w", "time": None, "drop": ["a", "b"]}
    found = tables.column_table(schema(card(), columns=columns, source=source), None)
    assert found
    assert found.note == "Beside these the file has y (data.target), w (data.weight), a (data.drop), b (data.drop)."


def test_the_loss_in_validation_is_drawn_of_the_candidates_that_have_it() -> None:
    course = {"epoch": np.array([0.0, 9.0]), "training": np.array([0.7, 0.3]), "validation": np.array([0.71, 0.4])}
    plain = candidate(Z, Y)
    drawn = {chart.name: chart for chart in charts.charts([plain, replace(plain, course=course)])}
    without, line = (dict(each) for each in drawn["validation"].lines)
    assert all(len(values) == 0 for values in without.values())
    assert [line["y"][line["part"] == part].tolist() for part in (0, 1)] == [[0.7, 0.3], [0.71, 0.4]]
    assert "opacity" in drawn["validation"].svg()
    assert "validation" not in {chart.name for chart in charts.charts([plain])}


def test_epochs_that_differ_much_are_drawn_by_their_logarithm() -> None:
    few, many = (
        candidate(Z, Y, card(fit=replace(FIT, epochs=epochs)), history={"epoch": np.arange(3.0), "loss": np.ones(3)})
        for epochs in (7, 5000)
    )
    near, far = (charts.charts(of)[5].spec["layer"][0]["encoding"]["x"] for of in ([few, few], [few, many]))
    assert ("type" in near["scale"], far["scale"]["type"], far["axis"]["values"]) == (False, "symlog", [0, 10, 100, 1000])


def test_a_loss_in_validation_that_is_not_known_is_no_point() -> None:
    course = {"epoch": np.array([0.0, 9.0]), "training": np.full(2, np.nan), "validation": np.array([0.71, 0.4])}
    line = lines.course(candidate(Z, Y, course=course))
    assert [line[name].tolist() for name in ("x", "y", "part")] == [[0.0, 9.0], [0.71, 0.4], [1.0, 1.0]]


def test_two_thousand_columns_are_a_page_of_a_few_rows() -> None:
    columns = [Column(f"gene_{i}", "number", "number", 0, 50, "0.5") for i in range(5000)]
    rows = [coefficient("(intercept)", 0.0), *(coefficient(f"gene_{i}", 5 - 0.001 * i) for i in range(1999))]
    of = card(features=[f"gene_{i}" for i in range(5000)])
    page = page_of({"a": candidate(Z, Y, of, coefficients=rows)}, columns=columns)
    assert page.columns
    for table in (page.columns, *page.coefficients):
        assert (len(table.shown), len(page.data["tables"][table.id])) == (tables.SHOWN, tables.MAX_ROWS - tables.SHOWN)
    assert page.coefficients[0].note.endswith("3,001 smaller ones are in coefficients.csv.")
    assert page.columns.note == "3,000 more are in schema.json."
    assert len(charts.to_json(page.data)) < 300_000


def hostile(of: ModelCard) -> dict[str, Evaluated]:
    rows = [coefficient(name, 1.0) for name in (HOSTILE, RTL, "a" * 300)]
    odd = candidate(Z, Y, of, checks=failing(baseline=HOSTILE, drift=RTL), coefficients=rows * 10)
    return {HOSTILE: odd, RTL: odd, "n" * 300: odd}


def test_whatever_a_name_holds_is_text() -> None:
    of = card(
        target=HOSTILE,
        classes=[RTL, HOSTILE],
        features=[HOSTILE, RTL],
        config={
            "data": {"name": "table", "path": HOSTILE, "target": HOSTILE},
            "model": {"name": HOSTILE},
            HOSTILE: {RTL: HOSTILE},
        },
        fit=replace(FIT, optimizer=HOSTILE, stopped_by=HOSTILE),
        fingerprint=HOSTILE,
    )
    columns = [Column(name, "category", "text", 0, 2, HOSTILE, HOSTILE) for name in (HOSTILE, RTL) * 15]
    html = render(page_of(hostile(of), HOSTILE, columns=columns), charts.bundle())
    assert html.count("<script") == 3
    assert html.count("</script>") == 3
    assert "<img" not in html.partition("<script>")[0]
    data = json.loads(re.findall(r'id="report-data">(.*?)</script>', html)[0])
    assert data["names"] == [HOSTILE, RTL, "n" * 300]


@pytest.mark.parametrize(("z", "y"), [([1.0, -1.0], [1.0, 0.0]), ([0.0, 0.0], [1.0, 0.0]), ([700.0, 700.0], [1.0, 0.0])])
def test_a_curve_of_one_point_and_numbers_that_are_none(z: list[float], y: list[float]) -> None:
    """Two rows, of which nothing is sure, and of equal scores: slopes are undefined, intervals have no ends."""
    of = candidate(np.array(z), np.array(y), history={"epoch": np.array([]), "loss": np.array([])}, coefficients=())
    page = page_of({"a": of, "b": of})
    tables = page.leaderboard, *page.all_scores
    shown = [cell.text + cell.interval for table in tables for row in table.rows for cell in row.cells]
    assert not any(re.search("nan|inf|None", text) for text in [*shown, page.verdict.headline, *page.verdict.sentences])
    assert "not surely different" in page.verdict.headline or "not known to differ" in page.verdict.headline
    assert not page.coefficients
    json.loads(charts.to_json(page.data))


@pytest.mark.parametrize("z", [0.1, -40.0, 40.0])
def test_scores_that_differ_by_rounding_are_drawn_as_one(z: float) -> None:
    edges = lines.edges([candidate(z + np.array([0.0, 1e-12]), np.array([0.0, 1.0]))])
    assert edges[0] >= 0
    assert edges[-1] <= 1
    assert edges[-1] - edges[0] == pytest.approx(lines.MIN_SPAN)


def test_weighted_rows_are_counted_by_their_weights() -> None:
    plain = candidate(Z, Y)
    weight = np.full(len(Z), 2.5)
    predictions = replace(plain.predictions, weight=weight)
    of = replace(plain, predictions=predictions)
    assert threshold.thresholds([of])["candidates"][0]["positives"] == 2.5 * Y.sum()
    assert any("weights" in limit for limit in page_of({"a": of}).models[0].limits)


def test_pictures_are_those_that_the_document_draws_of_the_best() -> None:
    assert {*PICTURES} < {*FIGURES}
    made = BytesIO()
    Image.linear_gradient("L").save(made, "png")
    images = dict.fromkeys(PICTURES, made.getvalue())
    page = page_of({"a": candidate(Z, Y, pictures={"data": b"no picture"}), "b": candidate(2 * Z, Y, pictures=images)})
    best = next(iter(page.verdict.headline.split()))
    assert [picture.alt for picture in page.pictures] == [f"Training data of {best}", f"Decision boundary of {best}"]
    shown = Image.open(BytesIO(base64.b64decode(page.pictures[1].png)))
    assert shown.convert("L").tobytes() == Image.linear_gradient("L").tobytes()
    assert not page_of({"a": candidate(Z, Y)}).pictures, "of a table of other than two features"


def test_the_card_says_how_to_make_it_again(two: Page) -> None:
    model = two.models[0]
    assert [fact.values[0] for fact in model.commands] == [
        "python -m pipeline.runs reproduce 0123456789ab",
        "python -m pipeline.stages.predict 0123456789ab NEW.csv --out answers.csv",
    ]
    assert {fact.label: fact.values[0] for fact in model.hashes} == {
        "fingerprint": "0123456789abcdef",
        "training table (SHA-256)": "a",
        "test table (SHA-256)": "b",
        "weights (SHA-256)": "5eed",
    }
    assert "from x1, x2: the probability of 1" in model.intended_use


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({}, "It was tested on rows drawn from the same source as the training rows"),
        ({"time": "day"}, "It was tested on the latest rows by day"),
        ({"group": "ward"}, "It was tested on rows of other groups (by ward) than those in training"),
        ({"test_path": "new.csv"}, "It was tested on the rows of a file of their own"),
    ],
)
def test_the_limits_say_on_what_rows_it_was_tested(data: dict[str, str], sentence: str) -> None:
    of = card(config={"data": {"name": "table", **data}, "model": {"name": "numpy"}})
    assert page_of({"a": candidate(Z, Y, of)}).models[0].limits[0].startswith(sentence)


def test_configurations_that_differ_come_first() -> None:
    weak = card(config={"data": {"name": "document"}, "model": {"name": "numpy", "l2": 0.1}, "extra": {"key": [1, 2]}})
    chosen = card(fit=replace(FIT, penalty={"asked": "cv", "l2": 0.012345, "validation": {"folds": 5}}))
    page = page_of({"weak": candidate(Z, Y, weak), "third": candidate(Z, Y, chosen)})
    assert next(fact for fact in page.fit[0].rows if fact.label == "penalty l2").values == ["0.1", "0.0123 (by cv, in 5 folds)"]
    keys = [fact.label for fact in page.configuration[0].rows]
    assert keys.index("data.name") > keys.index("model.l2")
    assert next(fact for fact in page.configuration[0].rows if fact.label == "extra.key").values == ["[1, 2]", fixed(None)]


def test_whether_the_classes_can_be_separated_is_what_the_check_says() -> None:
    """Not that they overlap: with a penalty a fit has not looked."""
    found = "the classes can be separated by x1, so only the penalty keeps the weights finite"
    page = page_of({"a": candidate(Z, Y, checks=failing(separation=found)), "b": candidate(Z, Y, checks=[])})
    assert next(fact for fact in page.fit[0].rows if fact.label == "separation").values == [found, fixed(None)]


def test_one_file_with_nothing_outside_it_and_equal_bytes(two: Page, html: str) -> None:
    assert html == render(two, charts.bundle())
    assert html.startswith("<!doctype html>\n")
    assert html.endswith("</html>\n")
    outside = html.replace(charts.bundle(), "")
    addresses = {*re.findall(r"https?://[^\"'\s<)]+", outside)}
    assert addresses <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
        "https://vega.github.io/schema/vega-lite/v6.json",
    }
    assert not re.search(r"<(?:link|iframe|object|base)|@import|url\((?!#)", outside)
    assert len(html) < 1_200_000


def test_the_policy_allows_the_pages_own_scripts_alone(html: str) -> None:
    policy = re.findall(r'Content-Security-Policy" content="(.*?)"', html)[0].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    for content in re.findall(r"<(?:script|style)>(.*?)</(?:script|style)>", html, re.DOTALL):
        assert base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() in policy
    assert not re.search(r'<[^>]* style="', html.partition("<script")[0])


@pytest.mark.parametrize("name", ["page.css", "page.js", "page.html.j2"])
def test_the_assets_are_in_the_hash_of_the_stage(tmp_path: Path, name: str) -> None:
    """A changed style sheet runs the report again: all that is beside page.py is part of that module."""
    folder = tmp_path / "pipeline" / "evaluation" / "report"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    module = "pipeline.evaluation.report.page"
    before = Code(tmp_path).hash_of([module])
    with (folder / name).open("a") as file:
        file.write(" ")
    assert Code(tmp_path).hash_of([module]) != before
    assert module in Code().reached("pipeline.stages.report")


def test_numbers_and_names_as_they_are_shown() -> None:
    assert [fixed(value) for value in (None, float("nan"), -0.5, 1e9)] == ["\u2013", "\u2013", "\u22120.5000", "1e+09"]
    assert [fixed(value, sign="+") for value in (0.00001, -0.00001, 0.5)] == ["0.0000", "0.0000", "+0.5000"]
    assert (share(0.0001), share(0.5), whole(1234.0), whole(2.5)) == ("<0.1%", "50.0%", "1,234", "2.50")
    assert isolated("a\nb") == "a b"
    assert isolated(RTL) == f"\u2068{RTL}\u2069"
