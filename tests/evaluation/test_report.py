"""The report: self-contained, escaped, the best marked."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.evaluation.checks import CHECKS
from pipeline.evaluation.figures import FIGURES
from pipeline.evaluation.metrics import COMPARED_METRICS, METRICS
from pipeline.evaluation.report import Evaluated, largest_coefficients, render
from pipeline.files import nan_as_none, write_csv
from pipeline.learning.coefficients import COLUMNS
from pipeline.model.card import ModelCard
from pipeline.model.decision import Decision
from tests.evaluation.context import FIT, card, coefficient, context

IMAGES = {"loss": b"loss", "roc": b"roc"}
FINE = {"passed": True, "sentence": "fine", "advice": "none"}
PASSED = [{"name": name, "looks_at": each.looks_at, "severe": each.severe, **FINE} for name, each in CHECKS.items()]
HOSTILE = "<script>alert('1')</script> & \"quotes\""


def candidate(of: ModelCard, images: dict[str, bytes] = IMAGES, **metrics: float | None) -> Evaluated:
    """With intervals of 0.1 to either side, 0.25 on the training table and 0.75 as the baseline's."""
    values = {**nan_as_none(context().metrics), **metrics}
    test = {
        name: {"value": value, "low": value and value - 0.1, "high": value and value + 0.1} for name, value in values.items()
    }
    numbers = {"test": test, "training": dict.fromkeys(values, 0.25), "baseline": dict.fromkeys(values, 0.75)}
    return Evaluated(of, Decision(), context().metrics, numbers, images, PASSED)


def rows_of(page: str, label: str) -> list[str]:
    """The cells of the row with this label, whose best is marked with a star."""
    (row,) = re.findall(rf"<tr><td>{re.escape(label)}</td>(.*)</tr>", page)
    return [("*" if best else "") + value for best, value in re.findall(r'<td( class="best")?>(.*?)</td>', row)]


def ends(low: str, high: str) -> str:
    return f" <small>{low} to {high}</small>"


def on_test_table(page: str, label: str) -> list[str]:
    """Of a score's row, what is of the test table."""
    return rows_of(page, label)[:-1:2]


def test_candidates_stand_side_by_side_with_the_best_marked() -> None:
    weak = replace(card(), config={"model": {"name": "numpy", "l2": 0.1}, "extra": {"key": [1, 2]}})
    chosen = replace(FIT, penalty={"asked": "cv", "l2": 0.012345})
    page = render(
        {
            "strong": candidate(card(), roc_auc=0.9, log_loss=0.30001),
            "weak": candidate(weak, roc_auc=0.8, log_loss=0.3, brier=0.5),
            "third": candidate(replace(card(), fit=chosen), roc_auc=0.9, log_loss=0.30002, calibration_slope=None),
        },
        "document",
    )
    best = f"*0.9000{ends('0.8000', '1.0000')}"
    assert on_test_table(page, "ROC AUC") == [best, f"0.8000{ends('0.7000', '0.9000')}", best]
    assert rows_of(page, "ROC AUC")[1::2] == ["0.2500"] * 3
    assert rows_of(page, "ROC AUC")[-1] == "0.7500"
    assert on_test_table(page, "log loss") == [f"0.3000{ends('0.2000', '0.4000')}"] * 3  # equal in what is shown
    assert on_test_table(page, "calibration slope")[2] == "none"
    assert rows_of(page, "training loss") == ["0.5000"] * 3
    assert rows_of(page, "penalty, l2") == ["", "0.1", "0.0123 (cv)"]
    assert rows_of(page, "model.l2") == ["", "0.1", ""]
    assert rows_of(page, "extra.key") == ["", "[1, 2]", ""]
    assert rows_of(page, "optimizer.lr") == ["0.1", "", "0.1"]
    assert "<h1>Predicting label: strong and weak and third</h1>" in page
    assert "document, 2 features, 60 training and 60 test rows" in page


def test_every_score_is_shown_and_no_count() -> None:
    page = render({"one": candidate(card())}, "document")
    labels = re.findall(r"<tr><td>(.*?)</td>", page.partition("<h2>Scores</h2>")[2].partition("<h2>")[0])
    assert labels == [METRICS[name].label for name in COMPARED_METRICS]
    assert 'class="best"' not in page.partition("</style>")[2]  # of one


def test_the_figures_that_are_there_are_shown_in_their_order() -> None:
    page = render({"a": candidate(card()), "b": candidate(card(), {**IMAGES, "coefficients": b"coefficients"})}, "document")
    assert re.findall('alt="(.*?)"', page) == [
        *("Training loss of a", "Training loss of b", "ROC of a", "ROC of b"),
        "Coefficients of b",
    ]
    assert page.count('src="data:image/png;base64,') == 5
    assert "Calibration" not in page
    assert {"loss", "roc", "coefficients"} < set(FIGURES)


def test_the_largest_coefficients_are_shown_and_how_many_more_there_are(tmp_path: Path) -> None:
    sure = {"per_unit_low": "0.51", "per_unit_high": "2.5", "p": "0.00123", "against": "cook"}
    numbers = (coefficient(f"x{i}", 0.1 * i) for i in range(1, 25))
    rows = [coefficient("(intercept)", 0.1), *numbers, coefficient("job\r=,\n<b>", -9, **sure)]
    write_csv(tmp_path / "coefficients.csv", {name: [row[name] for row in rows] for name in COLUMNS})
    content = (tmp_path / "coefficients.csv").read_bytes()
    fit = replace(FIT, inference={"method": "HC1", "sentence": "standard errors by HC1"})
    shown = replace(
        candidate(card(fit=fit, features=[row["feature"] for row in rows[1:]])), coefficients=largest_coefficients(content)
    )
    page = render({"one": shown, "circle": candidate(card())}, "document")
    assert re.findall("<h2>(Coefficients.*?)</h2>", page) == ["Coefficients of one"]
    part = page.partition("<h2>Coefficients of one</h2>")[2].partition("<h2>")[0]
    names = re.findall("<tr><td>(.*?)</td>", part, re.DOTALL)
    assert names == ["(intercept)", "job\r=,\n&lt;b&gt; against cook", *(f"x{i}" for i in range(24, 5, -1))]
    assert "<td>-9 (0.51 to 2.5)</td>" in part
    assert "<td>0.0012</td>" in part
    assert "standard errors by HC1; 5 more are in coefficients.csv" in part


def test_whatever_a_name_holds_is_text() -> None:
    hostile = card(target=HOSTILE, classes=[HOSTILE, 1], features=[HOSTILE, "b"], config={HOSTILE: {HOSTILE: HOSTILE}})
    hostile = replace(hostile, fit=replace(FIT, optimizer=HOSTILE, stopped_by=HOSTILE), fingerprint=HOSTILE)
    page = render({HOSTILE: candidate(hostile)}, HOSTILE)
    assert "<script" not in page
    assert 'alt="Training loss of &lt;script&gt;' in page
    assert page.count("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &#34;quotes&#34;") >= 8


@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
def test_one_file_with_nothing_outside_it_and_equal_bytes(names: list[str]) -> None:
    candidates = {name: candidate(card()) for name in names}
    page = render(candidates, "document")
    assert page == render(dict(candidates), "document")
    assert page.startswith("<!doctype html>\n")
    assert page.endswith("</html>\n")
    assert not re.search(r"<(?:link|script|iframe|object)|https?:|@import|url\(", page)
    assert all(source.startswith("data:image/png;base64,") for source in re.findall('src="(.*?)"', page))


def test_failed_checks_stand_first_and_those_that_bar_promotion_before_the_others() -> None:
    changes = {"drift": {"sentence": HOSTILE}, "baseline": {"sentence": "no better"}}
    failed = [{**check, "passed": False, **changes[name]} if (name := check["name"]) in changes else check for check in PASSED]
    one, other = candidate(card()), replace(candidate(card()), checks=failed)
    page = render({"one": one, "other": other}, "document")
    first, second, third, *_ = re.findall(r"<tr>.*</tr>", page.partition("<h2>Checks</h2>")[2].partition("</thead>")[2])
    assert first.startswith("<tr><td>the log loss of the test rows beside the training rate")
    assert "</td><td>passed: fine</td><td class=" in first
    assert "<strong>failed, bars promotion</strong>: no better. none</td>" in first
    assert "<strong>failed</strong>: &lt;script&gt;" in second
    assert "failed" not in third
