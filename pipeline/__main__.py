"""The whole chain for one configuration in one process: generate, train, evaluate, plot, report.

python -m pipeline model=torch optimizer.lr=0.05          one run, in its own folder under out/runs/
python -m pipeline -m model=numpy,torch optimizer.lr=0.03,0.1,0.3      a sweep, its runs under one parent in MLflow
python -m pipeline -m hydra/launcher=joblib model.l2=0,0.01,0.1        the same, in parallel processes
"""

import pipeline.stages  # noqa: F401  the door, before NumPy is loaded

# isort: split
import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra._internal.utils import _run_hydra, get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import env_override
from omegaconf import DictConfig, OmegaConf

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.config import hydra
from pipeline.config.hydra import CONF, in_one_sentence
from pipeline.config.hydra_settings import refuse_secret_settings
from pipeline.config.overrides import as_typed, quoted
from pipeline.config.schema import Config, check, check_sweep, compose, text_keys, to_yaml
from pipeline.errors import CommandError, PipelineError
from pipeline.evaluation.metrics import SUMMARY_METRICS
from pipeline.redaction import scrub
from pipeline.stages.evaluate import evaluate
from pipeline.stages.generate import generate
from pipeline.stages.plot import plot
from pipeline.stages.report import report
from pipeline.stages.train import train
from pipeline.sweeps.jobs import Note, collect, compare, complain_of, heard, job_of_sweep, noted
from pipeline.tracking.client import PARENT, check_writable, sweep, wait_at_end


def chain(config: Config, root: Path) -> dict[str, float]:
    """All stages for one configuration, into root. Returns the test metrics."""
    plain = config.plain
    name = plain["model"]["name"]
    check_writable(config.tracking)
    generate(config.data, plain["data"], root / "data")
    with atomic_dir(root) as made:
        (made / "config.yaml").write_text(to_yaml(plain), encoding="utf-8")
    checksum = train(
        {group: plain[group] for group in ("model", "optimizer")}, root / "data", root / name, config.tracking, plain["data"]
    )
    metrics = evaluate(root / "data", root / name, config.tracking, checksum)
    plot(root / "data", root / name, config.tracking)
    report(root, [name], config.tracking)
    return metrics


def attempt(composed: DictConfig) -> dict[str, float]:
    """One configuration, as Hydra composed it, into the folder that Hydra gives it; its test metrics."""
    root = Path(os.path.relpath(HydraConfig.get().runtime.output_dir))
    try:
        with in_one_sentence([]):
            plain = OmegaConf.to_container(composed, resolve=True)
        return chain(check(plain), root)
    except Exception:
        with suppress(OSError):
            root.rmdir()  # unless something was made in it
        raise


def job(composed: DictConfig) -> float:
    """One of a sweep's jobs. Returns its test log loss, which the sweep may minimise; nan where it failed, and said why."""
    try:
        with job_of_sweep(HydraConfig.get()) as note:
            metrics = attempt(composed)
            note["scores"] = {name: metrics[name] for name in SUMMARY_METRICS}
            return metrics["log_loss"]
    except Exception:
        return float("nan")  # to Hydra, whose sweep would end with the first error


def run_once(words: Sequence[str], primary: str) -> None:
    """One run."""
    compose(words, primary)  # fails before there is a folder
    hydra.run(as_typed(words, text_keys()), attempt, primary)


def run_sweep(words: Sequence[str], primary: str) -> None:
    """All jobs under one parent run, which fails if any of them does."""
    prepared = hydra.prepare(as_typed(words, text_keys(), sweep=True), job, primary)
    tracking = check_sweep(prepared.choices, primary).tracking
    folder, name = prepared.folder, scrub(" ".join(words))
    jobs: list[Note] = []
    note: dict[str, Any] = {"name": name, "run": None, "jobs": jobs}
    folder.mkdir(parents=True, exist_ok=True)  # fails before there is a run in MLflow
    try:
        with sweep(tracking, name):
            note["run"] = os.environ.get(PARENT)
            with noted(folder / "sweep.json", note):
                try:
                    with heard(folder):
                        prepared.launch()
                finally:
                    jobs += collect(folder)
                    compare(folder, jobs)
                if complain_of(jobs, prepared.jobs):
                    sys.exit(console.FAILED)
    except (PipelineError, OSError, MemoryError):
        raise
    except Exception as error:
        raise CommandError(f"the sweep broke off: {hydra.short(str(error)) or type(error).__name__}") from error


def show(args: argparse.Namespace, parser: argparse.ArgumentParser, primary: str) -> None:
    """What Hydra shows of itself and of the configuration: --cfg, --info, --help and the like."""
    args.overrides = as_typed(args.overrides, text_keys())
    with in_one_sentence(args.overrides), env_override({"HYDRA_FULL_ERROR": "1"}):  # else Hydra prints its errors itself
        _run_hydra(args, parser, job, str(CONF), primary)


def main(words: Sequence[str]) -> None:
    parser = get_args_parser()
    parser.prog = "python -m pipeline"
    args = parser.parse_args(words)
    if args.config_path is not None:
        raise CommandError(f"--config-path must not be set; --config-dir adds a folder; got {args.config_path}")
    again = "`python -m pipeline.runs reproduce RUN` makes a run again"
    if args.experimental_rerun is not None:
        raise CommandError(f"--experimental-rerun must not be set; {again}; got {args.experimental_rerun}")
    primary = args.config_name or hydra.PRIMARY
    overrides = [*_added(args.config_dir), *args.overrides]
    refuse_secret_settings(overrides, primary)
    if any((args.cfg, args.info, args.help, args.hydra_help, args.shell_completion, args.resolve)):
        show(args, parser, primary)
    elif args.multirun or hydra.asks_for_a_sweep(as_typed(overrides, text_keys()), primary):
        run_sweep(overrides, primary)
    else:
        run_once(overrides, primary)


def _added(folder: str | None) -> list[str]:
    """The override that adds a folder beside conf/."""
    if folder is None:
        return []
    if not Path(folder).is_dir():
        raise CommandError(f"--config-dir must name a folder; there is none at {folder}")
    return [f"hydra.searchpath=[{quoted('file://' + os.path.abspath(folder))}]"]


if __name__ == "__main__":
    console.run(main, wait_at_end)
