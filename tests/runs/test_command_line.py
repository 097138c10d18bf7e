"""The commands' help, exit codes and errors, and how runs are named."""

import json
import re
import shutil
from pathlib import Path

import pytest

from pipeline.runs.__main__ import COMMANDS
from tests.conftest import Shell
from tests.runs.conftest import Commands, all_runs, client_of


def test_help_has_examples_and_exit_codes(repo: Path, runs: Commands) -> None:
    for name, answer in zip(COMMANDS, runs(repo, *(f"{name} --help" for name in COMMANDS)), strict=True):
        assert answer.code == 0
        assert f"python -m pipeline.runs {name}" in answer.stdout.partition("examples:")[2]
        assert "exit code: 0 " in answer.stdout


def test_wrong_usage_is_two(repo: Path, runs: Commands) -> None:
    answers = runs(repo, "", "merge", "diff 1a", "promote 1a --metric f1", "doctor now")
    assert [answer.code for answer in answers] == [2] * 5
    assert all("usage: python -m pipeline.runs" in answer.stderr for answer in answers)


COMMANDS_ON_A_RUN = ("reproduce 1a", "diff 1a 1b", "promote 1a", "doctor")


def test_without_a_store_none_is_made(repo: Path, runs: Commands) -> None:
    database = repo / "mlruns" / "mlflow.db"
    database.unlink()
    for answer in runs(repo, *COMMANDS_ON_A_RUN):
        assert (answer.code, answer.stdout) == (1, "")
        assert answer.stderr == f"error: there are no runs yet: {database} does not exist; `dvc repro` makes it\n"
    assert not database.exists()


def test_a_damaged_store_is_one_sentence(repo: Path, runs: Commands) -> None:
    database = repo / "mlruns" / "mlflow.db"
    cut = database.read_bytes()[:20_000]
    database.write_bytes(cut)
    for answer in runs(repo, *(command for command in COMMANDS_ON_A_RUN if command != "doctor")):
        assert (answer.code, answer.stdout) == (1, "")
        assert answer.stderr.startswith("error: tracking.uri must be an SQLite database that is whole; ")
        assert answer.stderr.count("\n") == 1
    assert database.read_bytes() == cut


def test_a_server_that_does_not_answer(repo: Path, shell: Shell) -> None:
    config = repo / "out" / "config"
    config.mkdir(parents=True)
    (config / "tracking.yaml").write_text("uri: http://127.0.0.1:9\nexperiment: x\n")
    done = shell("python -m pipeline.runs doctor --json", repo, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "error: the tracking store must answer and be whole; it says: API request to http://127.0.0.1:9/"
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_how_a_run_is_named(made: Path, runs: Commands) -> None:
    named = all_runs(made)
    client, ids = client_of(made), {name: run.info.run_id for name, run in named.items()}
    fingerprints = {name: run.data.tags.get("fingerprint", "") for name, run in named.items()}
    foreign = client.create_run(named["numpy"].info.experiment_id, run_name="foreign").info.run_id
    client.delete_run(ids["1"])
    both = "ab" * 32  # two sweeps' jobs
    for sweep in ("1" * 32, "2" * 32):
        tags = {"fingerprint": both, "mlflow.parentRunId": sweep}
        client.create_run(named["numpy"].info.experiment_id, run_name="job", tags=tags)
    single = ids["single"]
    good = [single, single[:12], fingerprints["single"], fingerprints["single"][:6]]
    sentences = {
        "f" * 32: "a run must be in MLflow, and not deleted there; ffff",
        ids["1"]: "a run must be in MLflow, and not deleted there",
        both: f"a run must be named unambiguously, as by its id; {both} may be any of ",
        fingerprints["torch"][:5]: "a run must be in MLflow",
        foreign: "a run must be of one model of this project, with its fingerprint; ",
        ids["parent"]: "has none: a sweep, or another project's",
        "numpy'": "a run must be given as run id, fingerprint (6 letters at least), prefix of either or @champion; got numpy'",
        "@champion": "logistic-regression@champion must be a registered model's alias; there is none",
        "no@one": "no@one must be a registered model's alias; there is none",
    }
    answers = runs(made, *(f"diff {word} {ids['torch']} --json" for word in [*good, *sentences]))
    for answer in answers[:4]:
        assert answer.code == 0, answer.stderr
        assert json.loads(answer.stdout)["a"] == single
    for answer, sentence in zip(answers[4:], sentences.values(), strict=True):
        assert (answer.code, answer.stdout, answer.stderr.count("\n")) == (1, "", 1)
        assert sentence in answer.stderr
    assert re.search(
        r" [0-9a-f]{8} \(job\) in the sweep 22222222, [0-9a-f]{8} \(job\) in the sweep 11111111\n", answers[6].stderr
    )
    (outside,) = runs(made, f"diff {fingerprints['numpy']} {ids['0']} --json")
    assert json.loads(outside.stdout)["a"] == ids["numpy"]


@pytest.mark.slow
def test_records_that_are_not_whole(made: Path, runs: Commands) -> None:
    folders = {name: Path(run.info.artifact_uri.removeprefix("file://")) for name, run in all_runs(made).items()}
    (folders["numpy"] / "training" / "model.npz").write_bytes(b"PK cut")
    (folders["torch"] / "training" / "model.json").write_text('{"fingerprint": ')
    (folders["single"] / "evaluation" / "predictions.parquet").write_bytes(b"PAR1")
    (folders["0"] / "evaluation" / "metrics.json").unlink()
    shutil.rmtree(folders["1"] / "evaluation")
    sentences = {
        "numpy": "must have its artifacts whole: training/model.npz is not what model.json describes",
        "torch": "must have its artifacts whole: training/model.json must be a JSON file",
        "single": "must have actual, predicted, probability in its predictions.parquet; it is damaged or gone",
        "0": "must have its artifacts whole: there is no evaluation/metrics.json",
        "1": "must have its artifact evaluation; it cannot be read",
    }
    ids = {name: run.info.run_id for name, run in all_runs(made).items()}
    answers = runs(made, *(f"{command} {ids[name]}" for name in sentences for command in (f"diff {ids[name]}", "reproduce")))
    for i, sentence in enumerate(sentences.values()):
        for answer in answers[2 * i : 2 * i + 2]:
            assert answer.code == 1, answer
            assert sentence in answer.stderr + answer.stdout
            assert "Traceback" not in answer.stderr
