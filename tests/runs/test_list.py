"""`runs list`: the runs with what differs between them, their scores and their status."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric

from pipeline.config.tracking import Tracking
from pipeline.errors import CommandError
from pipeline.evaluation.metrics import RANKING_METRICS
from pipeline.processes import this_process
from pipeline.runs import list as list_runs
from pipeline.runs.__main__ import parser
from pipeline.runs._journals import unsent
from pipeline.runs.list import Listed, _best_first, _differing, _table
from pipeline.tracking.delivery import delivery_file
from pipeline.tracking.mlflow_run import connect
from pipeline.tracking.runs import Store
from tests.runs.conftest import Commands

SCORE = {"value": 0.25, "low": 0.21, "high": 0.3}


def listed(run: str, **more: object) -> Listed:
    return {
        "run": run * 8,
        "name": f"document | lr=0.1 | {run * 6}",
        "sweep": None,
        "status": "FINISHED",
        "process": None,
        "started": "2026-01-02T03:04:05+00:00",
        "test_table": "document cd20",
        "values": {},
        "scores": {"log_loss": SCORE, "roc_auc": {**SCORE, "low": None, "high": None}},
        "validation": {},
        **more,
    }


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("best", [None, "roc_auc"])
def test_a_table_fits_the_terminal_and_names_what_does_not(width: int, best: str | None) -> None:
    values = [{"optimizer.lr": f"{i}.5", "data.path": "data/" + "x" * 30, "model.name": f"m{i}"} for i in range(3)]
    shown = [listed(str(i), values=each, name="a name of " + "many letters " * 9) for i, each in enumerate(values)]
    table, left_out = _table(shown, best, width)
    header, *lines = table.splitlines()
    assert max(map(len, (header, *lines))) <= width
    assert header.split("  ")[0] == "run"
    assert [line.split()[:2] for line in lines] == [[str(i) * 8, "FINISHED"] for i in range(3)]
    assert ("0.2500 (0.2100 to 0.3000)" in lines[0]) == (best is None or width == 140)
    headers = ["model", "lr", "accuracy", "brier", "started", "roc_auc (95% interval)", "log_loss (95% interval)", "roc_auc"]
    assert {name for name in headers if name in header}.isdisjoint(left_out)
    assert "started" in left_out
    assert ("lr" in left_out) == (width == 80)


def test_only_values_that_differ_are_shown_under_short_names() -> None:
    common = {"data.seed": "0", "optimizer.tol": "0.0"}
    rows = [
        listed("0", values={**common, "model.name": "numpy", "optimizer.lr": "0.1", "model.l2": "auto"}),
        listed("1", values={**common, "model.name": "torch", "optimizer.lr": "0.2", "model.device": "cpu"}),
    ]
    assert dict(_differing(rows)) == {"model": ["numpy", "torch"], "lr": ["0.1", "0.2"]}
    seeds = [listed(str(i), values={"data.seed": str(i), "model.seed": str(i)}) for i in (1, 2)]
    assert dict(_differing(seeds)) == {"data.seed": ["1", "2"], "model.seed": ["1", "2"]}


def test_scores_of_validation_stand_beside_those_on_the_test_table() -> None:
    tuned = listed("1", scores={}, validation={"log_loss": {"value": 0.6, "low": 0.5, "high": 0.7}})
    header, without, validated = _table([listed("0"), tuned], None, 140)[0].splitlines()
    assert re.search(r" log_loss \(95% interval\) +validation log_loss \(95% interval\) ", header)
    assert "0.2500 (0.2100 to 0.3000)" in without
    assert "0.2500" not in validated
    assert "0.6000 (0.5000 to 0.7000)" in validated
    assert "validation" not in _table([listed("0")], None, 140)[0]


@pytest.mark.parametrize("metric", RANKING_METRICS)
def test_the_best_come_first_on_each_test_table(metric: str) -> None:
    def scored(run: str, value: float | None, table: str) -> Listed:
        return listed(run, test_table=table, scores={metric: {**SCORE, "value": value}})

    runs = [scored("0", 0.2, "new"), scored("1", 0.9, "old"), scored("2", 0.3, "new"), scored("3", None, "new")]
    greater = [each["run"][0] for each in _best_first([*runs, listed("4", scores={})], metric)] == ["2", "0", "1"]
    assert greater == (metric not in ("log_loss", "brier", "calibration_error"))


def make_run(store: Store, name: str, start: int, tags: dict[str, str], loss: float | None = None) -> str:
    client = store.client
    run = str(client.create_run(store.experiment_id, start_time=start, tags=tags, run_name=name).info.run_id)
    if loss is not None:
        scores = {"log_loss": loss, "log_loss.low": loss - 0.1, "log_loss.high": loss + 0.1, "rows": 9.0}
        logged = {f"test/{key}": value for key, value in scores.items()} | {"validation/log_loss": loss + 1}
        client.log_batch(run, [Metric(key, value, 0, 0) for key, value in logged.items()])
        table = Dataset("document", "cd20", "local", "{}")
        client.log_inputs(run, [DatasetInput(table, [InputTag("mlflow.data.context", "test")])])
    return run


def test_jobs_stand_below_their_sweep_and_no_status_lies(
    local: Tracking, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert local.uri
    client, experiment_id = connect(local.uri, local.experiment)
    store = Store(client, local.uri, local.experiment, experiment_id)
    alive = this_process()
    sweep = make_run(store, "sweep lr", 1000, {"sweep.run": "a" * 32})
    older = make_run(store, "older", 2000, alive._replace(started="0").tags, 0.5)
    jobs = [make_run(store, f"job {i}", 3000 + i, {"mlflow.parentRunId": sweep, **alive.tags}, i / 10) for i in (2, 4)]
    for run in (sweep, jobs[0]):
        store.client.set_terminated(run, "FINISHED")
    monkeypatch.setattr("pipeline.runs.list.open_store", lambda: store)

    def answer(words: str = "") -> tuple[str, Any]:
        caplog.clear()
        with caplog.at_level("INFO", "pipeline"):
            content = list_runs.run(parser().parse_args(["list", *words.split()]))[1]
        return caplog.text, content

    text, content = answer()
    assert [each["run"] for each in content["runs"]] == [older, sweep, jobs[1], jobs[0]]
    assert re.findall("^.{8}  (RUNNING.?|FINISHED)  ", text, re.MULTILINE) == ["RUNNING?", "FINISHED", "RUNNING ", "FINISHED"]
    assert "RUNNING? the process is gone or out of sight; `runs doctor` says which" in text
    assert f"4 runs of {store.experiment}, newest first" in text
    assert f"{jobs[1][:8]}  RUNNING     job 4   0.4000 (0.3000 to 0.5000)" in text
    text, content = answer("--limit 1")
    assert [each["run"] for each in content["runs"]] == [sweep, jobs[1]], "a job is never without its sweep"
    assert "2 more; --limit 0 shows all" in text
    best = answer("--best log_loss --json --limit 2")[1]
    assert ([each["run"] for each in best["runs"]], best["more"]) == (jobs, 1)
    assert best["runs"][0]["scores"]["log_loss"] == {"value": 0.2, "low": 0.1, "high": pytest.approx(0.3)}
    assert best["runs"][0]["scores"]["rows"] == {"value": 9.0, "low": None, "high": None}
    assert best["runs"][0]["validation"] == {"log_loss": {"value": 1.2, "low": None, "high": None}}
    assert (best["runs"][1]["sweep"], best["runs"][1]["process"]) == (sweep, "alive")
    with pytest.raises(CommandError, match="--limit must be 0 or more; got -1"):
        answer("--limit -1")


def test_runs_of_which_mlflow_lacks_something_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / f"{name}.jsonl" for name in ("sent", "longer", "unsent", "lacking")]
    deliveries = [{"delivered": 3}, {"delivered": 1}, None, {"delivered": 3, "lacking": {"3": "a disk is full"}}]
    for path, delivery in zip(paths, deliveries, strict=True):
        path.write_text("{}\n")
        if delivery:
            delivery_file(path).write_text(json.dumps(delivery))
    monkeypatch.setattr("pipeline.runs._journals.journals", lambda: paths)
    assert unsent() == 3


def test_no_runs_are_one_sentence(repo: Path, runs: Commands) -> None:
    none, no_score = runs(repo, "list", "list --best roc_auc")
    assert (none.code, none.stdout) == (0, "logistic-regression has no runs yet\n")
    assert (no_score.code, no_score.stdout) == (0, "no run of logistic-regression has roc_auc yet\n")
