"""`runs verify`: files, DVC and MLflow against dvc.lock; every drift is named."""

import json
from pathlib import Path

import pytest
import yaml

from tests.conftest import change_overrides
from tests.runs.conftest import Commands, all_runs, client_of

pytestmark = pytest.mark.slow


def test_all_agree_and_every_drift_is_named(made: Path, runs: Commands) -> None:
    (answer,) = runs(made, "verify")
    stages = yaml.safe_load((made / "dvc.lock").read_text())["stages"].values()
    outs = sum(len(stage["outs"]) for stage in stages)
    assert (answer.code, answer.stdout) == (0, f"{outs} outs, DVC's metrics and 2 runs in MLflow agree\n"), answer.stderr
    client, found = client_of(made), all_runs(made)
    numpy, torch = (found[name].info.run_id for name in ("numpy", "torch"))
    metrics = json.loads((made / "out/models/numpy/metrics.json").read_text())
    (made / "out/models/numpy/metrics.json").write_text(json.dumps({**metrics, "brier": 0.5}))
    (made / "out/report/comparison.csv").unlink()
    (made / "out/models/numpy/model.npz").unlink()
    client.log_metric(torch, "test/log_loss", 0.25, step=1)
    client.log_metric(torch, "train/loss", 0.7, step=15)
    norm = "train/gradient_norm"
    client.log_metric(torch, norm, client.get_metric_history(torch, norm)[0].value, timestamp=1, step=0)
    Path(found["torch"].info.artifact_uri.removeprefix("file://"), "figures", "loss.png").write_bytes(b"no picture")
    client.set_terminated(numpy, "FAILED")
    (answer,) = runs(made, "verify --json")
    assert answer.code == 1
    drifts = json.loads(answer.stdout)["drifts"]
    for sentence in (
        "out/models/numpy/metrics.json has md5 ",
        "out/report has md5 ",
        "out/models/numpy/model.npz is gone; `dvc checkout` brings it back",
        f"the run of out/models/numpy, {numpy[:8]} (document | numpy | ",
        f"test/brier of {numpy[:8]}",
        f"test/log_loss of {torch[:8]}",
        f"the curve train/loss of {torch[:8]}",
        f"the curve train/gradient_norm of {torch[:8]} (document | torch | ",
        f"figures/loss.png of {torch[:8]}",
    ):
        assert any(drift.startswith(sentence) for drift in drifts), sentence
    assert not any(f"test/brier of {torch[:8]}" in drift for drift in drifts)
    client.delete_run(torch)
    (answer,) = runs(made, "verify")
    assert "out/models/torch has no run in MLflow; `runs publish` sends it" in answer.stdout


def test_of_overrides_that_have_changed_dvc_repro_is_the_way(made: Path, runs: Commands) -> None:
    change_overrides(made, ["optimizer.lr=0.3", "model.l2=1"])
    (made / "out/models/numpy/model.npz").unlink()
    (made / "out/models/torch/metrics.json").write_text("{")
    (answer,) = runs(made, "verify")
    assert answer.code == 1, answer.stderr
    assert "out/models/torch/metrics.json must be a JSON file; it is not\n" in answer.stdout
    assert answer.stdout.splitlines()[:2] == [
        'overrides.yaml has overrides: ["optimizer.lr=0.3", "model.l2=1"] and {} in dvc.lock; `dvc repro` brings all in line',
        "out/models/numpy/model.npz is gone; `dvc repro` brings it back",
    ]


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_lock_that_is_cut_short(made: Path, runs: Commands, share: float) -> None:
    text = (made / "dvc.lock").read_text()
    (made / "dvc.lock").write_text(text[: int(len(text) * share)])
    (answer,) = runs(made, "verify")
    assert (answer.code, answer.stdout, answer.stderr.count("\n")) == (1, "", 1)
    assert "dvc.lock must" in answer.stderr or "must succeed" in answer.stderr


def test_a_lock_without_what_its_outs_were_made_from(made: Path, runs: Commands) -> None:
    lock = yaml.safe_load((made / "dvc.lock").read_text())
    del lock["stages"]["compose"]["params"]
    (made / "dvc.lock").write_text(yaml.safe_dump(lock))
    (answer,) = runs(made, "verify")
    assert answer.code == 1
    assert answer.stderr == "error: dvc.lock must hold the params and outs of compose; it does not: run `dvc repro`\n"
