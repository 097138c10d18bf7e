"""All stages for one configuration, in one process and one folder."""

from dataclasses import replace
from pathlib import Path

from pipeline.atomic import atomic_dir
from pipeline.config.config import Config, check
from pipeline.config.files import read_yaml, to_yaml
from pipeline.config.tracking import tracking_of
from pipeline.evaluation.metrics import METRICS
from pipeline.files import METRICS_FILE, read_numbers
from pipeline.interval import Interval
from pipeline.manifest import read_validation
from pipeline.stages import MODELS_DIR, STAGES
from pipeline.stages.validate import STAGE, record_choice, scores_of
from pipeline.tracking.store import check_writable

CONFIG_FILE = "config.yaml"
ALL = [stage for stage in STAGES.values() if stage.inputs]  # but for `compose`
FIRST = ALL[: ALL.index(STAGE) + 1]


def run_all(config: Config, root: Path) -> None:
    """All stages, into root."""
    validate(config, root)
    fit(config, root)


def validate(config: Config, root: Path) -> dict[str, Interval]:
    """The stages up to validate. Returns its mean scores; none where the configuration asks for none."""
    check_writable(config.tracking)
    generate, *others = FIRST
    generate.run(config, root)  # data that cannot be used leave nothing behind
    with atomic_dir(root) as made:
        (made / CONFIG_FILE).write_text(to_yaml(config.to_dict()), encoding="utf-8")
    for stage in others:
        stage.run(config, root)
    return scores_of(read_validation(root / MODELS_DIR / config.model_name))


def fit(config: Config, root: Path) -> dict[str, float]:
    """The stages after these. Returns the test metrics."""
    for stage in ALL[len(FIRST) :]:
        stage.run(config, root)
    return read_numbers(root / MODELS_DIR / config.model_name / METRICS_FILE, *METRICS)


def read_config(root: Path) -> Config:
    """The configuration that the stages in root were run with."""
    content = read_yaml(root / CONFIG_FILE)
    return replace(check(content), tracking=tracking_of(content["tracking"]))


def tag_choice(config: Config, root: Path, is_chosen: bool) -> None:
    """Say in the run of a sweep's job that was validated whether it is the one that is fitted to all training rows."""
    record_choice(root / "data", root / MODELS_DIR / config.model_name, config.tracking, config.to_dict(), is_chosen)
