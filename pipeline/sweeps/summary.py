"""What a sweep's jobs differ in, and how they did."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.evaluation.checks.fits import edge_of
from pipeline.evaluation.metrics import OBJECTIVE, SUMMARY_METRICS
from pipeline.files import write_csv
from pipeline.interval import Interval
from pipeline.sweeps.jobs import Status, swept_values

logger = logging.getLogger(__name__)

BY_TEST = (
    "the best of several jobs on the test table does less well on new rows: evaluation.validation=cv finds the best by "
    "training rows, and measures it on the test table once"
)
MIN_VALUES = 3  # of a swept number, for the least and the greatest to be an edge


def best_by_validation(jobs: Sequence[Status]) -> Status | None:
    """The job with the least validation loss; None where none was validated."""
    validated = [job for job in jobs if job["validation"]]
    return min(validated, key=lambda job: float(job["validation"][OBJECTIVE]["value"]), default=None)


def summarize(folder: Path, jobs: Sequence[Status]) -> None:
    """Show the jobs in a table, which comparison.csv has with more columns, and the best of them."""
    if not jobs:
        return
    swept = list(swept_values(jobs))
    columns = {"job": [job["job"] for job in jobs], **{key: [job["overrides"].get(key, "") for job in jobs] for key in swept}}
    columns["ending"] = [job["ending"] for job in jobs]
    validation, test = _validation(jobs), {name: [job["scores"].get(name) for job in jobs] for name in SUMMARY_METRICS}
    with atomic_dir(folder) as made:
        write_csv(made / "comparison.csv", {**columns, **validation, **test})
    shown = {**columns, **(_intervals(jobs) if validation else test)}
    logger.info(console.table(list(shown), list(zip(*shown.values(), strict=True))))
    _log_best(jobs, swept, folder / "comparison.csv")


def _validation(jobs: Sequence[Status]) -> dict[str, list[Any]]:
    """The columns of the scores of validation and of their intervals; none where no job has any."""
    return {
        f"validation_{name}{end}": [job["validation"].get(name, {}).get(key) for job in jobs]
        for name in SUMMARY_METRICS
        for end, key in (("", "value"), ("_low", "low"), ("_high", "high"))
        if any(job["validation"] for job in jobs)
    }


def _intervals(jobs: Sequence[Status]) -> dict[str, list[str]]:
    """The same as they are shown."""
    return {
        f"validation {name}": [
            str(Interval.from_dict(job["validation"][name])) if name in job["validation"] else "" for job in jobs
        ]
        for name in SUMMARY_METRICS
    }


def _log_best(jobs: Sequence[Status], swept: Sequence[str], table: Path) -> None:
    """Which job is the best, by validation or, of those without it, by the test table."""
    if chosen := best_by_validation(jobs):
        scores = ", ".join(f"{name} {value:.4f}" for name, value in chosen["scores"].items()) or "none, since its fit failed"
        logger.info(f"least validation loss: job {chosen['job']} -> {chosen['folder']}; all of them -> {table}")
        logger.info(f"on the test table, after a fit to all training rows: {scores}")
        _warn_of_edges(swept, chosen, [job for job in jobs if job["validation"]])
    if tested := [job for job in jobs if job["ending"] == "finished" and not job["validation"]]:
        best = min(tested, key=lambda job: float(job["scores"][OBJECTIVE]))
        logger.info(f"least log loss: job {best['job']} -> {best['folder']}; all of them -> {table}")
        if len(tested) > 1:
            logger.warning(BY_TEST)
        _warn_of_edges(swept, best, tested)


def _warn_of_edges(swept: Sequence[str], best: Status, jobs: Sequence[Status]) -> None:
    """Log where the best of the numbers that a key had is the least or the greatest of at least MIN_VALUES; a seed has no edge,
    and data are not chosen by what is measured on them."""
    for key in (key for key in swept if not key.startswith("data.") and not key.endswith("seed")):
        with suppress(KeyError, ValueError):  # a job without it; no numbers
            tried = {float(job["overrides"][key]) for job in jobs}
            found = edge_of(key, float(best["overrides"][key]), tried)
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
