"""`runs diff` and `runs promote`: what differs, how sure that is, and who is the champion."""

import json
import re
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import pyfunc
from mlflow.entities import Run, RunData, RunInfo

from pipeline.evaluation.intervals import paired_bootstrap
from pipeline.files import digest
from pipeline.model.card import FitSummary
from pipeline.runs._find import log_odds
from pipeline.runs.promote import require_finite_optimum
from pipeline.tracking.mlflow_run import DESCRIBED
from tests.conftest import Shell
from tests.runs.conftest import SINGLE, Commands, all_runs, client_of
from tests.serving import check_serving

NAME = "logistic-regression"


def test_log_odds_of_probabilities_that_were_rounded_away() -> None:
    z = np.array([-745.0, -40.0, -1.0, 0.0, 1.0, 30.0])
    with np.errstate(over="ignore"):
        p = 1 / (1 + np.exp(-z))
    assert log_odds(p) == pytest.approx(z, rel=1e-3)
    assert log_odds(np.array([0.0, 1.0])) == pytest.approx([-744.44, 54 * np.log(2)], rel=1e-4)


@pytest.mark.slow
def test_all_that_differs_is_shown(made: Path, runs: Commands, shell: Shell) -> None:
    other = shell("python -m pipeline data.test_rows=400 hydra.run.dir=out/runs/other", made)
    assert other.returncode == 0, other.stderr
    other_id = other.stdout.partition("runs:/")[2].split()[0]
    client = client_of(made)
    ids = {name: run.info.run_id for name, run in all_runs_but(made, other_id).items()}
    client.set_tag(ids["single"], "version.numpy", "1.0")
    client.set_tag(ids["single"], "git.diff", "whole")
    client.log_text(ids["single"], "a change", "lineage/code.diff")
    words = [f"diff {ids['numpy']} {ids['single']}", f"diff {ids['torch']} {other_id}"]
    shown, same, tables = runs(made, words[0] + " --json", f"diff {ids['numpy']} {ids['0']}", words[1] + " --json")
    answer = json.loads(shown.stdout)
    assert answer["configuration"] == {"optimizer.lr": [0.1, 0.5]}
    assert answer["data"] == {}
    assert answer["code"]["changes to the commit, but for overrides.yaml"] == ["none", digest(b"a change")]
    assert answer["environment"]["version.numpy"] == [np.__version__, "1.0"]
    kept = [pd.read_parquet(made / folder / "predictions.parquet") for folder in ("out/models/numpy", f"{SINGLE}/models/numpy")]
    y = (kept[0]["actual"] == kept[0]["actual"].max()).to_numpy(float)
    z_a, z_b = (log_odds(table["probability"].to_numpy()) for table in kept)
    expected = paired_bootstrap(z_a, z_b, y)
    for name, found in answer["metrics"].items():
        assert (found["value"], found["low"], found["high"]) == (expected[name].value, expected[name].low, expected[name].high)
        files = [
            json.loads((made / f / "metrics.json").read_text())[name] for f in ("out/models/numpy", f"{SINGLE}/models/numpy")
        ]
        assert [found["a"], found["b"]] == files
        assert found["value"] == pytest.approx(files[1] - files[0], abs=1e-12)
    assert same.code == 0
    assert "configuration: the same" in same.stdout
    refused = json.loads(tables.stdout)
    assert (tables.code, refused["metrics"]) == (1, None)
    assert refused["metrics_refused"].startswith(
        "two runs must have been tested on one table for their metrics to be compared; "
    )
    assert refused["configuration"]["data.test_rows"] == [500, 400]
    first, against = runs(made, f"promote {ids['numpy']}", f"promote {other_id}")
    assert (first.code, against.code) == (0, 1)
    assert against.stderr.startswith("error: two runs must have been tested on one table")
    assert against.stderr.endswith(" were not: the champion stays, unless you give another --name or --force\n")
    assert len(client.search_model_versions(f"name = '{NAME}'")) == 1
    (forced,) = runs(made, f"promote {other_id} --force")
    assert "forced, not compared: two runs must have been tested on one table" in forced.stdout


@pytest.mark.slow
def test_what_is_configuration_or_unknown_is_no_difference_of_the_code(made: Path, runs: Commands) -> None:
    client, ids = client_of(made), {name: run.info.run_id for name, run in all_runs(made).items()}
    client.set_tag(ids["0"], "git.diff", "whole")
    client.log_text(ids["0"], "diff --git a/overrides.yaml b/overrides.yaml\n+overrides: [x=1]\n", "lineage/code.diff")
    client.set_tag(ids["torch"], "git.diff", "without credentials")
    client.log_text(ids["torch"], "", "lineage/code.diff")
    for tag in ("git.diff", DESCRIBED):  # as `runs publish` makes it
        client.delete_tag(ids["single"], tag)
    pairs = (("0", "1"), ("single", "numpy"), ("numpy", "torch"))
    overrides, sent, left_out = runs(made, *(f"diff {ids[a]} {ids[b]}" for a, b in pairs))
    (told,) = runs(made, f"diff {ids['0']} {ids['single']} --json")
    assert "\ncode: the same as far as it is known for b\n" in left_out.stdout
    assert "\ncode: the same\n" in overrides.stdout
    assert "\ncode: as far as it is known for a\n  mlflow.source.git.commit: " in sent.stdout
    assert "\nenvironment: unknown for a\n" in sent.stdout
    assert not re.search("[0-9a-f]{13}", sent.stdout)
    assert json.loads(told.stdout)["environment"] is None
    assert json.loads(told.stdout)["unknown"] == {"code": ["b"], "environment": ["b"]}


def all_runs_but(made: Path, other: str) -> dict[str, Run]:
    client_of(made).delete_run(other)
    found = all_runs(made)
    client_of(made).restore_run(other)
    return found


@pytest.mark.slow
def test_only_the_surely_better_becomes_champion(made: Path, runs: Commands) -> None:
    found = all_runs(made)
    ids = {name: run.info.run_id for name, run in found.items()}
    client = client_of(made)
    first, again, better, refused, refused_again, forced, named, slash = runs(
        made,
        f"promote {ids['numpy']}",
        "promote @champion",
        f"promote {ids['single']}",
        f"promote {ids['torch']}",
        f"promote {ids['torch']} --metric accuracy --json",
        f"promote {ids['torch']} --force",
        f"promote {ids['0']} --name other --metric roc_auc",
        f"promote {ids['0']} --name a/b",
    )
    codes = [answer.code for answer in (first, again, better, refused, refused_again, forced, named, slash)]
    assert codes == [0, 0, 0, 1, 1, 0, 0, 1]
    assert "version 1 of logistic-regression: first, there was no champion" in first.stdout
    assert "is the champion of logistic-regression already, as version 1; nothing was changed" in again.stdout
    assert "version 2 of logistic-regression: better, against version 1: log_loss -" in better.stdout
    assert "version 3 of logistic-regression: refused, against version 2: log_loss +" in refused.stdout
    assert slash.stderr == "error: a registered model's name must be without : and /; got a/b\n"
    versions = {v.run_id: v for v in client.search_model_versions(f"name = '{NAME}'")}
    decisions = {name: versions[ids[name]].tags["promotion.decision"] for name in ("numpy", "single", "torch")}
    assert decisions == {"numpy": "first", "single": "better", "torch": "forced"}
    assert json.loads(refused_again.stdout)["metric"] == "accuracy"
    tags = versions[ids["single"]].tags
    shares = json.loads(tags["promotion.difference"])
    assert shares["low"] <= shares["value"] <= shares["high"] < 0
    assert (tags["promotion.champion.run"], tags["promotion.resamples"]) == (ids["numpy"], "2000")
    assert client.get_model_version_by_alias(NAME, "champion").run_id == ids["torch"]
    assert client.get_model_version_by_alias("other", "champion").run_id == ids["0"]
    mlflow.set_tracking_uri(f"sqlite:///{made}/mlruns/mlflow.db")
    served = pyfunc.load_model(f"models:/{NAME}@champion").predict(pd.read_parquet(made / "out/data/test.parquet"))
    kept = pd.read_parquet(made / "out/models/torch/predictions.parquet")
    assert served["prediction"].tolist() == kept["predicted"].tolist()
    assert np.abs(served["probability"] - kept["probability"]).max() < 1e-15
    check_serving(made, f"models:/{NAME}@champion", made / "out" / "models" / "torch")


@pytest.mark.slow
def test_a_decision_replaces_the_one_before_and_a_champion_that_is_gone_bars_nobody(made: Path, runs: Commands) -> None:
    found, client = all_runs(made), client_of(made)
    ids = {name: found[name].info.run_id for name in ("single", "torch")}
    _, refused = runs(made, f"promote {ids['single']}", f"promote {ids['torch']}")
    assert refused.code == 1
    client.delete_registered_model_alias(NAME, "champion")
    (first,) = runs(made, f"promote {ids['torch']}")
    assert first.code == 0
    (version,) = client.search_model_versions(f"run_id = '{ids['torch']}'")
    decided = {tag for tag in client.get_model_version(NAME, version.version).tags if tag.startswith("promotion.")}
    assert decided == {f"promotion.{key}" for key in ("metric", "run", "test_table", "decision", "reason")}
    shutil.rmtree(found["torch"].info.artifact_uri.removeprefix("file://"))
    stays, forced = runs(made, f"promote {ids['single']}", f"promote {ids['single']} --force")
    assert (stays.code, forced.code) == (1, 0)
    assert "the champion stays, unless you give another --name or --force" in stays.stderr


@pytest.mark.slow
def test_a_model_that_cannot_be_served_is_not_promoted(made: Path, runs: Commands) -> None:
    for weights in made.glob("mlruns/artifacts/**/models/**/model.npz"):
        weights.write_bytes(b"damage")
    (answer,) = runs(made, f"promote {all_runs(made)['single'].info.run_id}")
    assert answer.code == 1
    assert "in MLflow must hold its weights; they are damaged or missing" in answer.stderr
    assert client_of(made).search_registered_models() == []


@pytest.mark.slow
def test_a_fit_that_arrived_where_there_is_no_best_model_is_not_promoted(made: Path, runs: Commands, shell: Shell) -> None:
    done = shell("python -m pipeline data=breast_cancer optimizer=newton hydra.run.dir=out/runs/apart", made)
    assert done.returncode == 0, done.stderr
    run = done.stdout.partition("runs:/")[2].split()[0]
    tags = client_of(made).get_run(run).data.tags
    assert tags["separation"].startswith("complete: ")
    assert "**No finite best model exists** without a penalty: the classes can be separated by" in tags["mlflow.note.content"]
    refused, forced = runs(made, f"promote {run}", f"promote {run} --force")
    assert (refused.code, forced.code) == (1, 0)
    assert refused.stderr.startswith("error: a converged fit must have a finite optimum to be promoted; ")
    assert refused.stderr.endswith(": train it with model.l2 set, or give --force\n")
    document = all_runs_but(made, run)["numpy"]
    assert document.data.tags["separation"] == "complete: x2, x1"
    (as_before,) = runs(made, f"promote {document.info.run_id} --name document")
    assert as_before.code == 0


@pytest.mark.parametrize("stopped_by", ["tol", "epochs", "precision"])
def test_a_run_without_a_separation_may_be_promoted(stopped_by: str) -> None:
    run = Run(RunInfo("0" * 32, "0", "", "FINISHED", 0, 0, "active"), RunData())
    require_finite_optimum(run, FitSummary("gd", 1, stopped_by, 0.1, 0.1, None), force=False)


@pytest.mark.slow
def test_only_a_finished_run_with_a_model_is_promoted(made: Path, runs: Commands) -> None:
    client, ids = client_of(made), {name: run.info.run_id for name, run in all_runs(made).items()}
    client.set_terminated(ids["numpy"], "KILLED")
    for model in client.search_logged_models([client.get_run(ids["torch"]).info.experiment_id]):
        client.delete_logged_model(model.model_id)
    killed, bare = runs(made, f"promote {ids['numpy']}", f"promote {ids['torch']}")
    assert "a run must be FINISHED to be promoted; " in killed.stderr
    assert "a run must have its model in MLflow to be promoted; " in bare.stderr
    assert (killed.code, bare.code) == (1, 1)
    assert not client.search_registered_models()
