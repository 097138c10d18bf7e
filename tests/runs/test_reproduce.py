"""`runs reproduce`: equal bits or the first difference by name; the working tree stays as it is."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.runs._records import Records, records
from pipeline.runs.reproduce import Difference, differences
from pipeline.tracking.runs import Store
from tests.conftest import Shell, environment
from tests.observing import runs_of, wait_for
from tests.runs.conftest import Commands, all_runs, client_of, files_of, forget

pytestmark = pytest.mark.slow
TREES = "git worktree list"


def test_from_its_commit_in_spite_of_the_working_tree(made: Path, runs: Commands, shell: Shell) -> None:
    (made / "pipeline" / "stages" / "train.py").write_text("raise SystemExit('another code')")
    shutil.rmtree(made / "out")
    files, status = files_of(made), shell("git status --porcelain", made).stdout
    ids = {name: run.info.run_id for name, run in all_runs(made).items()}
    client = client_of(made)
    client.set_tag(ids["single"], "version.numpy", "1.0")  # another version, the same bits: reproduced
    client.log_metric(ids["single"], "test/log_loss.low", 0.1)  # the end of an interval, which is no metric
    torch, single = runs(made, f"reproduce {ids['torch']} --json", f"reproduce {ids['single']}")
    answer = json.loads(torch.stdout)
    assert (torch.code, answer["equal"], answer["first_difference"]) == (0, True, None)
    assert answer["commit"] == shell("git rev-parse HEAD~1", made).stdout.strip()
    assert single.stdout.endswith("reproduced: every bit is equal\n")
    client.set_tag(ids["torch"], "mlflow.source.git.commit", "0" * 40)
    client.delete_tag(ids["single"], "mlflow.source.git.commit")
    gone, unnamed = runs(made, f"reproduce {ids['torch']}", f"reproduce {ids['single']}")
    assert gone.stderr == f"error: a commit must be in this repository; {'0' * 40} is not\n"
    assert "error: a run must name its git commit to be reproduced; " in unnamed.stderr
    assert (gone.code, unnamed.code) == (1, 1)
    assert (files_of(made), shell("git status --porcelain", made).stdout) == (files, status)
    assert len(shell(TREES, made).stdout.splitlines()) == 1


def test_a_dirty_run_of_a_table_that_git_does_not_track(repo: Path, runs: Commands, shell: Shell, forked: Shell) -> None:
    rows = [f"{i},{i * 7 % 11},{i * 7 % 11 > 4}" for i in range(200)]
    table = repo / "data" / "t.csv"
    table.write_text("\n".join(["a,b,y", *rows]) + "\n")
    (repo / ".git" / "info" / "exclude").write_text("t.csv\n")
    objective = repo / "pipeline" / "learning" / "objective.py"
    objective.write_text(objective.read_text() + "\n\nNOT_COMMITTED = 1\n")
    ran = forked("python -m pipeline data=table data.path=data/t.csv data.target=y evaluation.validation=none", repo)
    assert ran.returncode == 0, ran.stderr
    (run,) = runs_of(repo)
    (again,) = runs(repo, f"reproduce {run.info.run_id}")
    assert again.stdout.endswith("reproduced: every bit is equal\n"), again.stdout + again.stderr
    table.write_text(table.read_text() + "5,5,True\n")
    changed = forked(f"python -m pipeline.runs reproduce {run.info.run_id}", repo)
    assert (changed.returncode, "Epoch" in changed.stderr) == (1, False)
    assert "not reproduced: data: data/t.csv must be as it was when the run was made; " in changed.stdout
    table.unlink()
    (lost,) = runs(repo, f"reproduce {run.info.run_id[:8]}")
    assert "not reproduced: data: generate ended with error: data.path must name a file; there is none" in lost.stdout
    assert len(shell(TREES, repo).stdout.splitlines()) == 1


def test_of_a_run_that_was_sent_again_the_code_s_hash_decides(made: Path, store: Path, runs: Commands) -> None:
    forget(made, store)
    (made / "notes.txt").write_text("not committed")
    assert runs(made, "publish")[0].code == 0
    (again,) = runs(made, f"reproduce {all_runs(made)['single'].info.run_id}")
    assert again.stdout.endswith("reproduced: every bit is equal\n")
    assert "warning" not in again.stderr


def test_what_is_unknown_of_the_code_is_named(made: Path, runs: Commands) -> None:
    client, run = client_of(made), all_runs(made)["numpy"].info.run_id
    other = all_runs(made)["0"].info.run_id
    for key, value in {"git.diff": "unknown", "git.diff.reason": "git add ended with: fatal: no"}.items():
        client.set_tag(run, key, value)
        client.set_tag(other, key, value)
    again, same = runs(made, f"reproduce {run} --json", f"diff {run} {other}")
    assert "warning: whether the code differed from the commit is unknown (git add ended with: fatal: no)" in again.stderr
    assert json.loads(again.stdout)["changes"] == "unknown"
    assert "\ncode: as far as it is known for a and b\n" in same.stdout
    client.log_metric(run, "test/accuracy", 0.1)
    (differs,) = runs(made, f"reproduce {run}")
    assert "not reproduced: bits: " in differs.stdout
    assert differs.stdout.endswith("; what was not committed when it was made is unknown\n")


@pytest.fixture
def original_records(made: Path, tmp_path: Path) -> Records:
    client = client_of(made)
    run = all_runs(made)["numpy"]
    return records(Store(client, "", "", run.info.experiment_id), run, tmp_path / "records")


def first(found: Iterator[Difference]) -> str:
    return next(found, ("none", ""))[0]


def test_the_first_difference_is_the_cause(made: Path, original_records: Records) -> None:
    folder = made / "out" / "models" / "numpy"
    assert list(differences(original_records, folder)) == []
    path, parts = folder / "predictions.parquet", original_records.card.fingerprint_of
    path.write_bytes((made / "out" / "models" / "torch" / "predictions.parquet").read_bytes())
    assert list(differences(original_records, folder)) == [("bits", "predictions.parquet differs")]
    assert original_records.environment
    original_records.environment["version.numpy"] = "1.0"
    assert first(differences(original_records, folder)) == "library versions"
    for part, kind in (("config", "configuration"), ("code", "code")):
        parts[part] = "0" * 64
        assert first(differences(original_records, folder)) == kind


@pytest.mark.parametrize("file", ["model.npz", "history.csv", "metrics.json"])
def test_every_bit_counts(made: Path, original_records: Records, file: str) -> None:
    folder = made / "out" / "models" / "numpy"
    content = (folder / file).read_bytes()
    edits = {"model.npz": content[:-1] + b"\x01", "history.csv": content.replace(b"1", b"2", 3)}
    metrics = {**original_records.metrics, "brier": original_records.metrics["brier"] * (1 + 2**-52)}
    (folder / file).write_bytes(edits.get(file, json.dumps(metrics).encode()))
    found = list(differences(original_records, folder))
    assert found
    assert {kind for kind, _ in found} == {"bits"}


def test_what_mlflow_shows_counts_too(original_records: Records, made: Path) -> None:
    original_records.run.data.metrics["test/recall"] += 2**-52
    assert [what.split()[0] for _, what in differences(original_records, made / "out" / "models" / "numpy")] == ["recall"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing(made: Path, shell: Shell, how: signal.Signals, tmp_path: Path) -> None:
    run = all_runs(made)["numpy"]
    command = [sys.executable, "-m", "pipeline.runs", "reproduce", run.info.run_id]
    temporary = tmp_path / "tmp"
    temporary.mkdir()

    def allow_interrupts() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # what runs in a shell's background ignores it

    env = environment(TMPDIR=str(temporary))
    with subprocess.Popen(
        command, cwd=made, env=env, stderr=subprocess.PIPE, preexec_fn=allow_interrupts, text=True
    ) as process:
        assert process.stderr is not None
        wait_for(lambda: any(temporary.glob("*/tree/out/data/schema.json")))
        os.kill(process.pid, how)
        said = process.stderr.read()
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[how]
    assert "Traceback" not in said
    assert len(shell(TREES, made).stdout.splitlines()) == 1
    assert not any(temporary.glob("pipeline-tree-*"))
