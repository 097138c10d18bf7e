"""The whole chain for one configuration in one process: generate, train, evaluate, plot, report.

python -m pipeline model=torch optimizer.lr=0.05          one run, in its own folder under out/runs/
python -m pipeline -m model=numpy,torch optimizer.lr=0.03,0.1,0.3      a sweep, its runs under one parent in MLflow
python -m pipeline -m hydra/launcher=joblib model.l2=0,0.01,0.1        the same, in parallel processes
"""

import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from pipeline import _terminal
from pipeline._atomic import staged
from pipeline._config import CONF, Config, check, check_sweep, compose, to_yaml
from pipeline._files import OUT, read_json, write_csv, write_json
from pipeline._hydra_settings import refuse_secret_settings
from pipeline._secrets import scrub
from pipeline._tracking import PARENT, check_writable, ending_of, sweep
from pipeline.evaluate import evaluate
from pipeline.generate import generate
from pipeline.numerics import InvalidInput
from pipeline.plot import plot
from pipeline.report import report
from pipeline.train import train

SHOWN = ("log_loss", "accuracy", "roc_auc")  # of the test metrics, beside what a sweep's jobs differ in


def chain(config: Config, root: Path) -> float:
    """All stages for one configuration, into root. Returns the test log loss, which a sweep may minimise."""
    plain = config.plain
    name = plain["model"]["name"]
    check_writable(config.tracking)
    generate(config.data, plain["data"], root / "data")
    with staged(root) as made:
        (made / "config.yaml").write_text(to_yaml(plain), encoding="utf-8")
    about = train(
        {group: plain[group] for group in ("model", "optimizer")}, root / "data", root / name, config.tracking, plain["data"]
    )
    metrics = evaluate(root / "data", root / name, config.tracking, about["checksum"])
    plot(root / "data", root / name, config.tracking)
    report(root, [name], config.tracking)
    return metrics["log_loss"]


@contextmanager
def noted(path: Path, note: Mapping[str, Any]) -> Iterator[None]:
    """Keep a note beside a sweep or a job of it, and how that ended."""

    def write(ending: str) -> None:
        with staged(path.parent) as made:
            write_json(made / path.name, {**note, "ending": ending})

    write("killed")  # which nobody can write once it is so
    try:
        yield
        write("finished")
    except BaseException as error:
        write(ending_of(error))
        raise


@contextmanager
def of_sweep(root: Path, settings: Any) -> Iterator[None]:
    """One of a sweep's jobs: what it says has its number in front, and `compare` finds it, however it ends."""
    words = settings.overrides.task
    _terminal.label = f"[{settings.job.num}] "
    _terminal.say(" ".join(words))
    try:
        with noted(root / "job.json", {"overrides": dict(word.partition("=")[::2] for word in words)}):
            yield
    except InvalidInput as error:
        _terminal.complain(str(error))
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            traceback.print_exc()
        raise
    finally:
        _terminal.label = ""


refused: list[InvalidInput] = []


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def job(composed: DictConfig) -> float:
    """One configuration, as Hydra composed it, into the folder that Hydra gives it; its test log loss, nan if it is refused.

    What is refused is kept for `main` to raise, or in job.json: Hydra would wrap its own words around it.
    """
    settings = HydraConfig.get()
    root = Path(os.path.relpath(settings.runtime.output_dir))
    try:
        with of_sweep(root, settings) if settings.mode == RunMode.MULTIRUN else nullcontext():
            return chain(check(OmegaConf.to_container(composed, resolve=True)), root)
    except InvalidInput as error:
        with suppress(OSError):
            root.rmdir()  # unless something was made in it
        refused.append(error)
        return float("nan")


def jobs_of(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The folder and the job.json of each of a sweep's jobs, in their order."""
    found = sorted(folder.glob("*/job.json"), key=lambda path: (len(path.parent.name), path.parent.name))
    return [(path.parent, read_json(path, "overrides", "ending")) for path in found]


def compare(folder: Path) -> None:
    """Show what a sweep's jobs differ in and how they did, and write it to comparison.csv."""
    jobs = jobs_of(folder)
    if not jobs:
        return
    words = [note["overrides"] for _, note in jobs]
    swept = [key for key in dict.fromkeys(key for each in words for key in each) if len({each.get(key) for each in words}) > 1]
    header = ["job", *swept, "ending", *SHOWN]
    rows = [
        [made.name, *(note["overrides"].get(key, "") for key in swept), note["ending"], *_scores(made, note["ending"])]
        for made, note in jobs
    ]
    with staged(folder) as made:
        write_csv(made / "comparison.csv", dict(zip(header, map(list, zip(*rows, strict=True)), strict=True)))
    _terminal.say(_terminal.table(header, rows))
    endings = [note["ending"] for _, note in jobs]
    if finished := [row for row, ending in zip(rows, endings, strict=True) if ending == "finished"]:
        best = min(finished, key=lambda row: row[-len(SHOWN)])
        _terminal.say(f"least log loss: job {best[0]} -> {folder / best[0]}; all of them -> {folder / 'comparison.csv'}")
    if failed := endings.count("failed"):
        _terminal.complain(f"{failed} of {len(jobs)} jobs failed")


def _scores(job: Path, ending: str) -> list[Any]:
    if ending != "finished":
        return [""] * len(SHOWN)
    metrics = read_json(next(job.glob("*/metrics.json")))
    return [metrics[name] for name in SHOWN]


def main(words: Sequence[str]) -> None:
    overrides = [word for word in words if "=" in word or word[:1] in ("+", "~")]
    refuse_secret_settings([word for word in overrides if not word.startswith("-")])
    (OUT / "runs").mkdir(parents=True, exist_ok=True)
    if {"-m", "--multirun"}.isdisjoint(words):
        if not any(word.startswith("-") for word in words):
            compose(words)  # fails in one sentence
        job()
        for error in refused:
            raise error
        return
    tracking = check_sweep(overrides).tracking
    key = "hydra.sweep.dir="
    given = next((word.removeprefix(key) for word in overrides if word.startswith(key)), None)
    folder = Path(given or OUT / "sweeps" / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}")
    if not given:
        sys.argv.insert(sys.argv.index(overrides[0]) if overrides else len(sys.argv), f"{key}{folder}")
    for note, _ in jobs_of(folder):  # of an earlier sweep into the same folder
        (note / "job.json").unlink()
    name = scrub(" ".join(overrides))
    try:
        with sweep(tracking, name), noted(folder / "sweep.json", {"name": name, "run": os.environ.get(PARENT)}):
            job()
            if any(note["ending"] != "finished" for _, note in jobs_of(folder)):
                sys.exit(_terminal.FAILED)
    finally:
        compare(folder)


if __name__ == "__main__":
    _terminal.run(main)
