"""The tracking store in any state and any folder: it neither holds a command up nor is broken by one that ends early."""

import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from functools import cache, partial
from pathlib import Path

import psutil
import pytest
from filelock import FileLock
from mlflow import MlflowClient

from benchmarks._server import Server
from pipeline.tracking.delivery import Delivery
from pipeline.tracking.journal import Journal
from pipeline.tracking.publisher import OUTLIVED_SECONDS
from pipeline.tracking.store import database_of, sqlite_uri
from tests.conftest import Shell, copy_repo, environment
from tests.observing import runs_of, wait_for
from tests.tracked import publishers

PROMISED_SECONDS = 5.0  # that a command takes longer than without MLflow, at most
BUSY_MACHINE = 3.0  # times as long may one of two runs of the same command take
NAMES = ["a?b", "a#b", "a%20b", "100%", "a b", "a'b", "[a]*", "a;b&c|d", "$HOME", '"a"', "\\a", "é", "a=b,c", "{a}"]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_and_its_uri(tmp_path: Path, name: str) -> None:
    database = tmp_path / name / "x?.db"
    uri = sqlite_uri(database)
    assert not {"?", "%", "#"} & set(uri)
    assert database_of(uri) == database
    assert sqlite_uri(database) == uri


@pytest.mark.slow
def test_a_repository_in_a_folder_of_any_name(tmp_path: Path, store: Path, shell: Shell, forked: Shell) -> None:
    above = tmp_path / "what? 100%25 #1"
    above.mkdir()
    repo = copy_repo(above / 'it\'s [a]* "b";&$HOME\\', store)
    (repo / "mlruns" / "mlflow.db").unlink()
    done = shell("dvc repro evaluate@numpy && python -m pipeline optimizer.lr=0.2 hydra.run.dir=out/runs/other", repo)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (repo / "mlruns").iterdir()} == {".gitignore", ".lock", "artifacts", "mlflow.db"}
    client = MlflowClient(sqlite_uri(repo / "mlruns" / "mlflow.db"))
    experiment = client.get_experiment_by_name("logistic-regression")
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    assert "training/model.npz" in [item.path for item in client.list_artifacts(runs[0].info.run_id, "training")]
    healthy = forked("python -m pipeline.runs doctor", repo)
    assert (healthy.returncode, healthy.stdout) == (0, f"{repo}/mlruns/mlflow.db is healthy\n")
    shutil.rmtree(repo / "mlruns")
    sent = forked("python -m pipeline.runs publish out/runs/other/models/numpy", repo)
    assert "1 sent, 0 there already" in sent.stdout
    assert [list(folder.iterdir()) for folder in (tmp_path, above)] == [[above], [repo]]  # nothing beside them


@contextmanager
def absent(repo: Path) -> Iterator[str]:
    (repo / "mlruns" / "mlflow.db").unlink()
    yield ""


@contextmanager
def locked(repo: Path) -> Iterator[str]:
    """By another process that uses the store."""
    with FileLock(repo / "mlruns" / ".lock"):
        yield ""


@contextmanager
def busy(repo: Path) -> Iterator[str]:
    """By another program that writes to the database."""
    with closing(sqlite3.connect(repo / "mlruns" / "mlflow.db")) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield ""


@contextmanager
def unreadable(repo: Path) -> Iterator[str]:
    (repo / "mlruns" / "mlflow.db").write_bytes(b"no database" * 1000)
    yield ""


@contextmanager
def silent(repo: Path) -> Iterator[str]:
    """A server that takes requests and answers none."""
    folder = repo / "server"
    folder.mkdir()
    server = Server(folder)
    server.start()
    server.wait()
    server.signal(signal.SIGSTOP)
    try:
        yield f"tracking.uri={server.uri}"
    finally:
        server.stop()


def seconds(command: str, repo: Path) -> float:
    """How long a command takes, which must end well."""
    started = time.monotonic()
    done = subprocess.run(command, cwd=repo, env=environment(), shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("MLflow") <= 1
    return time.monotonic() - started


@pytest.fixture(scope="module")
def seconds_without_mlflow(tmp_path_factory: pytest.TempPathFactory, clean: Path) -> Callable[[str], float]:
    """How long a command takes without tracking; each is measured once."""
    repo = Path(shutil.copytree(clean, tmp_path_factory.mktemp("without") / "repo", symlinks=True))
    return cache(lambda command: seconds(f"{command} tracking=none", repo))


ONE, SWEEP = "python -m pipeline model.l2=1", "python -m pipeline -m model.l2=1,2"
States = Sequence[tuple[Callable[[Path], AbstractContextManager[str]], str]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "states",
    [
        (*((state, ONE) for state in (absent, locked, busy, unreadable)), (silent, SWEEP)),
        pytest.param(((silent, ONE),), marks=pytest.mark.evidence),
    ],
    ids=["all", "silent"],
)
def test_a_store_in_any_state_holds_nothing_up(
    tmp_path: Path, repo: Path, seconds_without_mlflow: Callable[[str], float], states: States
) -> None:
    """Nor do the processes beside the work outlive it for long; these are waited for together."""
    with ExitStack() as stack:
        pool, waits = stack.enter_context(ThreadPoolExecutor(len(states))), list[Future[None]]()
        for number, (state, command) in enumerate(states):
            copy = Path(shutil.copytree(repo, tmp_path / str(number), symlinks=True))
            alone = seconds_without_mlflow(command)
            spent = seconds(f"{command} {stack.enter_context(state(copy))}", copy)
            print(f"{state.__name__}: {spent:.1f} s, without MLflow {alone:.1f} s")
            assert spent < BUSY_MACHINE * alone + PROMISED_SECONDS, state.__name__
            waits.append(pool.submit(wait_for, partial(has_no_publisher, copy), OUTLIVED_SECONDS + 1))
        for wait in waits:
            wait.result()


def has_no_publisher(repo: Path) -> bool:
    """Whether none of this repository's commands has one; other tests have theirs."""
    for process in publishers():
        with suppress(psutil.Error):
            if process.cwd() == str(repo):
                return False
    return True


@pytest.mark.slow
def test_what_a_store_lacked_comes_later(repo: Path, forked: Shell) -> None:
    with busy(repo):
        assert forked("python -m pipeline", repo).returncode == 0
        assert undelivered(repo) == {"validate", "train", "evaluate", "plot", "report"}
    done = forked("python -m pipeline.runs publish", repo)
    assert done.returncode == 0, done.stdout
    assert [run.info.status for run in runs_of(repo)] == ["FINISHED"]
    assert undelivered(repo) == set()


@pytest.mark.slow
def test_a_run_that_is_sent_late_has_its_own_files(repo: Path, shell: Shell, forked: Shell) -> None:
    """Though the next command has written over them in the meantime."""
    with busy(repo):
        stage = "python -m pipeline.stages"
        first = f"{stage}.generate && {stage}.train && cp out/models/numpy/model.npz first.npz"
        assert shell(f"{first} && {stage}.train optimizer.lr=0.2", repo).returncode == 0
    done = forked("python -m pipeline.runs doctor", repo)
    assert done.stdout.count("sent what MLflow lacked") == 2
    runs = {run.data.params["optimizer.lr"]: run for run in runs_of(repo)}
    assert {lr: run.info.status for lr, run in runs.items()} == {"0.1": "FINISHED", "0.2": "FINISHED"}
    client = MlflowClient(sqlite_uri(repo / "mlruns" / "mlflow.db"))
    for lr, path in {"0.1": "first.npz", "0.2": "out/models/numpy/model.npz"}.items():
        sent = Path(client.download_artifacts(runs[lr].info.run_id, "training/model.npz"))
        assert sent.read_bytes() == (repo / path).read_bytes()
    assert list((repo / "out" / "journal" / "files").iterdir()) == []


def undelivered(repo: Path) -> set[str]:
    """The stages whose end MLflow lacks."""
    found = set()
    for path in (repo / "out" / "journal").glob("*.jsonl"):
        attempts, delivered = Journal(path).read().attempts.values(), Delivery.read(path).delivered
        found |= {each.opened.stage for each in attempts if each.closed and each.closed[0] > delivered}
    return found
