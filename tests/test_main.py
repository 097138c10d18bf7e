"""The command line: bad input ends in one sentence, sweeps have a parent, failures and kills have their status."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import mlflow
import numpy as np
import psutil
import pytest
from mlflow import MlflowClient
from scipy.sparse import csr_matrix, random_array
from sklearn.datasets import dump_svmlight_file

from tests.conftest import Shell, change_overrides, environment
from tests.observing import points, runs_of, wait_for


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory, clean: Path) -> Path:
    """A copy of the repository with some tables, in which no command makes a file or a run."""
    repo = Path(shutil.copytree(clean, tmp_path_factory.mktemp("unchanged") / "repo", symlinks=True))
    tables = {"t": "a,y\n1,0\n2,1\n", "three": "a,y\n1,0\n2,1\n3,2\n", "gap": "a,y\n1,0\n2,1\n3,\n", "empty": "a,y\n"}
    for name, text in {**tables, "twice": "a,a,y\n1,2,0\n3,4,1\n"}.items():
        (repo / f"{name}.csv").write_text(text)
    return repo


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
        ("pipeline.stages.evaluate numpy", "there is no out/models/numpy/model.json"),
        ("pipeline.stages.plot numpy", "there is no out/models/numpy/model.json"),
        ("pipeline.stages.report numpy", "there is no out/models/numpy/model.json"),
        (
            "pipeline.stages.evaluate ../x",
            "a candidate's name must be a letter or _, then letters, digits, _ and -;",
        ),
        ("pipeline.stages.plot ''", "a candidate's name must be a letter or _, then letters, digits, _ and -; got ''"),
        (
            "pipeline.stages.report numpy a/b",
            "letters, digits, _ and -; got 'a/b'",
        ),
        ("pipeline.stages.train --candidate ../x", "a candidate's name must be a letter or _, then letters, digits"),
        ("pipeline data=table data.path=t.csv data.target=y tracking.experiment=..", "tracking.experiment must have 1 to"),
        ("pipeline foo", "overrides must be KEY=VALUE each, in Hydra's syntax; got foo"),
        ("pipeline optimizer.lr=[", "overrides must be KEY=VALUE each, in Hydra's syntax; got optimizer.lr=["),
        ("pipeline -m optimizer.lr=0.1,-1", "optimizer.lr must be > 0 and finite; got -1.0"),
        ("pipeline -m model=numpy,torhc", "model=torhc: there is no such model; choose numpy, torch"),
        ("pipeline tracking.uri=foo", "tracking.uri must be like sqlite:///FILE or http://HOST:PORT, or null; got foo"),
        ("pipeline data=table data.path=three.csv data.target=y", "must have two classes; got 3: 0, 1, 2"),
        (
            "pipeline data=table data.path=gap.csv data.target=y",
            "the target y in gap.csv must have a value in every row; 1 are missing",
        ),
        ("pipeline data=table data.path=empty.csv data.target=y", "there are no rows in empty.csv"),
        ("pipeline data=table data.path=twice.csv data.target=y", "column names must be unique; twice.csv repeats a"),
        (
            "pipeline.stages.train --config overrides.yaml",
            "overrides.yaml must hold model and optimizer; it has overrides, candidates",
        ),
        ("pipeline.stages.train --config x.yaml data.rows=7", "--config takes no overrides; got data.rows=7"),
    ],
)
def test_one_sentence_and_nothing_half_written(unchanged: Path, forked: Shell, command: str, sentence: str) -> None:
    done = forked(f"python -m {command}", unchanged)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert [path for path in (unchanged / "out").rglob("*") if path.is_file()] == []


def test_the_whole_traceback_on_request(unchanged: Path, forked: Shell) -> None:
    assert "Traceback" in forked("python -m pipeline optimizer.lr=-1", unchanged, HYDRA_FULL_ERROR="1").stderr


def test_an_unwritable_store(repo: Path, forked: Shell) -> None:
    """It is waited for at no time, and nothing is trained."""
    started = time.monotonic()
    (repo / "file").write_text("")
    assert forked("python -m pipeline.stages.generate", repo).returncode == 0
    done = forked("python -m pipeline.stages.train tracking.uri=sqlite:///file/mlflow.db", repo)
    assert done.returncode == 1
    assert "tracking.uri must be writable" in done.stderr
    assert not (repo / "out" / "models" / "numpy").exists()
    assert "Epoch 0" not in done.stdout
    assert time.monotonic() - started < 60


@pytest.mark.slow
def test_a_stage_takes_only_what_the_one_before_it_made(repo: Path, forked: Shell) -> None:
    quiet = "tracking=none"
    assert forked("python -m pipeline.stages.generate", repo).returncode == 0
    assert forked("python -m pipeline.stages.train " + quiet, repo).returncode == 0
    other = forked("python -m pipeline.stages.train data.rows=7 " + quiet, repo)
    assert (
        "the configuration's data must be what out/data holds; run `python -m pipeline.stages.generate data.rows=7"
        in other.stderr
    )
    assert forked("python -m pipeline.stages.generate data.seed=5", repo).returncode == 0
    stale = forked("python -m pipeline.stages.evaluate numpy", repo)
    assert "out/data must be what out/models/numpy was trained on; train again" in stale.stderr
    with (repo / "out" / "models" / "numpy" / "model.npz").open("ab") as file:
        file.write(b"damage")
    assert "must be what model.json describes" in forked("python -m pipeline.stages.evaluate numpy", repo).stderr


@pytest.mark.slow
def test_a_sparse_file_end_to_end(repo: Path, forked: Shell) -> None:
    rng = np.random.default_rng(0)
    X = random_array((200, 1500), density=0.01, format="csr", rng=rng)
    dump_svmlight_file(X, np.asarray(X[:, :50].sum(axis=1) > 0.4).ravel(), str(repo / "t.svm"), zero_based=False)
    done = forked("python -m pipeline data=svmlight data.path=t.svm data.columns=1500 optimizer=auto model.l2=0.1", repo)
    assert done.returncode == 0, done.stderr
    first, *others = done.stderr.splitlines()
    assert first.startswith("warning: constant in the training table")
    assert all(re.match("warning: [a-z_]+( \\(bars promotion\\))?: ", line) for line in others), others
    assert "auto picks lbfgs\n" in done.stdout
    assert "lbfgs: " in done.stdout
    (run,) = runs_of(repo)
    assert run.info.status == "FINISHED"
    assert "`lbfgs` in `numpy` ran for " in run.data.tags["mlflow.note.content"]
    mlflow.set_tracking_uri(f"sqlite:///{repo}/mlruns/mlflow.db")
    served = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model").predict(csr_matrix(X))
    assert np.mean(served["prediction"] == (np.asarray(X[:, :50].sum(axis=1)).ravel() > 0.4)) > 0.8


@pytest.mark.slow
def test_without_a_server_the_work_goes_on(repo: Path, forked: Shell) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tracking.uri=http://127.0.0.1:{free.getsockname()[1]}"
    done = forked(f"python -m pipeline -m {address} optimizer.lr=0.1,0.2", repo, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning: MLflow is behind, the work goes on and the next stage or") == 1
    assert done.stderr.count(" warning: the classes can be separated by ") == 2
    assert done.stderr.count("MLflow") == 1
    assert "Traceback" not in done.stderr
    assert "least log loss: job 1" in done.stdout


@pytest.mark.slow
def test_what_mlflow_could_not_take_is_not_finished_and_comes_later(repo: Path, forked: Shell) -> None:
    for stage in ("compose", "generate"):
        assert forked(f"python -m pipeline.stages.{stage}", repo).returncode == 0
    (repo / "mlruns" / "artifacts").write_text("in the way")
    behind = forked("python -m pipeline.stages.train", repo)
    assert behind.returncode == 0
    assert "MLflow is behind" in behind.stderr
    assert [run.info.status for run in runs_of(repo)] == ["FAILED"]
    (repo / "mlruns" / "artifacts").unlink()
    assert forked("python -m pipeline.stages.evaluate numpy", repo).returncode == 0
    (run,) = runs_of(repo)
    assert run.info.status == "FINISHED"
    client = MlflowClient(f"sqlite:///{repo}/mlruns/mlflow.db")
    assert "training/model.npz" in [item.path for item in client.list_artifacts(run.info.run_id, "training")]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_dvc_leaves_nothing_running(repo: Path, how: signal.Signals) -> None:
    change_overrides(repo, ["optimizer.epochs=100000000", "data.rows=100000"])
    with subprocess.Popen(["dvc", "repro", "-q"], cwd=repo, env=environment(), stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: bool(points(repo)))
            stages = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        finally:
            os.kill(process.pid, how)
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in stages))
    trained = "train was started in numpy's run alone"
    wait_for(lambda: [run.info.status for run in runs_of(repo)].count("KILLED") == 1)
    assert {run.data.params["model.name"] for run in runs_of(repo) if run.info.status == "KILLED"} == {"numpy"}, trained
    assert not (repo / "out" / "models" / "numpy" / "model.json").exists()


def test_an_output_folder_that_is_a_file(repo: Path, forked: Shell) -> None:
    shutil.rmtree(repo / "out")
    (repo / "out").write_text("in the way")
    done = forked("python -m pipeline tracking=none", repo)
    assert done.returncode == 1
    assert done.stderr.startswith("error: out")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
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
        ("--cfg job optimizer.foo=1", "optimizer.foo is not a key; optimizer=gd takes lr"),
        ("--resolve", "The --resolve flag can only be used in conjunction with --cfg or --help"),
        ("-m --cfg job", "Only one of --run, --multirun, --cfg"),
        ("--shell-completion", "Expecting one subcommand from"),
        ("data.rows=900_000_000_000", "Unable to allocate"),
    ],
)
def test_one_sentence_and_no_run_left_behind(unchanged: Path, forked: Shell, arguments: str, sentence: str) -> None:
    done = forked(f"python -m pipeline {arguments}", unchanged)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {sentence}")
    assert done.stderr.count("\n") == 1
    assert runs_of(unchanged) == []


def test_the_configuration_is_shown_as_typed(unchanged: Path, forked: Shell) -> None:
    done = forked("python -m pipeline --cfg job data=table data.target=3_4", unchanged)
    assert "target: '3_4'" in done.stdout
    assert done.returncode == 0


def test_a_preset_of_one_s_own_folder(repo: Path, forked: Shell) -> None:
    (repo / "mine" / "experiment").mkdir(parents=True)
    (repo / "mine" / "experiment" / "quick.yaml").write_text("# @package _global_\noptimizer: {epochs: 3}\n")
    done = forked("python -m pipeline --config-dir mine experiment=quick tracking=none", repo)
    assert "gd: 3 epochs" in done.stdout, done.stderr
