"""A sweep with validation chooses by it, and measures the job that it chose, and no other, on the test table."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.__main__ import fit_best
from pipeline.errors import DataError
from pipeline.evaluation.metrics import SUMMARY_METRICS
from pipeline.files import read_json
from pipeline.stages import _chain as chain
from tests.chain import SMALL, composed
from tests.conftest import Shell
from tests.observing import client_of, runs_of

WORDS = ("evaluation.validation=cv", "evaluation.folds=3", "model.standardize=true", "optimizer=newton", *SMALL[:2])


def test_the_job_of_least_validation_loss_is_fitted_and_tested_alone(repo: Path, forked: Shell) -> None:
    words = " ".join((*WORDS, "tracking=none", "hydra.sweep.dir=out/s", "model.l2=10,0.1,1"))
    done = forked(f"python -m pipeline -m {words}", repo)
    assert (done.returncode, done.stderr) == (0, "")
    jobs, table = read_json(repo / "out/s/sweep.json")["jobs"], pd.read_csv(repo / "out/s/comparison.csv")
    loss = [job["validation"]["log_loss"] for job in jobs]
    assert min(range(3), key=lambda i: float(loss[i]["value"])) == 1
    assert [bool(job["scores"]) for job in jobs] == [False, True, False]
    assert {path.parts[-4] for path in repo.rglob("model.json")} == {"1"}
    assert table["log_loss"].isna().tolist() == [True, False, True]
    for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
        assert table[f"validation_log_loss{end}"].tolist() == [each[key] for each in loss]
    assert done.stdout.count("40 test rows: ") == 1
    scores = ", ".join(f"{name} {jobs[1]['scores'][name]:.4f}" for name in SUMMARY_METRICS)
    best = "least validation loss: job 1 -> out/s/1; all of them -> out/s/comparison.csv"
    assert done.stdout.endswith(f"\n{best}\non the test table, after a fit to all training rows: {scores}\n")


def test_a_chosen_job_that_cannot_be_fitted_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*given: Any) -> None:
        raise DataError("the fit must end; it did not")

    jobs = []
    for i, l2 in enumerate((10, 0.1)):
        scores = chain.validate(composed("tracking=none", *WORDS, f"model.l2={l2}"), tmp_path / str(i))
        validation = {"log_loss": vars(scores["log_loss"])}
        jobs.append({"job": i, "folder": str(tmp_path / str(i)), "validation": validation, "scores": {}, "ending": "finished"})
    monkeypatch.setattr(chain, "fit", fail)
    fit_best(jobs)
    assert [job["ending"] for job in jobs] == ["finished", "failed"]
    assert capsys.readouterr().err == "[1] error: the fit must end; it did not\n"


@pytest.mark.slow
def test_mlflow_shows_the_validation_of_all_jobs_and_which_was_chosen(repo: Path, forked: Shell) -> None:
    words = " ".join((*WORDS, "hydra/launcher=joblib", "model.l2=10,0.1"))
    done = forked(f"python -m pipeline -m {words}", repo)
    assert done.returncode == 0, done.stderr
    runs = {run.data.params["model.l2"]: run for run in runs_of(repo) if "mlflow.parentRunId" in run.data.tags}
    assert {run.info.status for run in runs_of(repo)} == {"FINISHED"}
    assert {l2: run.data.tags["sweep.chosen"] for l2, run in runs.items()} == {"10.0": "false", "0.1": "true"}
    for run in runs.values():
        assert run.data.metrics["validation/log_loss.low"] < run.data.metrics["validation/log_loss"]
        listed = [item.path for item in client_of(repo).list_artifacts(run.info.run_id, "validation")]
        assert listed == ["validation/validation.json", "validation/validation_predictions.parquet"]
    assert {l2: "test/log_loss" in run.data.metrics for l2, run in runs.items()} == {"10.0": False, "0.1": True}
    published = forked("python -m pipeline.runs publish --json", repo)
    assert (published.returncode, json.loads(published.stdout)["skipped"]) == (0, 0)
    refused = forked(f"python -m pipeline.runs promote {runs['10.0'].info.run_id}", repo)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert " must have a model; the sweep that it is a job of chose another job\n" in refused.stderr
