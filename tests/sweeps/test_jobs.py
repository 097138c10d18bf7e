"""Sweeps as they are typed: a parent run, the jobs' table, and every way in which a job or the sweep can end."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from tests.conftest import Shell, environment
from tests.observing import runs_of, wait_for
from tests.survey import survey

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_has_a_parent(repo: Path, forked: Shell, launcher: str) -> None:
    done = forked(f"python -m pipeline -m hydra/launcher={launcher} optimizer.lr=0.1,0.2", repo)
    assert done.returncode == 0, done.stderr
    runs = runs_of(repo)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert [run.info.status for run in runs] == ["FINISHED"] * 3
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
    assert sorted(run.data.params["optimizer.lr"] for run in children) == ["0.1", "0.2"]


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_with_a_failed_job(repo: Path, forked: Shell, launcher: str) -> None:
    done = forked(
        f"python -m pipeline -m hydra/launcher={launcher} hydra.sweep.dir=out/s model.l2=1 optimizer.lr=0.1,1e308", repo
    )
    assert done.returncode == 1
    diverged = r"\[1\] error: training diverged: the loss is \w+ at epoch 10; try a smaller optimizer.lr than 1e\+308\n"
    errors = "".join(line for line in done.stderr.splitlines(keepends=True) if not line.startswith("[0] warning: "))
    assert re.fullmatch(f"{diverged}error: 1 of 2 jobs failed\n", errors)
    assert "\njob  optimizer.lr  ending    accuracy  roc_auc  log_loss  brier\n0    0.1           finished  0." in done.stdout
    assert "\n1    1e+308        failed\nleast log loss: job 0 -> out/s/0; " in done.stdout
    table = pd.read_csv(repo / "out/s/comparison.csv")
    assert table["ending"].tolist() == ["finished", "failed"]
    assert table["log_loss"].isna().tolist() == [False, True]
    statuses = {run.info.status for run in runs_of(repo) if "mlflow.parentRunId" not in run.data.tags}
    assert statuses == {"FAILED"}


def test_a_sweep_s_table_has_what_is_swept_and_no_more(repo: Path, forked: Shell) -> None:
    done = forked("python -m pipeline -m tracking=none hydra.sweep.dir=out/s model=numpy,torch", repo)
    assert done.returncode == 0, done.stderr
    assert "\njob  model  ending    accuracy  roc_auc  log_loss  brier\n0    numpy  finished  0." in done.stdout


def test_a_sweep_without_overrides_is_one_job(repo: Path, forked: Shell) -> None:
    done = forked("python -m pipeline -m", repo, MLFLOW_TRACKING_URI="")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[0] no overrides\n")


def test_a_killed_sweep_is_not_running(repo: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "-m", "optimizer.epochs=100000000", "data.rows=100000", "optimizer.lr=0.1,0.2"]
    with subprocess.Popen(command, cwd=repo, env=environment(), stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: len(runs_of(repo)) == 2)
        process.kill()
    wait_for(lambda: {run.info.status for run in runs_of(repo)} == {"KILLED"})


def test_a_killed_sweep_of_processes_leaves_none_of_them(repo: Path) -> None:
    arguments = [
        "hydra/launcher=joblib",
        "tracking=none",
        "optimizer.epochs=100000000",
        "data.rows=100000",
        "optimizer.lr=0.1,0.2",
    ]
    command = [sys.executable, "-m", "pipeline", "-m", *arguments]
    with subprocess.Popen(command, cwd=repo, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sweep:
        wait_for(lambda: len(list(repo.glob("out/sweeps/*/*/data/schema.json"))) == 2)
        family = psutil.Process(sweep.pid).children(recursive=True)
        assert len(family) >= 2
        sweep.kill()
    wait_for(lambda: not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family))


def sweep_json(repo: Path) -> dict[str, Any]:
    (note,) = repo.glob("**/sweep.json")
    return dict(json.loads(note.read_text()))


@pytest.mark.parametrize(
    "where",
    [
        "'hydra.sweep.subdir=${hydra.runtime.cwd}/out/away/${hydra.job.num}'",
        "hydra.job.chdir=true",
        "'hydra.sweep.dir=out/${optimizer.lr}' hydra/launcher=joblib",
        pytest.param("'hydra.sweep.subdir=j/${hydra.job.num}'", marks=pytest.mark.evidence),
        pytest.param("++hydra.sweep.dir=out/elsewhere", marks=pytest.mark.evidence),
        pytest.param("'hydra.sweep.dir=out/sweeps/${now:%Y}' hydra/launcher=joblib", marks=pytest.mark.evidence),
    ],
)
def test_a_failed_job_wherever_the_folders_are(repo: Path, forked: Shell, where: str) -> None:
    done = forked(f"python -m pipeline -m {where} model.l2=1 optimizer.lr=1e308,0.1", repo)
    assert done.returncode == 1
    assert done.stderr.endswith("error: 1 of 2 jobs failed\n")
    note = sweep_json(repo)
    assert note["ending"] == "failed"
    assert [job["ending"] for job in note["jobs"]] == ["failed", "finished"]
    assert (repo / note["jobs"][1]["folder"] / "models" / "numpy" / "metrics.json").is_file()
    assert not list(repo.glob("**/jobs"))
    (parent,) = (run for run in runs_of(repo) if "mlflow.parentRunId" not in run.data.tags)
    assert parent.info.status == "FAILED"


def test_jobs_that_would_share_a_folder(repo: Path, forked: Shell) -> None:
    done = forked("python -m pipeline -m tracking=none hydra.sweep.subdir=all optimizer.lr=0.1,0.2", repo)
    assert done.returncode == 1
    assert "[1] error: hydra.sweep.subdir must give each job a folder of its own; out/sweeps/" in done.stderr
    assert done.stderr.endswith("error: 1 of 2 jobs did not start\n")


def test_a_sweep_over_a_glob_and_over_text(repo: Path, forked: Shell) -> None:
    done = forked("python -m pipeline -m tracking=none 'optimizer=glob(*,exclude=[sgd,adam,auto])' optimizer.epochs=5", repo)
    assert done.returncode == 0, done.stderr
    assert [job["overrides"]["optimizer"] for job in sweep_json(repo)["jobs"]] == ["gd", "lbfgs", "newton"]
    table = f"{survey(repo)} data.target=3_4 evaluation.validation=none"
    arguments = f"hydra.sweep.dir=again tracking=none {table} data.positive=2_0,9e9"
    shutil.rmtree(repo / "out" / "sweeps")
    done = forked(f"python -m pipeline -m {arguments}", repo)
    assert [job["overrides"]["data.positive"] for job in sweep_json(repo)["jobs"]] == ["2_0", "9e9"]
    assert " data=table data.path=data/survey.csv data.target=3_4 evaluation.validation=none data.positive=2_0\n" in done.stdout


@pytest.mark.parametrize("launcher", ["joblib", pytest.param("basic", marks=pytest.mark.evidence)])
def test_a_sweep_over_numbers_and_words_for_l2(repo: Path, forked: Shell, launcher: str) -> None:
    table = f"{survey(repo)} data.target=3_4 evaluation.validation=none"
    done = forked(f"python -m pipeline -m hydra/launcher={launcher} tracking=none {table} model.l2=auto,cv,cv_1se,0.1", repo)
    assert done.returncode == 0, done.stderr
    jobs = sweep_json(repo)["jobs"]
    assert [job["overrides"]["model.l2"] for job in jobs] == ["auto", "cv", "cv_1se", "0.1"]
    cards = [json.loads((repo / job["folder"] / "models" / "numpy" / "model.json").read_text()) for job in jobs]
    assert [card["config"]["model"]["l2"] for card in cards] == ["auto", "cv", "cv_1se", 0.1]
    assert {card["config"]["optimizer"]["name"] for card in cards} == {"auto"}
    assert [card["fit"]["penalty"] and card["fit"]["penalty"]["asked"] for card in cards] == ["auto", "cv", "cv_1se", None]
    assert len({card["fingerprint"] for card in cards}) == 4


def test_a_full_disk_ends_a_job_in_one_sentence_and_the_others_go_on(repo: Path, shell: Shell) -> None:
    done = shell("ulimit -f 40; python -m pipeline -m tracking=none data.rows=20000,20,20001", repo)
    assert done.returncode == 1
    errors = "".join(f"{line}\n" for line in done.stderr.splitlines() if " warning: the classes can be separated" not in line)
    assert re.fullmatch(r"(\[\d\] error: .*File too large.*\n)+error: \d of 3 jobs failed\n", errors)
    assert {"[0]", "[2]"} <= set(re.findall(r"^\[\d\]", done.stderr, re.MULTILINE))
    assert "[1] Epoch 0, Loss: 0.6931" in done.stdout


def test_a_killed_worker_fails_the_sweep(repo: Path) -> None:
    arguments = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "optimizer.epochs=100000000", "data.rows=50000"]
    command = [sys.executable, "-m", "pipeline", "-m", "tracking=none", *arguments, "optimizer.lr=0.1,0.2,0.3"]
    with subprocess.Popen(command, cwd=repo, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as sweep:
        wait_for(lambda: len(list(repo.glob("out/sweeps/*/jobs/*.json"))) == 2)
        wait_for(lambda: len(list(repo.glob("out/sweeps/*/*/data/schema.json"))) == 2)
        for child in psutil.Process(sweep.pid).children(recursive=True):
            if "loky" in " ".join(child.cmdline()) and "resource_tracker" not in " ".join(child.cmdline()):
                child.kill()
        assert sweep.stderr
        stderr = sweep.stderr.read().decode()
    assert sweep.returncode == 1
    assert "error: the sweep broke off: A worker process" in stderr
    assert "Traceback" not in stderr
    note = sweep_json(repo)
    assert note["ending"] == "failed"
    assert [job["ending"] for job in note["jobs"]] == ["killed", "killed"]
