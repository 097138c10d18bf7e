"""All stages for one configuration in one process, or with -m for each of a sweep; `python -m pipeline --help` has examples."""

import pipeline.stages  # noqa: F401  sets up the process, before NumPy is loaded

# isort: split
import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from hydra._internal.utils import _run_hydra, get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import env_override
from omegaconf import DictConfig, OmegaConf

from pipeline import console
from pipeline.config import hydra
from pipeline.config.config import Config, check, check_sweep, compose, text_keys
from pipeline.config.hydra_errors import as_config_error
from pipeline.config.hydra_settings import refuse_secret_settings
from pipeline.config.overrides import as_typed, quoted
from pipeline.errors import CommandError, PipelineError
from pipeline.evaluation.metrics import OBJECTIVE, SUMMARY_METRICS, defined
from pipeline.files import nan_as_none
from pipeline.redaction import scrub
from pipeline.stages import _chain as chain
from pipeline.sweeps.jobs import Status, collect, jobs_folder, status_file, sweep_job
from pipeline.sweeps.plan import plan
from pipeline.sweeps.summary import best_by_validation, log_failures, summarize
from pipeline.text import shorten
from pipeline.tracking.client import ending_of, track_sweep, wait_at_end

MAX_REASON = 200  # letters of a launcher's error
T = TypeVar("T")


def run_composed(composed: DictConfig, work: Callable[[Config, Path], T]) -> T:
    """`work` on one configuration, as Hydra composed it, and the folder that Hydra gives it."""
    root = Path(os.path.relpath(HydraConfig.get().runtime.output_dir))
    try:
        with as_config_error([]):
            content = OmegaConf.to_container(composed, resolve=True)
        return work(check(content), root)
    except Exception:
        with suppress(OSError):
            root.rmdir()  # unless something was made in it
        raise


def run_job(composed: DictConfig) -> float:
    """One of a sweep's jobs. Returns its log loss, which the sweep may minimise; nan where it failed."""
    try:
        with sweep_job(HydraConfig.get()) as status:
            return run_composed(composed, partial(score, status))
    except Exception:  # which sweep_job has logged; Hydra's sweep would end with the first
        return float("nan")


def score(status: Status, config: Config, root: Path) -> float:
    """The log loss of a job: of its validation or, where it has none, on the test table. The status gets all scores."""
    if scores := chain.validate(config, root):
        status["validation"] = nan_as_none({name: vars(scores[name]) for name in SUMMARY_METRICS if name in scores})
        return scores[OBJECTIVE].value
    return score_on_test(status, config, root)


def score_on_test(status: Status, config: Config, root: Path) -> float:
    """The same, of a model that is fitted to all training rows, on the test table."""
    metrics = chain.fit(config, root)
    status["scores"] = defined({name: metrics[name] for name in SUMMARY_METRICS})
    return metrics[OBJECTIVE]


def fit_best(jobs: Sequence[Status]) -> None:
    """Score the best of the jobs that were validated on the test table, which no other of them has seen."""
    chosen = best_by_validation(jobs)
    for job in sorted((job for job in jobs if job["validation"]), key=lambda job: job is chosen):  # equal ones share a run
        config, root = chain.read_config(Path(job["folder"])), Path(job["folder"])
        chain.tag_choice(config, root, job is chosen)
        if job is chosen:
            with console.job_context(f"[{job['job']}] "):
                try:
                    score_on_test(job, config, root)
                except Exception as error:
                    job["ending"] = ending_of(error)
                    console.log_error(error)


def run_sweep(overrides: Sequence[str], primary: str) -> None:
    """All jobs under one parent run, which fails if any of them does."""
    planned = plan(as_typed(overrides, text_keys(), sweep=True), run_job, primary)
    tracking = check_sweep(planned.choices, primary).tracking
    folder, name = planned.folder, scrub(" ".join(overrides))
    jobs: list[Status] = []
    folder.mkdir(parents=True, exist_ok=True)  # fails before there is a run in MLflow
    try:
        with (
            track_sweep(tracking, name, planned.swept) as key,
            status_file(folder / "sweep.json", {"name": name, "run": key, "jobs": jobs}),
        ):
            try:
                try:
                    with jobs_folder(folder):
                        planned.launch()
                finally:
                    jobs += collect(folder, key)
                fit_best(jobs)
            finally:
                summarize(folder, jobs)
            if log_failures(jobs, planned.min_jobs):
                sys.exit(console.FAILED)
    except (PipelineError, OSError, MemoryError):
        raise
    except Exception as error:
        reason = shorten(str(error), MAX_REASON) or type(error).__name__
        raise CommandError(f"the sweep broke off: {reason}") from error


def show(args: argparse.Namespace, parser: argparse.ArgumentParser, primary: str) -> None:
    """What Hydra shows of itself and of the configuration: --cfg, --info, --help and the like."""
    args.overrides = as_typed(args.overrides, text_keys())
    with as_config_error(args.overrides), env_override({"HYDRA_FULL_ERROR": "1"}):  # else Hydra prints its errors itself
        _run_hydra(args, parser, run_job, str(hydra.CONF), primary)


def main(argv: Sequence[str]) -> None:
    parser = get_args_parser()
    parser.prog = "python -m pipeline"
    args = parser.parse_args(argv)
    if args.config_path is not None:
        raise CommandError(f"--config-path must not be set; --config-dir adds a folder; got {args.config_path}")
    again = "`python -m pipeline.runs reproduce RUN` makes a run again"
    if args.experimental_rerun is not None:
        raise CommandError(f"--experimental-rerun must not be set; {again}; got {args.experimental_rerun}")
    primary = args.config_name or hydra.PRIMARY
    overrides = [*_search_path(args.config_dir), *args.overrides]
    refuse_secret_settings(overrides, primary)
    if any((args.cfg, args.info, args.help, args.hydra_help, args.shell_completion, args.resolve)):
        show(args, parser, primary)
    elif args.multirun or hydra.is_multirun(as_typed(overrides, text_keys()), primary):
        run_sweep(overrides, primary)
    else:
        compose(overrides, primary)  # fails before there is a folder
        hydra.run(as_typed(overrides, text_keys()), partial(run_composed, work=chain.run_all), primary)


def _search_path(folder: str | None) -> list[str]:
    """The override that adds a folder beside conf/."""
    if folder is None:
        return []
    if not Path(folder).is_dir():
        raise CommandError(f"--config-dir must name a folder; there is none at {folder}")
    return [f"hydra.searchpath=[{quoted('file://' + os.path.abspath(folder))}]"]


if __name__ == "__main__":
    console.run(main, wait_at_end)
