"""A metric, a curve and a figure are added in one place each, and reach all that shows them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from pipeline.files import ROOT
from tests.conftest import environment
from tests.forked import ForkServer

pytestmark = pytest.mark.slow

METRIC = 'Metric("half_hits", "half <hits>", True, lambda sample: accuracy(sample) / 2, in_summary=True),'
FIGURE = 'Figure("history", "History & more", loss, lambda context: len(context.history["loss"]) > 1),'
CURVE = 'Curve("scores", ("z", "y"), lambda z, y, weight: (z, y)),'
PROMOTE = "pipeline.runs promote --help"
DIFFERENCES = """
import pipeline.stages, numpy as np
from pipeline.evaluation.intervals import paired_bootstrap
found = paired_bootstrap(np.array([1.0, -1, 1, -1]), np.array([1.0, -1, -1, 1]), np.array([1, 0, 1, 0]), resamples=9)
assert list(found)[0] == "half_hits" and found["half_hits"].value == found["accuracy"].value / 2 == -0.25
"""


def run(fork_server: ForkServer, command: str, folder: Path) -> str:
    (done,) = fork_server.run([command.split()], folder, environment())
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer) -> Path:
    """A sweep of two jobs in a copy with one line more in each list."""
    folder = tmp_path_factory.mktemp("changed")
    for name in ("pipeline", "conf"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for module, start, entry in (
        ("metrics", "METRICS", METRIC),
        ("figures/__init__", "FIGURES", FIGURE),
        ("curves", "CURVES", CURVE),
    ):
        path = folder / "pipeline" / "evaluation" / f"{module}.py"
        head, tail = path.read_text().split(f"\n{start} = {{", 1)
        begun, rest = tail.split(" in (\n", 1)
        path.write_text(f"{head}\n{start} = {{{begun} in (\n        {entry}\n{rest}")
    command = "pipeline -m tracking=none hydra.sweep.dir=out/s data.rows=60 data.test_rows=40 optimizer.lr=0.1,0.2"
    (folder / "stdout").write_text(run(fork_server, command, folder))
    return folder


def test_a_metric_reaches_the_files_the_terminal_the_sweep_and_the_comparisons(changed: Path, fork_server: ForkServer) -> None:
    (job,) = (path.parent for path in changed.glob("out/s/0/**/metrics.json"))
    metrics = json.loads((job / "metrics.json").read_text())
    assert next(iter(metrics)) == "half_hits"
    assert metrics["half_hits"] == metrics["accuracy"] / 2
    stdout = (changed / "stdout").read_text()
    interval = json.loads((job / "intervals.json").read_text())["test"]["half_hits"]
    ends = f"{interval['low']:.4f} to {interval['high']:.4f}"
    assert f"\nhalf <hits>  {metrics['half_hits']:.4f} ({ends})  " in stdout
    assert "\njob  optimizer.lr  ending    half_hits  accuracy  roc_auc  log_loss  brier\n" in stdout
    assert pd.read_csv(changed / "out/s/comparison.csv")["half_hits"][0] == metrics["half_hits"]
    report = changed / "out/s/0/report"
    assert pd.read_csv(report / "comparison.csv")["half_hits"].tolist() == [metrics["half_hits"]]
    row = '<tr><th scope="row"><bdi>half &lt;hits&gt;</bdi></th>'
    page = (report / "index.html").read_text()
    assert f'{row}<td>{metrics["half_hits"]:.4f}</td><td class="ends">{ends}</td>' in page
    assert '<th scope="col">half &lt;hits&gt;</th>' in page, "it is in the summary"
    assert "one of half_hits, accuracy, balanced_accuracy," in " ".join(run(fork_server, PROMOTE, changed).split())
    subprocess.run([sys.executable, "-c", DIFFERENCES], cwd=changed, env=environment(), check=True)


def test_a_figure_and_a_curve_reach_the_files(changed: Path) -> None:
    (job,) = (path.parent for path in changed.glob("out/s/0/**/metrics.json"))
    assert (job / "figures/history.png").read_bytes() == (job / "figures/loss.png").read_bytes()
    assert pd.read_csv(job / "curves.scores.csv").shape == (40, 2)
