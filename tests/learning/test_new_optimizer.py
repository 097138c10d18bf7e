"""An optimizer of two files trains both models without an edit of another file."""

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import Shell

FILES = Path(__file__).with_name("new_optimizer")


@pytest.fixture
def extended(repo: Path) -> Path:
    """The repository with the two files."""
    shutil.copy(FILES / "rmsprop.py", repo / "pipeline" / "learning" / "optimizers")
    shutil.copy(FILES / "rmsprop.yaml", repo / "conf" / "optimizer")
    return repo


@pytest.mark.slow
def test_it_trains_both_models_and_its_settings_are_checked(extended: Path, forked: Shell) -> None:
    assert forked("python -m pipeline.stages.generate", extended).returncode == 0
    command = "python -m pipeline.stages.train optimizer=rmsprop tracking=none"
    losses = []
    for model in ("numpy", "torch"):
        done = forked(f"{command} model={model} model.dtype=float64 model.init=zeros", extended)
        assert done.returncode == 0, done.stderr
        assert "\nrmsprop: 200 epochs" in done.stdout
        (path,) = (extended / "out").rglob(f"{model}/model.json")
        fit = json.loads(path.read_text())["fit"]
        assert fit["optimizer"] == "rmsprop"
        losses.append(fit["loss"])
    assert losses[0] < 0.15
    assert losses[1] == pytest.approx(losses[0], abs=1e-12)
    refused = forked(f"{command} optimizer.alpha=2", extended)
    assert (refused.returncode, refused.stderr) == (1, "error: optimizer.alpha must be in [0, 1); got 2.0\n")
