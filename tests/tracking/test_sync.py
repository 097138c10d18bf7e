"""`sync`: MLflow shows what the journal and the files say, each value once, however often and by whomever it is done."""

import base64
import errno
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from math import isnan, nan
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from benchmarks._server import Server
from pipeline.config.config import compose
from pipeline.config.schema import build
from pipeline.config.tracking import Tracking
from pipeline.data.sources import SOURCES
from pipeline.errors import PipelineError
from pipeline.files import ROOT, digest_of, read_json
from pipeline.model.card import read_card
from pipeline.processes import Process, this_process
from pipeline.stages import evaluate, train
from pipeline.stages.generate import generate
from pipeline.tracking.delivery import Delivery
from pipeline.tracking.events import Artifacts, Closed, Epoch, Event
from pipeline.tracking.journal import LOST, Journal, damage_of, new_attempt
from pipeline.tracking.mlflow_run import CURVE
from pipeline.tracking.names import WEIGHTS_TAG
from pipeline.tracking.store import SQLITE
from pipeline.tracking.sync import RunSync, sync
from tests.conftest import environment
from tests.servers import Proxy

GONE = list(this_process()._replace(started="1"))


class Story:
    """What stages write of the model in a folder."""

    def __init__(self, folder: Path, tracking: Tracking, sweep: str = "") -> None:
        self.folder, self.card, self.sweep, self.settings = folder, read_card(folder).content, sweep, tracking.to_dict()
        self.journal = Journal.of(self.settings, self.card.fingerprint, sweep)
        self.uri = str(tracking.uri)

    def opened(self, stage: str, process: list[Any] | None = None, **more: Any) -> str:
        event = new_attempt(stage, self.settings, card=self.card.to_dict(), sweep=self.sweep, **more)
        self.journal.append(replace(event, process=process) if process else event)
        return event.attempt

    def write(self, *events: Event) -> None:
        self.journal.append(*events)

    def point(self, attempt: str, epoch: int, time: float | None = None) -> None:
        self.write(Epoch(attempt, epoch, 1 / (epoch + 1), 0.1, time))

    def files(self, attempt: str, artifacts: Artifacts) -> None:
        self.write(self.journal.link(attempt, artifacts))

    def finished(self, attempt: str) -> None:
        self.write(Closed.finished(attempt))

    def failed(self, attempt: str, reason: str = "ValueError: x") -> None:
        self.write(Closed(attempt, "failed", time.time(), reason, "Traceback"))

    def synced(self) -> Run:
        """The run, after a sync by a process that knows nothing yet."""
        sync(Journal(self.journal.path))
        client = MlflowClient(self.uri)
        (run,) = client.search_runs(["1"], f"tags.fingerprint = '{self.card.fingerprint}'")
        return run

    def points(self, run: Run) -> list[tuple[int, int]]:
        history = MlflowClient(self.uri).get_metric_history(run.info.run_id, "train/loss")
        return sorted((point.step, point.timestamp) for point in history)

    def artifacts(self, run: Run, folder: str) -> list[str]:
        return [Path(item.path).name for item in MlflowClient(self.uri).list_artifacts(run.info.run_id, folder)]


@pytest.fixture(autouse=True)
def journals_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the publisher of an earlier test does not find them: it would send what a test wants to see sent."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))


@pytest.fixture
def story(fitted: Path, local: Tracking) -> Story:
    return Story(fitted / "models" / "numpy", local)


def test_points_carry_the_time_at_which_they_were_measured(story: Story) -> None:
    attempt = story.opened("train")
    story.point(attempt, 0, 1000.5)
    story.point(attempt, 10, 2000.25)
    run = story.synced()
    assert story.points(run) == [(0, 1000500), (10, 2000250)]
    again = story.opened("train")
    for epoch in (0, 10, 20):
        story.point(again, epoch, 3000.0)
    story.point(again, 30)
    assert story.points(story.synced()) == [(0, 1000500), (10, 2000250), (20, 3000000), (30, run.info.start_time)]


def test_two_syncs_at_once_send_each_point_once(story: Story) -> None:
    attempt = story.opened("train")
    story.write(*(Epoch(attempt, epoch, 0.5, 0.1, 7.0) for epoch in range(1500)))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: sync(Journal(story.journal.path)), range(4)))
    assert [step for step, _ in story.points(story.synced())] == list(range(1500))


def test_between_deliveries_another_process_may_send_and_be_killed(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as `runs publish` beside a fit: what it sent is known though its notes were lost with it."""
    attempt, beside = story.opened("train"), RunSync(story.journal)
    for epoch in (0, 10, 30):
        story.point(attempt, epoch, 1000.0)
    beside.deliver()
    story.point(attempt, 20, 1000.0)
    with monkeypatch.context() as patch:
        writes = iter([Delivery.write])  # that it sends; then it is as if it had been killed
        patch.setattr(Delivery, "write", lambda *arguments: next(writes, lambda *_: None)(*arguments))
        sync(Journal(story.journal.path))
    beside.deliver()
    assert [step for step, _ in story.points(story.synced())] == [0, 10, 20, 30]


def test_a_full_disk_keeps_nothing_from_being_sent(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be noted on this machine can be sent to another."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    story.point(story.opened("train"), 0, 1000.0)
    with monkeypatch.context() as patch:
        patch.setattr(Delivery, "write", fail)
        sync(Journal(story.journal.path))
    assert story.points(story.synced()) == [(0, 1000000)]


def test_two_that_sync_one_run_from_two_repositories_send_each_point_once(story: Story, tmp_path: Path) -> None:
    """Each goes on from what it knows of MLflow, while the other sends what is new, as it has measured it at another time."""
    elsewhere = Story(story.folder, Tracking(story.uri))
    elsewhere.journal = Journal(tmp_path / "elsewhere" / "run.jsonl")
    attempts = {each: each.opened("train") for each in (story, elsewhere)}
    one, other = RunSync(story.journal), RunSync(elsewhere.journal)
    for epoch in range(4):
        for each, sender, measured in ((story, one, 1000.0), (elsewhere, other, 2000.0)):
            each.point(attempts[each], epoch, measured)
            sender.deliver()
    for epoch in range(4, 10):
        story.point(attempts[story], epoch, 1000.0)
    one.deliver()
    for epoch in range(4, 12):
        elsewhere.point(attempts[elsewhere], epoch, 2000.0)
    other.deliver()
    assert [step for step, _ in story.points(story.synced())] == list(range(12))


def test_what_is_delivered_is_not_sent_again(story: Story) -> None:
    attempt = story.opened("train", trains=True)
    story.files(attempt, train.artifacts(story.folder))
    story.finished(attempt)
    before = story.synced()
    assert before.info.status == "FINISHED"
    assert not story.journal.links.exists()
    assert story.synced().to_dictionary() == before.to_dictionary()
    assert Delivery.read(story.journal.path).is_complete(story.journal.path.stat().st_size)


def test_a_run_is_finished_when_the_last_attempt_at_each_stage_is(story: Story) -> None:
    first = story.opened("train")
    assert story.synced().info.status == "RUNNING"
    story.failed(first)
    run = story.synced()
    assert (run.info.status, run.data.tags["reason"]) == ("FAILED", "ValueError: x")
    assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/lineage/traceback.train.txt") == "Traceback"
    story.finished(story.opened("evaluate"))
    assert story.synced().info.status == "FAILED"
    story.finished(story.opened("train"))
    run = story.synced()
    assert (run.info.status, "reason" in run.data.tags) == ("FINISHED", False)
    assert run.info.end_time >= run.info.start_time


def test_an_attempt_without_an_end_is_killed_once_its_process_is_gone(story: Story) -> None:
    story.finished(story.opened("train"))
    story.opened("evaluate", GONE)
    run = story.synced()
    assert (run.info.status, run.data.tags["reason"], run.data.tags["stage.evaluate"]) == ("KILLED", LOST, "killed")
    story.opened("plot", list(Process(1, "1", "another-machine x")))
    assert story.synced().info.status == "RUNNING"


def test_stages_of_two_processes_at_once_all_arrive(story: Story, tmp_path: Path) -> None:
    """The younger one ends first."""
    (tmp_path / "metrics.json").write_text("{}")
    older = story.opened("train", GONE)
    younger = story.opened("train")
    story.finished(younger)
    assert story.synced().info.status == "FINISHED"
    evaluation = story.opened("evaluate")
    story.files(evaluation, Artifacts("evaluation", [tmp_path / "metrics.json"], {"test/accuracy": 0.75}))
    story.point(older, 3, 1.0)
    story.finished(evaluation)
    story.files(older, train.artifacts(story.folder))
    story.finished(older)
    run = story.synced()
    assert (run.info.status, run.data.metrics["test/accuracy"], run.data.metrics["train/loss"]) == ("FINISHED", 0.75, 0.25)
    assert "model.npz" in story.artifacts(run, "training")
    assert "metrics.json" in story.artifacts(run, "evaluation")


def test_a_failure_sent_late_does_not_contradict_a_later_success(story: Story, tmp_path: Path) -> None:
    """As from another repository that logs to the same server."""
    elsewhere = Story(story.folder, Tracking(story.uri))
    elsewhere.journal = Journal(tmp_path / "elsewhere" / "run.jsonl")
    for stage in ("evaluate", "plot"):
        elsewhere.failed(elsewhere.opened(stage), f"ValueError: {stage}")
    for stage in ("train", "evaluate"):
        story.finished(story.opened(stage))
    assert story.synced().info.status == "FINISHED"
    run = elsewhere.synced()
    assert (run.info.status, run.data.tags["reason"]) == ("FAILED", "ValueError: plot")
    assert {run.data.tags[f"stage.{stage}"] for stage in ("train", "evaluate")} == {"finished"}


def test_metrics_are_sent_where_the_latest_differs(story: Story) -> None:
    for value in (0.5, 0.5, 0.75):
        attempt = story.opened("evaluate")
        story.files(attempt, Artifacts("evaluation", metrics={"test/accuracy": value}))
        story.finished(attempt)
        run = story.synced()
    history = MlflowClient(story.uri).get_metric_history(run.info.run_id, "test/accuracy")
    assert [point.value for point in sorted(history, key=lambda point: point.timestamp)] == [0.5, 0.75]
    assert run.data.metrics["test/accuracy"] == 0.75


def test_a_number_that_is_no_more_is_nan(story: Story) -> None:
    """Of a validation that was left out, nothing is left that looks like its result; MLflow deletes no metric."""
    for metrics in ({"validation/roc_auc": 0.5, "validation/roc_auc.low": 0.25}, {}, {"validation/roc_auc": 0.5}):
        attempt = story.opened("validate")
        given = dict.fromkeys(("validation/roc_auc", "validation/roc_auc.low", "validation/log_loss"), nan) | metrics
        story.files(attempt, Artifacts("validation", metrics=given))
        story.finished(attempt)
        shown = {key: value for key, value in story.synced().data.metrics.items() if not isnan(value)}
        assert shown == metrics
    assert "validation/log_loss" not in story.synced().data.metrics


def test_models_are_found_by_what_they_reach_on_a_data_set(story: Story) -> None:
    attempt = story.opened("train")
    story.files(attempt, train.artifacts(story.folder))
    story.finished(attempt)
    weights = {WEIGHTS_TAG: read_card(story.folder).files["model.npz"]}
    for value in (0.75, 0.875):  # evaluated again
        attempt = story.opened("evaluate")
        metrics = {"test/accuracy": value, "test/roc_auc": 0.5, "test/f1": nan}
        story.files(attempt, Artifacts("evaluation", metrics=metrics, tags=weights, table="test"))
        story.finished(attempt)
        run = story.synced()
    client, on = MlflowClient(story.uri), [{"dataset_name": "document"}]
    found = client.search_logged_models(["1"], "metrics.`test/accuracy` > 0.8", datasets=on)
    assert [model.source_run_id for model in found] == [run.info.run_id]
    assert not client.search_logged_models(["1"], "metrics.`test/accuracy` > 0.8", datasets=[{"dataset_name": "other"}])
    assert not client.search_logged_models(["1"], "metrics.`test/f1` < 1"), "a score that is undefined is none"
    (model,) = found
    shown = sorted((metric.key, metric.value) for metric in client.get_logged_model(model.model_id).metrics)
    assert shown == [("test/accuracy", 0.75), ("test/accuracy", 0.875), ("test/roc_auc", 0.5), ("train/epochs", 100.0)]


def test_a_model_that_was_lost_gets_its_scores_again(story: Story) -> None:
    """And the run has no value twice."""
    client, weights = MlflowClient(story.uri), {WEIGHTS_TAG: read_card(story.folder).files["model.npz"]}
    for _ in range(2):
        for stage, artifacts in (
            ("train", train.artifacts(story.folder)),
            ("evaluate", Artifacts("evaluation", metrics={"test/accuracy": 0.75}, tags=weights, table="test")),
        ):
            attempt = story.opened(stage)
            story.files(attempt, artifacts)
            story.finished(attempt)
        run = story.synced()
        assert len(client.get_metric_history(run.info.run_id, "test/accuracy")) == 1
        (model,) = client.search_logged_models(["1"], "metrics.`test/accuracy` > 0.5")
        client.delete_logged_model(model.model_id)


def test_a_run_has_its_user_and_the_experiment_its_views(story: Story) -> None:
    story.opened("train", tags={"mlflow.user": "ada"})
    run, client = story.synced(), MlflowClient(story.uri)
    assert (run.info.user_id, run.data.tags["mlflow.user"]) == ("ada", "ada")
    shared = [f"mlflow.sharedViewState.{key}" for key in ("test", "validation")]
    tags = client.get_experiment("1").tags
    for key in shared:
        view = json.loads(zlib.decompress(base64.b64decode(tags[key].removeprefix("deflate;"))))
        assert view["orderByKey"] == f"metrics.`{key.rpartition('.')[2]}/log_loss`"
        assert len(tags[key]) < 5000, "what any server takes"
    assert Delivery.read(story.journal.path).view == "/#/experiments/1/runs?viewStateShareKey=test"
    client.set_experiment_tag("1", shared[0], "{}")
    attempt = story.opened("validate")
    story.files(attempt, Artifacts("validation", tags={"validation": "5 folds"}))
    story.synced()
    assert Delivery.read(story.journal.path).view == "/#/experiments/1/runs?viewStateShareKey=validation"
    assert client.get_experiment("1").tags == tags


HOSTILE = ("x" * 300, "<script>alert(1)</script>", "a\"b'c`$|", "שלום\u202ex", "[a]=b,@;%/../")


def test_hostile_names_break_nothing(tmp_path: Path, local: Tracking) -> None:
    """Of columns, classes, the target and the file: MLflow has all that it would have of others."""
    path, target, rng = tmp_path / "<b>'é \" %41 #? שלום.csv", 'tar"get <i>\u202e', np.random.default_rng(0)
    columns = {name: rng.normal(size=80) for name in HOSTILE}
    pd.DataFrame({**columns, target: np.where(columns[HOSTILE[0]] > 0, "<b>yes</b>", "no\u202e\"'")}).to_csv(path, index=False)
    config = compose(["data=table", "data.path=t.csv", "data.target=t"]).to_dict()
    config["data"] |= {"path": str(path), "target": target}
    data, folder = tmp_path / "data", tmp_path / "models" / "numpy"
    generate(build("data", SOURCES, config["data"]), config["data"], data)
    train.train({group: config[group] for group in ("model", "optimizer")}, data, folder, Tracking(None))
    evaluate.evaluate(data, folder, Tracking(None))
    story = Story(folder, local)
    for stage in (train, evaluate):
        attempt = story.opened(stage.STAGE.name, candidate="numpy")
        story.files(attempt, stage.artifacts(folder))
        story.finished(attempt)
    run = story.synced()
    assert (run.info.status, Delivery.read(story.journal.path).lacking) == ("FINISHED", {})
    name = '<b>\'é " %41 #? שלום tar"get <i>'
    assert run.info.run_name == f"{name[:16]}... {target[:11]} | numpy | {story.card.fingerprint[:6]}"
    assert {given.dataset.name for given in run.inputs.dataset_inputs} == {name}
    on = [{"dataset_name": name}]
    found = MlflowClient(story.uri).search_logged_models(["1"], "metrics.`test/roc_auc` > 0.8", datasets=on)
    assert [model.source_run_id for model in found] == [run.info.run_id]
    assert not set("\u202e\x1b\n") & set(run.info.run_name)


def test_one_event_that_cannot_be_sent_keeps_nothing_else_back(story: Story, tmp_path: Path) -> None:
    attempt = story.opened("evaluate")
    run = story.synced()
    place = Path(run.info.artifact_uri.removeprefix("file://"))
    place.mkdir(parents=True, exist_ok=True)
    (place / "evaluation").write_text("in the way")
    for name in ("a.csv", "b.png"):
        (tmp_path / name).write_text(name)
    story.files(attempt, Artifacts("evaluation", [tmp_path / "a.csv"], {"test/accuracy": 0.5}))
    story.files(attempt, Artifacts("figures", [tmp_path / "b.png"]))
    story.finished(attempt)
    run = story.synced()
    assert (run.info.status, run.data.tags["stage.evaluate"]) == ("FAILED", "unpublished")
    kept = story.journal.links / attempt / "evaluation" / "a.csv"
    assert run.data.tags["reason"].startswith("a.csv cannot be sent, ")
    assert run.data.tags["reason"].endswith(f"to go on without it, remove {kept}")
    assert story.artifacts(run, "figures") == ["b.png"]
    assert run.data.metrics["test/accuracy"] == 0.5
    (place / "evaluation").unlink()
    run = story.synced()
    assert (run.info.status, story.artifacts(run, "evaluation")) == ("FINISHED", ["a.csv"])
    assert "reason" not in run.data.tags


def test_a_file_that_was_removed_is_named_in_the_run(story: Story, tmp_path: Path) -> None:
    attempt = story.opened("evaluate")
    (tmp_path / "a.csv").write_text("")
    story.files(attempt, Artifacts("evaluation", [tmp_path / "a.csv"], {"test/accuracy": 0.5}))
    story.finished(attempt)
    (story.journal.links / attempt / "evaluation" / "a.csv").unlink()
    run = story.synced()
    assert run.info.status == "FAILED"
    assert run.data.tags["reason"] == "evaluation/a.csv was written over or removed before MLflow took it"
    assert Delivery.read(story.journal.path).is_complete(story.journal.path.stat().st_size), "it is not asked for again"
    again = story.opened("evaluate")
    story.files(again, Artifacts("evaluation", [tmp_path / "a.csv"]))
    story.finished(again)
    assert story.synced().info.status == "FINISHED"


def test_a_new_store_gets_all_that_the_journal_and_the_files_say(story: Story, store: Path) -> None:
    attempt = story.opened("train", trains=True, tags={"mlflow.source.name": "x", "git.dirty": "false"}, candidate="weak")
    story.point(attempt, 0, 1000.0)
    story.files(attempt, train.artifacts(story.folder))
    story.finished(attempt)
    before = story.synced()
    shown = story.artifacts(before, "training")
    Path(story.uri.removeprefix(SQLITE)).write_bytes(store.read_bytes())
    assert not MlflowClient(story.uri).search_runs(["1"])
    story.finished(story.opened("plot"))
    after = story.synced()
    assert story.points(after) == [(0, 1000000)]
    assert after.data.params == before.data.params
    assert {**before.data.tags, "opened": ""}.items() <= {**after.data.tags, "opened": ""}.items()
    assert after.data.tags["candidate"] == "weak"
    assert story.artifacts(after, "training") == shown
    assert after.info.status == "FINISHED"


def deliver_and_write_over(story: Story, file: Path) -> None:
    """An evaluation whose only file is written over once MLflow has it."""
    attempt = story.opened("evaluate")
    file.write_text("first")
    story.files(attempt, Artifacts("evaluation", [file], {"test/accuracy": 0.5}))
    story.finished(attempt)
    assert story.synced().info.status == "FINISHED"
    file.write_text("second")


def test_files_that_a_lost_store_had_are_not_missed_in_a_new_one(story: Story, store: Path, tmp_path: Path) -> None:
    """Of a run whose files were written over since: its numbers come back, and its status."""
    deliver_and_write_over(story, tmp_path / "a.csv")
    Path(story.uri.removeprefix(SQLITE)).write_bytes(store.read_bytes())
    story.finished(story.opened("plot"))
    run = story.synced()
    assert (run.info.status, run.data.metrics["test/accuracy"]) == ("FINISHED", 0.5)
    assert story.artifacts(run, "evaluation") == []


def test_a_model_that_a_lost_store_had_is_not_made_without_its_files(story: Story, store: Path, tmp_path: Path) -> None:
    """Of a fit whose files were written over since: its numbers come back, and its status."""
    folder = Path(shutil.copytree(story.folder, tmp_path / "copy" / "models" / "numpy"))
    story.card = replace(story.card, fit=None)  # as it is when a fit begins
    attempt = story.opened("train", trains=True)
    story.files(attempt, train.artifacts(folder))
    story.finished(attempt)
    assert MlflowClient(story.uri).search_logged_models([story.synced().info.experiment_id])
    for file in folder.iterdir():
        file.write_text("of another fit")
    Path(story.uri.removeprefix(SQLITE)).write_bytes(store.read_bytes())
    story.finished(story.opened("plot"))
    run = story.synced()
    assert (run.info.status, run.data.metrics["train/epochs"]) == ("FINISHED", 100)
    assert not MlflowClient(story.uri).search_logged_models([run.info.experiment_id])


def test_the_damage_of_a_journal_is_logged_once(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    attempt = story.opened("train")
    with story.journal.path.open("a") as file:
        file.write("damage\n")
    story.finished(attempt)
    logs = []
    for _ in range(2):
        assert story.synced().info.status == "FINISHED"
        logs += [record.getMessage() for record in caplog.records if record.name.startswith("pipeline")]
        caplog.clear()
    assert logs == [damage_of(story.journal.path)]


@pytest.mark.slow
def test_no_credential_is_written(fitted: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the store is reached with those that the environment has."""
    uri = server.uri.replace("http://", "http://ada:s3cret-Pa55word@")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    story = Story(fitted / "models" / "numpy", Tracking(uri))
    story.failed(story.opened("train"))
    seen: list[tuple[str, str]] = []

    def refuse(uri: str, experiment: str) -> None:
        seen.append((uri, experiment))
        raise OSError("no")

    monkeypatch.setattr("pipeline.tracking.sync.mlflow_run.connect", refuse)
    with pytest.raises(OSError, match="no"):
        sync(Journal(story.journal.path))
    assert seen == [(uri, "logistic-regression")]
    for path in story.journal.path.parent.glob(f"{story.journal.path.stem}*"):
        assert b"s3cret" not in path.read_bytes()


def test_a_store_that_fails_is_in_the_delivery(story: Story) -> None:
    story.failed(story.opened("train"))
    database = Path(story.uri.removeprefix(SQLITE))
    whole = database.read_bytes()
    database.write_bytes(b"damage" * 1000)
    for failures in (1, 2):
        with pytest.raises(PipelineError, match="must be an undamaged SQLite database"):
            sync(Journal(story.journal.path))
        delivery = Delivery.read(story.journal.path)
        assert (delivery.failures, delivery.delivered) == (failures, 0)
        assert "must be an undamaged SQLite database" in delivery.error
    database.write_bytes(whole)
    assert story.synced().info.status == "FAILED"
    delivery = Delivery.read(story.journal.path)
    assert (delivery.failures, delivery.error) == (2, "")


def test_a_sweeps_run_stands_above_its_jobs(fitted: Path, local: Tracking) -> None:
    """Also where it is made after them."""
    job, alone = Story(fitted / "models" / "numpy", local, sweep="k1"), Story(fitted / "models" / "numpy", local)
    for each in (job, alone):
        each.finished(each.opened("train"))
        sync(Journal(each.journal.path))
    sweep = new_attempt("sweep", local.to_dict(), sweep="k1", name="lr=1,2", swept={"model.l2": "0,1"})
    above = Journal.of(local.to_dict(), sweep="k1")
    above.append(sweep, Closed(sweep.attempt, "killed", time.time()))
    parent = sync(above).run_id
    job.finished(job.opened("plot"))
    sync(Journal(job.journal.path))
    client = MlflowClient(str(local.uri))
    runs = client.search_runs(["1"], f"tags.fingerprint = '{job.card.fingerprint}'")
    assert Counter(run.data.tags.get("mlflow.parentRunId") for run in runs) == {None: 1, parent: 1}
    assert {run.data.tags.get("sweep"): "l2=0" in run.info.run_name for run in runs} == {None: False, "l2=0,1 k1": True}
    run = client.get_run(parent)
    assert (run.info.status, run.info.run_name, run.data.tags["sweep.run"]) == ("KILLED", "sweep l2=0,1 k1", "k1")


def test_while_one_syncs_another_waits_and_then_finds_it_done(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    story.finished(story.opened("train"))
    asked, go_on = threading.Event(), threading.Event()
    connect = sys.modules["pipeline.tracking.mlflow_run"].connect
    calls = []

    def slow(*where: str) -> Any:
        calls.append(where)
        asked.set()
        go_on.wait(60)
        return connect(*where)

    monkeypatch.setattr("pipeline.tracking.sync.mlflow_run.connect", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(sync, Journal(story.journal.path))
        assert asked.wait(60)
        second = pool.submit(sync, Journal(story.journal.path))
        time.sleep(0.2)
        go_on.set()
        assert first.result().run_id == second.result().run_id
    assert len(calls) == 1


FORKS = """
import json, os, sys
from pathlib import Path
from pipeline.files import digest_of, read_json
from pipeline.tracking.events import Closed
from pipeline.tracking.mlflow_run import CURVE
from pipeline.tracking.names import WEIGHTS_TAG
from pipeline.tracking.journal import Journal, new_attempt
from pipeline.tracking.sync import sync
about = read_json(Path(sys.argv[2]))
settings = {"uri": sys.argv[1], "experiment": "logistic-regression"}
children = []
for i in range(int(sys.argv[4])):
    if not (child := os.fork()):
        card = json.loads(json.dumps(about))
        card["fingerprint_of"]["code"] = f"fork {i % 4}"
        card["fingerprint"] = digest_of(card["fingerprint_of"])
        opened = new_attempt("train", settings, card=card)
        journal = Journal(Path(sys.argv[3]) / f"clone{i}" / "run.jsonl")  # as from a repository of its own
        journal.append(opened, Closed.finished(opened.attempt))
        sync(journal)
        os._exit(0)
    children.append(child)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


def sync_at_once(uri: str, fitted: Path, processes: int) -> None:
    """Several processes for each of four models, which has one run."""
    argv = [sys.executable, "-c", FORKS, uri, str(fitted / "models" / "numpy" / "model.json"), str(fitted), str(processes)]
    done = subprocess.run(argv, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made_by = read_json(fitted / "models" / "numpy" / "model.json")["fingerprint_of"]
    fingerprints = {digest_of({**made_by, "code": f"fork {i}"}) for i in range(4)}
    shown = [run for run in MlflowClient(uri).search_runs(["1"]) if run.data.tags.get("fingerprint") in fingerprints]
    assert [run.info.status for run in shown] == ["FINISHED"] * 4


at_once = pytest.mark.parametrize("processes", [8, pytest.param(16, marks=pytest.mark.evidence)])


@pytest.mark.slow
@at_once
def test_processes_at_once_make_no_run_twice_on_a_server(fitted: Path, server: Server, processes: int) -> None:
    sync_at_once(server.uri, fitted, processes)


@pytest.mark.slow
@at_once
def test_processes_at_once_make_the_store(fitted: Path, processes: int) -> None:
    database = fitted / "new" / "mlflow.db"
    database.parent.mkdir()
    sync_at_once(f"sqlite:///{database}", fitted, processes)
    with closing(sqlite3.connect(database)) as made:
        assert made.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["drop", "lose", 500, 429])
def test_a_sync_that_fails_anywhere_is_done_again(
    fitted: Path, server: Server, proxy: Proxy, mode: str | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The n-th request fails, for every n in turn; each value is there once."""
    story = Story(fitted / "models" / "numpy", Tracking(f"http://127.0.0.1:{proxy.port}"))
    attempt = story.opened("train", trains=True)
    for epoch in range(5):
        story.point(attempt, epoch, 1000.0 + epoch)
    story.files(attempt, train.artifacts(story.folder))
    story.failed(attempt)
    failures = 0
    monkeypatch.setattr("pipeline.tracking.sync.SETTLE_SECONDS", 0.1)
    for n in (0, 1, 2, 4, 7, 11, 16, 22, 30, 45):
        proxy.fail_after(n, mode)
        try:
            sync(Journal(story.journal.path))
        except Exception:
            failures += 1
        if Delivery.read(story.journal.path).is_complete(story.journal.path.stat().st_size):
            break
    proxy.mode = "pass"
    sync(Journal(story.journal.path))
    assert failures >= 4
    client = MlflowClient(server.uri)
    (run,) = client.search_runs(["1"], f"tags.fingerprint = '{story.card.fingerprint}'")
    for key in CURVE:
        points = client.get_metric_history(run.info.run_id, key)
        assert sorted((p.step, p.timestamp) for p in points) == [(epoch, 1000000 + 1000 * epoch) for epoch in range(5)]
    assert (run.info.status, run.data.tags["reason"]) == ("FAILED", "ValueError: x")
    assert len(client.get_metric_history(run.info.run_id, "train/epochs")) == 1
    assert len(run.inputs.dataset_inputs) == 1
    (model,) = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    assert model.status == "READY"


def test_a_clock_that_is_set_back_changes_no_order(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    story.failed(story.opened("train"))
    assert story.synced().info.status == "FAILED"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    story.finished(story.opened("train"))
    run = story.synced()
    assert (run.info.status, run.data.tags["stage.train"]) == ("FINISHED", "finished")


def test_a_curve_is_read_from_mlflow_only_where_points_are_new(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, asked = story.opened("train"), list[str]()
    read = MlflowClient.get_metric_history

    def count(self: MlflowClient, run_id: str, key: str) -> Any:
        asked.append(key)
        return read(self, run_id, key)

    story.point(attempt, 0, 1.0)
    story.synced()
    monkeypatch.setattr(MlflowClient, "get_metric_history", count)
    opened = RunSync(story.journal)
    for epoch in range(1, 4):
        story.point(attempt, epoch, 1.0)
        opened.deliver()
    assert asked == ["train/loss"], "what it has sent itself it knows"
    asked.clear()
    story.finished(attempt)
    story.finished(story.opened("plot"))
    assert story.synced().info.status == "FINISHED"
    assert asked == []
    again = story.opened("train")
    for epoch in range(5):
        story.point(again, epoch, 2.0)
    run = story.synced()
    assert asked == ["train/loss"]
    assert story.points(run) == [*((epoch, 1000) for epoch in range(4)), (4, 2000)]


def test_a_run_in_which_nothing_happens_asks_the_store_nothing(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    story.opened("train")
    assert story.synced().info.status == "RUNNING"
    monkeypatch.setattr("pipeline.tracking.sync.mlflow_run.connect", lambda *_: pytest.fail("asked"))
    delivery = sync(Journal(story.journal.path))
    assert delivery.is_open


def test_what_a_killed_sync_kept_is_discarded(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("")
    attempt = story.opened("evaluate")
    story.files(attempt, Artifacts("evaluation", [tmp_path / "a.csv"]))
    story.finished(attempt)
    monkeypatch.setattr(Journal, "discard", lambda *_: None)
    story.synced()
    assert story.journal.links.exists()
    monkeypatch.undo()
    story.synced()
    assert not story.journal.links.exists()


def test_a_line_that_a_killed_writer_left_is_sent_for_once(story: Story) -> None:
    """It is no reason to send the run for ever."""
    story.finished(story.opened("train"))
    with story.journal.path.open("a") as file:
        file.write('{"version": 1, "event": "ep')
    assert story.synced().info.status == "FINISHED"
    delivery = Delivery.read(story.journal.path)
    assert delivery.is_complete(story.journal.path.stat().st_size)
    assert delivery.damaged == 1


@pytest.mark.parametrize("damage", ["", "{}", "damage"])
def test_where_the_delivery_is_lost_what_mlflow_has_is_not_missed(story: Story, tmp_path: Path, damage: str) -> None:
    """Though its files were written over since."""
    deliver_and_write_over(story, tmp_path / "a.csv")
    story.journal.path.with_suffix(".delivery.json").write_text(damage)
    run = story.synced()
    assert (run.info.status, story.artifacts(run, "evaluation")) == ("FINISHED", ["a.csv"])
    artifact = Path(run.info.artifact_uri.removeprefix("file://")) / "evaluation" / "a.csv"
    assert artifact.read_text() == "first"
    artifact.write_text("another")
    story.journal.path.with_suffix(".delivery.json").write_text(damage)
    assert story.synced().data.tags["stage.evaluate"] == "unpublished"
