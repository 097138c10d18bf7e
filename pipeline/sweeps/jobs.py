"""A sweep's jobs: each writes how it ended to a status file.

A job may run in any process, and its folder be anywhere. So its status file is in jobs/ of the sweep's folder, where the sweep
finds it; when the sweep ends, sweep.json holds them all.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.config.hydra import unresolved
from pipeline.config.overrides import unquoted
from pipeline.errors import CommandError, PipelineError
from pipeline.files import digest_of, read_json, write_json
from pipeline.redaction import scrub
from pipeline.tracking.client import PARENT, ending_of

logger = logging.getLogger(__name__)

FOLDER = "PIPELINE_SWEEP_FOLDER"  # environment variable of the jobs' processes: their own hydra.sweep.dir may differ from it
JOBS = "jobs"
Status = dict[str, Any]


@contextmanager
def status_file(path: Path, status: Mapping[str, Any]) -> Iterator[None]:
    """Write the status of a sweep or a job, and its ending: killed unless the block ends. It may change inside the block."""

    def write(ending: str) -> None:
        with atomic_dir(path.parent) as made:
            write_json(made / path.name, {**status, "ending": ending})

    write("killed")
    try:
        yield
        write("finished")
    except BaseException as error:
        write(ending_of(error))
        raise


@contextmanager
def sweep_job(settings: Any) -> Iterator[Status]:
    """One of a sweep's jobs, by Hydra's settings: its log lines begin with its number. Yields its status, for the scores."""
    console.configure_logging()  # a launcher may have started this process
    folder = os.path.relpath(settings.runtime.output_dir, settings.runtime.cwd)
    overrides = {key: scrub(value) for key, value in map(unquoted, unresolved(settings.overrides.task))}
    status: Status = {"job": settings.job.num, "folder": folder, "overrides": overrides, "validation": {}, "scores": {}}
    with console.job_context(f"[{settings.job.num}] "):
        logger.info(" ".join(f"{key}={value}" for key, value in overrides.items()) or "no overrides")
        try:
            with status_file(_new_status_file(folder), status):
                yield status
        except Exception as error:
            console.log_error(error)
            raise


def _new_status_file(folder: str) -> Path:
    """Raises CommandError where the folder is another job's."""
    path = Path(os.environ[FOLDER]) / JOBS / f"{os.environ[PARENT]}.{digest_of(folder)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        raise CommandError(f"hydra.sweep.subdir must give each job a folder of its own; {folder} is another job's") from None
    return path


@contextmanager
def jobs_folder(folder: Path) -> Iterator[None]:
    """The jobs that start inside the block have their status files in this sweep's folder, in whatever process they run."""
    os.environ[FOLDER] = str(folder.resolve())
    try:
        yield
    finally:
        del os.environ[FOLDER]


def swept_values(jobs: Sequence[Status]) -> dict[str, list[str]]:
    """The keys in which the overrides of a sweep's jobs differ, and the values of each; "" of a job without it."""
    keys = dict.fromkeys(key for job in jobs for key in job["overrides"])
    values = {key: list(dict.fromkeys(job["overrides"].get(key, "") for job in jobs)) for key in keys}
    return {key: several for key, several in values.items() if len(several) > 1}


def collect(folder: Path, key: str) -> list[Status]:
    """Take the status files of the jobs of the sweep with this key, in their order."""
    jobs = []
    for path in (folder / JOBS).glob(f"{key}.*.json"):
        with suppress(PipelineError):  # killed before it began
            jobs.append(read_json(path, "job", "folder", "overrides", "validation", "scores", "ending"))
        path.unlink()
    with suppress(OSError):
        (folder / JOBS).rmdir()
    return sorted(jobs, key=lambda status: int(status["job"]))
