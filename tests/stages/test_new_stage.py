"""A stage of three files, its module, STAGES and dvc.yaml, is a part of the DAG and of `python -m pipeline`."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.conftest import Shell
from tests.observing import runs_of

FILES = Path(__file__).with_name("new_stage")
ENTRY = """    Stage(
        "mistakes",
        ("config/mistakes.yaml", *_MODEL, *_of_candidate(PREDICTIONS_FILE)),
        _of_candidate("mistakes.json"),
        "mistakes",
    ),
"""


def insert(path: Path, before: str, text: str) -> None:
    content = path.read_text()
    assert content.count(before) == 1
    path.write_text(content.replace(before, text + before))


@pytest.mark.slow
def test_it_runs_in_both_and_mlflow_shows_its_file(repo: Path, shell: Shell, forked: Shell) -> None:
    shutil.copy(FILES / "mistakes.py", repo / "pipeline" / "stages")
    insert(repo / "pipeline" / "stages" / "__init__.py", '    Stage(\n        "report",\n', ENTRY)
    insert(repo / "dvc.yaml", "  report:\n", (FILES / "mistakes.yaml").read_text())
    changed = shell("git status --short", repo).stdout.split()[1::2]
    assert changed == ["dvc.yaml", "pipeline/stages/__init__.py", "pipeline/stages/mistakes.py"]
    (repo / "overrides.yaml").write_text("overrides: {}\ncandidates: {only: [model=numpy]}\n")

    done = shell("dvc repro", repo)
    assert done.returncode == 0, done.stderr
    rows = json.loads((repo / "out/models/only/mistakes.json").read_text())["rows"]
    assert f"{len(rows)} rows are predicted wrong\n" in done.stdout
    (run,) = runs_of(repo)
    listed = MlflowClient(f"sqlite:///{repo}/mlruns/mlflow.db").list_artifacts(run.info.run_id, "mistakes")
    assert [item.path for item in listed] == ["mistakes/mistakes.json"]
    alone = forked("python -m pipeline tracking=none hydra.run.dir=out/alone", repo)
    assert alone.returncode == 0, alone.stderr
    assert json.loads((repo / "out/alone/models/numpy/mistakes.json").read_text())["rows"] == rows
