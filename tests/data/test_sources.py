"""A data source is a module and a YAML file, and no list names it."""

from pathlib import Path

import pytest

from tests.conftest import Shell

MODULE = '''
from dataclasses import dataclass

import numpy as np

from pipeline.data.dataset import Dataset, Split, split


@dataclass(frozen=True)
class Circle:
    """Points of a square, those inside a circle being positive."""

    rows: int = 40
    radius: float = 1.0

    def load(self) -> Dataset:
        X = np.random.default_rng(0).uniform(-1.5, 1.5, (self.rows, 2))
        train, test = split(Split(X, (np.hypot(*X.T) < self.radius).astype(np.float64)), 0.25, 0)
        return Dataset(["x1", "x2"], "inside", (0, 1), train, test)
'''


@pytest.mark.slow
def test_a_new_source_is_two_files(repo: Path, forked: Shell) -> None:
    (repo / "pipeline" / "data" / "sources" / "circle.py").write_text(MODULE)
    (repo / "conf" / "data" / "circle.yaml").write_text("name: circle\nrows: 40\nradius: 1.0\n")
    done = forked("python -m pipeline.stages.generate data=circle data.radius=0.8", repo)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("circle: 30 training and 10 test rows, 2 features")
    wrong = forked("python -m pipeline.stages.generate data=circle data.size=1", repo)
    assert wrong.stderr == "error: data.size is not a key; data=circle takes rows, radius\n"
