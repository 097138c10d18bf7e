"""The command line: bad input ends in one sentence, sweeps have a parent, failures and kills have their status."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest
from mlflow import MlflowClient
from scipy.sparse import csr_matrix, random_array
from sklearn.datasets import dump_svmlight_file

from tests.conftest import Shell, environment
from tests.test_dag import runs_of


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("pipeline optimizer.lr=-1", "optimizer.lr must be > 0 and finite; got -1.0"),
        ("pipeline data=table data.path=no.csv data.target=y", "data.path must name a file; there is none at no.csv"),
        (
            "pipeline.stages.generate data=table data.path=t.csv data.target=z",
            "there is no column z in t.csv; its columns are a, y",
        ),
        ("pipeline.stages.train", "there is no out/data/schema.json"),
        ("pipeline.stages.evaluate numpy", "there is no out/numpy/model.json"),
        ("pipeline.stages.plot numpy", "there is no out/numpy/model.json"),
        ("pipeline.stages.report numpy", "there is no out/numpy/model.json"),
        ("pipeline.stages.compose jax", "model=jax: there is no such model; choose numpy, torch"),
        ("pipeline data=table data.path=t.csv data.target=y tracking.experiment=..", "tracking.experiment must have 1 to"),
        ("pipeline foo", "overrides must be KEY=VALUE each, in Hydra's syntax; got foo"),
        ("pipeline optimizer.lr=[", "overrides must be KEY=VALUE each, in Hydra's syntax; got optimizer.lr=["),
        ("pipeline -m optimizer.lr=0.1,-1", "optimizer.lr must be > 0 and finite; got -1.0"),
        ("pipeline -m model=numpy,torhc", "model=torhc: there is no such model; choose numpy, torch"),
        ("pipeline tracking.uri=foo", "tracking.uri must be like sqlite:///FILE or http://HOST:PORT, or null; got foo"),
        ("pipeline data=table data.path=three.csv data.target=y", "must have two classes; got 3: 0, 1, 2"),
        (
            "pipeline data=table data.path=gap.csv data.target=y",
            "columns must have no missing values in gap.csv; these have some: a",
        ),
        ("pipeline data=table data.path=empty.csv data.target=y", "there are no rows in empty.csv"),
        ("pipeline data=table data.path=twice.csv data.target=y", "column names must be unique; twice.csv repeats a"),
        ("pipeline.stages.train --config overrides.yaml", "overrides.yaml must hold model and optimizer; it has overrides"),
        ("pipeline.stages.train --config x.yaml data.rows=7", "--config takes no overrides; got data.rows=7"),
    ],
)
def test_one_sentence_and_nothing_half_written(repo: Path, shell: Shell, command: str, sentence: str) -> None:
    tables = {"t": "a,y\n1,0\n2,1\n", "three": "a,y\n1,0\n2,1\n3,2\n", "gap": "a,y\n1,0\n,1\n", "empty": "a,y\n"}
    for name, text in {**tables, "twice": "a,a,y\n1,2,0\n3,4,1\n"}.items():
        (repo / f"{name}.csv").write_text(text)
    done = shell(f"python -m {command}", repo)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert [path for path in (repo / "out").rglob("*") if path.is_file()] == []


def test_the_whole_traceback_on_request(repo: Path, shell: Shell) -> None:
    assert "Traceback" in shell("python -m pipeline optimizer.lr=-1", repo, HYDRA_FULL_ERROR="1").stderr


def test_overrides_must_be_a_list(repo: Path, shell: Shell) -> None:
    (repo / "overrides.yaml").write_text("overrides: optimizer.lr=1\n")
    assert "must be a list with commas, such as [data=" in shell("python -m pipeline.stages.compose numpy", repo).stderr
    (repo / "overrides.yaml").write_text("overrides: [data=breast_cancer model.l2=1]\n")
    said = shell("python -m pipeline.stages.compose numpy", repo).stderr
    assert said.endswith(", with commas between them in overrides.yaml; got data=breast_cancer model.l2=1\n")
    (repo / "overrides.yaml").write_text("overrides: [model=torch]\n")
    assert "model cannot be set in overrides.yaml" in shell("python -m pipeline.stages.compose numpy", repo).stderr


def test_an_unwritable_store(repo: Path, shell: Shell) -> None:
    started = time.monotonic()
    (repo / "file").write_text("")
    assert shell("python -m pipeline.stages.generate", repo).returncode == 0
    done = shell("python -m pipeline.stages.train tracking.uri=sqlite:///file/mlflow.db", repo)
    assert done.returncode == 1
    assert "tracking.uri must be writable" in done.stderr
    assert not (repo / "out" / "numpy").exists()
    assert time.monotonic() - started < 10


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_has_a_parent(repo: Path, shell: Shell, launcher: str) -> None:
    done = shell(f"python -m pipeline -m hydra/launcher={launcher} optimizer.lr=0.1,0.2", repo)
    assert done.returncode == 0, done.stderr
    runs = runs_of(repo)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert [run.info.status for run in runs] == ["FINISHED"] * 3
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
    assert sorted(run.data.params["optimizer.lr"] for run in children) == ["0.1", "0.2"]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_with_a_failed_job(repo: Path, shell: Shell, launcher: str) -> None:
    done = shell(
        f"python -m pipeline -m hydra/launcher={launcher} hydra.sweep.dir=out/s model.l2=1 optimizer.lr=0.1,1e308", repo
    )
    assert done.returncode == 1
    diverged = r"\[1\] error: training diverged: the loss is \w+ at epoch 10; try a smaller optimizer.lr than 1e\+308\n"
    assert re.fullmatch(f"{diverged}error: 1 of 2 jobs failed\n", done.stderr)
    assert "\njob  optimizer.lr  ending    accuracy  roc_auc  log_loss  brier\n0    0.1           finished  0." in done.stdout
    assert "\n1    1e+308        failed\nleast log loss: job 0 -> out/s/0; " in done.stdout
    table = pd.read_csv(repo / "out/s/comparison.csv")
    assert table["ending"].tolist() == ["finished", "failed"]
    assert table["log_loss"].isna().tolist() == [False, True]
    statuses = {run.info.status for run in runs_of(repo) if "mlflow.parentRunId" not in run.data.tags}
    assert statuses == {"FAILED"}


@pytest.mark.slow
def test_a_sweep_s_table_has_what_is_swept_and_no_more(repo: Path, shell: Shell) -> None:
    done = shell("python -m pipeline -m tracking=none hydra.sweep.dir=out/s model=numpy,torch", repo)
    assert done.returncode == 0, done.stderr
    assert "\njob  model  ending    accuracy  roc_auc  log_loss  brier\n0    numpy  finished  0." in done.stdout


def points(repo: Path) -> list[object]:
    """The loss curve of the only run, so far."""
    client, runs = MlflowClient(f"sqlite:///{repo}/mlruns/mlflow.db"), runs_of(repo)
    return list(client.get_metric_history(runs[0].info.run_id, "loss")) if runs else []


def wait_for(condition: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_stage_takes_only_what_the_one_before_it_made(repo: Path, shell: Shell) -> None:
    quiet = "tracking=none"
    assert shell("python -m pipeline.stages.generate && python -m pipeline.stages.train " + quiet, repo).returncode == 0
    other = shell("python -m pipeline.stages.train data.rows=7 " + quiet, repo)
    assert (
        "the configuration's data must be what out/data holds; run `python -m pipeline.stages.generate data.rows=7"
        in other.stderr
    )
    assert shell("python -m pipeline.stages.generate data.seed=5", repo).returncode == 0
    stale = shell("python -m pipeline.stages.evaluate numpy", repo)
    assert "out/data must be what out/numpy was trained on; train again" in stale.stderr
    with (repo / "out" / "numpy" / "model.npz").open("ab") as file:
        file.write(b"damage")
    assert "must be what model.json describes" in shell("python -m pipeline.stages.evaluate numpy", repo).stderr


def test_a_sparse_file_end_to_end(repo: Path, shell: Shell) -> None:
    rng = np.random.default_rng(0)
    X = random_array((200, 1500), density=0.01, format="csr", rng=rng)
    dump_svmlight_file(X, np.asarray(X[:, :50].sum(axis=1) > 0.4).ravel(), str(repo / "t.svm"), zero_based=False)
    done = shell("python -m pipeline data=svmlight data.path=t.svm data.columns=1500 optimizer=auto model.l2=0.1", repo)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("warning: constant in the training table")
    assert done.stderr.count("\n") == 1
    assert "auto picks lbfgs\n" in done.stdout
    assert "lbfgs: " in done.stdout
    (run,) = runs_of(repo)
    assert run.info.status == "FINISHED"
    assert run.data.tags["fitted_by"] == "lbfgs"
    mlflow.set_tracking_uri(f"sqlite:///{repo}/mlruns/mlflow.db")
    served = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model").predict(csr_matrix(X))
    assert np.mean(served["prediction"] == (np.asarray(X[:, :50].sum(axis=1)).ravel() > 0.4)) > 0.8


def test_without_a_server_the_work_goes_on(repo: Path, shell: Shell) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tracking.uri=http://127.0.0.1:{free.getsockname()[1]}"
    done = shell(f"python -m pipeline -m {address} optimizer.lr=0.1,0.2", repo, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning: MLflow is behind, the work goes on and the next stage or") == 1
    assert done.stderr.count(" warning: the classes can be separated by ") == 2
    assert done.stderr.count("\n") == 3
    assert "Traceback" not in done.stderr
    assert "least log loss: job 1" in done.stdout


@pytest.mark.slow
def test_what_mlflow_could_not_take_is_not_finished_and_comes_later(repo: Path, shell: Shell) -> None:
    shell("python -m pipeline.stages.compose numpy torch && python -m pipeline.stages.generate", repo)
    (repo / "mlruns" / "artifacts").write_text("in the way")
    behind = shell("python -m pipeline.stages.train", repo)
    assert behind.returncode == 0
    assert "MLflow is behind" in behind.stderr
    assert [run.info.status for run in runs_of(repo)] == ["FAILED"]
    (repo / "mlruns" / "artifacts").unlink()
    assert shell("python -m pipeline.stages.evaluate numpy", repo).returncode == 0
    (run,) = runs_of(repo)
    assert run.info.status == "FINISHED"
    client = MlflowClient(f"sqlite:///{repo}/mlruns/mlflow.db")
    assert "training/model.npz" in [item.path for item in client.list_artifacts(run.info.run_id, "training")]


@pytest.mark.slow
def test_a_killed_sweep_is_not_running(repo: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "-m", "optimizer.epochs=100000000", "data.rows=100000", "optimizer.lr=0.1,0.2"]
    with subprocess.Popen(command, cwd=repo, env=environment(), stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: len(runs_of(repo)) == 2)
        process.kill()
    wait_for(lambda: {run.info.status for run in runs_of(repo)} == {"KILLED"})


@pytest.mark.slow
def test_a_killed_sweep_of_processes_leaves_none_of_them(repo: Path) -> None:
    words = ["hydra/launcher=joblib", "tracking=none", "optimizer.epochs=100000000", "data.rows=100000", "optimizer.lr=0.1,0.2"]
    command = [sys.executable, "-m", "pipeline", "-m", *words]
    with subprocess.Popen(command, cwd=repo, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sweep:
        wait_for(lambda: len(list(repo.glob("out/sweeps/*/*/data/schema.json"))) == 2)
        family = psutil.Process(sweep.pid).children(recursive=True)
        assert len(family) >= 2
        sweep.kill()
    wait_for(lambda: not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_dvc_leaves_nothing_running(repo: Path, how: signal.Signals) -> None:
    (repo / "overrides.yaml").write_text("overrides: [optimizer.epochs=100000000, data.rows=100000]\n")
    with subprocess.Popen(["dvc", "repro", "-q"], cwd=repo, env=environment(), stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: bool(points(repo)))
        stages = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        os.kill(process.pid, how)
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in stages))
    wait_for(lambda: [run.info.status for run in runs_of(repo)] == ["KILLED"])
    assert not (repo / "out" / "numpy").exists() or not any((repo / "out" / "numpy").iterdir())


def test_an_output_folder_that_is_a_file(repo: Path, shell: Shell) -> None:
    (repo / "out").write_text("in the way")
    done = shell("python -m pipeline tracking=none", repo)
    assert done.returncode == 1
    assert done.stderr.startswith("error: out")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("-m hydra/sweeper=optuna optimizer.lr=0.1,0.2", "hydra/sweeper=optuna: there is no such hydra/sweeper; choose basic"),
        ("-m hydra/launcher=slurm", "hydra/launcher=slurm: there is no such hydra/launcher; choose basic, joblib"),
        ("-m 'optimizer.lr=interval(0,1)'", "optimizer.lr must be a choice, a range or a glob for Hydra's basic sweeper"),
        ("-m 'data.seed=range(0,100000000)'", "data.seed must have 1 to 10000 values in a sweep"),
        ("-m 'data.seed=range(200)' 'model.seed=range(200)'", "a sweep must have at most 10000 jobs; got 40000"),
        ("-m hydra.sweeper.max_batch_size=0", "hydra.sweeper.max_batch_size must be > 0 or null; got 0"),
        ("-m 'hydra.sweep.dir=${nowhere}'", "Interpolation key 'nowhere' not found"),
        ("-m hydra.sweep.dir=/proc/none", "/proc/none cannot be used: No such file or directory"),
        ("'hydra.run.dir=${nowhere}'", "Interpolation key 'nowhere' not found"),
        ("--config-name other", "Cannot find primary config 'other'"),
        ("--config-dir none", "--config-dir must name a folder; there is none at none"),
        ("--cfg job optimizer.foo=1", "optimizer.foo is not a key; optimizer takes lr"),
        ("--resolve", "The --resolve flag can only be used in conjunction with --cfg or --help"),
        ("-m --cfg job", "Only one of --run, --multirun, --cfg"),
        ("--shell-completion", "Expecting one subcommand from"),
        ("data.rows=900_000_000_000", "Unable to allocate"),
    ],
)
def test_one_sentence_and_no_run_left_behind(repo: Path, shell: Shell, words: str, sentence: str) -> None:
    done = shell(f"python -m pipeline {words}", repo)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {sentence}")
    assert done.stderr.count("\n") == 1
    assert runs_of(repo) == []


def test_the_configuration_is_shown_as_typed(repo: Path, shell: Shell) -> None:
    done = shell("python -m pipeline --cfg job data=table data.target=3_4", repo)
    assert "target: '3_4'" in done.stdout
    assert done.returncode == 0


def test_a_preset_of_one_s_own_folder(repo: Path, shell: Shell) -> None:
    (repo / "mine" / "experiment").mkdir(parents=True)
    (repo / "mine" / "experiment" / "quick.yaml").write_text("# @package _global_\noptimizer: {epochs: 3}\n")
    done = shell("python -m pipeline --config-dir mine experiment=quick tracking=none", repo)
    assert "gd: 3 epochs" in done.stdout, done.stderr


def survey(repo: Path, name: str = "data/survey.csv") -> str:
    """A table whose columns and labels look like numbers; its words for the command line."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"34": rng.normal(size=40), "age": rng.normal(size=40)})
    frame["3_4"] = np.where(frame["age"] > 0, "2_0", "9e9")
    (repo / name).parent.mkdir(exist_ok=True)
    frame.to_csv(repo / name, index=False)
    return f"data=table 'data.path={name}'"


def test_names_as_typed_through_overrides_yaml(repo: Path, shell: Shell) -> None:
    survey(repo, "data/year=2024, (a)/b.csv")
    (repo / "overrides.yaml").write_text(
        "overrides: [data=table, 'data.path=data/year=2024, (a)/b.csv', data.target=3_4, data.positive=2_0]\n"
    )
    done = shell("python -m pipeline.stages.compose numpy && cat out/config/generate.yaml", repo)
    assert "path: data/year=2024, (a)/b.csv\n  target: '3_4'\n  positive: '2_0'\n" in done.stdout, done.stderr


def test_an_override_in_overrides_yaml_that_cannot_be_read(repo: Path, shell: Shell) -> None:
    (repo / "overrides.yaml").write_text("overrides: ['hydra.job.name=(x)']\n")
    said = shell("python -m pipeline.stages.compose numpy", repo).stderr
    assert """such as - 'hydra.job.name="(x)"', with commas between them in overrides.yaml; got hydra.job.name=(x)\n""" in said
    assert "overrides.yaml" not in shell("python -m pipeline 'hydra.job.name=(x)'", repo).stderr


def test_an_untracked_table_in_an_experiment_s_copy(repo: Path, shell: Shell, tmp_path: Path) -> None:
    words = f"{survey(repo, 'data/my survey.csv')} data.target=3_4"
    copy = tmp_path / "copy"
    shell(f"git clone -q . {copy} && cd {copy} && rm -rf data && mkdir data", repo)
    done = shell(f"python -m pipeline.stages.generate {words}", copy, DVC_ROOT=str(repo))
    assert (
        "`git add 'data/my survey.csv'`, or `dvc add 'data/my survey.csv' && git add 'data/my survey.csv.dvc'`;" in done.stderr
    )
    assert done.stderr.count("\n") == 1
    shell("rm data/*.csv", repo)
    assert "there is none at" in shell(f"python -m pipeline.stages.generate {words}", copy, DVC_ROOT=str(repo)).stderr


def sweep_json(repo: Path) -> dict[str, Any]:
    (note,) = repo.glob("**/sweep.json")
    return dict(json.loads(note.read_text()))


@pytest.mark.slow
@pytest.mark.parametrize(
    "where",
    [
        "'hydra.sweep.subdir=j/${hydra.job.num}'",
        "++hydra.sweep.dir=out/elsewhere",
        "'hydra.sweep.dir=out/sweeps/${now:%Y}' hydra/launcher=joblib",
        "'hydra.sweep.subdir=${hydra.runtime.cwd}/out/away/${hydra.job.num}'",
        "hydra.job.chdir=true",
        "'hydra.sweep.dir=out/${optimizer.lr}' hydra/launcher=joblib",
    ],
)
def test_a_failed_job_wherever_the_folders_are(repo: Path, shell: Shell, where: str) -> None:
    done = shell(f"python -m pipeline -m {where} model.l2=1 optimizer.lr=1e308,0.1", repo)
    assert done.returncode == 1
    assert done.stderr.endswith("error: 1 of 2 jobs failed\n")
    note = sweep_json(repo)
    assert note["ending"] == "failed"
    assert [job["ending"] for job in note["jobs"]] == ["failed", "finished"]
    assert (repo / note["jobs"][1]["folder"] / "numpy" / "metrics.json").is_file()
    assert not list(repo.glob("**/jobs"))
    (parent,) = (run for run in runs_of(repo) if "mlflow.parentRunId" not in run.data.tags)
    assert parent.info.status == "FAILED"


@pytest.mark.slow
def test_jobs_that_would_share_a_folder(repo: Path, shell: Shell) -> None:
    done = shell("python -m pipeline -m tracking=none hydra.sweep.subdir=all optimizer.lr=0.1,0.2", repo)
    assert done.returncode == 1
    assert "[1] error: hydra.sweep.subdir must give each job a folder of its own; out/sweeps/" in done.stderr
    assert done.stderr.endswith("error: 1 of 2 jobs did not start\n")


@pytest.mark.slow
def test_a_sweep_over_a_glob_and_over_text(repo: Path, shell: Shell) -> None:
    done = shell("python -m pipeline -m tracking=none 'optimizer=glob(*,exclude=[sgd,adam,auto])' optimizer.epochs=5", repo)
    assert done.returncode == 0, done.stderr
    assert [job["overrides"]["optimizer"] for job in sweep_json(repo)["jobs"]] == ["gd", "lbfgs", "newton"]
    words = f"hydra.sweep.dir=again tracking=none {survey(repo)} data.target=3_4 data.positive=2_0,9e9"
    done = shell(f"rm -r out/sweeps; python -m pipeline -m {words}", repo)
    assert [job["overrides"]["data.positive"] for job in sweep_json(repo)["jobs"]] == ["2_0", "9e9"]
    assert "[0] tracking=none data=table data.path=data/survey.csv data.target=3_4 data.positive=2_0\n" in done.stdout


@pytest.mark.slow
def test_a_full_disk_ends_a_job_in_one_sentence_and_the_others_go_on(repo: Path, shell: Shell) -> None:
    done = shell("ulimit -f 40; python -m pipeline -m tracking=none data.rows=20000,20,20001", repo)
    assert done.returncode == 1
    errors = "".join(f"{line}\n" for line in done.stderr.splitlines() if " warning: the classes can be separated" not in line)
    assert re.fullmatch(r"(\[\d\] error: .*File too large.*\n)+error: \d of 3 jobs failed\n", errors)
    assert {"[0]", "[2]"} <= set(re.findall(r"^\[\d\]", done.stderr, re.MULTILINE))
    assert "[1] Epoch 0, Loss: 0.6931" in done.stdout


@pytest.mark.slow
def test_a_killed_worker_fails_the_sweep(repo: Path) -> None:
    words = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "optimizer.epochs=100000000", "data.rows=50000"]
    command = [sys.executable, "-m", "pipeline", "-m", "tracking=none", *words, "optimizer.lr=0.1,0.2,0.3"]
    with subprocess.Popen(command, cwd=repo, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as sweep:
        wait_for(lambda: len(list(repo.glob("out/sweeps/*/jobs/*.json"))) == 2)
        wait_for(lambda: len(list(repo.glob("out/sweeps/*/*/data/schema.json"))) == 2)
        for child in psutil.Process(sweep.pid).children(recursive=True):
            if "loky" in " ".join(child.cmdline()) and "resource_tracker" not in " ".join(child.cmdline()):
                child.kill()
        assert sweep.stderr
        said = sweep.stderr.read().decode()
    assert sweep.returncode == 1
    assert "error: the sweep broke off: A worker process" in said
    assert "Traceback" not in said
    note = sweep_json(repo)
    assert note["ending"] == "failed"
    assert [job["ending"] for job in note["jobs"]] == ["killed", "killed"]
