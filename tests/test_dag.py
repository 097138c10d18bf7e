"""The DAG as its users run it: real `dvc` in a copy of the repository."""

import filecmp
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient, pyfunc
from mlflow.entities import Run

from pipeline.config.schema import compose
from pipeline.files import ROOT, sources
from pipeline.flatten import flatten
from tests.conftest import Shell, copy_repo, environment

STAGES = ("compose", "generate", "train", "evaluate", "plot", "report")
ALL = {"compose", "generate", "report", *(f"{s}@{m}" for s in ("train", "evaluate", "plot") for m in ("numpy", "torch"))}


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_what_the_stage_imports(stage: str) -> None:
    described = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]
    deps = {dep for dep in described.get("do", described)["deps"] if dep.endswith(".py")}
    assert deps == {str(path.relative_to(ROOT)) for path in sources(f"pipeline.{stage}")}


def runs_of(repo: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{repo}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("logistic-regression")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def executed(output: str) -> set[str]:
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}


BOTH = {"train@numpy", "train@torch"}
# For every leaf of the default configuration: overrides that change it, and the stages that must then run again.
CHANGES: dict[str, tuple[list[str], set[str]]] = {
    "data.name": (["data=breast_cancer"], {"generate", *BOTH}),  # the document's own model settings go with it
    "data.rows": (["data.rows=900"], {"generate"}),
    "data.test_rows": (["data.test_rows=400"], {"generate"}),
    "data.seed": (["data.seed=1"], {"generate"}),
    "model.dtype": (["model.dtype=float32"], {"train@numpy"}),  # torch's is float32 already
    "model.l2": (["model.l2=0.5"], BOTH),
    "model.init": (["model.init=[1.0,1.0,1.0]"], BOTH),
    "model.seed": (["model.seed=1"], BOTH),
    "model.standardize": (["model.standardize=true"], BOTH),
    "optimizer.name": (["optimizer=lbfgs"], BOTH),
    "optimizer.lr": (["optimizer.lr=0.2"], BOTH),
    "optimizer.epochs": (["optimizer.epochs=50"], BOTH),
    "optimizer.record_every": (["optimizer.record_every=5"], BOTH),
    "optimizer.tol": (["optimizer.tol=0.001"], BOTH),
    "optimizer.momentum": (["optimizer.momentum=0.5"], BOTH),
    "optimizer.nesterov": (["optimizer.momentum=0.5", "optimizer.nesterov=true"], BOTH),
    "tracking.uri": (["tracking.uri=sqlite:///mlruns/other.db"], set()),
    "tracking.experiment": (["tracking.experiment=other"], set()),
}


@pytest.mark.slow
def test_every_leaf_re_runs_exactly_its_stages(repo: Path, shell: Shell) -> None:
    assert shell("dvc repro", repo).returncode == 0
    known = {key for key, _ in flatten(compose().plain)} - {"model.name"}  # both models are in the DAG
    assert set(CHANGES) == known, "a new key of the configuration needs a line here that says which stages read it"
    for key, (overrides, stages) in CHANGES.items():
        assert stages or key.startswith("tracking."), f"no stage reads {key}"
        (repo / "overrides.yaml").write_text(yaml.safe_dump({"overrides": overrides}))
        composed = shell("python -m pipeline.stages.compose numpy torch", repo)
        assert composed.returncode == 0, composed.stderr
        status = json.loads(shell("dvc status --json", repo).stdout)
        assert set(status) - {"compose"} == stages, key


@pytest.mark.slow
def test_the_default_dag(repo: Path, shell: Shell) -> None:
    first = shell("dvc repro", repo)
    assert first.returncode == 0, first.stderr
    assert executed(first.stdout) == ALL
    assert "Epoch 90, Loss: 0.3013" in first.stdout
    assert "Epoch 90, Loss: 0.2977" in first.stdout
    again = shell("dvc repro", repo)
    assert executed(again.stdout) == set()
    shell("git add dvc.lock && git commit -qm lock", repo)

    runs = runs_of(repo)
    assert sorted(run.data.tags["model"] for run in runs) == ["numpy", "torch"]
    for run in runs:
        check_run(repo, run)

    # A comment and another order of keys: nothing but compose.
    path = repo / "conf" / "optimizer" / "gd.yaml"
    path.write_text("# a comment\n" + "\n".join(reversed(path.read_text().strip().splitlines())) + "\n")
    assert executed(shell("dvc repro", repo).stdout) == {"compose"}

    # There and back: the cached result leads to its own run.
    (repo / "overrides.yaml").write_text("overrides: [optimizer.lr=0.2]\n")
    assert "train@numpy" in executed(shell("dvc repro", repo).stdout)
    assert len(runs_of(repo)) == 4
    diff = json.loads(shell("dvc params diff --json", repo).stdout)
    assert diff["out/config/train.numpy.yaml"] == {"optimizer.lr": {"old": 0.1, "new": 0.2, "diff": 0.1}}
    assert "log_loss" in shell("dvc metrics diff", repo).stdout
    (repo / "overrides.yaml").write_text("overrides: []\n")
    assert shell("dvc repro", repo).returncode == 0
    assert len(runs_of(repo)) == 4
    model = json.loads((repo / "out/numpy/model.json").read_text())
    assert model["fingerprint"] in {run.data.tags["fingerprint"] for run in runs}

    for command in ("dvc dag", "dvc metrics show", "dvc plots show"):
        shown = shell(command, repo)
        assert shown.returncode == 0, shown.stderr
        assert shown.stdout
    check_serving(repo, runs[0])


def check_run(repo: Path, run: Run) -> None:
    """The run shows what the files hold."""
    client = MlflowClient(f"sqlite:///{repo}/mlruns/mlflow.db")
    name = run.data.tags["model"]
    folder = repo / "out" / name
    about = json.loads((folder / "model.json").read_text())
    assert run.info.status == "FINISHED"
    assert run.data.tags["fingerprint"] == about["fingerprint"]
    assert run.data.tags["git.dirty"] == "false"
    assert {run.data.tags[f"stage.{stage}"] for stage in ("train", "evaluate", "plot")} == {"finished"}
    assert set(run.data.params) == {key for key, _ in flatten(compose([f"model={name}"]).plain)}
    lines = (folder / "history.csv").read_text().splitlines()[1:]
    points = client.get_metric_history(run.info.run_id, "loss")
    rows = [(int(a), float(b)) for a, b, _ in (line.split(",") for line in lines)]
    assert [(p.step, p.value) for p in points] == [*rows, (100, about["fit"]["loss"])]
    for metric, value in json.loads((folder / "metrics.json").read_text()).items():
        assert run.data.metrics[f"test/{metric}"] == value
    lock = yaml.safe_load((repo / "dvc.lock").read_text())["stages"][f"train@{name}"]
    for out in lock["outs"]:
        assert run.data.tags[f"dvc.md5.{Path(out['path']).name}"] == out["md5"]
    figures = {item.path for item in client.list_artifacts(run.info.run_id, "figures")}
    assert {"figures/loss.png", "figures/decision_boundary.png", "figures/data.png", "figures/roc.png"} <= figures
    assert [d.dataset.digest for d in run.inputs.dataset_inputs] == [v[:12] for v in about["data"]["digest"].values()]
    check_served_model(repo, run, folder)


def check_served_model(repo: Path, run: Run, folder: Path) -> None:
    import mlflow
    import pandas as pd

    mlflow.set_tracking_uri(f"sqlite:///{repo}/mlruns/mlflow.db")
    table = pd.read_parquet(repo / "out" / "data" / "test.parquet")
    expected = pd.read_parquet(folder / "predictions.parquet")
    served = pyfunc.load_model(f"runs:/{run.info.run_id}/model").predict(table[["x1", "x2"]])
    assert served["prediction"].tolist() == expected["predicted"].tolist()
    assert (served["probability"] - expected["probability"]).abs().max() < 1e-15


def check_serving(repo: Path, run: Run, uri: str = "") -> None:
    """`mlflow models serve` of the run's model, or of `uri`, answers raw columns, as JSON and CSV, with what evaluate wrote."""
    import pandas as pd

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = f"mlflow models serve -m {uri or f'runs:/{run.info.run_id}/model'} --env-manager local --workers 1 --port {port}"
    env = environment(MLFLOW_TRACKING_URI=f"sqlite:///{repo}/mlruns/mlflow.db")
    table = pd.read_parquet(repo / "out" / "data" / "test.parquet").head(3)
    expected = pd.read_parquet(repo / "out" / run.data.tags["model"] / "predictions.parquet").head(3)
    bodies = {
        json.dumps({"dataframe_split": table[["x1", "x2"]].to_dict(orient="split")}): "application/json",
        json.dumps({"dataframe_records": table[["x2", "x1"]].to_dict(orient="records")}): "application/json",
        table.to_csv(index=False): "text/csv",
    }
    requests = [
        urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body.encode(), {"Content-Type": kind})
        for body, kind in bodies.items()
    ]
    with subprocess.Popen(command.split(), cwd=repo, env=env, stderr=subprocess.DEVNULL, start_new_session=True) as server:
        try:
            answers = [json.loads(_patiently(request))["predictions"] for request in requests]
        finally:
            os.killpg(server.pid, signal.SIGTERM)
    for answer in answers:
        assert [row["prediction"] for row in answer] == expected["predicted"].tolist()
        assert [row["probability"] for row in answer] == pytest.approx(expected["probability"].tolist(), abs=1e-15)


def _patiently(request: urllib.request.Request, seconds: float = 60) -> bytes:
    """The answer of a server that may still be starting."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return bytes(answer.read())
        except urllib.error.URLError:
            assert time.monotonic() < deadline
            time.sleep(0.3)


@pytest.mark.slow
def test_two_clones_threads_and_doors_give_the_same_bytes(tmp_path: Path, store: Path, shell: Shell) -> None:
    one, two = (copy_repo(tmp_path / name, store) for name in ("one", "numerics"))
    (tmp_path / "matplotlibrc").write_text("font.size: 20")
    assert shell("dvc repro", one, OMP_NUM_THREADS="1").returncode == 0
    assert shell("dvc repro", two, OMP_NUM_THREADS="2", MPLCONFIGDIR=str(tmp_path)).returncode == 0
    assert (one / "dvc.lock").read_bytes() == (two / "dvc.lock").read_bytes()
    if "OPENBLAS_CORETYPE" in os.environ:  # processors with AVX2: the committed results are theirs
        assert (one / "dvc.lock").read_bytes() == (ROOT / "dvc.lock").read_bytes()
    for name in ("numpy", "torch"):
        assert shell(f"python -m pipeline.stages.train model={name} tracking=none", two).returncode == 0
        alone = shell(f"python -m pipeline model={name} tracking=none hydra.run.dir=out/alone", two)
        assert alone.returncode == 0, alone.stderr
        for file in ("model.json", "model.npz", "history.csv"):
            made = one / "out" / name / file
            assert filecmp.cmp(made, two / "out" / name / file, shallow=False), file
            assert filecmp.cmp(made, two / "out" / "alone" / name / file, shallow=False), file


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["gd", "newton", "lbfgs"])
def test_threads_change_no_bit_of_a_large_fit(repo: Path, shell: Shell, optimizer: str) -> None:
    shell("python -m pipeline.stages.generate data.rows=300000", repo)
    made = []
    for threads in "12":
        command = f"python -m pipeline.stages.train data.rows=300000 optimizer={optimizer} optimizer.epochs=10 tracking=none"
        assert shell(command, repo, OMP_NUM_THREADS=threads).returncode == 0
        made.append((repo / "out" / "numpy" / "model.npz").read_bytes())
    assert made[0] == made[1]


@pytest.mark.slow
def test_experiments_land_in_the_one_store(repo: Path, shell: Shell) -> None:
    shell("dvc repro && git add -A && git commit -qm lock", repo)
    before = len(runs_of(repo))
    ran = shell("""dvc exp run -S 'overrides.yaml:overrides=["data=breast_cancer"]'""", repo)
    assert ran.returncode == 0, ran.stderr
    assert len(runs_of(repo)) == before + 2
    temp = shell("""dvc exp run --temp -S 'overrides.yaml:overrides=["optimizer.lr=0.3"]'""", repo)
    assert temp.returncode == 0, temp.stderr
    runs: list[Any] = runs_of(repo)
    assert len(runs) == before + 4
    assert all(Path(run.info.artifact_uri.removeprefix("file://")).is_relative_to(repo) for run in runs)
    assert all("dvc.exp" in run.data.tags for run in runs[:4])
    queued = shell("""dvc exp run --queue -S 'overrides.yaml:overrides=["optimizer.lr=0.4"],["optimizer.lr=0.5"]'""", repo)
    assert queued.returncode == 0, queued.stderr
    started = shell("dvc queue start --jobs 2", repo)  # --run-all follows the workers' logs, and now and then goes on for ever
    assert started.returncode == 0, started.stderr
    deadline = time.monotonic() + 240
    while (status := shell("dvc queue status", repo).stdout).count("Success") < 2:
        assert time.monotonic() < deadline, status
        time.sleep(2)
    shell("dvc queue stop", repo)
    lrs = {run.data.params["optimizer.lr"] for run in runs_of(repo) if run.info.status == "FINISHED"}
    assert {"0.4", "0.5"} < lrs
