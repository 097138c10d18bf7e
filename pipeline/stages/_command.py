"""The command line of a stage that works on one candidate."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import console
from pipeline.config.files import check_candidate_name, read_stage_file
from pipeline.config.tracking import Tracking, stage_tracking
from pipeline.files import OUT
from pipeline.stages import MODELS_DIR, Stage


def run_on_candidate(
    stage: Stage,
    description: str | None,
    work: Callable[[Path, Path, Tracking, Mapping[str, Any]], object],
    argv: Sequence[str],
) -> None:
    """Call `work` on out/data/, the folder of the candidate that the command line names, where runs are logged, and what
    `compose` wrote for the stage; nothing where it did not."""
    parser = console.parser(f"stages.{stage.name}", description, "numpy")
    parser.add_argument("candidate", help="its folder in out/models/")
    name = parser.parse_args(argv).candidate
    check_candidate_name(name)
    file = OUT / "config" / stage.config_file.format(candidate=name)
    settings = read_stage_file(file, stage.name, *stage.sections) if file.is_file() else {}
    work(OUT / "data", OUT / MODELS_DIR / name, stage_tracking(OUT), settings)
