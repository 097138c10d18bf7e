"""The stages as functions, on small data in a folder: data/, models/numpy/ and report/."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import stages
from pipeline.arrays import Array
from pipeline.config.config import compose
from pipeline.config.tracking import Tracking
from pipeline.manifest import write_manifest

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


def add_weights(data: Path, **weights: Array) -> None:
    """Weights of the rows of the parts train and test, as a table with a column of weights has them."""
    write_arrays(data, {f"{part}/weight.npy": weight for part, weight in weights.items()})


def write_arrays(data: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Arrays beside those that `generate` made, or in their place."""
    content = json.loads((data / "schema.json").read_text())
    for name, array in arrays.items():
        np.save(data / name, array)
    names = {*content.pop("files"), *arrays}
    write_manifest(
        data / "schema.json", content.pop("stage"), {key: value for key, value in content.items() if key != "checksum"}, names
    )
