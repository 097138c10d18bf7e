"""A sweep with validation chooses by it, and measures the job that it chose, and no other, on the test table."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.__main__ import fit_best, score
from pipeline.errors import DataError
from pipeline.evaluation.metrics import SUMMARY_METRICS
from pipeline.files import read_json
from pipeline.stages import _chain as chain
from pipeline.sweeps.jobs import Status
from tests.chain import SMALL, composed
from tests.conftest import Shell
from tests.observing import client_of, runs_of

WORDS = ("evaluation.validation=cv", "evaluation.folds=3", "model.standardize=true", "optimizer=newton", *SMALL[:2])


def validated(folder: Path, *values: float) -> list[Status]:
    """Jobs with these values of l2, as they are before one of them is chosen."""
    jobs = []
    for number, l2 in enumerate(values):
        job: Status = {"job": number, "folder": str(folder / str(number)), "overrides": {"model.l2": str(l2)}}
        job |= {"validation": {}, "scores": {}, "ending": "finished"}
        loss = score(job, composed("tracking=none", *WORDS, f"model.l2={l2}"), folder / str(number))
        assert loss == job["validation"]["log_loss"]["value"]
        jobs.append(job)
    return jobs


def test_the_job_of_least_validation_loss_is_fitted_and_tested_alone(tmp_path: Path) -> None:
    jobs = validated(tmp_path, 10, 0.1, 1)
    assert not [*tmp_path.rglob("model.json")]
    fit_best(jobs)
    assert min(jobs, key=lambda job: float(job["validation"]["log_loss"]["value"])) is jobs[1]
    assert [set(job["scores"]) for job in jobs] == [set(), {*SUMMARY_METRICS}, set()]
    for name in ("model.json", "metrics.json"):
        assert [path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob(name)] == ["1"]


def test_a_job_without_validation_is_tested_at_once(tmp_path: Path) -> None:
    job: Status = {}
    loss = score(job, composed("tracking=none", *WORDS, "evaluation.validation=none"), tmp_path)
    assert (loss, "validation" in job) == (job["scores"]["log_loss"], False)


def test_a_chosen_job_that_cannot_be_fitted_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*given: Any) -> None:
        raise DataError("the fit must end; it did not")

    jobs = validated(tmp_path, 10, 0.1)
    monkeypatch.setattr(chain, "fit", fail)
    fit_best(jobs)
    assert [job["ending"] for job in jobs] == ["finished", "failed"]
    assert capsys.readouterr().err == "[1] error: the fit must end; it did not\n"


@pytest.mark.slow
def test_mlflow_shows_the_validation_of_all_jobs_and_which_was_chosen(repo: Path, forked: Shell) -> None:
    words = " ".join((*WORDS, "hydra/launcher=joblib", "hydra.sweep.dir=out/s", "model.l2=10,0.1"))
    done = forked(f"python -m pipeline -m {words}", repo)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\nleast validation loss: job 1 -> out/s/1; all of them -> out/s/comparison.csv\non the test table, " in done.stdout
    assert done.stdout.count("40 test rows: ") == 1
    table, jobs = pd.read_csv(repo / "out/s/comparison.csv"), read_json(repo / "out/s/sweep.json")["jobs"]
    assert table["log_loss"].isna().tolist() == [True, False]
    assert table["validation_log_loss_low"].tolist() == [job["validation"]["log_loss"]["low"] for job in jobs]
    runs = {run.data.params["model.l2"]: run for run in runs_of(repo) if "mlflow.parentRunId" in run.data.tags}
    assert {run.info.status for run in runs_of(repo)} == {"FINISHED"}
    assert {l2: run.data.tags["sweep.chosen"] for l2, run in runs.items()} == {"10.0": "false", "0.1": "true"}
    for run in runs.values():
        assert run.data.metrics["validation/log_loss.low"] < run.data.metrics["validation/log_loss"]
        listed = [item.path for item in client_of(repo).list_artifacts(run.info.run_id, "validation")]
        assert listed == [f"validation/validation{name}" for name in (".json", "_history.csv", "_predictions.parquet")]
    assert {l2: "test/log_loss" in run.data.metrics for l2, run in runs.items()} == {"10.0": False, "0.1": True}
    published = forked("python -m pipeline.runs publish --json", repo)
    assert (published.returncode, json.loads(published.stdout)["skipped"]) == (0, 0)
    refused = forked(f"python -m pipeline.runs promote {runs['10.0'].info.run_id}", repo)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert " must have a model; the sweep that it is a job of chose another job\n" in refused.stderr
