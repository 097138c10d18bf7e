"""Files that MLflow is still to be sent stay as they were, whatever becomes of the folder they were in."""

import os
from pathlib import Path

from pipeline.atomic import atomic_dir
from pipeline.tracking.pending import FORGOTTEN_SECONDS, discard, discard_forgotten, link_files


def made(root: Path) -> Path:
    """A model's folder in `root`/out, with a report beside it and a dvc.lock above."""
    for name in (
        "models/numpy/model.json",
        "models/numpy/figures/loss.png",
        "numpy/.writing-x/model.json",
        "report/index.html",
    ):
        path = root / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("first")
    (root / "dvc.lock").write_text("first")
    return root / "out" / "models" / "numpy"


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_over_is_kept(tmp_path: Path) -> None:
    folder = made(tmp_path)
    kept = link_files(folder, tmp_path)
    with atomic_dir(folder) as again:
        (again / "model.json").write_text("second")
    (tmp_path / "dvc.lock").write_text("second")
    names = ("dvc.lock", "out/models/numpy/figures/loss.png", "out/models/numpy/model.json", "out/report/index.html")
    assert files(kept.parent.parent) == dict.fromkeys(names, "first")
    discard(kept, tmp_path)
    assert list((tmp_path / "out" / "pending").iterdir()) == []


def test_only_what_was_kept_is_deleted(tmp_path: Path) -> None:
    folder = made(tmp_path)
    before = files(tmp_path)
    discard(folder, tmp_path)
    discard(Path(), tmp_path)
    assert files(tmp_path) == before


def test_what_no_note_names_is_forgotten(tmp_path: Path) -> None:
    needed, old, new = (link_files(made(tmp_path), tmp_path) for _ in range(3))
    for folder in (needed, old):
        os.utime(folder.parent.parent, (0, os.stat(folder).st_mtime - FORGOTTEN_SECONDS - 1))
    discard_forgotten([needed], tmp_path)
    assert [needed.exists(), old.exists(), new.exists()] == [True, False, True]


def test_where_nothing_can_be_kept_the_folder_itself_is_sent(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (tmp_path / "out" / "pending").write_text("in the way")
    assert link_files(folder, tmp_path) == folder
