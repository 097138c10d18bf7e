"""`runs publish`: a store made again from the files is the store that was; sent twice, nothing is there twice."""

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.tracking import Tracking
from pipeline.stages import STAGES
from pipeline.stages.report import report
from pipeline.tracking.mlflow_run import models_of
from tests.conftest import SINGLE, SWEEP, Shell, change_overrides, environment
from tests.observing import runs_of
from tests.runs.conftest import Commands, all_runs, client_of, files_of, forget, shown

pytestmark = pytest.mark.slow


def test_a_new_store_shows_all_that_the_old_one_did(made: Path, before: dict[str, Any], store: Path, runs: Commands) -> None:
    assert set(before) == {"numpy", "torch", "single", "0", "1", "parent"}
    forget(made, store)
    first, second = runs(made, "publish", "publish --json")
    assert (first.code, second.code) == (0, 0), first.stderr + second.stderr
    assert first.stdout.count(": sent what MLflow lacked\n") == len(first.stdout.splitlines()) - 1 == 6
    assert "6 sent, 5 there already, 0 skipped" in first.stdout, "from the journals, which know more than the files"
    assert '"there": 5' in second.stdout
    after = shown(made)
    for name, run in before.items():
        assert after[name] == run, name
    assert before["0"]["parent"] == "parent"


def test_the_files_alone_show_all_that_the_old_store_did(
    made: Path, before: dict[str, Any], store: Path, runs: Commands
) -> None:
    forget(made, store)
    shutil.rmtree(made / "out" / "journal")
    first, second = runs(made, "publish", "publish --json")
    assert (first.code, second.code) == (0, 0), first.stderr + second.stderr
    assert "5 sent, 0 there already, 0 skipped" in first.stdout
    assert '"there": 5' in second.stdout
    assert shown(made) == before


def test_a_failed_run_comes_back_from_its_journal(made: Path, forked: Shell, runs: Commands) -> None:
    """After rm -rf mlruns. One that was deleted in MLflow does not."""
    for epochs, lr in ((5, "1e308"), (6, "1e307")):
        assert forked(f"python -m pipeline model.l2=1 optimizer.lr={lr} optimizer.epochs={epochs}", made).returncode == 1
    failed = [run for run in runs_of(made) if run.info.status == "FAILED"]
    deleted = next(run for run in failed if run.data.params["optimizer.epochs"] == "6")
    client_of(made).delete_run(deleted.info.run_id)
    assert "0 sent, 5 there already, 0 skipped" in runs(made, "publish")[0].stdout
    assert [run for run in runs_of(made) if run.info.status == "FAILED"] != []
    before = next(run for run in failed if run.data.params["optimizer.epochs"] == "5")
    shutil.rmtree(made / "mlruns")
    first, second = runs(made, "publish", "publish")
    assert "8 sent, 5 there already, 0 skipped" in first.stdout
    assert "0 sent, 5 there already, 0 skipped" in second.stdout
    again = [run for run in runs_of(made) if run.data.params.get("optimizer.epochs") == "5"]
    assert [(run.info.status, run.data.tags["reason"]) for run in again] == [("FAILED", before.data.tags["reason"])]


def test_a_report_that_dvc_restored_is_sent_by_publish(made: Path, shell: Shell, runs: Commands) -> None:
    """DVC restores it from its cache without running the stage; until then the run shows a later one."""
    other = "candidates: {numpy: [model=numpy], torch: [model=torch, optimizer.lr=0.7]}"
    for candidates in (other, "candidates: {numpy: [model=numpy], torch: [model=torch]}"):
        (made / "overrides.yaml").write_text(f"overrides: []\n{candidates}\n")
        assert shell("dvc repro -q", made).returncode == 0
    before, sent, after = runs(made, "verify", "publish", "verify")
    assert before.code == 1
    drift, counted = before.stdout.splitlines()
    assert drift.startswith("report/index.html of ")
    assert drift.endswith(" is not out/report/index.html; `runs publish` sends it")
    assert counted == "1 drift from dvc.lock"
    assert "sent report" in sent.stdout
    assert after.code == 0, after.stdout


def test_a_sweep_that_began_without_a_server_gets_its_parent(
    made: Path, before: dict[str, Any], store: Path, runs: Commands
) -> None:
    note = made / SWEEP / "sweep.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "run": "f" * 32}))
    forget(made, store)
    shutil.rmtree(made / "out" / "journal")  # which has the sweep's own key
    first, second = runs(made, "publish", "publish")
    assert "5 sent, 0 there already, 0 skipped" in first.stdout
    assert "0 sent, 5 there already, 0 skipped" in second.stdout
    assert shown(made) == before


def test_runs_of_a_sweep_that_began_without_a_server_get_their_parent(
    made: Path, before: dict[str, Any], runs: Commands
) -> None:
    found, note = all_runs(made), made / SWEEP / "sweep.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "run": "f" * 32}))
    client_of(made).delete_run(found["parent"].info.run_id)
    for job in ("0", "1"):
        client_of(made).set_tag(found[job].info.run_id, "mlflow.parentRunId", "f" * 32)
    answer, again = runs(made, "publish", "publish")
    assert "2 sent, 3 there already, 0 skipped" in answer.stdout
    assert "0 sent, 5 there already, 0 skipped" in again.stdout
    assert shown(made) == before
    assert all_runs(made)["0"].info.run_id == found["0"].info.run_id


def test_a_job_deeper_in_its_sweeps_folder_is_its_job(made: Path, before: dict[str, Any], runs: Commands) -> None:
    """As with hydra.sweep.subdir=deeper/0."""
    sweep = made / SWEEP
    (sweep / "deeper").mkdir()
    (sweep / "0").rename(sweep / "deeper" / "0")
    note = json.loads((sweep / "sweep.json").read_text())
    note["jobs"][0]["folder"] = f"{SWEEP}/deeper/0"
    (sweep / "sweep.json").write_text(json.dumps(note))
    named, every = runs(made, f"publish {SWEEP}/deeper/0/models/numpy", "publish")
    assert "0 sent, 1 there already, 0 skipped" in named.stdout
    assert "0 sent, 5 there already, 0 skipped" in every.stdout
    assert shown(made) == before


def test_what_was_made_without_tracking_is_no_failure(made: Path, forked: Shell, runs: Commands) -> None:
    assert forked("python -m pipeline tracking=none hydra.run.dir=out/runs/untracked", made).returncode == 0
    shutil.copytree(made / "out/runs/untracked", made / "out/sweeps/untracked/0")
    answer, named = runs(made, "publish", "publish out/runs/untracked/models/numpy")
    assert (answer.code, named.code) == (0, 0)
    assert answer.stdout == "0 sent, 5 there already, 0 skipped, 2 made with tracking=none, so not to be sent\n"
    assert named.stdout == "0 sent, 0 there already, 0 skipped, 1 made with tracking=none, so not to be sent\n"
    (made / "out/config/tracking.yaml").write_text("uri: null\nexperiment: logistic-regression\n")
    (of_the_dag,) = runs(made, "publish out/models/numpy out/models/torch")
    assert of_the_dag == (0, "0 sent, 0 there already, 0 skipped, 2 made with tracking=none, so not to be sent\n", "")


def test_a_later_failure_is_not_lifted_by_older_files(made: Path, runs: Commands) -> None:
    run_id, client = all_runs(made)["torch"].info.run_id, client_of(made)
    client.set_tag(run_id, "stage.train", "killed")
    client.set_tag(run_id, "reason", "SystemExit: 143")
    client.set_terminated(run_id, "KILLED")
    (answer,) = runs(made, "publish")
    assert "0 sent, 5 there already, 0 skipped" in answer.stdout
    run = client.get_run(run_id)
    assert (run.info.status, run.data.tags["reason"]) == ("KILLED", "SystemExit: 143")


def test_what_is_there_is_not_touched(made: Path, runs: Commands) -> None:
    before = {name: run.to_dictionary() for name, run in all_runs(made).items()}
    (answer,) = runs(made, "publish")
    assert answer.code == 0
    assert "0 sent, 5 there already, 0 skipped" in answer.stdout
    assert {name: run.to_dictionary() for name, run in all_runs(made).items()} == before


def test_of_two_folders_of_one_run_the_first_is_shown(made: Path, runs: Commands) -> None:
    twin = made / "out" / "runs" / "twin"
    shutil.copytree(made / "out/models/numpy", twin / "models/numpy")
    shutil.copytree(made / "out/data", twin / "data")
    shutil.copy(made / SINGLE / "config.yaml", twin)
    report(twin, ["numpy"], Tracking(None))  # of one model, where the DAG's is of two
    sent, verified = runs(made, "publish", "verify")
    assert "0 sent, 6 there already, 0 skipped" in sent.stdout
    assert verified.code == 0, verified.stdout


def test_the_artifacts_are_the_files_of_the_stages(made: Path) -> None:
    run = all_runs(made)["numpy"]
    for stage in (stage for stage in STAGES.values() if stage.artifacts):
        there = {Path(item.path).name for item in client_of(made).list_artifacts(run.info.run_id, stage.artifacts)}
        assert there == {path.name for path in stage.files(made / "out/models/numpy")} != set(), stage.name


def test_what_was_deleted_or_cut_short_comes_back(made: Path, before: dict[str, Any], runs: Commands) -> None:
    client, run = client_of(made), all_runs(made)["torch"]
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    (artifacts / "training" / "model.npz").write_bytes(b"cut")
    shutil.rmtree(artifacts / "figures")
    (model,) = models_of(client, run)
    shutil.rmtree(model.artifact_location.removeprefix("file://"))
    client.delete_tag(all_runs(made)["single"].info.run_id, "stage.evaluate")
    answer, again = runs(made, "publish", "publish")
    assert "2 sent, 3 there already, 0 skipped" in answer.stdout
    assert "sent train, evaluate, plot" in answer.stdout  # the logged model has the decision of evaluate
    assert "0 sent, 5 there already, 0 skipped" in again.stdout
    assert shown(made) == before


def test_from_a_commit(made: Path, before: dict[str, Any], store: Path, runs: Commands, shell: Shell) -> None:
    commit = shell("git rev-parse HEAD", made).stdout.strip()
    change_overrides(made, ["optimizer.lr=0.3"])
    shutil.rmtree(made / "out" / "models" / "torch")
    shell("git commit -qam other", made)
    forget(made, store)
    shutil.rmtree(made / "out" / "journal")  # which would name the commit that the model was trained at
    files, status = files_of(made), shell("git status --porcelain", made).stdout
    sent, again = runs(made, "publish --rev HEAD~1", "publish --rev HEAD~1")
    assert sent.code == 0, sent.stderr
    assert "out/models/torch -> runs:/" in sent.stdout
    assert "0 sent, 2 there already, 0 skipped" in again.stdout
    assert shown(made) == {name: before[name] for name in ("numpy", "torch")}
    assert {run.data.tags["mlflow.source.git.commit"] for run in all_runs(made).values()} == {commit}
    assert (files_of(made), shell("git status --porcelain", made).stdout) == (files, status)
    assert len(shell("git worktree list", made).stdout.splitlines()) == 1


def test_from_a_commit_whose_results_are_in_the_remote_or_nowhere(
    made: Path, before: dict[str, Any], store: Path, runs: Commands, shell: Shell, tmp_path: Path
) -> None:
    shell(f"dvc remote add -d there {tmp_path}/remote && git commit -qam remote && dvc push -q", made)
    forget(made, store)
    shutil.rmtree(made / ".dvc" / "cache")
    (sent,) = runs(made, "publish --rev HEAD")
    assert sent.code == 0, sent.stderr
    assert shown(made) == {name: before[name] for name in ("numpy", "torch")}
    shutil.rmtree(made / ".dvc" / "cache")
    shutil.rmtree(tmp_path / "remote")
    (none,) = runs(made, "publish --rev HEAD")
    assert none.code == 1
    assert none.stderr.startswith("error: the results of ")
    assert none.stderr.count("\n") == 1


def test_killed_at_any_moment_it_goes_on(made: Path, before: dict[str, Any], store: Path, runs: Commands) -> None:
    forget(made, store)
    rng = random.Random(4)
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-m", "pipeline.runs", "publish"], cwd=made, env=environment()) as process:
            time.sleep(rng.uniform(2, 5))
            process.kill()
    (answer,) = runs(made, "publish")
    assert answer.code == 0
    assert shown(made) == before


def test_folders_that_are_not_whole_are_named_and_skipped(made: Path, store: Path, runs: Commands) -> None:
    forget(made, store)
    shutil.rmtree(made / "out" / "journal")
    (made / "out" / "models" / "numpy" / "history.csv").unlink()
    (made / "out" / "models" / "torch" / "model.npz").write_bytes(b"PK damage")
    shutil.copy(
        made / SWEEP / "1" / "models" / "numpy" / "predictions.parquet",
        made / SWEEP / "0" / "models" / "numpy" / "predictions.parquet",
    )
    (made / SWEEP / "1" / "models" / "numpy" / "model.json").write_text("{")
    (answer, missing, both) = runs(made, "publish", "publish out/nothing", "publish --rev HEAD out/models/numpy")
    assert answer.code == 1
    assert (
        "out/models/numpy: skipped, a model's folder must be complete to be published; out/models/numpy lacks history.csv"
        in answer.stdout
    )
    assert "out/models/torch: skipped, out/models/torch/model.npz must be what model.json describes" in answer.stdout
    swapped = f"{SWEEP}/0/models/numpy"
    assert f"{swapped}: skipped, {swapped}/predictions.parquet must be what evaluation.json describes" in answer.stdout
    assert f"{SWEEP}/1/models/numpy: skipped, {SWEEP}/1/models/numpy/model.json must be a JSON file; it is not" in answer.stdout
    assert f"{SINGLE}/models/numpy -> runs:/" in answer.stdout
    assert set(all_runs(made)) == {"single"}
    assert (missing.code, both.code) == (1, 1)
    assert "out/nothing: skipped, a model's folder must be there to be published; out/nothing is not" in missing.stdout
    assert both.stderr == "error: --rev takes no folders: it publishes all results of a commit\n"


def test_a_full_disk_makes_nothing_worse(made: Path, before: dict[str, Any], store: Path, runs: Commands, shell: Shell) -> None:
    forget(made, store)
    full = shell("ulimit -f 300; python -m pipeline.runs publish", made)
    assert full.returncode == 1
    assert "5 skipped" in full.stdout
    assert "Traceback" not in full.stdout + full.stderr
    assert full.stderr == ""
    (answer,) = runs(made, "publish")
    assert answer.code == 0
    assert shown(made) == before
