"""What tags and code.diff say of the code: never "none" where git failed or a file changed, and no new file from elsewhere."""

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.tracking.provenance import lineage, provenance
from tests.conftest import environment

SECRET = "pW3nT6rYq0zL"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small repository with a project's folders in it."""
    tree = tmp_path / "tree"
    files = {
        "pipeline/a.py": "a = 1\n",
        "conf/c.yaml": "c: 1\n",
        "docs/picture.png": "\0",
        "notes.txt": "note\n",
        "dvc.yaml": "",
    }
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "start")
    monkeypatch.setattr("pipeline.tracking.git.ROOT", tree)
    return tree


def git(tree: Path, *argv: str) -> str:
    return subprocess.run(["git", *argv], cwd=tree, env=environment(), check=True, capture_output=True, text=True).stdout


def git_tags() -> tuple[str | None, str | None]:
    """The tags git.diff and git.dirty."""
    return lineage()[0].get("git.diff"), provenance().get("git.dirty")


def change(tree: Path) -> None:
    (tree / "pipeline" / "a.py").write_text("a = 2\n")


def applied(tree: Path, to: Path) -> Path:
    """A clean clone of the repository with code.diff applied to it."""
    git(tree, "clone", "-q", str(tree), str(to))
    subprocess.run(["git", "apply", "-"], cwd=to, input=lineage()[1]["code.diff"], check=True)
    return to


def damage_index(tree: Path) -> None:
    (tree / ".git" / "index").write_bytes(b"DIRC" + bytes(range(200)))


def lose_objects(tree: Path) -> None:
    for path in (tree / ".git" / "objects").rglob("??????????????????????????????????????"):
        path.unlink()


def break_head(tree: Path) -> None:
    (tree / ".git" / "HEAD").write_text("ref: refs/heads/none\n")


def break_worktree_link(tree: Path) -> None:
    (tree / ".git").rename(tree.with_name("moved"))
    (tree / ".git").write_text("gitdir: /nowhere/worktrees/x\n")


def fail_filter(tree: Path) -> None:
    git(tree, "config", "filter.f.clean", "false")
    git(tree, "config", "filter.f.required", "true")
    (tree / ".git" / "info" / "attributes").write_text("*.py filter=f\n")
    git(tree, "config", "core.attributesFile", "/dev/null")


def nest(tree: Path) -> None:
    (tree / "pipeline" / "nested").mkdir()
    git(tree / "pipeline" / "nested", "init", "-q")
    (tree / "pipeline" / "nested" / "b.py").write_text("b = 1\n")


FAILURES: dict[str, Callable[[Path], None]] = {
    "index": damage_index,
    "objects": lose_objects,
    "HEAD": break_head,
    "link": break_worktree_link,
    "filter": fail_filter,
    "nested": nest,
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("changed", [True, False])
def test_a_failure_of_git_is_unknown(tree: Path, failure: str, changed: bool) -> None:
    FAILURES[failure](tree)
    if changed or failure == "filter":
        change(tree)
    tags, texts = lineage()
    assert tags["git.diff"] == "unknown"
    assert tags["git.diff.reason"].strip()
    assert "\n" not in tags["git.diff.reason"]
    assert "code.diff" not in texts
    assert provenance()["git.dirty"] in ("unknown", "true")


def test_no_git_and_a_git_that_hangs(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(tree)
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\n/bin/sleep 60 & wait\n")
    slow.chmod(slow.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(slow.parent))
    monkeypatch.setattr("pipeline.tracking.git.TIMEOUT", 0.2)
    assert git_tags() == ("unknown", "unknown")
    assert "took longer than" in lineage()[0]["git.diff.reason"]
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert git_tags() == ("unknown", "unknown")
    assert lineage()[0]["git.diff.reason"] == "git cannot be run: No such file or directory"


def test_outside_a_repository_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.tracking.git.ROOT", tmp_path)
    assert (lineage()[0], list(lineage()[1])) == ({}, ["requirements.txt"])
    assert not {"git.dirty", "mlflow.source.git.commit"} & provenance().keys()


def test_a_repository_without_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    monkeypatch.setattr("pipeline.tracking.git.ROOT", tmp_path)
    assert git_tags() == ("unknown", "unknown")
    assert "mlflow.source.git.commit" not in provenance()


def test_a_repository_of_another_user(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    if os.getuid():
        pytest.skip("only root can give files away")
    os.chown(tree, 12345, 12345)
    os.chown(tree / ".git", 12345, 12345)
    assert git_tags() == ("unknown", "unknown")
    assert "dubious ownership" in lineage()[0]["git.diff.reason"]


def hide(tree: Path) -> None:
    git(tree, "update-index", "--assume-unchanged", "pipeline/a.py")


def skip(tree: Path) -> None:
    git(tree, "update-index", "--skip-worktree", "pipeline/a.py")


def lock(tree: Path) -> None:
    (tree / ".git" / "index.lock").touch()


def drop_index(tree: Path) -> None:
    (tree / ".git" / "index").unlink()


def nest_elsewhere(tree: Path) -> None:
    (tree / "nested").mkdir()
    git(tree / "nested", "init", "-q")


def configure(tree: Path) -> None:
    for key, value in {
        "diff.noprefix": "true",
        "color.ui": "always",
        "diff.external": "false",
        "status.showUntrackedFiles": "no",
        "diff.renames": "copies",
    }.items():
        git(tree, "config", key, value)


STATES = {function.__name__: function for function in (hide, skip, lock, drop_index, nest_elsewhere, configure)}


@pytest.mark.parametrize("state", STATES)
def test_a_change_is_seen_in_every_state_of_the_repository(tree: Path, tmp_path: Path, state: str) -> None:
    STATES[state](tree)
    assert lineage()[0] == {"git.diff": "none"}
    change(tree)
    assert git_tags() == ("whole", "true")
    assert (applied(tree, tmp_path / "clean") / "pipeline" / "a.py").read_text() == "a = 2\n"


def test_in_a_hook_of_another_repository_and_under_strange_names(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = tree.rename(tmp_path / 'a:b"c\\d *?é')
    monkeypatch.setattr("pipeline.tracking.git.ROOT", strange)
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other" / "index"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    assert git_tags() == ("none", "false")
    change(strange)
    assert git_tags() == ("whole", "true")
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(name)
    assert provenance()["mlflow.source.git.commit"] == git(strange, "rev-parse", "HEAD").strip()


def test_a_shallow_clone_and_a_folder_of_a_repository(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{tree}", "shallow")
    outer = tmp_path / "outer"
    git(tmp_path, "init", "-q", "outer")
    (tree / ".git").rename(tmp_path / "old")
    tree.rename(outer / "project")
    (outer / "beside.py").write_text("b = 1\n")
    git(outer, "add", "-A")
    git(outer, "commit", "-qm", "start")
    for place in (tmp_path / "shallow", outer / "project"):
        monkeypatch.setattr("pipeline.tracking.git.ROOT", place)
        assert git_tags() == ("none", "false")
        change(place)
        (place / "conf" / "new.yaml").write_text("n: 1\n")
        assert git_tags() == ("whole", "true")
        diff = lineage()[1]["code.diff"]
        assert b"new.yaml" in diff
        subprocess.run(["git", "stash", "-qu"], cwd=place, env=environment(), check=True)
        subprocess.run(["git", "apply", "-"], cwd=place, input=diff, check=True)
        assert (place / "conf" / "new.yaml").read_text() == "n: 1\n"


def test_a_linked_worktree(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tree, "worktree", "add", "-q", str(tmp_path / "worktree"))
    monkeypatch.setattr("pipeline.tracking.git.ROOT", tmp_path / "worktree")
    assert git_tags() == ("none", "false")
    change(tmp_path / "worktree")
    assert git_tags() == ("whole", "true")


def test_a_submodule_of_the_code_that_has_changed_is_unknown(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    git(tmp_path, "init", "-q", str(other))
    (other / "m.py").write_text("m = 1\n")
    git(other, "add", "-A")
    git(other, "commit", "-qm", "start")
    git(tree, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "pipeline/sub")
    git(tree, "commit", "-qm", "sub")
    assert git_tags() == ("none", "false")
    (tree / "pipeline" / "sub" / "m.py").write_text("m = 2\n")
    assert git_tags() == ("unknown", "true")
    assert lineage()[0]["git.diff.reason"] == "pipeline/sub is a repository of its own and has changed"


ELSEWHERE = (
    "credentials.json",
    ".aws/credentials",
    ".pypirc",
    ".netrc",
    "kubeconfig",
    ".kube/config",
    "sa.json",
    "a.txt",
    "b.py",
)


def test_new_files_elsewhere_are_not_shown(tree: Path) -> None:
    for i, name in enumerate((*ELSEWHERE, "tests/test_x.py", "docs/.npmrc", "id_rsa")):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text(f"{SECRET}{i}\n")
    git(tree, "add", "credentials.json", "a.txt")
    assert git_tags() == ("none", "true")
    assert list(lineage()[1]) == ["requirements.txt"]
    change(tree)
    (tree / "conf" / "new.yaml").write_text("x: 1\n")
    (tree / "notes.txt").write_text("another note\n")
    (tree / "docs" / "picture.png").write_bytes(b"\0\1")  # which no stage reads
    tags, texts = lineage()
    assert tags == {"git.diff": "whole"}
    assert SECRET.encode() not in texts["code.diff"]
    for part in (b"a = 2", b"x: 1", b"another note"):
        assert part in texts["code.diff"]


@pytest.mark.parametrize(
    "name", ["conf/.env", "conf/credentials.json", "pipeline/key.pem", "conf/secrets/x.yaml", "conf/sa.p12"]
)
def test_private_files_among_the_code_are_left_out(tree: Path, name: str) -> None:
    (tree / name).parent.mkdir(exist_ok=True)
    (tree / name).write_text(f"{SECRET}\n")
    change(tree)
    tags, texts = lineage()
    assert tags == {"git.diff": "without credentials", "git.diff.reason": f"left out: {name} (by its name)"}
    assert SECRET.encode() not in texts["code.diff"]
    git(tree, "add", "-Af")
    git(tree, "commit", "-qm", "committed by mistake")
    assert lineage()[0] == {"git.diff": "none"}
    (tree / name).write_text(f"changed {SECRET}\n")
    tags, texts = lineage()
    assert tags["git.diff"] == "without credentials"
    assert SECRET.encode() not in texts["code.diff"]


def test_binary_and_ignored_files_among_the_code_are_left_out(tree: Path) -> None:
    (tree / "pipeline" / "b.bin").write_bytes(b"\0" + SECRET.encode())
    assert lineage()[0]["git.diff.reason"] == "left out: pipeline/b.bin (binary)"
    assert lineage()[1]["code.diff"] == b""
    (tree / "pipeline" / "b.bin").unlink()
    (tree / ".git" / "info" / "exclude").write_text("mine.py\n__pycache__\n")
    (tree / "pipeline" / "mine.py").write_text("m = 1\n")
    (tree / "pipeline" / "__pycache__").mkdir()
    (tree / "pipeline" / "__pycache__" / "a.pyc").touch()
    assert lineage()[0] == {"git.diff": "without credentials", "git.diff.reason": "left out: pipeline/mine.py (ignored by git)"}


def test_what_looks_like_a_credential_in_new_and_changed_files(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "pipeline" / "a.py").write_text(f'password = "{SECRET}"\n')
    (tree / "conf" / "new.yaml").write_text(f"api_key: {SECRET}\nuri: postgresql://ada:{SECRET}@h/d\n")
    (tree / "notes.txt").write_text(f"token={SECRET}\n")
    tags, texts = lineage()
    assert tags == {"git.diff": "without credentials", "git.diff.reason": "left out: what looks like a credential"}
    assert SECRET.encode() not in texts["code.diff"]
    assert texts["code.diff"].count(b"***") == 3
    assert b"uri: postgresql://h/d" in texts["code.diff"]


def test_files_with_strange_names(tree: Path, tmp_path: Path) -> None:
    names = ["new é.py", ":(exclude)x.py", "*.py", 'quo"te.py', "-n.py", "line\nbreak.py", "tab\t.yaml"]
    for name in names:
        (tree / "pipeline" / name).write_text("n = 1\n")
    assert lineage()[0] == {"git.diff": "whole"}
    clean = applied(tree, tmp_path / "clean")
    assert {path.name for path in (clean / "pipeline").iterdir()} == {"a.py", *names}


def test_the_repository_is_not_touched(tree: Path) -> None:
    change(tree)
    nest_elsewhere(tree)
    (tree / "conf" / "new.yaml").write_text("x: 1\n")
    before = {path: path.read_bytes() for path in (tree / ".git").rglob("*") if path.is_file()}
    assert git_tags() == ("whole", "true")
    assert {path: path.read_bytes() for path in (tree / ".git").rglob("*") if path.is_file()} == before
