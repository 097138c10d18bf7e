"""`runs doctor`: what is RUNNING without a process is closed, and nothing else; the store is checked."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from pipeline.processes import HOST, Process, look_up, this_process
from pipeline.runs.doctor import GONE
from pipeline.tracking.journal import LETTERS, LOST, Journal
from tests.conftest import Shell, environment
from tests.observing import runs_of, wait_for
from tests.runs.conftest import Commands, client_of


def process_of(pid: int) -> Process:
    found = look_up(pid)
    assert found
    return found[0]


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def start_run(repo: Path, name: str, tags: dict[str, str]) -> str:
    client = client_of(repo)
    known = client.get_experiment_by_name("logistic-regression")
    where = known.experiment_id if known else client.create_experiment("logistic-regression", f"{repo}/mlruns/artifacts")
    return str(client.create_run(where, run_name=name, tags={"stage.train": "running", **tags}).info.run_id)


def states(repo: Path) -> dict[str, str]:
    return {run.info.run_name: run.info.status for run in runs_of(repo)}


@pytest.mark.slow
def test_only_what_has_no_process_is_closed(repo: Path, runs: Commands, sleeper: "subprocess.Popen[bytes]") -> None:
    with subprocess.Popen(["sleep", "600"]) as dead:
        gone = process_of(dead.pid)
        dead.kill()
    alive = process_of(sleeper.pid)
    name, boot = HOST.split(" ")
    cases = {
        "gone": gone.tags,
        "running": gone.tags,  # MLflow has a run's name in a tag
        "another process of that id": alive._replace(started=str(int(alive.started) - 60)).tags,
        "before the machine was started": alive._replace(host=f"{name} {boot[::-1]}").tags,
        "alive": alive.tags,
        "elsewhere": gone._replace(host=f"other-host {boot}").tags,
        "unknown": {},
    }
    ids = {case: start_run(repo, case, tags) for case, tags in cases.items()}
    closed = set(list(cases)[:4])
    (dry,) = runs(repo, "doctor --dry-run")
    assert dry.code == 1
    assert dry.stdout.count("would be closed, its process is gone") == 4
    assert set(states(repo).values()) == {"RUNNING"}
    (answer, again) = runs(repo, "doctor", "doctor")
    assert (answer.code, again.code) == (1, 1)  # two are left that nobody here can judge
    assert answer.stdout.count("closed as KILLED, its process is gone") == 4
    assert "(elsewhere): left RUNNING, it is of another machine, other-host" in answer.stdout
    assert "healthy" not in again.stdout
    assert states(repo) == {case: "KILLED" if case in closed else "RUNNING" for case in cases}
    tags = client_of(repo).get_run(ids["gone"]).data.tags
    assert (tags["stage.train"], tags["reason"]) == ("killed", GONE)
    stages = [key for key in client_of(repo).get_run(ids["running"]).data.tags if key.startswith("stage.")]
    assert stages == ["stage.train"]


def test_this_process_is_alive() -> None:
    assert this_process() == process_of(os.getpid())
    assert Process.from_tags(this_process().tags) == this_process()
    assert this_process().state() == "alive"
    assert Process.from_tags({}) is None


def test_a_damaged_store(repo: Path, runs: Commands) -> None:
    start_run(repo, "one", {})
    database = repo / "mlruns" / "mlflow.db"
    whole = bytearray(database.read_bytes())
    page = 4096
    whole[len(whole) - 8 * page :] = b"\xff" * (8 * page)
    for content, sentence in (
        (bytes(whole), "damaged"),
        (b"no database" * 999, "not a database"),
        (whole[:20_000], "malformed"),
    ):
        database.write_bytes(content)
        (answer,) = runs(repo, "doctor")
        assert answer.code == 1
        assert sentence in answer.stdout + answer.stderr
        assert answer.stderr.count("\n") <= 1
        assert database.read_bytes() == content


@pytest.mark.slow
@pytest.mark.parametrize("counts", [(1, 500, 5000), pytest.param((1, 20, 100, 500, 500, 5000), marks=pytest.mark.evidence)])
def test_a_store_with_flipped_bytes_is_one_sentence(made: Path, runs: Commands, counts: tuple[int, ...]) -> None:
    database = made / "mlruns" / "mlflow.db"
    whole, rng = database.read_bytes(), random.Random(5)
    for count in counts:
        damaged = bytearray(whole)
        for place in rng.sample(range(100, len(whole)), count):  # the file remains one of SQLite's
            damaged[place] ^= rng.randrange(1, 256)
        database.write_bytes(damaged)
        for answer in runs(made, "doctor", "verify"):
            assert answer.code in (0, 1)
            assert answer.stderr.count("\n") <= 1, answer.stderr
    database.write_bytes(whole)
    assert [answer.code for answer in runs(made, "doctor", "verify")] == [0, 0]


@pytest.mark.slow
def test_runs_whose_artifacts_are_gone(made: Path, runs: Commands) -> None:
    shutil.rmtree(made / "mlruns" / "artifacts")
    (answer,) = runs(made, "doctor")
    assert answer.code == 1
    assert answer.stdout.count("its artifacts are gone; `runs publish` sends what out/ has of it") == 5


@pytest.mark.slow
def test_killed_with_its_publisher_it_is_closed_and_keeps_its_curve(repo: Path, runs: Commands) -> None:
    rng = random.Random(11)
    for lr in ("0.1", "0.2"):
        _kill_both(repo, lr, rng.uniform(0.5, 2))
    client = client_of(repo)
    statuses = {run.data.params["optimizer.lr"]: run.info.status for run in runs_of(repo)}
    assert statuses == {"0.1": "KILLED", "0.2": "RUNNING"}, "the next command's publisher closes what the first one's left"
    (answer,) = runs(repo, "doctor")
    assert answer.stdout.count("closed as KILLED") == 1
    for run in runs_of(repo):
        assert (run.info.status, run.data.tags["reason"]) == ("KILLED", LOST)
        (path,) = (repo / "out" / "journal").glob(f"{run.data.tags['fingerprint'][:LETTERS]}-*.jsonl")
        points = Journal(path).read().points.values()
        assert _curve(client, run.info.run_id) == [(point.epoch, point.loss) for point in points]


def _kill_both(repo: Path, lr: str, seconds: float) -> None:
    """Start a long fit, and kill it and its publisher when it has trained for a while."""
    before = len(runs_of(repo))
    argv = [sys.executable, "-m", "pipeline", "optimizer.epochs=100000000", "data.rows=100000", f"optimizer.lr={lr}"]
    with subprocess.Popen(argv, cwd=repo, env=environment(), stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: any(run.data.metrics.get("train/loss") for run in runs_of(repo)[: len(runs_of(repo)) - before]))
            time.sleep(seconds)
            publisher = next(p for p in psutil.process_iter(["cmdline"]) if _serves(p, process.pid))
            publisher.send_signal(signal.SIGKILL)
        finally:
            process.kill()
    wait_for(lambda: not publisher.is_running())


def _serves(process: psutil.Process, supervisor: int) -> bool:
    argv = process.info["cmdline"] or []
    return "pipeline.tracking.publisher" in argv and argv[-2] == str(supervisor)


def _curve(client: MlflowClient, run_id: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run_id, "train/loss")]


@pytest.mark.slow
def test_a_journal_that_cannot_be_used_is_not_healthy(repo: Path, runs: Commands) -> None:
    """As of another version. It is named each time, and the others are used."""
    folder = repo / "out" / "journal"
    folder.mkdir(parents=True)
    (folder / "f00-1.jsonl").write_text('{"version": 2}\n')
    (folder / "f00-2.jsonl").write_text("")  # of a disk that was full
    for answer in runs(repo, "doctor", "doctor"):
        assert answer.code == 1
        sentence = "skipped, no line of it is undamaged and of this version; to forget it, remove the file"
        assert answer.stdout == f"out/journal/f00-1.jsonl: {sentence}\n"
    (answer,) = runs(repo, "doctor --json")
    assert json.loads(answer.stdout)["skipped_journals"] == ["out/journal/f00-1.jsonl"]
    (folder / "f00-1.jsonl").unlink()
    (answer,) = runs(repo, "doctor")
    assert (answer.code, answer.stdout.endswith("is healthy\n")) == (0, True)


def test_where_the_stages_log_nowhere_dvc_repro_is_no_advice(repo: Path, runs: Commands) -> None:
    (repo / "mlruns" / "mlflow.db").unlink()
    (repo / "out" / "config").mkdir(parents=True)
    (repo / "out" / "config" / "tracking.yaml").write_text("uri: null\nexperiment: logistic-regression\n")
    for answer in runs(repo, "doctor", "diff 3f2a91 77b0c4"):
        assert answer.code == 1
        assert answer.stderr.startswith("error: there are no runs yet: ")
        assert answer.stderr.endswith("does not exist; it is made when stages run without tracking=none\n")


@pytest.mark.slow
def test_links_that_a_killed_sync_left_are_no_news(repo: Path, runs: Commands, forked: Shell) -> None:
    """Of a journal that MLflow has all of."""
    assert forked("python -m pipeline optimizer.epochs=10", repo).returncode == 0
    wait_for(lambda: [run.info.status for run in runs_of(repo)] == ["FINISHED"])
    (path,) = (repo / "out" / "journal").glob("*.jsonl")
    wait_for(lambda: not Journal(path).links.exists())
    left = Journal(path).links / next(iter(Journal(path).read().attempts)) / "training"
    left.mkdir(parents=True)
    (answer,) = runs(repo, "doctor")
    assert (answer.code, answer.stdout.count("\n"), answer.stdout.endswith("is healthy\n")) == (0, 1, True)
    assert not left.exists()
