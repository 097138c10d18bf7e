"""A sweep's jobs: how each ended, as its own process notes it, and how they compare.

A job may lie anywhere and run in any process. So each keeps a note in jobs/ of the sweep's folder, where the sweep finds it;
when the sweep ends, sweep.json has them all.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.config.hydra import written
from pipeline.config.overrides import shown
from pipeline.errors import CommandError, PipelineError
from pipeline.evaluation.metrics import SUMMARY_METRICS
from pipeline.files import digest_of, read_json, write_csv, write_json
from pipeline.redaction import scrub
from pipeline.tracking.client import PARENT, ending_of

logger = logging.getLogger(__name__)

FOLDER = "PIPELINE_SWEEP_FOLDER"  # environment variable: the sweep's folder, which a job's own hydra.sweep.dir may differ from
Note = dict[str, Any]


@contextmanager
def noted(path: Path, note: Mapping[str, Any]) -> Iterator[None]:
    """Keep a note of a sweep or a job of it, and how that ended. What is put into it inside the block is kept, too."""

    def write(ending: str) -> None:
        with atomic_dir(path.parent) as made:
            write_json(made / path.name, {**note, "ending": ending})

    write("killed")  # which nobody can write once it is so
    try:
        yield
        write("finished")
    except BaseException as error:
        write(ending_of(error))
        raise


@contextmanager
def job_of_sweep(settings: Any) -> Iterator[Note]:
    """One of a sweep's jobs: what it says has its number in front, and the sweep learns how it ended. settings: Hydra's.

    Yields its note, which is to have its scores.
    """
    console.configure_logging()  # a launcher may have started this process
    folder = os.path.relpath(settings.runtime.output_dir, settings.runtime.cwd)
    overrides = {key: scrub(value) for key, value in map(shown, written(settings.overrides.task))}
    note: Note = {"job": settings.job.num, "folder": folder, "overrides": overrides, "scores": {}}
    with console.job_context(f"[{settings.job.num}] "):
        logger.info(" ".join(f"{key}={value}" for key, value in overrides.items()))
        try:
            with noted(_claimed(folder), note):
                yield note
        except Exception as error:
            console.log_error(error)
            raise


def _claimed(folder: str) -> Path:
    """Where a job's note is kept. Raises CommandError where its folder is another job's."""
    path = Path(os.environ[FOLDER]) / "jobs" / f"{os.environ.get(PARENT)}.{digest_of(folder)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        raise CommandError(f"hydra.sweep.subdir must give each job a folder of its own; {folder} is another job's") from None
    return path


@contextmanager
def heard(folder: Path) -> Iterator[None]:
    """The jobs that start inside the block keep their notes in this sweep's folder, whatever their own configuration says."""
    os.environ[FOLDER] = str(folder.resolve())
    try:
        yield
    finally:
        del os.environ[FOLDER]


def collect(folder: Path) -> list[Note]:
    """Take the notes of the jobs of the sweep that this process runs, in their order."""
    jobs = []
    for path in (folder / "jobs").glob(f"{os.environ[PARENT]}.*.json"):
        with suppress(PipelineError):  # killed before it began
            jobs.append(read_json(path, "job", "folder", "overrides", "scores", "ending"))
        path.unlink()
    with suppress(OSError):
        (folder / "jobs").rmdir()
    return sorted(jobs, key=lambda note: int(note["job"]))


def compare(folder: Path, jobs: Sequence[Note]) -> None:
    """Show what a sweep's jobs differ in and how they did, and write it to comparison.csv."""
    if not jobs:
        return
    overrides = [note["overrides"] for note in jobs]
    keys = dict.fromkeys(key for each in overrides for key in each)
    swept = [key for key in keys if len({each.get(key) for each in overrides}) > 1]
    header = ["job", *swept, "ending", *SUMMARY_METRICS]
    rows = [
        [note["job"], *(note["overrides"].get(key, "") for key in swept), note["ending"]]
        + [note["scores"].get(name, "") for name in SUMMARY_METRICS]
        for note in jobs
    ]
    with atomic_dir(folder) as made:
        write_csv(made / "comparison.csv", dict(zip(header, map(list, zip(*rows, strict=True)), strict=True)))
    logger.info(console.table(header, rows))
    if finished := [note for note in jobs if note["ending"] == "finished"]:
        best = min(finished, key=lambda note: float(note["scores"]["log_loss"]))
        logger.info(f"least log loss: job {best['job']} -> {best['folder']}; all of them -> {folder / 'comparison.csv'}")


def complain_of(jobs: Sequence[Note], planned: int) -> bool:
    """Say how many jobs did not finish. Whether there are any."""
    failed = sum(note["ending"] != "finished" for note in jobs)
    missing = max(planned - len(jobs), 0)
    if failed:
        logger.error(f"{failed} of {max(planned, len(jobs))} jobs failed")
    if missing:
        logger.error(f"{missing} of {planned} jobs did not start")
    return bool(failed or missing)
