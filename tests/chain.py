"""The stages as functions, on small data in a folder: data/, numpy/ and report/."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from pipeline.config.schema import Tracking, compose
from pipeline.stages.evaluate import evaluate
from pipeline.stages.generate import generate
from pipeline.stages.plot import plot
from pipeline.stages.report import report
from pipeline.stages.train import train

NOWHERE = Tracking(None)
SMALL = ("data.rows=60", "data.test_rows=40", "optimizer.epochs=20")
composed = cache(lambda *overrides: compose(overrides))
STAGES = ("generate", "train", "evaluate", "plot", "report")
MADE = {  # what each stage writes
    "generate": ("data/*.json", "data/*.parquet", "data/*/*"),
    "train": ("numpy/model.*", "numpy/history.csv"),
    "evaluate": ("numpy/evaluation.json", "numpy/metrics.json", "numpy/predictions.parquet", "numpy/curves.*"),
    "plot": ("numpy/figures/*",),
    "report": ("report/*",),
}


def run(stage: str, root: Path, *overrides: str, base: tuple[str, ...] = SMALL) -> None:
    """One stage in `root`."""
    config = composed(*base, *overrides)
    plain, data, folder = config.plain, root / "data", root / "numpy"
    groups = {group: plain[group] for group in ("model", "optimizer")}
    calls: dict[str, Callable[[], object]] = {
        "generate": lambda: generate(config.data, plain["data"], data),
        "train": lambda: train(groups, data, folder, NOWHERE),
        "evaluate": lambda: evaluate(data, folder, NOWHERE),
        "plot": lambda: plot(data, folder, NOWHERE),
        "report": lambda: report(root, ["numpy"], NOWHERE),
    }
    calls[stage]()


def made(root: Path, *overrides: str, until: str = "report") -> Path:
    """`root`, with all that the stages make up to one of them."""
    for stage in STAGES[: STAGES.index(until) + 1]:
        run(stage, root, *overrides)
    return root


def files(root: Path, stage: str) -> dict[str, bytes]:
    """The content of what a stage has written."""
    found = [path for pattern in MADE[stage] for path in sorted(root.glob(pattern))]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def leftovers(root: Path) -> list[Path]:
    return list(root.rglob(".writing-*"))
