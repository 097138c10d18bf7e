"""`runs promote`: only the surely better becomes champion."""

import json
import shutil
from contextlib import nullcontext
from io import StringIO
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import pyfunc
from mlflow.entities import Run, RunData, RunInfo

from pipeline.errors import CommandError
from pipeline.runs.promote import require_severe_checks
from tests.conftest import SINGLE, Shell
from tests.runs.conftest import Commands, all_runs, all_runs_but, client_of
from tests.serving import check_serving

NAME = "logistic-regression"


@pytest.mark.slow
def test_only_the_surely_better_becomes_champion(made: Path, runs: Commands, forked: Shell) -> None:
    found = all_runs(made)
    ids = {name: run.info.run_id for name, run in found.items()}
    client = client_of(made)
    first, again, better, refused, refused_again, forced, named, slash, quoted = runs(
        made,
        f"promote {ids['numpy']}",
        "promote @champion",
        f"promote {ids['single']}",
        f"promote {ids['torch']}",
        f"promote {ids['torch']} --metric brier --json",
        f"promote {ids['torch']} --force",
        f"promote {ids['0']} --name other --metric roc_auc",
        f"promote {ids['0']} --name a/b",
        f"promote {ids['0']} --name Ada's",
    )
    codes = [answer.code for answer in (first, again, better, refused, refused_again, forced, named, slash, quoted)]
    assert codes == [0, 0, 0, 1, 1, 0, 0, 1, 0], quoted.stderr
    assert " is the champion of logistic-regression now, as version 1\nfirst: there was no champion\n" in first.stdout
    assert "is the champion of logistic-regression already, as version 1; nothing was changed" in again.stdout
    assert ", as version 2\nbetter: log_loss surely better, -" in better.stdout
    assert " was not made the champion of logistic-regression; --force does it all the same\n" in refused.stdout
    assert "refused: log_loss surely worse, +" in refused.stdout
    assert " against version 2, 95% interval +" in refused.stdout
    assert slash.stderr == "error: a registered model's name must be without : and /; got a/b\n"
    versions = {v.run_id: v for v in client.search_model_versions(f"name = '{NAME}'")}
    decisions = {name: versions[ids[name]].tags["promotion.decision"] for name in ("numpy", "single", "torch")}
    assert decisions == {"numpy": "first", "single": "better", "torch": "forced"}
    assert {key: json.loads(refused_again.stdout)[key] for key in ("metric", "decision", "version")} == {
        "metric": "brier",
        "decision": "refused",
        "version": None,
    }
    assert len(versions) == 3, "a refusal leaves no version"
    tags = versions[ids["single"]].tags
    shares = json.loads(tags["promotion.difference"])
    assert shares["low"] <= shares["value"] <= shares["high"] < 0
    assert (tags["promotion.champion.run"], tags["promotion.resamples"]) == (ids["numpy"], "2000")
    assert client.get_model_version_by_alias(NAME, "champion").run_id == ids["torch"]
    assert client.get_model_version_by_alias("other", "champion").run_id == ids["0"]
    mlflow.set_tracking_uri(f"sqlite:///{made}/mlruns/mlflow.db")
    table = pd.read_parquet(made / "out/data/test.parquet")
    kept = pd.read_parquet(made / "out/models/torch/predictions.parquet")
    at_threshold = pd.read_parquet(made / SINGLE / "models/numpy/predictions.parquet")
    assert (at_threshold["predicted"] == (at_threshold["probability"] > 0.3)).all()
    for version, expected in (("@champion", kept), ("/2", at_threshold)):
        served = pyfunc.load_model(f"models:/{NAME}{version}").predict(table)
        assert served["prediction"].tolist() == expected["predicted"].tolist()
        assert np.abs(served["probability"] - expected["probability"]).max() < 1e-15
    check_serving(made, f"models:/{NAME}@champion", made / "out" / "models" / "torch")
    references = dict.fromkeys(
        ("@champion", ids["torch"], f"runs:/{ids['torch']}", found["torch"].data.tags["fingerprint"], "torch"), kept
    )
    for reference, expected in {**references, ids["single"]: at_threshold}.items():
        done = forked(f"python -m pipeline.stages.predict {reference} out/data/test.parquet", made)
        assert done.returncode == 0, done.stderr
        predicted = pd.read_csv(StringIO(done.stdout))
        assert predicted["prediction"].tolist() == expected["predicted"].tolist()
        assert predicted["probability"].tolist() == expected["probability"].tolist()


@pytest.mark.slow
def test_a_decision_replaces_the_one_before_and_a_champion_that_is_gone_bars_nobody(made: Path, runs: Commands) -> None:
    found, client = all_runs(made), client_of(made)
    ids = {name: found[name].info.run_id for name in ("single", "torch")}
    _, refused = runs(made, f"promote {ids['single']}", f"promote {ids['torch']}")
    assert refused.code == 1
    assert client.search_model_versions(f"run_id = '{ids['torch']}'") == []
    (forced,) = runs(made, f"promote {ids['torch']} --force")
    assert forced.code == 0
    client.delete_registered_model_alias(NAME, "champion")
    (first,) = runs(made, f"promote {ids['torch']}")
    assert first.code == 0
    (version,) = client.search_model_versions(f"run_id = '{ids['torch']}'")
    decided = {tag for tag in client.get_model_version(NAME, version.version).tags if tag.startswith("promotion.")}
    assert decided == {
        f"promotion.{key}" for key in ("metric", "run", "test_table", "failed_severe_checks", "decision", "reason")
    }
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
def test_a_fit_that_arrived_where_there_is_no_best_model_is_not_promoted(made: Path, runs: Commands, forked: Shell) -> None:
    done = forked("python -m pipeline data=breast_cancer optimizer=newton hydra.run.dir=out/runs/apart", made)
    assert done.returncode == 0, done.stderr
    run = done.stdout.partition("runs:/")[2].split()[0]
    tags = client_of(made).get_run(run).data.tags
    assert "**No finite best model exists** without a penalty: the classes can be separated by" in tags["mlflow.note.content"]
    refused, forced = runs(made, f"promote {run}", f"promote {run} --force")
    assert (refused.code, forced.code) == (1, 0)
    assert refused.stderr.startswith("error: a run must pass the checks that bar promotion to be promoted; ")
    assert " failed separation, baseline, since the classes can be separated by " in refused.stderr
    assert refused.stderr.endswith(": set model.l2, such as model.l2=0.01, or give --force\n")
    assert tags["checks.severe"] == "separation, baseline"
    (version,) = client_of(made).search_model_versions(f"run_id = '{run}'")
    assert version.tags["promotion.failed_severe_checks"] == "separation, baseline"
    document = all_runs_but(made, run)["numpy"]
    assert document.data.tags["checks.failed"] == "none"
    (as_before,) = runs(made, f"promote {document.info.run_id} --name document")
    assert as_before.code == 0


@pytest.mark.parametrize(
    ("checks", "reason"),
    [
        (None, "a run must have been checked to be promoted; evaluate 00000000 .swift-fox. again"),
        (["leak", "baseline"], "00000000 .swift-fox. failed leak, baseline, since one: a remedy, or give --force"),
        (["drift"], ""),
        ([], ""),
    ],
)
def test_a_failed_check_that_bars_promotion_does(checks: list[str] | None, reason: str) -> None:
    run = Run(RunInfo("0" * 32, "0", "", "FINISHED", 0, 0, "active", run_name="swift-fox"), RunData())
    failure = {"passed": False, "sentence": "one", "advice": "a remedy"}
    entries = None if checks is None else [{"name": name, "severe": name != "drift", **failure} for name in checks]
    with pytest.raises(CommandError, match=reason) if reason else nullcontext():
        require_severe_checks(run, entries)


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
