"""All stages for one configuration in one process, or with -m for each of a sweep; `python -m pipeline --help` has examples."""

import pipeline.stages  # noqa: F401  sets up the process, before NumPy is loaded

# isort: split
import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hydra._internal.utils import _run_hydra, get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import env_override
from omegaconf import DictConfig, OmegaConf

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.config import hydra
from pipeline.config.config import Config, check, check_sweep, compose, text_keys
from pipeline.config.files import to_yaml
from pipeline.config.hydra_errors import as_config_error
from pipeline.config.hydra_settings import refuse_secret_settings
from pipeline.config.overrides import as_typed, quoted
from pipeline.errors import CommandError, PipelineError
from pipeline.evaluation.metrics import METRICS, OBJECTIVE, SUMMARY_METRICS, defined
from pipeline.files import METRICS_FILE, read_numbers
from pipeline.redaction import scrub
from pipeline.stages import MODELS_DIR, STAGES
from pipeline.sweeps.jobs import Status, collect, jobs_folder, status_file, sweep_job
from pipeline.sweeps.plan import plan
from pipeline.sweeps.summary import log_failures, summarize
from pipeline.text import shorten
from pipeline.tracking.client import track_sweep, wait_at_end
from pipeline.tracking.store import check_writable

MAX_REASON = 200  # letters of a launcher's error


def run_stages(config: Config, root: Path) -> dict[str, float]:
    """All stages for one configuration, into root. Returns the test metrics."""
    check_writable(config.tracking)
    first, *others = (stage for stage in STAGES.values() if stage.inputs)  # all but `compose`
    first.run(config, root)  # data that cannot be used leave nothing behind
    with atomic_dir(root) as made:
        (made / "config.yaml").write_text(to_yaml(config.to_dict()), encoding="utf-8")
    for stage in others:
        stage.run(config, root)
    return read_numbers(root / MODELS_DIR / config.model_name / METRICS_FILE, *METRICS)


def run_composed(composed: DictConfig) -> dict[str, float]:
    """One configuration, as Hydra composed it, into the folder that Hydra gives it; its test metrics."""
    root = Path(os.path.relpath(HydraConfig.get().runtime.output_dir))
    try:
        with as_config_error([]):
            content = OmegaConf.to_container(composed, resolve=True)
        return run_stages(check(content), root)
    except Exception:
        with suppress(OSError):
            root.rmdir()  # unless something was made in it
        raise


def run_job(composed: DictConfig) -> float:
    """One of a sweep's jobs. Returns its test log loss, which the sweep may minimise; nan where it failed."""
    try:
        with sweep_job(HydraConfig.get()) as status:
            metrics = run_composed(composed)
            status["scores"] = defined({name: metrics[name] for name in SUMMARY_METRICS})
            return metrics[OBJECTIVE]
    except Exception:  # which sweep_job has logged; Hydra's sweep would end with the first
        return float("nan")


def run_sweep(overrides: Sequence[str], primary: str) -> None:
    """All jobs under one parent run, which fails if any of them does."""
    planned = plan(as_typed(overrides, text_keys(), sweep=True), run_job, primary)
    tracking = check_sweep(planned.choices, primary).tracking
    folder, name = planned.folder, scrub(" ".join(overrides))
    jobs: list[Status] = []
    folder.mkdir(parents=True, exist_ok=True)  # fails before there is a run in MLflow
    try:
        with track_sweep(tracking, name) as key, status_file(folder / "sweep.json", {"name": name, "run": key, "jobs": jobs}):
            try:
                with jobs_folder(folder):
                    planned.launch()
            finally:
                jobs += collect(folder, key)
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
        hydra.run(as_typed(overrides, text_keys()), run_composed, primary)


def _search_path(folder: str | None) -> list[str]:
    """The override that adds a folder beside conf/."""
    if folder is None:
        return []
    if not Path(folder).is_dir():
        raise CommandError(f"--config-dir must name a folder; there is none at {folder}")
    return [f"hydra.searchpath=[{quoted('file://' + os.path.abspath(folder))}]"]


if __name__ == "__main__":
    console.run(main, wait_at_end)
