"""Fits that are killed, again and again, and end with the bytes of one that was left alone."""

import json
import random
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.learning.checkpoints import INTERVAL
from tests.conftest import Shell
from tests.killed_fits import kill_while_it_trains, take_made

TRACKED = 2  # of the killed attempts
FITS = {
    "numpy": "optimizer=sgd optimizer.epochs=1500 optimizer.record_every=7 optimizer.momentum=0.5",
    "torch": "optimizer=adam optimizer.epochs=6000 optimizer.record_every=3",
}


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, pytest.param(11, marks=pytest.mark.evidence)])
@pytest.mark.parametrize("model", FITS)
def test_killed_fits_go_on_to_the_same_bytes(repo: Path, forked: Shell, model: str, kills: int) -> None:
    assert forked("python -m pipeline.stages.generate", repo).returncode == 0
    command = f"pipeline.stages.train model={model} {FITS[model]}"
    alone = forked(f"python -m {command} tracking=none", repo)
    assert alone.returncode == 0, alone.stderr
    expected = take_made(repo / "out" / "models" / model)
    chance = random.Random(model)
    for i in range(kills):
        kill_while_it_trains(command if i < TRACKED else f"{command} tracking=none", repo, chance)
    done = forked(f"python -m {command}", repo)
    assert done.returncode == 0, done.stderr
    assert "going on from epoch" in done.stdout
    assert take_made(repo / "out" / "models" / model) == expected
    assert list((repo / "out" / "checkpoints").glob("*.npz")) == []

    client = MlflowClient(f"sqlite:///{repo}/mlruns/mlflow.db")
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert run.info.status == "FINISHED"
    points = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "train/loss")]
    rows = [line.split(",") for line in expected[2].decode().splitlines()[1:]]
    end = json.loads(expected[0])["fit"]
    assert sorted(points) == [*((int(epoch), float(loss)) for epoch, loss, _ in rows), (end["epochs"], end["loss"])]


@pytest.mark.slow
def test_a_damaged_checkpoint_is_not_used(repo: Path, forked: Shell) -> None:
    assert forked("python -m pipeline.stages.generate", repo).returncode == 0
    command = f"pipeline.stages.train {FITS['numpy']} tracking=none"
    kill_while_it_trains(command, repo, random.Random(0))
    (path,) = (repo / "out" / "checkpoints").glob("*.npz")
    content = path.read_bytes()
    damages = {
        "truncated": content[: len(content) // 2],
        "changed": content[:300] + bytes(byte ^ 255 for byte in content[300:700]) + content[700:],
        "empty": b"",
        "another file": b"PK" + 500 * b"x",
    }
    for damage, damaged in damages.items():
        path.write_bytes(damaged)
        done = forked(f"python -m {command}", repo)
        assert done.returncode == 0, damage
        assert done.stderr.count("is damaged, so the fit starts from the beginning") == 1, damage
        assert "Epoch 0, Loss: 0.6931" in done.stdout, damage


def test_the_interval_must_be_a_time(repo: Path, forked: Shell) -> None:
    forked("python -m pipeline.stages.generate", repo)
    done = forked("python -m pipeline.stages.train tracking=none", repo, **{INTERVAL: "soon"})
    assert (done.returncode, done.stderr) == (1, f"error: {INTERVAL} must be a number of seconds >= 0; got soon\n")


def test_a_fit_outlives_checkpoints_that_cannot_be_written(repo: Path, forked: Shell) -> None:
    forked("python -m pipeline.stages.generate", repo)
    (repo / "out" / "checkpoints").write_text("a file where the folder should be")
    done = forked("python -m pipeline.stages.train tracking=none", repo, **{INTERVAL: "0"})
    assert done.returncode == 0
    assert done.stderr.count("warning: no checkpoint could be written") == 1
