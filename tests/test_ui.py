"""`make ui` in a real browser: both runs, compared, with their loss curves and the parameter that differs."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.conftest import Shell, environment

SCREENSHOTS = Path(os.environ.get("SCREENSHOTS", "out/screenshots")).resolve()
QUIET = ("no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-sync")


@pytest.fixture
def address(repo: Path, shell: Shell) -> Iterator[str]:
    """MLflow's UI over the default DAG's runs."""
    ran = shell("dvc repro", repo)
    assert ran.returncode == 0, ran.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["make", "--no-print-directory", "--old-file=.venv/installed", "ui", f"PORT={port}"]
    with subprocess.Popen(
        command,
        cwd=repo,
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


@pytest.fixture
def page() -> Iterator[Page]:
    chromium = shutil.which("chromium")
    assert chromium, "the browser test needs Debian's package chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[f"--{word}" for word in QUIET])
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


@pytest.mark.slow
def test_compare_the_two_runs(address: str, page: Page) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.goto(f"{address}/#/experiments/1/runs")
    for name in ("numpy gd document", "torch gd document"):
        page.get_by_text(name).first.wait_for()
    close = page.get_by_label("Close")
    if close.count():
        close.first.click()
    page.wait_for_timeout(1000)
    page.screenshot(path=SCREENSHOTS / "runs.png")

    rows = page.get_by_label("Press Space to toggle row selection (unchecked)")
    while rows.count():
        rows.first.check(force=True)
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_text("Comparing 2 Runs").wait_for()
    row = page.locator("tr", has_text="model.dtype")
    assert "float32" in row.inner_text()
    assert "float64" in row.inner_text()
    page.screenshot(path=SCREENSHOTS / "compare.png", full_page=True)

    page.get_by_role("link", name="loss", exact=True).click()
    for name in ("numpy gd document", "torch gd document"):
        page.locator(".js-plotly-plot").get_by_text(name).first.wait_for(state="attached")
    page.wait_for_timeout(1000)
    page.screenshot(path=SCREENSHOTS / "loss.png")
