"""The report stage: a page and a table of several models, from their files."""

import json
import re
import shutil
from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation.figures import FIGURES
from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.report import charts
from pipeline.files import read_json
from pipeline.manifest import read_manifest, write_manifest
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
    assert "<title>Predicting label: numpy, &lt;b&gt;&amp;</title>" in page
    assert "<b>&" not in page
    assert page.count('src="data:image/png;base64,') == 2, "the data and the loss, which are alike, once each"
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
    (data,) = re.findall(r'id="report-data">(.*?)</script>', (root / "report/index.html").read_text())
    assert json.loads(data)["names"] == ["numpy"]


def test_models_of_other_data_are_not_compared(root: Path) -> None:
    """The data's description, from which the page has rows and columns, must be that of every model."""
    path = root / "data" / "schema.json"
    content = json.loads(path.read_text())
    content["digest"]["test"] = "0" * 64
    described = {key: value for key, value in content.items() if key not in ("files", "checksum", "stage")}
    write_manifest(path, "generate", described, content["files"])
    with pytest.raises(PipelineError, match="must be what .* was trained on; train again"):
        report(root, ["numpy"], NOWHERE)


def test_the_script_is_bundled_once_and_a_damaged_copy_is_not_used(
    root: Path, project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def page() -> str:
        report(root, ["numpy"], NOWHERE)
        return (root / "report/index.html").read_text()

    bundled = Mock(wraps=charts.bundle)
    monkeypatch.setattr(charts, "bundle", bundled)
    path = project_root / "out" / "charts.js"
    path.unlink(missing_ok=True)
    first = page()
    assert page() == first
    assert bundled.call_count == 1
    path.write_bytes(path.read_bytes()[:-1])
    assert page() == first
    assert bundled.call_count == 2
