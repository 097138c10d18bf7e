"""The process beside the work: outages, kills and outsiders cost no value, no status and no reason."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import psutil
import pytest
import yaml
from mlflow import MlflowClient

from benchmarks._server import Server, free_port
from pipeline.config.tracking import Tracking
from pipeline.files import read_json
from pipeline.model.card import read_card
from pipeline.processes import Process, this_process
from pipeline.stages.evaluate import evaluate
from pipeline.tracking.delivery import Delivery
from pipeline.tracking.events import Closed
from pipeline.tracking.journal import Journal, new_attempt
from pipeline.tracking.publisher import Publisher, ensure_publisher, wait_for_publishers
from pipeline.tracking.store import project_root
from tests.conftest import Shell, change_overrides, environment
from tests.observing import runs_of, wait_for
from tests.servers import Proxy
from tests.tracked import allow_interrupts, are_gone, check_each_value_once, is_delivered, publishers, retrain

SECRET, QUOTED = "s3cret-Pa55word", "qu'oted-Pa55word"


def test_of_several_that_find_no_publisher_one_starts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    popen = subprocess.Popen

    def sleep(argv: list[str], **how: Any) -> "subprocess.Popen[bytes]":
        started.append(popen(["sleep", "30"], pass_fds=how["pass_fds"]))
        return popen(["true"])

    monkeypatch.setattr("pipeline.tracking.publisher.subprocess.Popen", sleep)
    supervisor = Process(2**30, "0")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ensure_publisher(supervisor), range(8)))
    (publisher,) = started
    ensure_publisher(supervisor)
    assert len(started) == 1
    publisher.kill()
    publisher.wait()
    ensure_publisher(supervisor)
    assert len(started) == 2, "one that was killed is replaced"
    started[1].kill()
    started[1].wait()
    wait_for_publishers(project_root())  # which deletes the file of one that was killed


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with journals of its own."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def write_journal(
    fitted: Path, settings: Mapping[str, Any], stage: str, supervisor: Process, ending: str = "finished"
) -> Journal:
    card = read_card(fitted / "models" / "numpy").content
    opened = new_attempt(stage, settings, card=card.to_dict())
    journal = Journal.of(settings, card.fingerprint, sweep := str(supervisor.pid))
    opened = replace(opened, supervisor=list(supervisor), sweep=sweep)
    journal.append(opened, *([Closed(opened.attempt, ending, time.time())] if ending else []))
    return journal


def test_what_an_earlier_command_left_is_sent_once_its_store_answers(fitted: Path, local: Tracking, here: Path) -> None:
    own, other = this_process(), this_process()._replace(started="1")
    left = write_journal(fitted, local.to_dict(), "plot", other, "failed")
    elsewhere = write_journal(fitted, {"uri": "sqlite:////nowhere/x.db", "experiment": "x"}, "plot", other)
    publisher = Publisher(own)
    assert not publisher.poll()
    assert not is_delivered(left.path), "the store may hang"
    mine = write_journal(fitted, local.to_dict(), "plot", own)
    wait_for(lambda: not publisher.poll())
    assert [is_delivered(journal.path) for journal in (mine, left, elsewhere)] == [True, True, False]


def test_a_store_that_fails_is_asked_ever_more_rarely_and_at_each_end(
    fitted: Path, local: Tracking, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def fail(uri: str, experiment: str) -> None:
        calls.append(uri)
        raise ConnectionError("away")

    monkeypatch.setattr("pipeline.tracking.sync.mlflow_run.connect", fail)
    journal = write_journal(fitted, local.to_dict(), "train", this_process(), "")
    publisher = Publisher(this_process())
    for _ in range(5):
        assert publisher.poll()
    assert (len(calls), publisher.is_failing) == (1, True)
    journal.append(Closed.finished(next(iter(journal.read().attempts))))
    for _ in range(5):
        assert publisher.poll()
    assert len(calls) == 2
    assert Delivery.read(journal.path).error == "ConnectionError: away"


def test_a_run_without_news_does_not_hide_that_its_store_fails(
    fitted: Path, local: Tracking, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_journal(fitted, local.to_dict(), "train", this_process(), "")
    publisher = Publisher(this_process())
    assert publisher.poll()
    assert not publisher.is_failing

    def fail(uri: str, experiment: str) -> None:
        raise ConnectionError("away")

    monkeypatch.setattr("pipeline.tracking.sync.mlflow_run.connect", fail)
    monkeypatch.setattr("pipeline.tracking.publisher.FLUSH_SECONDS", 0.0)
    monkeypatch.setattr("pipeline.tracking.publisher.FIRST_PAUSE", 1e-9)
    card = read_card(fitted / "models" / "numpy").content
    opened = new_attempt("plot", local.to_dict(), card=card.to_dict(), sweep="another")
    Journal.of(local.to_dict(), card.fingerprint, "another").append(opened)
    for _ in range(5):
        assert publisher.poll()
        assert publisher.is_failing


def test_what_cannot_be_read_keeps_nothing_else_back(fitted: Path, local: Tracking, here: Path) -> None:
    (here / "out" / "journal" / "folder.jsonl").mkdir(parents=True)
    mine = write_journal(fitted, local.to_dict(), "plot", this_process())
    publisher = Publisher(this_process())
    wait_for(lambda: not publisher.poll())
    assert is_delivered(mine.path)


def test_many_that_earlier_commands_left_do_not_hold_up_this_one(
    fitted: Path, local: Tracking, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.tracking.publisher.READ_BYTES", 0)  # as where they are long
    gone = [this_process()._replace(pid=2**30 + i, started="1") for i in range(5)]
    left = [write_journal(fitted, local.to_dict(), "plot", process, "failed").path for process in gone]
    mine = write_journal(fitted, local.to_dict(), "plot", this_process())
    os.utime(mine.path, (time.time() + 1,) * 2)
    publisher = Publisher(this_process())
    assert publisher.poll(), "others are left"
    assert is_delivered(mine.path)
    before = sum(map(is_delivered, left))
    assert before <= 1
    for round in range(1, 4):
        assert publisher.poll()
        assert sum(map(is_delivered, left)) <= before + round
    wait_for(lambda: not publisher.poll())
    assert all(map(is_delivered, left))


AFTERWARDS = 1000
OUTAGES: dict[str, tuple[str | int, int, int]] = {  # how the proxy fails, from and until which epoch
    "before": ("drop", 0, AFTERWARDS),
    "from the start, answers lost": ("lose", 0, 50),
    "middle, answers lost": ("lose", 30, 60),
    "middle, 500": (500, 30, 60),
    "middle, 429": (429, 30, 60),
    "end": ("drop", 80, AFTERWARDS),
}
SIMILAR = ("middle, answers lost", "middle, 429")  # to others


@pytest.mark.slow
@pytest.mark.parametrize("outage", [pytest.param(name, marks=[pytest.mark.evidence] * (name in SIMILAR)) for name in OUTAGES])
def test_an_outage_loses_and_doubles_nothing(
    fitted: Path, server: Server, proxy: Proxy, outage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mode, start, end = OUTAGES[outage]
    tracking = Tracking(f"http://127.0.0.1:{proxy.port}")

    def recover() -> None:
        assert proxy.failed.wait(60), "nothing was sent during the outage"
        proxy.mode = "pass"

    retrain(fitted / "models" / "numpy", tracking, {start: lambda: setattr(proxy, "mode", mode), end: recover})
    proxy.mode = "pass"
    shown = capsys.readouterr()
    assert shown.err.count("warning: MLflow is behind, the work goes on") == 1
    if end == AFTERWARDS:  # of one that is over, a busy machine may know only after the command's end
        assert "in MLflow: runs:/" not in shown.out
    evaluate(fitted / "data", fitted / "models" / "numpy", tracking)
    assert "MLflow" not in capsys.readouterr().err
    check_each_value_once(server.uri, fitted / "models" / "numpy")


RECOVERIES = {"5e307": "python -m pipeline.runs publish", "1e307": "python -m pipeline.stages.train tracking=server"}


@pytest.mark.slow
@pytest.mark.parametrize("lr", RECOVERIES)
def test_how_a_stage_failed_comes_after_the_outage(repo: Path, forked: Shell, server: Server, proxy: Proxy, lr: str) -> None:
    env = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{proxy.port}"}
    assert forked("python -m pipeline.stages.generate", repo).returncode == 0
    (repo / "pipeline" / "notes").write_text("changed before the outage\n")
    proxy.mode = "drop"
    failed = forked(f"python -m pipeline.stages.train tracking=server model.l2=1 optimizer.lr={lr}", repo, **env)
    (repo / "pipeline" / "notes").write_text("changed since\n")
    assert failed.returncode == 1
    assert "MLflow is behind" in failed.stderr
    assert "Max retries" not in failed.stderr
    (journal,) = (repo / "out" / "journal").glob("*.jsonl")
    early = forked("python -m pipeline.runs publish", repo, **env)
    assert (early.returncode, early.stdout.splitlines()[-1]) == (1, "0 sent, 0 there already, 1 skipped")
    assert "to forget it, remove the file" in early.stdout
    proxy.mode = "pass"

    def recovers() -> bool:
        done = forked(RECOVERIES[lr], repo, **env)
        assert done.returncode == 0, done.stderr
        return is_delivered(journal)

    wait_for(recovers)  # on a busy machine a publisher's time is over before MLflow has all: then the next command sends it
    client = MlflowClient(server.uri)
    (run,) = client.search_runs(["1"], f"tags.fingerprint LIKE '{journal.name.partition('-')[0]}%'")
    assert (run.info.status, run.data.tags["stage.train"]) == ("FAILED", "failed")
    assert run.data.tags["reason"].startswith("DataError: training diverged")
    assert [point.step for point in client.get_metric_history(run.info.run_id, "train/loss")] == [0]
    found = {Path(item.path).name for item in client.list_artifacts(run.info.run_id, "lineage")}
    assert found == {"traceback.train.txt", "requirements.txt", "environment.json", "code.diff"}
    mlflow.set_tracking_uri(server.uri)
    diff = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/lineage/code.diff")
    assert "+changed before the outage" in diff
    assert "changed since" not in diff


@pytest.mark.slow
def test_a_failure_is_forgotten_when_the_stage_succeeds_in_the_same_outage(
    repo: Path, forked: Shell, server: Server, proxy: Proxy
) -> None:
    env, fit = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{proxy.port}"}, "optimizer.lr=0.123 tracking=server"
    assert forked("python -m pipeline.stages.generate", repo).returncode == 0
    proxy.mode = "drop"
    (repo / "out" / "config").mkdir()
    (repo / "out" / "config" / "tracking.yaml").write_text(yaml.safe_dump(Tracking(env["MLFLOW_TRACKING_URI"]).to_dict()))
    (repo / "out" / "models").mkdir()
    (repo / "out" / "models" / "numpy").write_text("in the way\n")
    assert forked(f"python -m pipeline.stages.train {fit}", repo, **env).returncode == 1
    (repo / "out" / "models" / "numpy").unlink()
    assert forked(f"python -m pipeline.stages.train {fit}", repo, **env).returncode == 0
    (path,) = (repo / "out" / "journal").glob("*.jsonl")
    assert [attempt.ending for attempt in Journal(path).read().attempts.values()] == ["failed", "finished"]
    proxy.mode = "pass"
    assert forked("python -m pipeline.stages.evaluate numpy", repo, **env).returncode == 0
    assert Delivery.read(path).is_complete(path.stat().st_size)
    about = read_json(repo / "out" / "models" / "numpy" / "model.json")
    (run,) = MlflowClient(server.uri).search_runs(["1"], f"tags.fingerprint = '{about['fingerprint']}'")
    assert (run.info.status, "reason" in run.data.tags) == ("FINISHED", False)


@pytest.mark.slow
def test_a_success_in_an_outage_comes_with_the_code_that_made_it(
    repo: Path, shell: Shell, forked: Shell, server: Server, proxy: Proxy
) -> None:
    uri = f"http://127.0.0.1:{proxy.port}"
    assert forked("python -m pipeline.stages.generate", repo).returncode == 0
    (repo / "out" / "config").mkdir()
    (repo / "out" / "config" / "tracking.yaml").write_text(yaml.safe_dump(Tracking(uri).to_dict()))
    commit = shell("git rev-parse HEAD", repo).stdout.strip()
    proxy.mode = "drop"
    assert forked(f"python -m pipeline.stages.train tracking.uri={uri} optimizer.lr=0.456", repo).returncode == 0
    shell("git commit -q --allow-empty -m later", repo)
    proxy.mode = "pass"
    done = forked("python -m pipeline.runs doctor", repo)
    assert (done.returncode, done.stdout.count("sent what MLflow lacked")) == (0, 1)
    fingerprint = read_json(repo / "out" / "models" / "numpy" / "model.json")["fingerprint"]
    (run,) = MlflowClient(server.uri).search_runs(["1"], f"tags.fingerprint = '{fingerprint}'")
    assert (run.info.status, run.data.tags["mlflow.source.git.commit"]) == ("FINISHED", commit)
    check_each_value_once(server.uri, repo / "out" / "models" / "numpy", evaluated=False)


SWEEPER = """
import sys
from pathlib import Path
from pipeline.config.tracking import Tracking
from pipeline.console import configure_logging
from pipeline.sweeps.jobs import status_file
from pipeline.tracking.client import track_sweep, wait_for_delivery
configure_logging()
record = Path("out/sweeps/s/sweep.json")
with track_sweep(Tracking(sys.argv[1]), "away at the end") as key, status_file(record, {"name": "x", "run": key, "jobs": []}):
    print("begun", flush=True)
    sys.stdin.readline()
wait_for_delivery()
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", ["publish", pytest.param("doctor", marks=pytest.mark.evidence)])
def test_a_sweep_whose_server_is_away_at_its_end(repo: Path, forked: Shell, server: Server, proxy: Proxy, command: str) -> None:
    uri = f"http://127.0.0.1:{proxy.port}"
    ways = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", SWEEPER, uri], cwd=repo, env=environment(), **ways) as sweep:  # type: ignore[call-overload]
        assert sweep.stdout.readline() == "begun\n"
        client = MlflowClient(server.uri)
        wait_for(lambda: sweep_runs(client, repo) == ["RUNNING"])
        proxy.mode = "drop"
        _, said = sweep.communicate("\n")
    assert said.startswith("warning: MLflow is behind")
    proxy.mode = "pass"
    assert sweep_runs(client, repo) == ["RUNNING"]
    (repo / "out" / "config").mkdir()
    (repo / "out" / "config" / "tracking.yaml").write_text(yaml.safe_dump(Tracking(uri).to_dict()))
    if command == "publish":
        job = f"python -m pipeline hydra.run.dir=out/sweeps/s/0 tracking.uri={uri} optimizer.lr=0.321"
        assert forked(job, repo).returncode == 0
    done = forked(f"python -m pipeline.runs {command}", repo)
    assert done.returncode == 0, done.stderr
    assert sweep_runs(client, repo) == ["FINISHED"]


def sweep_runs(client: MlflowClient, repo: Path) -> list[str]:
    """The statuses of the runs above the sweep's jobs: one, if all is well."""
    key = read_json(repo / "out/sweeps/s/sweep.json")["run"]
    return [run.info.status for run in client.search_runs(["1"], f"tags.`sweep.run` = '{key}'")]


@pytest.mark.slow
def test_a_server_that_hangs_then_is_killed_then_is_back(
    fitted: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    def kill_and_start() -> None:
        server.stop()
        server.start()

    tracking = Tracking(server.uri)
    events = {20: lambda: server.signal(signal.SIGSTOP), 50: lambda: time.sleep(6), 60: kill_and_start}
    retrain(fitted / "models" / "numpy", tracking, events)
    assert capsys.readouterr().err.count("warning: MLflow is behind, the work goes on") == 1
    server.wait()
    evaluate(fitted / "data", fitted / "models" / "numpy", tracking)
    check_each_value_once(server.uri, fitted / "models" / "numpy")


EPOCHS = 12000
FIT = f"optimizer.epochs={EPOCHS} data.rows=20000 optimizer.record_every=100"  # of some seconds


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.evidence), signal.SIGKILL])
@pytest.mark.parametrize("kills", [2, pytest.param(6, marks=pytest.mark.evidence)])
def test_kills_at_random_moments(repo: Path, forked: Shell, how: signal.Signals, kills: int) -> None:
    """Whenever it strikes: the status is true, nothing is left running, and the next attempt ends as if nothing had been."""
    assert forked(f"python -m pipeline.stages.generate {FIT}", repo).returncode == 0
    train = f"pipeline.stages.train {FIT}"
    command = [sys.executable, "-m", *train.split()]
    moments, early = random.Random(how).sample(range(1500), kills), (kills + 1) // 3
    ended: Counter[str] = Counter()
    finished = False  # whether an attempt has ended well
    for count, milliseconds in enumerate(moments):
        ways = {"stdout": subprocess.PIPE, "text": True, "preexec_fn": allow_interrupts}
        with subprocess.Popen(command, cwd=repo, env=environment(), **ways) as stage:  # type: ignore[call-overload]
            if count >= early:  # the first may be killed before they begin
                stage.stdout.readline()
            threading.Thread(target=stage.stdout.read, daemon=True).start()
            with suppress(subprocess.TimeoutExpired):
                stage.wait(milliseconds / 1000)
            family = publishers(of=stage.pid)
            stage.send_signal(how)
            stage.wait(60)
        wait_for(partial(are_gone, family))
        statuses = statuses_of(repo)
        # SIGKILL may strike when all is written, and the stage only waits for MLflow
        written = how is signal.SIGKILL and (repo / "out" / "models" / "numpy" / "model.json").exists()
        finished |= stage.returncode == 0 or written
        assert statuses in (["KILLED"], ["none"]) or (statuses == ["FINISHED"] and finished)
        ended += Counter(statuses)
    print(f"{how.name}: {ended}")
    assert ended["KILLED"] >= early
    last = forked(f"python -m {train}", repo)
    assert last.returncode == 0, last.stderr
    (run,) = runs_of(repo)
    assert run.info.status == "FINISHED"
    assert "reason" not in run.data.tags
    history = (repo / "out/models/numpy/history.csv").read_text().splitlines()[1:]
    shown = MlflowClient(f"sqlite:///{repo}/mlruns/mlflow.db").get_metric_history(run.info.run_id, "train/loss")
    assert sorted(point.step for point in shown) == [*(int(line.split(",")[0]) for line in history), EPOCHS]
    made = (repo / "out/models/numpy/model.npz").read_bytes()
    assert forked(f"python -m {train} tracking=none", repo).returncode == 0
    assert (repo / "out/models/numpy/model.npz").read_bytes() == made


def statuses_of(repo: Path) -> list[str]:
    """What the run is in MLflow or, as long as that lacks it, in its journal."""
    path = next((repo / "out" / "journal").glob("*.jsonl"), None)
    if path is None:
        return ["none"]
    if Delivery.read(path).is_complete(path.stat().st_size):
        return [run.info.status for run in runs_of(repo)]
    events = Journal(path).close_dead(Journal(path).read())
    return [attempt.ending.upper() for attempt in events.latest().values()] or ["none"]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stage_that_is_to_end_while_it_waits_for_mlflow(repo: Path, forked: Shell, how: signal.Signals) -> None:
    """Its work is done, as its exit code and its run say."""
    assert forked("python -m pipeline.stages.generate", repo).returncode == 0
    command = [sys.executable, "-m", "pipeline.stages.train"]
    with subprocess.Popen(
        command, cwd=repo, env=environment(), stdout=subprocess.PIPE, text=True, preexec_fn=allow_interrupts
    ) as stage:
        assert stage.stdout
        assert any(line.startswith("gd: 100 epochs") for line in iter(stage.stdout.readline, ""))
        family = publishers(of=stage.pid)
        time.sleep(0.5)  # in which it says how it ended
        stage.send_signal(how)
        stage.stdout.read()
    assert stage.returncode == 0
    wait_for(partial(are_gone, family))
    assert forked("python -m pipeline.stages.evaluate numpy", repo).returncode == 0
    (run,) = runs_of(repo)
    assert (run.info.status, run.data.tags["stage.train"]) == ("FINISHED", "finished")


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_terminated_sweep_leaves_nothing_running(repo: Path, launcher: str) -> None:
    overrides = [f"hydra/launcher={launcher}", "optimizer.epochs=100000000", "data.rows=100000", "optimizer.lr=0.1,0.2"]
    command = [sys.executable, "-m", "pipeline", "-m", *overrides]
    jobs = 2 if launcher == "joblib" else 1
    with subprocess.Popen(command, cwd=repo, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sweep:
        wait_for(lambda: len(runs_of(repo)) == 1 + jobs)
        family = psutil.Process(sweep.pid).children(recursive=True)
        sweep.terminate()
        sweep.wait(60)
    wait_for(lambda: are_gone(family))
    assert {run.info.status for run in runs_of(repo)} == {"KILLED"}


@pytest.mark.slow
def test_a_sweep_beside_a_dvc_repro(repo: Path, shell: Shell) -> None:
    sweep = [sys.executable, "-m", "pipeline", "-m", "optimizer.lr=0.1,0.2"]
    with subprocess.Popen(sweep, cwd=repo, env=environment(), stdout=subprocess.DEVNULL) as beside:
        assert shell("dvc repro evaluate@numpy", repo).returncode == 0
    assert beside.returncode == 0
    runs = runs_of(repo)
    assert [run.info.status for run in runs] == ["FINISHED"] * 4
    same = [run for run in runs if run.data.params.get("optimizer.lr") == "0.1"]
    assert len({run.data.tags["fingerprint"] for run in same}) == 1
    client = MlflowClient(f"sqlite:///{repo}/mlruns/mlflow.db")
    assert [len(client.get_metric_history(run.info.run_id, "train/loss")) for run in same] == [11, 11]


@pytest.mark.slow
def test_no_secret_is_written_anywhere(repo: Path, shell: Shell, forked: Shell, server: Server) -> None:
    env = {"MLFLOW_TRACKING_URI": f"http://ada:{SECRET}@127.0.0.1:{server.port}"}
    change_overrides(repo, ["tracking=server"])
    (repo / "pipeline" / "notes").write_text(f"{SECRET}\n")
    nowhere = {"MLFLOW_TRACKING_URI": f"http://ada:{QUOTED}@127.0.0.1:{free_port()}", "SOME_TOKEN": SECRET}
    said = [
        shell("dvc repro evaluate@numpy", repo, **env),
        forked("python -m pipeline -m tracking=server model.l2=1 optimizer.lr=1e308", repo, **env),
        forked("python -m pipeline.stages.train tracking=server", repo, **nowhere),
        forked("python -m pipeline.stages.train tracking=server model.l2=1 optimizer.lr=1e308", repo, **nowhere),
        forked("python -m pipeline tracking=server optimizer.lr=0.77", repo, **env),
    ]
    client = MlflowClient(server.uri)
    (run,) = client.search_runs(["1"], "params.`optimizer.lr` = '0.77'")
    client.set_tag(run.info.run_id, "stage.report", "unpublished")
    (folder,) = repo.glob("out/runs/*/models/numpy")
    said += [
        forked(f"python -m pipeline.runs publish {folder}", repo, **env),
        forked("python -m pipeline.runs doctor", repo, **env),
        forked(f"python -m pipeline tracking.uri=http://ada:{SECRET}@h", repo),
        forked(f"python -m pipeline 'tracking.uri=http://ada:{SECRET}@h' tracking.foo=1", repo),
    ]
    assert [done.returncode for done in said] == [0, 1, 0, 1, 0, 0, 1, 1, 1]
    assert said[6].stdout.count("skipped, API request to http://127.0.0.1") == 2  # the journals of the server that is nowhere
    assert "sent report" in said[5].stdout
    assert all("MLflow is behind" in done.stderr for done in said[2:4])
    undelivered = [path for path in (repo / "out" / "journal").glob("*.jsonl") if not Delivery.read(path).run_id]
    assert len(undelivered) == 2
    (repo / "pipeline" / "notes").unlink()
    search = ["grep", "-rlF", "-e", SECRET, "-e", QUOTED, str(repo), str(server.folder)]
    assert subprocess.run(search, capture_output=True, text=True, check=False).stdout == ""
    assert not any(secret in done.stdout + done.stderr for done in said for secret in (SECRET, QUOTED))
    runs = client.search_runs(["1"], "params.`optimizer.lr` = '1e+308'")
    assert [run.info.status for run in runs] == ["FAILED"]


@pytest.mark.slow
def test_a_full_disk(repo: Path, shell: Shell, forked: Shell) -> None:
    """As far as a process can have one of its own: no file may grow beyond a limit."""
    assert forked("python -m pipeline.stages.generate", repo).returncode == 0
    full = shell("ulimit -f 0; python -m pipeline.stages.train", repo)
    assert full.returncode == 1
    first, separated, error = full.stderr.splitlines()
    assert first.startswith("warning: MLflow is behind")
    assert separated.startswith("warning: the classes can be separated")
    assert error.startswith("error: ")
    assert "Traceback" not in full.stderr
    assert list((repo / "out" / "models" / "numpy").iterdir()) == []
    behind = shell("ulimit -f 100; python -m pipeline.stages.train", repo)  # too little for MLflow's database alone
    assert behind.returncode == 0
    assert "MLflow is behind" in behind.stderr
    assert forked("python -m pipeline.stages.evaluate numpy", repo).returncode == 0
    assert [run.info.status for run in runs_of(repo)] == ["FINISHED"]
