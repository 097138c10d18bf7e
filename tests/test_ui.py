"""`make ui` in a real browser: it opens on scores, in groups; two runs compared, with their curves and what differs."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.conftest import copy_with_store, environment

SCREENSHOTS = Path(os.environ.get("SCREENSHOTS", "out/screenshots")).resolve()
SETTLED = 800  # milliseconds in which a page ends its animations
# The curves of the plot on the page as [run name, losses], once there are two of them.
DRAWN = """() => {
    const plot = document.querySelector(".js-plotly-plot")
    const curves = new Map((plot?.data ?? []).map(trace => [trace.name, [...(trace.y ?? [])]]))
    return curves.size == 2 && [...curves].every(([, y]) => y.length) && [...curves]
}"""
METRICS_SHOWN = ("log_loss", "accuracy", "roc_auc", "brier")
# The texts of elements in the order in which they stand on the page, which that in the document need not be.
SEEN = """elements => elements
    .map(element => [element.getBoundingClientRect(), element.innerText.trim()])
    .sort(([a], [b]) => a.y - b.y || a.x - b.x)
    .map(([, text]) => text)"""
NAMES = ("document | numpy | ", "document | torch | ")


@pytest.fixture
def address(tmp_path: Path, original: Path) -> Iterator[str]:
    """MLflow's UI over the default DAG's runs, a single run and a sweep: what `make ui` prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["make", "--no-print-directory", "--old-file=.venv/installed", "ui", f"PORT={port}"]
    with subprocess.Popen(
        command,
        cwd=copy_with_store(original, tmp_path / "repo"),
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


def shoot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(SETTLED)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def names_shown(page: Page) -> list[str]:
    """What stands in the column of names, without what is there of each run alone."""
    texts = page.locator("[role=gridcell][col-id='attributes.`Run Name`']").evaluate_all(SEEN)
    return [max(text.splitlines(), key=len).rpartition(" ")[0] for text in texts]  # beside a group's colour and its count


@pytest.mark.slow
def test_the_view_of_the_runs_and_how_two_compare(address: str, page: Page) -> None:
    server, _, key = address.partition("/#/experiments/1/runs?viewStateShareKey=")
    assert key == "test"
    page.goto(address)
    for name in NAMES:
        page.get_by_text(name).first.wait_for()
    page.get_by_label("Close", exact=True).first.click()  # the assistant's panel
    shoot(page, "runs")
    page.get_by_role("button", name="Sort: test/log_loss").wait_for()
    columns = dict.fromkeys(page.get_by_role("columnheader").evaluate_all(SEEN))
    assert [name for name in columns if name.startswith("test/")] == [f"test/{name}" for name in METRICS_SHOWN]
    alone, swept = "Group: data: document, sweep:", "Group: data: document, sweep: lr=0.1,0.2"
    jobs = ["document | lr=0.2 |", "document | lr=0.1 |"]
    best_first = [alone, "document | lr=0.5 |", *(name.strip() for name in reversed(NAMES)), swept, *jobs, "Additional"]
    assert names_shown(page) == best_first

    for name in NAMES:
        page.get_by_role("row").filter(has_text=name).get_by_role("checkbox").first.check(force=True)
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_text("Comparing 2 Runs").wait_for()
    row = page.locator("tr", has_text="model.dtype")
    assert "float32" in row.inner_text()
    assert "float64" in row.inner_text()
    first = page.get_by_role("link").filter(has_text=re.compile("^(test|train)/")).first
    assert first.inner_text() == "test/accuracy"
    shoot(page, "compare")

    curve_page = (first.get_attribute("href") or "").replace(
        "test%2Faccuracy", "train%2Floss"
    )  # the table shows its first rows
    page.goto(f"{server}/{curve_page}")
    page.wait_for_function(DRAWN)
    curves = page.evaluate(DRAWN)
    for name, start, end in zip(NAMES, (0.6931, 0.6921), (0.3013, 0.2977), strict=True):
        curve = next(losses for label, losses in curves if label.startswith(name))
        assert len(curve) == 11  # the document's ten and the end
        assert (round(curve[0], 4), round(curve[9], 4)) == (start, end)
    shoot(page, "loss")

    page.goto(f"{address}&compareRunsMode=CHART")
    page.get_by_text("test/log_loss", exact=True).first.wait_for()
    shoot(page, "charts")
    assert page.get_by_text("test/log_loss.low").count() == 0

    page.goto(f"{server}/#/experiments/1/runs?viewStateShareKey=validation")
    page.get_by_role("button", name="Sort: validation/log_loss").wait_for()
    shoot(page, "validation")
