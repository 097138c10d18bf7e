"""The command line of a stage that works on one candidate."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline import console
from pipeline.config.files import check_candidate_name, check_stage_file
from pipeline.config.tracking import Tracking, stage_tracking
from pipeline.files import OUT
from pipeline.stages import MODELS_DIR, Stage


def run_on_candidate(
    stage: Stage, description: str | None, work: Callable[[Path, Path, Tracking], object], argv: Sequence[str]
) -> None:
    """Call `work` on out/data/, the folder of the candidate that the command line names, and where runs are logged."""
    parser = console.parser(f"stages.{stage.name}", description, "numpy")
    parser.add_argument("candidate", help="its folder in out/models/")
    name = parser.parse_args(argv).candidate
    check_candidate_name(name)
    check_stage_file(OUT, stage.name)
    work(OUT / "data", OUT / MODELS_DIR / name, stage_tracking(OUT))
