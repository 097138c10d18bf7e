"""The commands' help, exit codes and errors."""

import subprocess
import sys
from pathlib import Path

from pipeline.files import ROOT
from pipeline.runs.__main__ import COMMANDS
from tests.conftest import Shell, environment
from tests.runs.conftest import Commands


def test_help_has_examples_and_exit_codes(repo: Path, runs: Commands) -> None:
    names = [command.__name__.rpartition(".")[2] for command in COMMANDS]
    for name, answer in zip(names, runs(repo, *(f"{name} --help" for name in names)), strict=True):
        assert answer.code == 0
        assert f"python -m pipeline.runs {name}" in answer.stdout.partition("examples:")[2]
        assert "exit code: 0 " in answer.stdout


def test_wrong_usage_is_two(repo: Path, runs: Commands) -> None:
    answers = runs(repo, "", "merge", "diff 1a", "promote 1a --metric rows", "list --best rows", "doctor now")
    assert [answer.code for answer in answers] == [2] * 6
    assert all("usage: python -m pipeline.runs" in answer.stderr for answer in answers)


COMMANDS_ON_A_RUN = ("list", "reproduce 1a", "diff 1a 1b", "promote 1a", "doctor")


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
        assert answer.stderr.startswith("error: tracking.uri must be an undamaged SQLite database; ")
        assert answer.stderr.count("\n") == 1
    assert database.read_bytes() == cut


def test_a_server_that_does_not_answer(repo: Path, shell: Shell) -> None:
    config = repo / "out" / "config"
    config.mkdir(parents=True)
    (config / "tracking.yaml").write_text("uri: http://127.0.0.1:9\nexperiment: x\n")
    done = shell("python -m pipeline.runs doctor --json", repo, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "error: the tracking store must answer and be undamaged; it says: API request to http://127.0.0.1:9/"
    )
    assert done.stderr.count("\n") == 1


IMPORTED = """
import os, sys
import pipeline.runs.__main__
assert "mlflow" not in sys.modules
print(os.environ.get("MLFLOW_DISABLE_TELEMETRY"), os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES"))
"""


def test_mlflow_is_not_imported_before_its_settings() -> None:
    env = {name: value for name, value in environment().items() if not name.startswith("MLFLOW_")}
    done = subprocess.run([sys.executable, "-c", IMPORTED], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "true 0\n"
