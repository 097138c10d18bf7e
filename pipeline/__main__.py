"""The whole chain for one configuration in one process: generate, train, evaluate, plot, report.

python -m pipeline model=torch optimizer.lr=0.05          one run, in its own folder under out/runs/
python -m pipeline -m model=numpy,torch optimizer.lr=0.03,0.1,0.3      a sweep, its runs under one parent in MLflow
python -m pipeline -m hydra/launcher=joblib model.l2=0,0.01,0.1        the same, in parallel processes
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from pipeline import _terminal
from pipeline._config import CONF, Config, check, check_sweep, compose, leaves, read_yaml, to_yaml
from pipeline._files import OUT, read_json, staged, write_csv, write_json
from pipeline._tracking import PARENT, check_writable, sweep
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
    train({group: plain[group] for group in ("model", "optimizer")}, root / "data", root / name, config.tracking)
    metrics = evaluate(root / "data", root / name, config.tracking)
    plot(root / "data", root / name, config.tracking)
    report(root, [name], config.tracking)
    return metrics["log_loss"]


refused: list[InvalidInput] = []


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def job(composed: DictConfig) -> float:
    """One configuration, as Hydra composed it, into the folder that Hydra gives it; its test log loss.

    What is refused outside a sweep is kept for `main` to raise: Hydra would wrap its own words around it.
    """
    settings = HydraConfig.get()
    root = Path(os.path.relpath(settings.runtime.output_dir))
    if settings.mode == RunMode.MULTIRUN:
        _terminal.end_with_owner()
        _terminal.label = f"[{settings.job.num}] "
        _terminal.say(" ".join(settings.overrides.task))
    try:
        return chain(check(OmegaConf.to_container(composed, resolve=True)), root)
    except InvalidInput as error:
        with suppress(OSError):
            root.rmdir()  # unless something was made in it
        if settings.mode == RunMode.MULTIRUN:
            raise CompactHydraException(f"error: {error}") from error
        refused.append(error)
        return float("nan")
    finally:
        _terminal.label = ""


def _plain(value: object) -> object:
    return str(value) if isinstance(value, list) else value


def compare(folder: Path) -> None:
    """Show what a sweep's finished jobs differ in and how they did, and write it to comparison.csv."""
    jobs = sorted((path.parent for path in folder.glob("*/config.yaml")), key=lambda path: (len(path.name), path.name))
    configs = [dict(leaves(read_yaml(job / "config.yaml"))) for job in jobs]
    found = [next(iter(sorted(job.glob("*/metrics.json"))), None) for job in jobs]
    keys = list(dict.fromkeys(key for config in configs for key in config))
    differing = [key for key in keys if len({str(config.get(key)) for config in configs}) > 1]
    header = ["job", *differing, *SHOWN]
    rows = [
        [job.name, *(_plain(config.get(key)) for key in differing), *(read_json(metrics)[name] for name in SHOWN)]
        for job, config, metrics in zip(jobs, configs, found, strict=True)
        if metrics
    ]
    if not rows:
        return
    with staged(folder) as made:
        write_csv(made / "comparison.csv", dict(zip(header, map(list, zip(*rows, strict=True)), strict=True)))
    _terminal.say(_terminal.table(header, rows))
    best = min(rows, key=lambda row: float(row[header.index("log_loss")]))
    _terminal.say(f"least log loss: job {best[0]} -> {folder / best[0]}; all of them -> {folder / 'comparison.csv'}")


@contextmanager
def noted(folder: Path, name: str) -> Iterator[None]:
    """Keep in sweep.json what `runs publish` needs to give a sweep's runs their parent again."""
    note = {"name": name, "run": os.environ.get(PARENT)}

    def write(ending: str) -> None:
        with staged(folder) as made:
            write_json(made / "sweep.json", {**note, "ending": ending})

    write("killed")  # which nobody can write once it is so
    try:
        yield
        write("finished")
    except SystemExit as error:
        write("failed" if error.code == _terminal.FAILED else "killed")
        raise


def main(words: Sequence[str]) -> None:
    overrides = [word for word in words if "=" in word or word[:1] in ("+", "~")]
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
    try:
        with sweep(tracking, " ".join(overrides)), noted(folder, " ".join(overrides)):
            job()
    finally:
        compare(folder)


if __name__ == "__main__":
    _terminal.run(main)
