"""The stages of the DAG, a module each: `python -m pipeline.stages.NAME`. `STAGES` lists them and their files.

Importing this package is a program's door: it sets up the process before NumPy is loaded.
"""

import logging
import shutil
from collections.abc import Container
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline.determinism import pin_kernels
from pipeline.processes import exit_with_command

pin_kernels()
exit_with_command()

logger = logging.getLogger(__name__)

MODELS = "models"  # the folder below out/ with a folder for each candidate
CANDIDATE = f"{MODELS}/{{candidate}}/"


@dataclass(frozen=True)
class Stage:
    """One step from files to files. All paths are patterns below out/; {candidate} is the name of a model's folder."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    artifacts: str = ""  # the folder in MLflow of what it shows of a run; none where it shows nothing
    untracked: tuple[str, ...] = ()  # further outputs, which MLflow does not show
    groups: tuple[str, ...] = ()  # of the configuration, that its file in config/ holds

    @property
    def config_file(self) -> str:
        """The pattern of its file in config/; "" of the stage that writes these."""
        return next((pattern.removeprefix("config/") for pattern in self.inputs if pattern.startswith("config/")), "")

    def files(self, folder: Path) -> list[Path]:
        """The files that MLflow shows of the candidate in `folder`, as far as they exist."""
        patterns = [pattern.format(candidate=folder.name) for pattern in self.outputs]
        return [path for pattern in patterns for path in sorted(folder.parent.parent.glob(pattern))]

    def missing(self, folder: Path) -> list[str]:
        """The patterns of which no file exists, below the candidate's folder where they are there."""
        root, own = folder.parent.parent, CANDIDATE.format(candidate=folder.name)
        patterns = [pattern.format(candidate=folder.name) for pattern in self.outputs]
        return [pattern.removeprefix(own) for pattern in patterns if not any(root.glob(pattern))]

    def shown(self, folder: Path, in_dvc: bool) -> Any:
        """The events' `Artifacts` of the candidate in `folder`. in_dvc: the DAG made it, so dvc.lock says more of it."""
        return import_module(f"{__name__}.{self.name}").artifacts(folder, in_dvc)


def _of_candidate(*patterns: str) -> tuple[str, ...]:
    return tuple(CANDIDATE + pattern for pattern in patterns)


_MODEL = _of_candidate("model.json", "model.npz")
_EVALUATION = _of_candidate("evaluation.json", "metrics.json")
_CURVES = _of_candidate("curves.*.csv")
_STAGES = (
    Stage("compose", (), ("config/*.yaml",)),
    Stage("generate", ("config/generate.yaml",), ("data/schema.json", "data/*.parquet", "data/*/*.npy"), groups=("data",)),
    Stage(
        "train",
        ("config/train.{candidate}.yaml", "data/schema.json", "data/train/*"),
        (*_MODEL, *_of_candidate("history.csv")),
        "training",
        groups=("model", "optimizer"),
    ),
    Stage(
        "evaluate",
        ("config/evaluate.yaml", "data/schema.json", "data/test/*", *_MODEL),
        (*_EVALUATION, *_of_candidate("predictions.parquet"), *_CURVES),
        "evaluation",
    ),
    Stage(
        "plot",
        (
            *("config/plot.yaml", "data/schema.json", "data/train/*", *_MODEL),
            *(*_of_candidate("history.csv"), *_EVALUATION, *_CURVES),
        ),
        _of_candidate("figures/*.png"),
        "figures",
        _of_candidate("figures/figures.json"),
    ),
    Stage(
        "report",
        ("config/report.yaml", *_MODEL, *_EVALUATION, *_of_candidate("figures/*")),
        ("report/index.html",),
        "report",
        ("report/report.json", "report/comparison.csv"),
        groups=("candidates",),
    ),
)
STAGES = {stage.name: stage for stage in _STAGES}


def remove_other_candidates(out: Path, names: Container[str]) -> None:
    """Delete the folders of candidates that are gone: `compose` does so, and `report`, since DVC may restore what `compose`
    wrote without running it."""
    for folder in (out / MODELS).glob("*"):
        if folder.is_dir() and folder.name not in names:
            shutil.rmtree(folder)
            logger.info(f"removed {folder}, which is no candidate of overrides.yaml")


def downstream(name: str) -> tuple[str, ...]:
    """What later stages write beside a candidate's model, by its first folder: patterns below the candidate's folder."""
    later = _STAGES[_STAGES.index(STAGES[name]) + 1 :]
    patterns = [pattern for stage in later for pattern in stage.outputs if pattern.startswith(CANDIDATE)]
    return tuple(dict.fromkeys(pattern.removeprefix(CANDIDATE).partition("/")[0] for pattern in patterns))
