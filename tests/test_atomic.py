"""Sets of files are replaced together or not at all, and nothing is left over."""

import shutil
from pathlib import Path

import pytest

from pipeline.atomic import PREFIX, atomic_dir
from pipeline.errors import PipelineError
from tests.chain import leftovers


def test_a_failed_stage_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("old")

    def fail() -> None:
        with atomic_dir(tmp_path) as folder:
            (folder / "file.txt").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]
    assert (tmp_path / "file.txt").read_text() == "old"


def test_a_finished_stage_replaces_files_and_folders(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with atomic_dir(tmp_path) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / text).write_text(text)
            (folder / "file").write_text(text)
    assert (tmp_path / "file").read_text() == "new"
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["new"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match="must be a folder that can be written to"), atomic_dir(tmp_path / "file"):
        pass


def test_a_folder_that_is_deleted_meanwhile(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="must stay a folder that can be written to"), atomic_dir(tmp_path / "out"):
        shutil.rmtree(tmp_path / "out")


def test_the_leftovers_of_dead_processes_are_removed_and_no_others(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}dead" / "train").mkdir(parents=True)
    (tmp_path / f"{PREFIX}dead" / "train" / "X.npy").write_text("")
    (tmp_path / f"{PREFIX}file").write_text("")
    with atomic_dir(tmp_path) as living:
        assert leftovers(tmp_path) == [living]
        with atomic_dir(tmp_path) as second:
            assert sorted(leftovers(tmp_path)) == sorted([living, second])
            (second / "a").write_text("second")
        (living / "a").write_text("first")
    assert leftovers(tmp_path) == []
    assert (tmp_path / "a").read_text() == "first"


def test_what_was_made_from_a_set_goes_with_it(tmp_path: Path) -> None:
    for content, survives in (("1", False), ("1", True), ("2", False)):
        with atomic_dir(tmp_path, "manifest.json", ["downstream*"]) as folder:
            (folder / "manifest.json").write_text(content)
        assert (tmp_path / "downstream.txt").exists() == survives
        (tmp_path / "downstream.txt").write_text("")
