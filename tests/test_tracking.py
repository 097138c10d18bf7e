"""Tracking through what really happens: outages, parallel starts, moves, secrets, a damaged store, a full disk."""

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import psutil
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from benchmarks.outage import fits
from pipeline.config.config import compose
from pipeline.config.files import read_yaml
from pipeline.config.tracking import Tracking, tracking_of
from pipeline.errors import PipelineError
from pipeline.files import ROOT, read_csv, read_json
from pipeline.redaction import scrub
from pipeline.runs._find import Store
from pipeline.runs.publish import lacks
from pipeline.runs.verify import _curve
from pipeline.stages.evaluate import evaluate
from pipeline.stages.generate import generate
from pipeline.stages.plot import plot
from pipeline.stages.train import train
from pipeline.tracking import endings, provenance
from pipeline.tracking.client import SQLITE, store_of, track, wait_for_mlflow
from pipeline.tracking.mlflow_run import connect, curve, open_run
from pipeline.ui import serve
from tests.conftest import Shell, change_overrides, environment
from tests.observing import runs_of, wait_for
from tests.servers import Proxy, Server, free_port

EXPERIMENT = "logistic-regression"
SECRET, QUOTED = "s3cret-Pa55word", "qu'oted-Pa55word"
NOWHERE = Tracking(None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"), store)
    server.start()
    server.wait()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process warns of an outage once, and waits for MLflow at its end; here each test stands for a process."""
    monkeypatch.setattr("pipeline.tracking.client._said_behind", False)
    yield
    wait_for_mlflow()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    proxy = Proxy(server)
    yield proxy
    proxy.close()


@pytest.fixture
def fitted(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with data/ and a fitted model in numpy/, whose fingerprint is this test's own."""
    lr = 0.1 + random.Random(request.node.name).random()
    plain = compose([f"optimizer.lr={lr}", "optimizer.record_every=1"]).to_dict()
    generate(compose().data, plain["data"], tmp_path / "data")
    train({group: plain[group] for group in ("model", "optimizer")}, tmp_path / "data", tmp_path / "models" / "numpy", NOWHERE)
    return tmp_path


@pytest.fixture
def local(tmp_path: Path, store: Path) -> Tracking:
    """An SQLite store."""
    (tmp_path / "mlruns").mkdir()
    return Tracking(f"sqlite:///{shutil.copy(store, tmp_path / 'mlruns')}")


def retrain(folder: Path, tracking: Tracking, events: Mapping[int, Callable[[], object]]) -> None:
    """Tell of the fit in `folder` again, slowly, and let something happen at some of its epochs."""
    history = read_csv(folder / "history.csv", "epoch", "loss", "gradient_norm")
    rows = list(zip(history["epoch"], history["loss"], history["gradient_norm"], strict=True))
    with track(tracking, "train", read_json(folder / "model.json")) as tracker:
        for epoch, loss, norm in rows:
            events.get(int(epoch), lambda: None)()
            tracker.loss(int(epoch), float(loss), float(norm))
            time.sleep(0.02)
        tracker.publish(folder)
    wait_for_mlflow(30)


def run_of(uri: str, folder: Path) -> Run:
    """The only run of the model in `folder`, once MLflow has all that was said of it."""
    wait_for_mlflow(60)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    (run,) = client.search_runs(
        [experiment.experiment_id], f"tags.fingerprint = '{read_json(folder / 'model.json')['fingerprint']}'"
    )
    return run


def check_each_value_once(uri: str, folder: Path, evaluated: bool = True) -> None:
    """Nothing of what the files hold is missing in MLflow, and nothing is there twice."""
    client, run = MlflowClient(uri), run_of(uri, folder)
    history = read_csv(folder / "history.csv", "epoch", "loss", "gradient_norm")
    end = read_json(folder / "model.json")["fit"]
    expected = {
        key: [*zip(history["epoch"], history[key], strict=True), (end["epochs"], end[key])] for key in ("loss", "gradient_norm")
    }
    if evaluated:
        expected |= {f"test/{key}": [(0, value)] for key, value in read_json(folder / "metrics.json").items()}
    wanted = Counter((key, int(step), float(value)) for key, points in expected.items() for step, value in points)
    shown = Counter((p.key, p.step, p.value) for key in expected for p in client.get_metric_history(run.info.run_id, key))
    lost, doubled = wanted - shown, shown - wanted
    print(f"{len(wanted)} values, {lost.total()} lost, {doubled.total()} doubled")
    assert not lost
    assert not doubled
    assert run.info.status == "FINISHED"
    assert len(run.inputs.dataset_inputs) == 1 + evaluated
    (model,) = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    assert model.status == "READY"
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    files = {
        item.path for name in ("training", "evaluation", "lineage") for item in client.list_artifacts(run.info.run_id, name)
    }
    assert {"training/model.npz", "lineage/requirements.txt"} <= files
    assert ("evaluation/predictions.parquet" in files) == evaluated


OUTAGES: dict[str, tuple[str | int, int, int]] = {  # how the proxy fails, from and until which epoch; 100 is after the end
    "before": ("drop", 0, 100),
    "from the start, answers lost": ("lose", 0, 50),
    "middle, answers lost": ("lose", 30, 60),
    "middle, 500": (500, 30, 60),
    "middle, 429": (429, 30, 60),
    "end": ("drop", 80, 100),
}


@pytest.mark.slow
@pytest.mark.parametrize("outage", OUTAGES)
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
    assert ("in MLflow: runs:/" in shown.out) == (end < 100), "what came back in time was caught up with in time"
    evaluate(fitted / "data", fitted / "models" / "numpy", tracking)
    assert "warning" not in capsys.readouterr().err
    check_each_value_once(server.uri, fitted / "models" / "numpy")


TELLERS = {"5e307": "python -m pipeline.runs publish", "1e307": "python -m pipeline.stages.train tracking=server"}


@pytest.mark.slow
@pytest.mark.parametrize("lr", TELLERS)
def test_how_a_stage_failed_is_told_after_the_outage(repo: Path, shell: Shell, server: Server, proxy: Proxy, lr: str) -> None:
    env = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{proxy.port}"}
    assert shell("python -m pipeline.stages.generate", repo).returncode == 0
    (repo / "pipeline" / "notes").write_text("changed before the outage\n")
    proxy.mode = "drop"
    failed = shell(f"python -m pipeline.stages.train tracking=server model.l2=1 optimizer.lr={lr}", repo, **env)
    (repo / "pipeline" / "notes").write_text("changed since\n")
    assert failed.returncode == 1
    assert "MLflow is behind" in failed.stderr
    assert "Max retries" not in failed.stderr
    (note,) = (repo / "out" / "endings").glob("*.json")
    early = shell("python -m pipeline.runs publish", repo, **env)
    assert (early.returncode, early.stdout.splitlines()[-1]) == (1, "0 sent, 0 there already, 1 skipped")
    assert "to forget it, remove the file" in early.stdout
    proxy.mode = "pass"
    done = shell(TELLERS[lr], repo, **env)
    assert done.returncode == 0, done.stderr
    assert not note.exists()
    client = MlflowClient(server.uri)
    (run,) = client.search_runs(["1"], f"tags.fingerprint = '{note.name.partition('.')[0]}'")
    assert (run.info.status, run.data.tags["stage.train"]) == ("FAILED", "failed")
    assert run.data.tags["reason"].startswith("PipelineError: training diverged")
    assert [point.step for point in client.get_metric_history(run.info.run_id, "loss")] == [0]
    told = {Path(item.path).name for item in client.list_artifacts(run.info.run_id, "lineage")}
    assert told == {"traceback.train.txt", "requirements.txt", "code.diff"}
    mlflow.set_tracking_uri(server.uri)
    diff = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/lineage/code.diff")
    assert "+changed before the outage" in diff
    assert "changed since" not in diff


@pytest.mark.slow
def test_a_failure_is_forgotten_when_the_stage_succeeds_in_the_same_outage(
    repo: Path, shell: Shell, server: Server, proxy: Proxy
) -> None:
    env, fit = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{proxy.port}"}, "optimizer.lr=0.123 tracking=server"
    assert shell("python -m pipeline.stages.generate", repo).returncode == 0
    proxy.mode = "drop"
    (repo / "out" / "config").mkdir()
    (repo / "out" / "config" / "tracking.yaml").write_text(yaml.safe_dump(Tracking(env["MLFLOW_TRACKING_URI"]).to_dict()))
    (repo / "out" / "models" / "numpy").write_text("in the way\n")
    assert shell(f"python -m pipeline.stages.train {fit}", repo, **env).returncode == 1
    assert len(list((repo / "out" / "endings").glob("*.json"))) == 1
    (repo / "out" / "models" / "numpy").unlink()
    assert shell(f"python -m pipeline.stages.train {fit}", repo, **env).returncode == 0
    (note,) = (repo / "out" / "endings").glob("*.json")
    assert read_json(note)["ended"]["ending"] == "finished"
    proxy.mode = "pass"
    assert shell("python -m pipeline.stages.evaluate numpy", repo, **env).returncode == 0
    assert not note.exists()
    about = read_json(repo / "out" / "models" / "numpy" / "model.json")
    (run,) = MlflowClient(server.uri).search_runs(["1"], f"tags.fingerprint = '{about['fingerprint']}'")
    assert (run.info.status, "reason" in run.data.tags) == ("FINISHED", False)


def keep_failures(about: Mapping[str, Any], tracking: Tracking, *stages: str) -> None:
    """Note that stages failed, long ago."""
    before = {**provenance.process(), "process.started": "1.0"}
    opened = {"card": about, "parent": None, "provenance": {}, "settings": tracking.to_dict(), "process": before}
    point = {"epoch": 0, "loss": 0.5, "gradient_norm": 0.1}
    for stage in stages:
        ended = {"ending": "failed", "reason": "ValueError", "traceback": "Traceback"}
        endings.keep({"stage": stage, **opened}, ({}, {"code.diff": b"\xff\n"}), [point], "", ended)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where notes of failures are kept."""
    monkeypatch.setattr("pipeline.tracking.endings.project_root", lambda: tmp_path)
    return tmp_path / "out" / "endings"


def test_a_failure_told_late_does_not_contradict_a_success(fitted: Path, local: Tracking, elsewhere: Path) -> None:
    keep_failures(read_json(fitted / "models" / "numpy" / "model.json"), local, "evaluate", "plot")
    retrain(fitted / "models" / "numpy", local, {})
    evaluate(fitted / "data", fitted / "models" / "numpy", local)
    wait_for_mlflow(60)
    evaluated, plotted = endings.kept()
    with pytest.raises(PipelineError, match="of the store at hand"):
        endings.tell(evaluated, "sqlite:///elsewhere.db")
    assert endings.tell(evaluated) is None
    assert run_of(str(local.uri), fitted / "models" / "numpy").info.status == "FINISHED"
    assert endings.tell(plotted) == run_of(str(local.uri), fitted / "models" / "numpy").info.run_id
    assert run_of(str(local.uri), fitted / "models" / "numpy").info.status == "FAILED"
    assert not list(elsewhere.glob("*.json"))


def test_a_failure_is_not_told_while_its_run_is_worked_at(fitted: Path, local: Tracking, elsewhere: Path) -> None:
    about = read_json(fitted / "models" / "numpy" / "model.json")
    keep_failures(about, local, "plot")
    run = open_run(store_of(local), "train", about, None, {}, local.to_dict(), provenance.process())
    (note,) = elsewhere.glob("*.json")
    with pytest.raises(PipelineError, match="its run is still being worked at"):
        endings.tell(note)
    run.close("finished", "")
    assert endings.tell(note) == run.id


def test_a_note_of_a_failure_is_whole_or_refused(fitted: Path, local: Tracking, elsewhere: Path) -> None:
    about = read_json(fitted / "models" / "numpy" / "model.json")
    keep_failures(about, local, "plot")
    keep_failures(about, Tracking("sqlite:///elsewhere.db"), "plot")
    first, second = elsewhere.glob("*.json")
    for damage in (lambda text: text[: len(text) // 2], lambda text: text.replace("failed", "killed"), lambda _: "{}"):
        second.write_text(damage(first.read_text()))
        with pytest.raises(PipelineError):
            endings.tell(second)
        assert second.exists()


@pytest.mark.slow
def test_a_success_in_an_outage_is_told_with_the_code_that_made_it(
    repo: Path, shell: Shell, server: Server, proxy: Proxy
) -> None:
    uri = f"http://127.0.0.1:{proxy.port}"
    assert shell("python -m pipeline.stages.generate", repo).returncode == 0
    (repo / "out" / "config").mkdir()
    (repo / "out" / "config" / "tracking.yaml").write_text(yaml.safe_dump(Tracking(uri).to_dict()))
    commit = shell("git rev-parse HEAD", repo).stdout.strip()
    proxy.mode = "drop"
    assert shell(f"python -m pipeline.stages.train tracking.uri={uri} optimizer.lr=0.456", repo).returncode == 0
    shell("git commit -q --allow-empty -m later", repo)
    proxy.mode = "pass"
    done = shell("python -m pipeline.runs doctor", repo)
    assert (done.returncode, done.stdout.count("sent how the stage train ended")) == (0, 1)
    fingerprint = read_json(repo / "out" / "models" / "numpy" / "model.json")["fingerprint"]
    (run,) = MlflowClient(server.uri).search_runs(["1"], f"tags.fingerprint = '{fingerprint}'")
    assert (run.info.status, run.data.tags["mlflow.source.git.commit"]) == ("FINISHED", commit)
    check_each_value_once(server.uri, repo / "out" / "models" / "numpy", evaluated=False)


@pytest.mark.slow
def test_a_success_told_late_without_its_files_is_not_finished(fitted: Path, local: Tracking, elsewhere: Path) -> None:
    about = read_json(fitted / "models" / "numpy" / "model.json")
    before = {**provenance.process(), "process.started": "1.0"}
    opened = {"stage": "train", "card": about, "parent": None, "provenance": {}, "settings": local.to_dict(), "process": before}
    endings.keep(opened, ({}, {}), [], str(fitted / "gone"), {"ending": "finished", "reason": "", "traceback": ""})
    (note,) = elsewhere.glob("*.json")
    endings.tell(note)
    run = run_of(str(local.uri), fitted / "models" / "numpy")
    assert (run.info.status, run.data.tags["reason"]) == ("FAILED", endings.OVERWRITTEN)


def test_the_curve_ends_where_the_fit_ended(fitted: Path, local: Tracking) -> None:
    folder, uri = fitted / "models" / "numpy", str(local.uri)
    retrain(folder, local, {})
    run = run_of(uri, folder)
    for key in ("loss", "gradient_norm"):
        assert run.data.metrics[key] == run.data.metrics[f"train/{key}"] == read_json(folder / "model.json")["fit"][key]
    assert read_csv(folder / "history.csv", "epoch")["epoch"][-1] == 99
    store = Store(MlflowClient(uri), uri, EXPERIMENT, run.info.experiment_id)
    assert not lacks(store.client, run, "train", folder)
    assert not list(_curve(store, run.info.run_id, folder, "it"))
    with closing(sqlite3.connect(uri.removeprefix(SQLITE))) as database:  # a run as it was made before
        assert database.execute("DELETE FROM metrics WHERE step = 100").rowcount == 2
        database.commit()
    assert lacks(store.client, run, "train", folder)
    assert len(list(_curve(store, run.info.run_id, folder, "it"))) == 2
    retrain(folder, local, {})
    check_each_value_once(uri, folder, evaluated=False)


def test_an_end_that_was_recorded_is_one_point(tmp_path: Path) -> None:
    plain = compose(["optimizer=newton", "model.l2=0.1"]).to_dict()
    generate(compose().data, plain["data"], tmp_path / "data")
    train({group: plain[group] for group in ("model", "optimizer")}, tmp_path / "data", tmp_path / "models" / "numpy", NOWHERE)
    end, epochs = (
        read_json(tmp_path / "models" / "numpy" / "model.json")["fit"],
        read_csv(tmp_path / "models" / "numpy" / "history.csv", "epoch"),
    )
    assert end["epochs"] == epochs["epoch"][-1]
    points = curve(tmp_path / "models" / "numpy")
    assert list(points) == epochs["epoch"].tolist()
    assert points[end["epochs"]] == (end["loss"], end["gradient_norm"])


def test_two_that_send_the_same_points_send_each_once(fitted: Path, local: Tracking) -> None:
    """A fit that was killed and started again at once, while the first one's points are still under way."""
    about = read_json(fitted / "models" / "numpy" / "model.json")
    senders = [open_run(store_of(local), "train", about, None, {}, local.to_dict(), provenance.process()) for _ in range(2)]
    for sender in senders:
        for epoch in range(1500):
            sender.loss(epoch, 0.5, 0.1)
    for sender in senders:
        sender.flush()
    points = senders[0].client.get_metric_history(senders[0].id, "loss")
    assert sorted(point.step for point in points) == list(range(1500))


def test_what_a_stage_refuses_is_told(fitted: Path, local: Tracking) -> None:
    retrain(fitted / "models" / "numpy", local, {})
    (fitted / "models" / "numpy" / "model.npz").write_bytes(b"PKdamage")
    with pytest.raises(PipelineError):
        evaluate(fitted / "data", fitted / "models" / "numpy", local)
    run = run_of(str(local.uri), fitted / "models" / "numpy")
    assert (run.info.status, run.data.tags["stage.evaluate"]) == ("FAILED", "failed")


def test_another_model_has_no_metrics_yet(fitted: Path) -> None:
    evaluate(fitted / "data", fitted / "models" / "numpy", NOWHERE)
    plot(fitted / "data", fitted / "models" / "numpy", NOWHERE)
    plain = compose(["optimizer.lr=0.001"]).to_dict()
    train({group: plain[group] for group in ("model", "optimizer")}, fitted / "data", fitted / "models" / "numpy", NOWHERE)
    assert sorted(path.name for path in (fitted / "models" / "numpy").iterdir()) == ["history.csv", "model.json", "model.npz"]


@pytest.mark.slow
def test_a_failure_is_told_once(fitted: Path, server: Server, elsewhere: Path) -> None:
    about = {**read_json(fitted / "models" / "numpy" / "model.json"), "fingerprint": "f00"}
    keep_failures(about, Tracking(server.uri), "train")
    (note,) = endings.kept()
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(endings.tell, [note] * 8))
    (run,) = MlflowClient(server.uri).search_runs(["1"], "tags.fingerprint = 'f00'")
    assert Counter(told) == {None: 7, run.info.run_id: 1}
    assert (run.info.status, run.data.metrics["loss"]) == ("FAILED", 0.5)


SWEEPER = """
import os, sys
from pathlib import Path
from pipeline.__main__ import noted
from pipeline.config.tracking import Tracking, tracking_of
from pipeline.tracking.client import PARENT, sweep, wait_for_mlflow
note = Path("out/sweeps/s/sweep.json")
with sweep(Tracking(sys.argv[1]), "away at the end"), noted(note, {"name": "x", "run": os.environ.get(PARENT)}):
    print("begun", flush=True)
    sys.stdin.readline()
wait_for_mlflow()
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", ["doctor", "publish"])
def test_a_sweep_whose_server_is_away_at_its_end(repo: Path, shell: Shell, server: Server, proxy: Proxy, command: str) -> None:
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
        assert shell(job, repo).returncode == 0
    done = shell(f"python -m pipeline.runs {command}", repo)
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
    retrain(
        fitted / "models" / "numpy",
        tracking,
        {20: lambda: server.signal(signal.SIGSTOP), 50: lambda: time.sleep(6), 60: kill_and_start},
    )
    assert capsys.readouterr().err.count("warning: MLflow is behind, the work goes on") == 1
    server.wait()
    evaluate(fitted / "data", fitted / "models" / "numpy", tracking)
    check_each_value_once(server.uri, fitted / "models" / "numpy")


@pytest.mark.slow
def test_a_dead_or_hanging_server_costs_a_stage_little(fitted: Path, server: Server) -> None:
    spent = {}
    for name, tracking in {"dead": Tracking(f"http://127.0.0.1:{free_port()}"), "hanging": Tracking(server.uri)}.items():
        if name == "hanging":
            server.signal(signal.SIGSTOP)
        started = time.monotonic()
        evaluate(fitted / "data", fitted / "models" / "numpy", tracking)
        spent[name] = time.monotonic() - started
    server.signal(signal.SIGCONT)
    print({name: f"{seconds:.1f} s" for name, seconds in spent.items()})
    assert max(spent.values()) < 30  # of the 120 that an answer may take


@pytest.mark.slow
def test_training_does_not_wait_for_a_dead_server(server: Server) -> None:
    seconds = fits(server.uri, f"http://127.0.0.1:{free_port()}", rounds=1, epochs=2000)
    print({name: str(times) for name, times in seconds.items()})
    assert set(seconds) == {"up", "down"}
    (experiment,) = MlflowClient(server.uri).search_experiments(filter_string="name = 'outage'")
    (run,) = MlflowClient(server.uri).search_runs([experiment.experiment_id])
    assert len(MlflowClient(server.uri).get_metric_history(run.info.run_id, "loss")) == 2000


FIT = "optimizer.epochs=25000 data.rows=20000 optimizer.record_every=100"  # of some seconds


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_kills_at_random_moments(repo: Path, shell: Shell, how: signal.Signals) -> None:
    """Whenever it strikes: the status is true, nothing is left running, and the next attempt ends as if nothing had been."""
    assert shell(f"python -m pipeline.stages.generate {FIT}", repo).returncode == 0
    command = [sys.executable, "-m", "pipeline.stages.train", *FIT.split()]
    moments = random.Random(how).sample(range(1000, 3500), 5)
    ended: Counter[str] = Counter()
    finished = False  # whether an attempt has ended well
    for milliseconds in sorted(moments):
        with subprocess.Popen(
            command, cwd=repo, env=environment(), stdout=subprocess.DEVNULL, preexec_fn=heed_interrupts
        ) as stage:
            with suppress(subprocess.TimeoutExpired):
                stage.wait(milliseconds / 1000)
            family = [process for process in publishers() if str(stage.pid) in process.cmdline()]
            stage.send_signal(how)
            stage.wait(20)
        wait_for(partial(gone, family))
        notes = [read_json(note)["ended"]["ending"].upper() for note in (repo / "out" / "endings").glob("*.json")]
        statuses = notes or [run.info.status for run in runs_of(repo)] or ["none"]
        finished |= stage.returncode == 0
        assert statuses in (["KILLED"], ["none"]) or (statuses == ["FINISHED"] and finished)
        ended += Counter(statuses)
    print(f"{how.name}: {ended}")
    assert ended["KILLED"] >= 2
    last = shell(" ".join(command), repo)
    assert last.returncode == 0, last.stderr
    (run,) = runs_of(repo)
    assert run.info.status == "FINISHED"
    assert "reason" not in run.data.tags
    history = (repo / "out/models/numpy/history.csv").read_text().splitlines()[1:]
    shown = MlflowClient(f"sqlite:///{repo}/mlruns/mlflow.db").get_metric_history(run.info.run_id, "loss")
    assert sorted(point.step for point in shown) == [*(int(line.split(",")[0]) for line in history), 25000]
    made = (repo / "out/models/numpy/model.npz").read_bytes()
    assert shell(f"{' '.join(command)} tracking=none", repo).returncode == 0
    assert (repo / "out/models/numpy/model.npz").read_bytes() == made


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stage_that_is_told_to_end_while_it_waits_for_mlflow(repo: Path, shell: Shell, how: signal.Signals) -> None:
    """Its work is done, as its exit code and its run say."""
    assert shell("python -m pipeline.stages.generate", repo).returncode == 0
    command = [sys.executable, "-m", "pipeline.stages.train"]
    with subprocess.Popen(
        command, cwd=repo, env=environment(), stdout=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    ) as stage:
        assert stage.stdout
        assert any(line.startswith("gd: 100 epochs") for line in iter(stage.stdout.readline, ""))
        family = [process for process in publishers() if str(stage.pid) in process.cmdline()]
        time.sleep(0.5)  # in which it says how it ended
        stage.send_signal(how)
        stage.stdout.read()
    assert stage.returncode == 0
    wait_for(partial(gone, family))
    assert shell("python -m pipeline.stages.evaluate numpy", repo).returncode == 0
    (run,) = runs_of(repo)
    assert (run.info.status, run.data.tags["stage.train"]) == ("FINISHED", "finished")


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what runs in a shell's background ignores it


def publishers() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if "pipeline.tracking.publisher" in process.cmdline():
                found.append(process)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_terminated_sweep_leaves_nothing_running(repo: Path, launcher: str) -> None:
    words = [f"hydra/launcher={launcher}", "optimizer.epochs=100000000", "data.rows=100000", "optimizer.lr=0.1,0.2"]
    command = [sys.executable, "-m", "pipeline", "-m", *words]
    jobs = 2 if launcher == "joblib" else 1
    with subprocess.Popen(command, cwd=repo, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sweep:
        wait_for(lambda: len(runs_of(repo)) == 1 + jobs)
        family = psutil.Process(sweep.pid).children(recursive=True)
        sweep.terminate()
        sweep.wait(20)
    wait_for(lambda: gone(family), 15)
    assert {run.info.status for run in runs_of(repo)} == {"KILLED"}


def test_how_a_stage_ends_is_how_its_run_ends(fitted: Path, local: Tracking) -> None:
    """sys.exit, an exception, want of memory: status, reason and traceback; only the failed stage's own success mends it."""
    data, folder = fitted / "data", fitted / "models" / "numpy"
    retrain(folder, local, {})
    ways: dict[Callable[[], object], tuple[str, str]] = {
        lambda: sys.exit(0): ("KILLED", "SystemExit: 0"),
        lambda: 1 / 0: ("FAILED", "ZeroDivisionError: division by zero"),
        lambda: bytearray(2**62): ("FAILED", "MemoryError"),
    }
    for fail, (status, reason) in ways.items():
        with pytest.raises(BaseException), track(local, "evaluate", read_json(folder / "model.json")):  # noqa: B017, PT011
            fail()
        run = run_of(str(local.uri), folder)
        assert (run.info.status, run.data.tags["reason"]) == (status, reason)
        assert run.data.tags["stage.train"] == "finished"
        assert {key: run.data.tags[key] for key in provenance.process()} == provenance.process()
        assert reason in mlflow.artifacts.load_text(f"{run.info.artifact_uri}/lineage/traceback.evaluate.txt")
    with pytest.raises(PipelineError):
        plot(data, folder, local)  # there is no evaluation
    assert run_of(str(local.uri), folder).info.status == "FAILED"
    retrain(folder, local, {})
    assert run_of(str(local.uri), folder).info.status == "FAILED"
    evaluate(data, folder, local)
    assert run_of(str(local.uri), folder).data.tags["stage.plot"] == "failed"
    plot(data, folder, local)
    run = run_of(str(local.uri), folder)
    assert (run.info.status, run.data.tags.get("reason")) == ("FINISHED", None)


FORKS = """
import os, sys
from pipeline.tracking.mlflow_run import open_run
from pipeline.files import read_json
from pathlib import Path
about = read_json(Path(sys.argv[2]))
where = {"uri": sys.argv[1], "experiment": "logistic-regression"}
children = []
for i in range(16):
    if not (child := os.fork()):
        run = open_run(where, "train", {**about, "fingerprint": f"fork {i % 4}"}, None, {}, where)
        run.close("finished", "")
        os._exit(0)
    children.append(child)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


def open_at_once(uri: str, fitted: Path) -> None:
    """Sixteen processes of four models: each model has one run."""
    words = [sys.executable, "-c", FORKS, uri, str(fitted / "models" / "numpy" / "model.json")]
    done = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = [run for run in MlflowClient(uri).search_runs(["1"]) if run.data.tags.get("fingerprint", "").startswith("fork")]
    assert [run.info.status for run in shown] == ["FINISHED"] * 4


@pytest.mark.slow
def test_sixteen_processes_make_no_run_twice_on_a_server(fitted: Path, server: Server) -> None:
    open_at_once(server.uri, fitted)


@pytest.mark.slow
def test_sixteen_processes_make_the_store_at_once(fitted: Path) -> None:
    database = fitted / "new" / "mlflow.db"
    database.parent.mkdir()
    open_at_once(f"sqlite:///{database}", fitted)
    with closing(sqlite3.connect(database)) as made:
        assert made.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


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
    assert [len(client.get_metric_history(run.info.run_id, "loss")) for run in same] == [11, 11]


@pytest.mark.slow
def test_a_copied_and_a_renamed_repository(repo: Path, shell: Shell) -> None:
    assert shell("python -m pipeline", repo).returncode == 0
    (run,) = runs_of(repo)
    mlflow.set_tracking_uri(f"sqlite:///{repo}/mlruns/mlflow.db")
    mlflow.register_model(f"runs:/{run.info.run_id}/model", "m")
    copy = repo.with_name("a copy")
    shutil.copytree(repo, copy)
    before = {path: path.read_bytes() for path in repo.rglob("*") if path.is_file()}
    check_moved(copy, run.info.run_id)
    done = shell("python -m pipeline optimizer.lr=0.3", copy)
    assert done.returncode == 0, done.stderr
    assert all(
        Path(found.info.artifact_uri.removeprefix("file://").replace("%20", " ")).is_relative_to(copy)
        for found in runs_of(copy)
    )
    assert {path: path.read_bytes() for path in repo.rglob("*") if path.is_file()} == before
    check_moved(repo.rename(repo.with_name("renamed")), run.info.run_id)


def check_moved(repo: Path, run_id: str) -> None:
    uri = f"sqlite:///{repo}/mlruns/mlflow.db"
    client, _ = connect(uri, EXPERIMENT)
    assert "training/model.npz" in [item.path for item in client.list_artifacts(run_id, "training")]
    example = pd.DataFrame({"x1": [1.0], "x2": [2.0]})
    mlflow.set_tracking_uri(uri)
    served = [mlflow.pyfunc.load_model(name).predict(example) for name in (f"runs:/{run_id}/model", "models:/m/1")]
    assert served[0].equals(served[1])
    with closing(sqlite3.connect(repo / "mlruns" / "mlflow.db")) as store:
        elsewhere = f"{repo.parent}/repo/mlruns/artifacts"
        assert not [line for line in store.iterdump() if elsewhere in line]


def test_the_diff_makes_the_commit_into_these_files(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.tracking.git.ROOT", repo)
    assert provenance.lineage()[0] == {"git.diff": "none"}
    (repo / "pipeline" / "ui.py").write_text("changed\n")
    (repo / "conf" / "config.yaml").unlink()
    (repo / "pipeline" / "new é").write_bytes(bytes(range(1, 256)))
    (repo / "data" / "table.csv").write_text("not code\n")
    before = subprocess.run(["git", "status", "--porcelain"], cwd=repo, capture_output=True, check=True).stdout
    objects = sorted((repo / ".git" / "objects").rglob("*"))
    tags, texts = provenance.lineage()
    assert tags == {"git.diff": "whole"}
    assert f"pytest=={pytest.__version__}\n" in texts["requirements.txt"].decode()
    assert sorted((repo / ".git" / "objects").rglob("*")) == objects
    assert subprocess.run(["git", "status", "--porcelain"], cwd=repo, capture_output=True, check=True).stdout == before
    clean = tmp_path / "clean"
    subprocess.run(["git", "clone", "-q", repo, clean], check=True)
    subprocess.run(["git", "apply", "-"], cwd=clean, input=texts["code.diff"], check=True)
    assert (clean / "pipeline" / "ui.py").read_text() == "changed\n"
    assert not (clean / "conf" / "config.yaml").exists()
    assert (clean / "pipeline" / "new é").read_bytes() == bytes(range(1, 256))
    assert not (clean / "data" / "table.csv").exists()
    (repo / "pipeline" / "long").write_text("0123456\n" * 2**17)
    tags, texts = provenance.lineage()
    assert (tags, list(texts)) == ({"git.diff": "too long"}, ["requirements.txt"])


def test_a_secret_in_the_diff_is_not_shown(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.tracking.git.ROOT", repo)
    monkeypatch.setenv("SOME_API_KEY", SECRET)
    (repo / "pipeline" / "notes").write_text(f"the key is {SECRET}\n")
    (repo / ".env").write_text("DB_PASS=hunter2hunter2\n")
    tags, texts = provenance.lineage()
    assert tags["git.diff"] == "without credentials"
    assert b"+the key is ***" in texts["code.diff"]
    assert b"hunter2" not in texts["code.diff"]


def test_scrub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ada:pass%40word@host:5000")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "nothing")
    said = "nothing at https://ada:pass%40word@host:5000/x or for pass@word, http://token@h"
    assert scrub(said) == "nothing at https://host:5000/x or for ***, http://h"
    assert scrub("'http://ada:pa'ss@h'") == "'http://h'"
    assert scrub("postgresql://ada:p/a@ss@h:1/db or http://h/x@y") == "postgresql://h:1/db or http://h/x@y"
    assert scrub("Authorization: Bearer abc.def-ghi") == "Authorization: Bearer ***"
    assert scrub("postgresql://h/db?user=a&password=p'q&x=1") == "postgresql://h/db?user=a&password=***&x=1"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://h/db?password=s3cret!")
    assert scrub("connection with s3cret! refused") == "connection with *** refused"


@pytest.mark.parametrize("error", ["ValueError", "PipelineError"])
def test_no_error_shows_a_secret(tmp_path: Path, shell: Shell, error: str) -> None:
    raiser = (
        "from pipeline import console; from pipeline.errors import PipelineError\n"
        f"def main(words): raise {error}('at http://ada:{SECRET}@h with {SECRET}')\nconsole.run(main)\n"
    )
    (tmp_path / "raiser.py").write_text(raiser)
    done = shell("python raiser.py", tmp_path, PYTHONPATH=str(ROOT), MLFLOW_TRACKING_PASSWORD=SECRET)
    assert done.returncode == 1
    assert "at http://h with ***\n" in done.stderr
    assert ("Traceback" in done.stderr) == (error == "ValueError")
    assert SECRET not in done.stderr


def test_credentials_come_from_the_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"http://ada:{SECRET}@127.0.0.1:5000"
    with pytest.raises(
        PipelineError, match="no credentials in it: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    ) as raised:
        compose([f"tracking.uri='{uri}'"])
    assert SECRET not in str(raised.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    config = compose(["tracking=server"])
    assert config.tracking.uri == uri
    assert config.to_dict()["tracking"]["uri"] == "http://127.0.0.1:5000"
    (tmp_path / "tracking.yaml").write_text(yaml.safe_dump(config.to_dict()["tracking"]))
    assert tracking_of(read_yaml(tmp_path / "tracking.yaml")) == config.tracking


UNPUBLISH = """
import os, mlflow
client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
(run,) = client.search_runs(["1"], "params.`optimizer.lr` = \\"0.77\\"")
client.set_tag(run.info.run_id, "stage.report", "unpublished")
"""


@pytest.mark.slow
def test_no_secret_is_written_anywhere(repo: Path, shell: Shell, server: Server) -> None:
    env = {"MLFLOW_TRACKING_URI": f"http://ada:{SECRET}@127.0.0.1:{server.port}"}
    change_overrides(repo, ["tracking=server"])
    (repo / "pipeline" / "notes").write_text(f"{SECRET}\n")
    nowhere = {"MLFLOW_TRACKING_URI": f"http://ada:{QUOTED}@127.0.0.1:{free_port()}", "SOME_TOKEN": SECRET}
    said = [
        shell("dvc repro evaluate@numpy", repo, **env),
        shell("python -m pipeline -m tracking=server model.l2=1 optimizer.lr=1e308", repo, **env),
        shell("python -m pipeline.stages.train tracking=server", repo, **nowhere),
        shell("python -m pipeline.stages.train tracking=server model.l2=1 optimizer.lr=1e308", repo, **nowhere),
        shell("python -m pipeline tracking=server optimizer.lr=0.77", repo, **env),
        shell(f"python -c '{UNPUBLISH}' && python -m pipeline.runs publish out/runs/*/models/numpy", repo, **env),
        shell("python -m pipeline.runs doctor", repo, **env),
        shell(f"python -m pipeline tracking.uri=http://ada:{SECRET}@h", repo),
        shell(f"python -m pipeline 'tracking.uri=http://ada:{SECRET}@h' tracking.foo=1", repo),
    ]
    assert [done.returncode for done in said] == [0, 1, 0, 1, 0, 0, 0, 1, 1]
    assert "sent report" in said[5].stdout
    assert all("MLflow is behind" in done.stderr for done in said[2:4])
    assert len(list((repo / "out" / "endings").glob("*.json"))) == 2
    (repo / "pipeline" / "notes").unlink()
    search = ["grep", "-rlF", "-e", SECRET, "-e", QUOTED, str(repo), str(server.folder)]
    assert subprocess.run(search, capture_output=True, text=True, check=False).stdout == ""
    assert not any(secret in done.stdout + done.stderr for done in said for secret in (SECRET, QUOTED))
    runs = MlflowClient(server.uri).search_runs(["1"], "params.`optimizer.lr` = '1e+308'")
    assert [run.info.status for run in runs] == ["FAILED"]


@pytest.mark.parametrize("damage", ["truncated", "not a database"])
def test_a_damaged_store(fitted: Path, local: Tracking, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    database = Path(str(local.uri).removeprefix(SQLITE))
    whole = database.read_bytes()
    database.write_bytes(whole[: len(whole) // 2] if damage == "truncated" else b"damage" * 1000)
    damaged = database.read_bytes()
    retrain(fitted / "models" / "numpy", local, {})
    said = capsys.readouterr().err
    assert said.startswith("warning: MLflow is behind, the work goes on")
    assert said.count("\n") == 1
    assert database.read_bytes() == damaged
    with pytest.raises(PipelineError, match="must be an SQLite database that is whole"):
        serve(local, free_port())
    database.write_bytes(whole)
    evaluate(fitted / "data", fitted / "models" / "numpy", local)
    check_each_value_once(str(local.uri), fitted / "models" / "numpy")


def test_a_full_disk(repo: Path, shell: Shell) -> None:
    """As far as a process can have one of its own: no file may grow beyond a limit."""
    assert shell("python -m pipeline.stages.generate", repo).returncode == 0
    full = shell("ulimit -f 0; python -m pipeline.stages.train", repo)
    assert full.returncode == 1
    assert [line.partition(":")[0] for line in full.stderr.splitlines() if "MLflow is behind" not in line] == [
        "warning",
        "error",
    ]
    assert full.stderr.startswith("warning: the classes can be separated")
    assert "Traceback" not in full.stderr
    assert list((repo / "out" / "models" / "numpy").iterdir()) == []
    behind = shell("ulimit -f 100; python -m pipeline.stages.train", repo)  # too little for MLflow's database alone
    assert behind.returncode == 0
    assert "MLflow is behind" in behind.stderr
    assert shell("python -m pipeline.stages.evaluate numpy", repo).returncode == 0
    assert [run.info.status for run in runs_of(repo)] == ["FINISHED"]
