"""The plot stage: each figure that applies, of files that stay as they are meanwhile."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation.figures import FIGURES
from pipeline.stages import plot
from tests.chain import made, run


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("evaluated"), until="evaluate")


@pytest.fixture
def root(evaluated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(evaluated, tmp_path / "copy"))


def drawn(root: Path) -> set[str]:
    names = [sorted(path.stem for path in (root / "models/numpy/figures").glob(f"*.{kind}")) for kind in ("png", "svg")]
    assert names[0] == names[1]
    return set(names[0])


def test_two_features_have_every_figure(root: Path) -> None:
    run("plot", root)
    assert drawn(root) == set(FIGURES)


def test_many_features_have_no_points(tmp_path: Path) -> None:
    for stage in ("generate", "train", "evaluate", "plot"):
        run(stage, tmp_path, "data=breast_cancer", "optimizer.epochs=3", base=())
    assert drawn(tmp_path) == set(FIGURES) - {"data", "decision_boundary"}


def test_a_table_that_is_written_over_meanwhile_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = plot._points

    def modifying(predictor: Any, tables: Any) -> Any:
        read = points(predictor, tables)
        with (root / "data/train/X.npy").open("r+b") as file:
            file.write(b"x")
        return read

    monkeypatch.setattr(plot, "_points", modifying)
    with pytest.raises(PipelineError, match="another process has written to it"):
        run("plot", root)
    assert not (root / "models" / "numpy" / "figures").exists()
