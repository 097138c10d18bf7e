"""`make ui` in a real browser: both runs, compared, with their loss curves and the parameter that differs."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.conftest import environment

SCREENSHOTS = Path(os.environ.get("SCREENSHOTS", "out/screenshots")).resolve()
SETTLED = 1500  # milliseconds in which a page ends its animations
# The curves of the plot on the page as [run name, losses], once there are two of them.
DRAWN = """() => {
    const plot = document.querySelector(".js-plotly-plot")
    const curves = new Map((plot?.data ?? []).map(trace => [trace.name, [...(trace.y ?? [])]]))
    return curves.size == 2 && [...curves].every(([, y]) => y.length) && [...curves]
}"""


@pytest.fixture
def address(reproduced_repo: Path) -> Iterator[str]:
    """MLflow's UI over the default DAG's runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["make", "--no-print-directory", "--old-file=.venv/installed", "ui", f"PORT={port}"]
    with subprocess.Popen(
        command,
        cwd=reproduced_repo,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as server:
        assert server.stdout
        lines = iter(server.stdout.readline, "")
        yield next(line.split()[0] for line in lines if line.startswith("http://"))
        os.killpg(server.pid, signal.SIGINT)


@pytest.mark.slow
def test_compare_the_two_runs(address: str, page: Page) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    names = ("numpy gd document", "torch gd document")
    page.goto(f"{address}/#/experiments/1/runs")
    for name in names:
        page.get_by_text(name).first.wait_for()
    page.get_by_label("Close", exact=True).click()  # the assistant's panel
    page.wait_for_timeout(SETTLED)
    page.screenshot(path=SCREENSHOTS / "runs.png")

    rows = page.get_by_label("Press Space to toggle row selection (unchecked)")
    while rows.count():
        rows.first.check(force=True)
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_text("Comparing 2 Runs").wait_for()
    row = page.locator("tr", has_text="model.dtype")
    assert "float32" in row.inner_text()
    assert "float64" in row.inner_text()
    page.wait_for_timeout(SETTLED)
    page.screenshot(path=SCREENSHOTS / "compare.png", full_page=True)

    page.get_by_role("link", name="loss", exact=True).click()
    page.wait_for_function(DRAWN)
    curves = page.evaluate(DRAWN)
    for name, first, last in zip(names, (0.6931, 0.6921), (0.3013, 0.2977), strict=True):
        curve = next(losses for label, losses in curves if label.startswith(name))
        assert len(curve) == 11  # the document's ten and the end
        assert (round(curve[0], 4), round(curve[9], 4)) == (first, last)
    page.wait_for_timeout(SETTLED)
    page.screenshot(path=SCREENSHOTS / "loss.png")
