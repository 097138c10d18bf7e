"""The stages as functions, on small data in a folder: data/, models/numpy/ and report/."""

from functools import cache
from pathlib import Path

from pipeline import stages
from pipeline.config.config import compose
from pipeline.config.tracking import Tracking

NOWHERE = Tracking(None)
SMALL = ("data.rows=60", "data.test_rows=40", "optimizer.epochs=20")
STAGES = tuple(name for name in stages.STAGES if name != "compose")
composed = cache(lambda *overrides: compose(overrides))


def run(stage: str, root: Path, *overrides: str, base: tuple[str, ...] = SMALL) -> None:
    """One stage in `root`."""
    stages.STAGES[stage].run(composed("tracking=none", *base, *overrides), root)


def made(root: Path, *overrides: str, until: str = "report") -> Path:
    """`root`, with all that the stages make up to one of them."""
    for stage in STAGES[: STAGES.index(until) + 1]:
        run(stage, root, *overrides)
    return root


def files(root: Path, stage: str) -> dict[str, bytes]:
    """The content of what a stage has written."""
    patterns = (
        pattern.format(candidate="numpy") for pattern in (*stages.STAGES[stage].outputs, *stages.STAGES[stage].untracked)
    )
    found = [path for pattern in patterns for path in sorted(root.glob(pattern))]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def leftovers(root: Path) -> list[Path]:
    return list(root.rglob(".writing-*"))
