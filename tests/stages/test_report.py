"""The report stage: a page and a table of several models, from their files."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Page

from pipeline.evaluation.figures import FIGURES
from pipeline.evaluation.metrics import METRICS
from pipeline.files import read_json
from pipeline.manifest import read_manifest
from pipeline.stages.report import report
from tests.chain import NOWHERE, made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two models, with a name that means something in HTML."""
    root = made(tmp_path, until="plot")
    shutil.copytree(root / "models" / "numpy", root / "models" / "<b>&")
    return root


def test_models_side_by_side(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["numpy", "<b>&"]
    report(root, names, NOWHERE)
    page = (root / "report/index.html").read_text()
    assert "numpy and &lt;b&gt;&amp;" in page
    assert "<b>" not in page
    assert page.count('src="data:image/png;base64,') == 2 * len(FIGURES)
    table = pd.read_csv(root / "report/comparison.csv")
    assert list(table) == ["model", *METRICS]
    assert table["model"].tolist() == names
    assert table["log_loss"].tolist() == [read_json(root / "models/numpy/metrics.json")["log_loss"]] * 2
    manifest = read_manifest(root / "report/report.json", dict)
    assert list(manifest.content["models"]) == names
    figures = {f"figures/{name}.{kind}" for name, each in FIGURES.items() if each.compares for kind in ("png", "svg")}
    assert set(manifest.files) == {"index.html", "comparison.csv", *figures}
    assert capsys.readouterr().out.endswith(f"numpy, <b>& -> {root}/report/index.html\n")
    before = page
    report(root, names, NOWHERE)
    assert (root / "report/index.html").read_text() == before


def test_a_model_that_is_named_twice_is_shown_once(root: Path) -> None:
    (root / "report/figures").mkdir(parents=True)  # of several
    report(root, ["numpy", "numpy"], NOWHERE)
    assert not (root / "report/figures").exists()
    assert pd.read_csv(root / "report/comparison.csv")["model"].tolist() == ["numpy"]
    assert (root / "report/index.html").read_text().count('src="data:image/png;base64,') == len(FIGURES)


@pytest.mark.slow
def test_in_a_browser_all_is_drawn_and_nothing_is_requested(root: Path, page: Page) -> None:
    report(root, ["numpy", "<b>&"], NOWHERE)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto((root / "report/index.html").as_uri())
    assert [url for url in requests if not url.startswith("data:")] == [(root / "report/index.html").as_uri()]
    assert page.title() == "Predicting label: numpy and <b>&"
    assert page.locator("figcaption", has_text="<b>&").count() == len(FIGURES)
    widths = page.eval_on_selector_all("img", "images => images.map(image => image.complete && image.naturalWidth)")
    assert len(widths) == 2 * len(FIGURES)
    assert all(widths)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
