"""The stages of the DAG, a module each: `python -m pipeline.stages.NAME`. `STAGES` lists them and their files.

Importing this package sets up the process, before NumPy is loaded.
"""

import logging
import shutil
from collections.abc import Container, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.determinism import pin_kernels
from pipeline.processes import exit_with_command

if TYPE_CHECKING:
    from pipeline.config.config import Config

pin_kernels()
exit_with_command()

from pipeline.files import (
    CHECKS_FILE,
    COEFFICIENTS_FILE,
    HISTORY_FILE,
    INTERVALS_FILE,
    METRICS_FILE,
    PENALTY_FILE,
    PREDICTIONS_FILE,
    VALIDATION_HISTORY_FILE,
    VALIDATION_PREDICTIONS_FILE,
    WEIGHTS_FILE,
)
from pipeline.manifest import CARD, DECISION, EVALUATION, FIGURES, REPORT, SCHEMA, VALIDATION

logger = logging.getLogger(__name__)

MODELS_DIR = "models"  # the folder below out/ with a folder for each candidate
CANDIDATE = f"{MODELS_DIR}/{{candidate}}/"


@dataclass(frozen=True)
class Stage:
    """One step from files to files. All paths are patterns below out/; {candidate} is the name of a model's folder."""

    name: str  # of its module, too
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    artifacts: str = ""  # the folder in MLflow of what it shows of a run; none where it shows nothing
    untracked: tuple[str, ...] = ()  # further outputs, which MLflow does not show
    groups: tuple[str, ...] = ()  # of the configuration, that its file in config/ holds

    @property
    def config_file(self) -> str:
        """The pattern of its file in config/; "" of the stage that writes these."""
        return next((pattern.removeprefix("config/") for pattern in self.inputs if pattern.startswith("config/")), "")

    @property
    def sections(self) -> tuple[str, ...]:
        """The keys of that file, beside the code's hash."""
        return tuple(dict.fromkeys(name.partition(".")[0] for name in self.groups))

    def settings(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The groups of a configuration that the stage reads; of GROUP.KEY the key alone."""
        settings: dict[str, Any] = {}
        for group, _, key in (name.partition(".") for name in self.groups):
            settings[group] = {**settings.get(group, {}), key: config[group][key]} if key else config[group]
        return settings

    def run(self, config: "Config", root: Path) -> None:
        """Do for one configuration, in this process, what the DAG does for a candidate, with `root` in place of out/."""
        self._module().run(root / "data", root / MODELS_DIR / config.model_name, config.tracking, config.to_dict())

    def files(self, folder: Path) -> list[Path]:
        """The files that MLflow shows of the candidate in `folder`, as far as they exist."""
        patterns = [pattern.format(candidate=folder.name) for pattern in self.outputs]
        return [path for pattern in patterns for path in sorted(folder.parent.parent.glob(pattern))]

    def missing(self, folder: Path) -> list[str]:
        """The patterns of which no file exists, below the candidate's folder where they are there."""
        root, own = folder.parent.parent, CANDIDATE.format(candidate=folder.name)
        patterns = [pattern.format(candidate=folder.name) for pattern in self.outputs]
        return [pattern.removeprefix(own) for pattern in patterns if not any(root.glob(pattern))]

    def artifacts_of(self, folder: Path, in_dvc: bool) -> Any:
        """The events' `Artifacts` of the candidate in `folder`. in_dvc: the DAG made it, so dvc.lock describes it, too."""
        return self._module().artifacts(folder, in_dvc)

    def downstream(self) -> tuple[str, ...]:
        """What later stages write beside a candidate's model, by its first folder: patterns below the candidate's folder."""
        later = _STAGES[_STAGES.index(self) + 1 :]
        patterns = [pattern for stage in later for pattern in stage.outputs if pattern.startswith(CANDIDATE)]
        return tuple(dict.fromkeys(pattern.removeprefix(CANDIDATE).partition("/")[0] for pattern in patterns))

    def _module(self) -> Any:
        return import_module(f"{__name__}.{self.name}")


def _of_candidate(*patterns: str) -> tuple[str, ...]:
    return tuple(CANDIDATE + pattern for pattern in patterns)


_MODEL, _HISTORY = _of_candidate(CARD, WEIGHTS_FILE), _of_candidate(HISTORY_FILE)
_COEFFICIENTS = _of_candidate(COEFFICIENTS_FILE)
_EVALUATION, _CURVES = _of_candidate(EVALUATION, DECISION, METRICS_FILE), _of_candidate("curves.*.csv")
_VALIDATION = _of_candidate(VALIDATION, VALIDATION_PREDICTIONS_FILE)
_COURSE = _of_candidate(VALIDATION, VALIDATION_HISTORY_FILE)
_TRAINING_DATA, _TEST_DATA = ((f"data/{SCHEMA}", f"data/{part}/*") for part in ("train", "test"))
_STAGES = (
    Stage("compose", (), ("config/*.yaml",)),
    Stage("generate", ("config/generate.yaml",), (f"data/{SCHEMA}", "data/*.parquet", "data/*/*.npy"), groups=("data",)),
    Stage(
        "validate",
        ("config/validate.{candidate}.yaml", *_TRAINING_DATA),
        (*_VALIDATION, *_of_candidate(VALIDATION_HISTORY_FILE)),
        "validation",
        groups=("model", "optimizer", "evaluation.validation", "evaluation.folds", "evaluation.repeats"),
    ),
    Stage(
        "train",
        ("config/train.{candidate}.yaml", *_TRAINING_DATA),
        (*_MODEL, *_HISTORY, *_COEFFICIENTS, *_of_candidate(PENALTY_FILE)),
        "training",
        groups=("model", "optimizer"),
    ),
    Stage(
        "evaluate",
        ("config/evaluate.{candidate}.yaml", *_TRAINING_DATA, *_TEST_DATA, *_MODEL, *_VALIDATION),
        (*_EVALUATION, *_of_candidate(INTERVALS_FILE, PREDICTIONS_FILE, CHECKS_FILE), *_CURVES),
        "evaluation",
        groups=("evaluation.threshold", "evaluation.reference"),
    ),
    Stage(
        "plot",
        ("config/plot.yaml", *_TRAINING_DATA, *_COURSE, *_MODEL, *_HISTORY, *_COEFFICIENTS, *_EVALUATION, *_CURVES),
        _of_candidate("figures/*.png"),
        "figures",
        _of_candidate("figures/*.svg", f"figures/{FIGURES}"),
    ),
    Stage(
        "report",
        (
            *("config/report.yaml", f"data/{SCHEMA}", *_COURSE, *_MODEL, *_HISTORY, *_COEFFICIENTS),
            *(*_EVALUATION, *_CURVES, *_of_candidate(INTERVALS_FILE, CHECKS_FILE, PREDICTIONS_FILE, "figures/*")),
        ),
        ("report/index.html",),
        "report",
        (f"report/{REPORT}", "report/comparison.csv", "report/figures/*"),
        groups=("candidates",),
    ),
)
STAGES = {stage.name: stage for stage in _STAGES}


def remove_other_candidates(out: Path, names: Container[str]) -> None:
    """Delete the folders of candidates that are gone: `compose` does so, and `report`, since DVC may restore what `compose`
    wrote without running it."""
    for folder in (out / MODELS_DIR).glob("*"):
        if folder.is_dir() and folder.name not in names:
            shutil.rmtree(folder)
            logger.info(f"removed {folder}, which is no candidate of overrides.yaml")
