"""What a sweep's jobs differ in, and how they did."""

import logging
from collections.abc import Sequence
from pathlib import Path

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.evaluation.checks.fits import edge_of
from pipeline.evaluation.metrics import OBJECTIVE, SUMMARY_METRICS
from pipeline.files import write_csv
from pipeline.sweeps.jobs import Status

logger = logging.getLogger(__name__)

MIN_VALUES = 3  # of a swept number, for the least and the greatest to be an edge


def summarize(folder: Path, jobs: Sequence[Status]) -> None:
    """Show the jobs in a table, which comparison.csv has, too, and the best of them."""
    if not jobs:
        return
    overrides = [status["overrides"] for status in jobs]
    keys = dict.fromkeys(key for each in overrides for key in each)
    swept = [key for key in keys if len({each.get(key) for each in overrides}) > 1]
    header = ["job", *swept, "ending", *SUMMARY_METRICS]
    rows = [
        [status["job"], *(status["overrides"].get(key, "") for key in swept), status["ending"]]
        + [status["scores"].get(name, "") for name in SUMMARY_METRICS]
        for status in jobs
    ]
    with atomic_dir(folder) as made:
        write_csv(made / "comparison.csv", dict(zip(header, map(list, zip(*rows, strict=True)), strict=True)))
    logger.info(console.table(header, rows))
    if finished := [status for status in jobs if status["ending"] == "finished"]:
        best = min(finished, key=lambda status: float(status["scores"][OBJECTIVE]))
        logger.info(f"least log loss: job {best['job']} -> {best['folder']}; all of them -> {folder / 'comparison.csv'}")
        for key in swept:
            _warn_of_edge(key, best, finished)


def _warn_of_edge(key: str, best: Status, finished: Sequence[Status]) -> None:
    """Log where the best of the numbers that a key had is the least or the greatest of at least MIN_VALUES."""
    try:
        tried = {float(status["overrides"][key]) for status in finished}
        found = edge_of(key, float(best["overrides"][key]), tried)
    except (KeyError, ValueError):  # a job without it; no numbers
        return
    if found.failed and len(tried) >= MIN_VALUES:
        logger.warning(f"{found.sentence}: a value beyond it may be better")


def log_failures(jobs: Sequence[Status], planned: int) -> bool:
    """Log how many jobs did not finish. Whether there are any."""
    failed = sum(status["ending"] != "finished" for status in jobs)
    missing = max(planned - len(jobs), 0)
    if failed:
        logger.error(f"{failed} of {max(planned, len(jobs))} jobs failed")
    if missing:
        logger.error(f"{missing} of {planned} jobs did not start")
    return bool(failed or missing)
