"""Where and by whom a run was made, and from which code and packages."""

import getpass
import os
import subprocess
from pathlib import Path

import pytest

from pipeline.tracking import provenance
from pipeline.tracking.provenance import provenance as tags_of_this_process

SECRET = "s3cret-Pa55word"


def test_the_diff_makes_the_commit_into_these_files(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.tracking.git.ROOT", repo)
    assert provenance.lineage()[0] == {"git.diff": "none"}
    (repo / "pipeline" / "ui.py").write_text("changed\n")
    (repo / "conf" / "config.yaml").unlink()
    (repo / "pipeline" / "new é").write_bytes(bytes(range(1, 256)))
    (repo / "data" / "table.csv").write_text("not code\n")
    before = subprocess.run(["git", "status", "--porcelain"], cwd=repo, capture_output=True, check=True).stdout
    objects = sorted((repo / ".git" / "objects").rglob("*"))
    tags, texts = provenance.lineage()
    assert tags == {"git.diff": "whole"}
    assert f"pytest=={pytest.__version__}\n" in texts["requirements.txt"].decode()
    assert sorted((repo / ".git" / "objects").rglob("*")) == objects
    assert subprocess.run(["git", "status", "--porcelain"], cwd=repo, capture_output=True, check=True).stdout == before
    clean = tmp_path / "clean"
    subprocess.run(["git", "clone", "-q", repo, clean], check=True)
    subprocess.run(["git", "apply", "-"], cwd=clean, input=texts["code.diff"], check=True)
    assert (clean / "pipeline" / "ui.py").read_text() == "changed\n"
    assert not (clean / "conf" / "config.yaml").exists()
    assert (clean / "pipeline" / "new é").read_bytes() == bytes(range(1, 256))
    assert not (clean / "data" / "table.csv").exists()
    (repo / "pipeline" / "long").write_text("0123456\n" * 2**17)
    tags, texts = provenance.lineage()
    assert (tags, list(texts)) == ({"git.diff": "too long"}, ["requirements.txt"])


def test_a_secret_in_the_diff_is_not_shown(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.tracking.git.ROOT", repo)
    monkeypatch.setenv("SOME_API_KEY", SECRET)
    (repo / "pipeline" / "notes").write_text(f"the key is {SECRET}\n")
    (repo / ".env").write_text("DB_PASS=hunter2hunter2\n")
    tags, texts = provenance.lineage()
    assert tags["git.diff"] == "without credentials"
    assert b"+the key is ***" in texts["code.diff"]
    assert b"hunter2" not in texts["code.diff"]


def test_the_user_without_a_variable_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "MLFLOW_TRACKING_USERNAME"):
        monkeypatch.delenv(name, raising=False)
    assert tags_of_this_process()["mlflow.user"] == getpass.getuser() != "unknown"
    monkeypatch.setattr(os, "getuid", lambda: 54321)  # an account without a name
    assert tags_of_this_process()["mlflow.user"] == "54321"
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    assert tags_of_this_process()["mlflow.user"] == "ada"
