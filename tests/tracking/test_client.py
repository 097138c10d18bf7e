"""What a stage says of itself is what MLflow shows: its end, whatever it is; its points; what it refuses."""

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Timer

import mlflow
import pytest
from mlflow import MlflowClient

from benchmarks._server import Server, free_port
from benchmarks.outage import fits
from pipeline.config.config import compose
from pipeline.config.tracking import Tracking
from pipeline.errors import PipelineError
from pipeline.model.card import read_card
from pipeline.processes import Process, this_process
from pipeline.stages.evaluate import evaluate
from pipeline.stages.plot import plot
from pipeline.stages.train import train
from pipeline.tracking.client import command, track, track_sweep, wait_for_delivery
from pipeline.tracking.delivery import Delivery
from pipeline.tracking.events import Closed, Event
from pipeline.tracking.journal import Journal, new_attempt
from pipeline.tracking.store import SQLITE
from pipeline.tracking.sync import sync
from pipeline.ui import serve
from tests.observing import wait_for
from tests.tracked import check_each_value_once, is_delivered, retrain, run_of

NOWHERE = Tracking(None)


@pytest.mark.slow
def test_what_a_stage_refuses_ends_its_run(fitted: Path, local: Tracking) -> None:
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
    assert sorted(path.name for path in (fitted / "models" / "numpy").iterdir()) == [
        "coefficients.csv",
        "history.csv",
        "model.json",
        "model.npz",
        "penalty.csv",
    ]


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
        with pytest.raises(BaseException), track(local, "evaluate", read_card(folder).content):  # noqa: B017, PT011
            fail()
        run = run_of(str(local.uri), folder)
        assert (run.info.status, run.data.tags["reason"]) == (status, reason)
        assert run.data.tags["stage.train"] == "finished"
        assert Process.from_tags(run.data.tags) == this_process()
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


def test_points_on_a_full_disk_cost_no_time(
    fitted: Path, local: Tracking, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are written together, once there is space."""
    append, tried = Journal.append, list[int]()

    def refuse(self: Journal, *events: Event) -> int:
        tried.append(len(events))
        raise OSError(28, "No space left on device")

    with track(local, "train", read_card(fitted / "models" / "numpy").content) as tracker:
        monkeypatch.setattr(Journal, "append", refuse)
        for epoch in range(1000):
            tracker.epoch(epoch, 0.5, 0.1)
        monkeypatch.setattr(Journal, "append", append)
    assert len(tried) < 10
    assert capsys.readouterr().err.count("No space left on device") == 1
    run = run_of(str(local.uri), fitted / "models" / "numpy")
    assert len(MlflowClient(str(local.uri)).get_metric_history(run.info.run_id, "train/loss")) == 1000


def test_a_commands_end_waits_for_the_end_of_a_run_that_mlflow_has_up_to_then(fitted: Path, local: Tracking) -> None:
    """As between two epochs that take long, or of a sweep between its jobs."""
    card = read_card(fitted / "models" / "numpy").content
    with track(local, "train", card) as tracker:
        tracker.epoch(0, 0.5, 0.1)
        journal = Journal.of(local.to_dict(), card.fingerprint)
        wait_for(lambda: Delivery.read(journal.path).delivered == journal.path.stat().st_size)
        command().check()
    wait_for_delivery(30)
    (run,) = MlflowClient(str(local.uri)).search_runs(["1"], f"tags.fingerprint = '{card.fingerprint}'")
    assert run.info.status == "FINISHED"


def test_the_reason_that_a_full_disk_did_not_take_is_written_at_the_end(
    fitted: Path, local: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Journal.append

    def refuse(self: Journal, *events: Event) -> int:
        raise OSError(28, "No space left on device")

    card = read_card(fitted / "models" / "numpy").content
    with pytest.raises(ZeroDivisionError), track(local, "train", card):  # noqa: PT012
        monkeypatch.setattr(Journal, "append", refuse)
        _ = 1 / 0
    monkeypatch.setattr(Journal, "append", append)
    run = run_of(str(local.uri), fitted / "models" / "numpy")
    assert (run.info.status, run.data.tags["reason"]) == ("FAILED", "ZeroDivisionError: division by zero")


def test_a_sweeps_end_waits_for_the_runs_of_its_jobs(fitted: Path, local: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which ran in processes of their own, as joblib's do."""
    card = read_card(fitted / "models" / "numpy").content
    monkeypatch.setattr("pipeline.tracking.client.ensure_publisher", lambda _: None)
    with track_sweep(local, "lr=1,2") as key:
        job, opened = Journal.of(local.to_dict(), card.fingerprint, key), new_attempt("train", local.to_dict(), sweep=key)
        job.append(replace(opened, card=card.to_dict()), Closed.finished(opened.attempt))
    sync(Journal.of(local.to_dict(), sweep=key))
    Timer(0.5, sync, [job]).start()
    wait_for_delivery(20)
    assert is_delivered(job.path)


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
    assert len(MlflowClient(server.uri).get_metric_history(run.info.run_id, "train/loss")) == 2000


@pytest.mark.slow
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
    with pytest.raises(PipelineError, match="must be an undamaged SQLite database"):
        serve(local, free_port())
    database.write_bytes(whole)
    evaluate(fitted / "data", fitted / "models" / "numpy", local)
    check_each_value_once(str(local.uri), fitted / "models" / "numpy")
