"""Fits in processes of their own that are killed while they train."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from pipeline.learning.checkpoints import INTERVAL
from tests.conftest import environment

MADE = ("model.json", "model.npz", "history.csv")


def kill_while_it_trains(command: str, repo: Path, chance: random.Random) -> None:
    """Start the command and kill it, with its children, at a random moment after it has written a checkpoint."""
    with subprocess.Popen(
        [sys.executable, "-m", *command.split()], cwd=repo, env=environment(**{INTERVAL: "0"}), start_new_session=True
    ) as fit:
        before = latest_checkpoint(repo)
        while latest_checkpoint(repo) == before:
            assert fit.poll() is None, "the fit ended before it could be killed: it must be longer"
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.15))
        os.killpg(fit.pid, signal.SIGKILL)
    assert fit.returncode == -signal.SIGKILL


def latest_checkpoint(repo: Path) -> float:
    """When the last checkpoint was written; 0 where there is none."""
    return max((path.stat().st_mtime for path in (repo / "out" / "checkpoints").glob("*.npz")), default=0.0)


def take_made(folder: Path) -> list[bytes]:
    """What a fit has written to the model's folder, which is taken away."""
    contents = [(folder / name).read_bytes() for name in MADE]
    for name in MADE:
        (folder / name).unlink()
    return contents
