"""The journal: lines are whole or skipped, whoever writes and is killed; files are kept until they are delivered."""

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pipeline.atomic import atomic_dir
from pipeline.files import ROOT
from pipeline.processes import Process, this_process
from pipeline.tracking.events import KILLED, Artifacts, Closed, Epoch, Opened, to_line
from pipeline.tracking.journal import ABANDONED_SECONDS, LOST, Journal, new_attempt
from tests.conftest import environment

SETTINGS = {"uri": "sqlite:///mlruns/mlflow.db", "experiment": "x"}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal" / "run.jsonl")


def opened(stage: str = "train", **more: Any) -> Opened:
    return new_attempt(stage, SETTINGS, **more)


def test_what_is_appended_is_read(journal: Journal) -> None:
    first = opened(tags={"a": "\udcff"}, card={"é": [1, None, True]})
    end = journal.append(first, Epoch(first.attempt, 0, 0.1, 1e-300, 5.0))
    assert end == journal.path.stat().st_size
    events = journal.read()
    assert [asdict(attempt.opened) for attempt in events.attempts.values()] == [asdict(first)]
    assert events.points == {0: Epoch(first.attempt, 0, 0.1, 1e-300, 5.0)}
    journal.append(Epoch(first.attempt, 1, 1, 2), Closed.finished(first.attempt))
    events = journal.read(events)
    assert list(events.points) == [0, 1]
    assert events.attempts[first.attempt].ending == "finished"
    assert (events.offset, events.damaged) == (journal.path.stat().st_size, 0)
    assert events == journal.read()


def test_one_run_has_one_journal_and_another_run_another() -> None:
    names = {Journal.of({**SETTINGS, "experiment": x}, f, s, r).path for x in "ab" for f in "cd" for s in "ef" for r in "gh"}
    assert len(names) == 16
    assert Journal.of(SETTINGS, "f00").path == Journal.of(dict(SETTINGS), "f00").path
    assert "out/journal" in Journal.of(SETTINGS, "f00").path.as_posix()


def test_the_first_line_of_a_step_stands(journal: Journal) -> None:
    first, second = opened(), opened()
    journal.append(first, Epoch(first.attempt, 0, 0.5, 0.1, 1.0), second, Epoch(second.attempt, 0, 0.5, 0.1, 2.0))
    assert journal.read().points[0].time == 1.0


DAMAGES: dict[str, Callable[[str], str]] = {
    "cut": lambda line: line[: len(line) // 2],
    "changed": lambda line: line.replace("finished", "killed"),
    "of another version": lambda line: line.replace('"version": 1', '"version": 2'),
    "of another kind": lambda line: line.replace('"closed"', '"opened"'),
    "no JSON": lambda _: "damage",
    "empty object": lambda _: "{}",
    "no text": lambda _: "\udcff",
    "a field too many": lambda line: resigned(line, more=1),
    "a field too few": lambda line: resigned(line, time=None),
}


def resigned(line: str, **more: object) -> str:
    """The line with other fields, and their checksum."""
    import zlib

    content = {key: value for key, value in {**json.loads(line), **more}.items() if value is not None}
    del content["crc"]
    body = json.dumps(content)[:-1]
    return f'{body}, "crc": "{zlib.crc32(body.encode()):08x}"}}'


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_line_is_skipped_and_all_others_are_used(journal: Journal, damage: str) -> None:
    first = opened()
    lines = [to_line(event).strip() for event in (first, Closed.finished(first.attempt), Epoch(first.attempt, 3, 0.5, 0.1))]
    lines[1] = DAMAGES[damage](lines[1])
    journal.path.parent.mkdir()
    journal.path.write_text("\n".join(lines) + "\n", errors="surrogateescape")
    events = journal.read()
    assert (events.damaged, list(events.points), events.attempts[first.attempt].ending) == (1, [3], "running")


def test_a_line_that_a_killed_writer_left_costs_nobody_elses(journal: Journal) -> None:
    first = opened()
    journal.append(first)
    with journal.path.open("a") as file:
        file.write(to_line(Epoch(first.attempt, 0, 0.5, 0.1))[:40])
    events = journal.read()
    assert events.damaged == 0  # it may still be written to its end
    journal.append(Epoch(first.attempt, 1, 0.5, 0.1))
    events = journal.read(events)
    assert (events.damaged, list(events.points)) == (1, [1])


def test_what_belongs_to_a_damaged_opening_is_not_used(journal: Journal) -> None:
    journal.append(Epoch("lost", 0, 0.5, 0.1), Closed.finished("lost"))
    events = journal.read()
    assert (events.points, events.attempts, events.damaged) == ({}, {}, 0)


WRITER = """
import sys
from pathlib import Path
from pipeline.tracking.events import Epoch
from pipeline.tracking.journal import Journal
journal = Journal(Path(sys.argv[1]))
for i in range(300):
    journal.append(*(Epoch(sys.argv[2], 1000 * i + j, 0.5, 0.1) for j in range(i % 3 + 1)))
"""


def test_four_writers_at_once_write_whole_lines(journal: Journal) -> None:
    attempts = [opened() for _ in range(4)]
    journal.append(*attempts)
    command = [sys.executable, "-c", WRITER, str(journal.path)]
    writers = [subprocess.Popen([*command, each.attempt], cwd=ROOT, env=environment()) for each in attempts]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert journal.read().damaged == 0
    assert len(journal.path.read_text().splitlines()) == 4 + 4 * 600


def test_a_full_disk_leaves_whole_lines(journal: Journal) -> None:
    """As far as a process can have one of its own: no file may grow beyond a limit."""
    first = opened()
    journal.append(first)
    size = journal.path.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            journal.append(Epoch(first.attempt, 0, 0.5, 0.1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert journal.path.stat().st_size == size
    journal.append(Epoch(first.attempt, 0, 0.5, 0.1))
    events = journal.read()
    assert (events.damaged, list(events.points)) == (0, [0])


def test_an_attempt_whose_process_is_gone_was_killed(journal: Journal) -> None:
    alive, gone, elsewhere = (
        Opened(name, "train", 0.0, list(process), [], SETTINGS)
        for name, process in {
            "alive": this_process(),
            "gone": this_process()._replace(started="1"),
            "elsewhere": Process(1, "1", "another-machine boot"),
        }.items()
    )
    journal.append(alive, gone, elsewhere)
    for _ in range(2):
        events = journal.close_dead(journal.read())
    assert {id: attempt.ending for id, attempt in events.attempts.items()} == {
        "alive": "running",
        "gone": KILLED,
        "elsewhere": "running",
    }
    closed = events.attempts["gone"].closed
    assert closed
    assert closed[1].reason == LOST
    assert journal.path.read_text().count('"closed"') == 1


def test_a_journal_that_was_removed_begins_anew(journal: Journal) -> None:
    journal.append(opened(), opened(), opened())
    before = journal.read()
    journal.path.unlink()
    journal.append(opened("plot"))
    assert [attempt.opened.stage for attempt in journal.read(before).attempts.values()] == ["plot"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A stage's files."""
    (tmp_path / "numpy").mkdir()
    for name in ("model.json", "history.csv"):
        (tmp_path / "numpy" / name).write_text("first")
    return tmp_path / "numpy"


def linked(journal: Journal) -> dict[str, str]:
    return {path.name: path.read_text() for path in journal.links.rglob("*") if path.is_file()}


def test_a_file_that_is_written_over_is_kept(journal: Journal, folder: Path) -> None:
    files = journal.link("a", Artifacts("training", [folder / "model.json"]))
    assert os.path.samefile(journal.linked(files)[0], folder / "model.json")  # which costs no space
    with atomic_dir(folder) as again:
        (again / "model.json").write_text("second")
    assert linked(journal) == {"model.json": "first"}
    journal.discard({"a"}, {"a"})
    assert not journal.links.exists()


def test_between_file_systems_a_file_is_copied(journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    journal.link("a", Artifacts("training", [folder / "model.json"]))
    (folder / "model.json").write_text("second")
    assert linked(journal) == {"model.json": "first"}


def test_a_delivered_file_is_kept_again_while_the_original_is_the_same(journal: Journal, folder: Path) -> None:
    files = journal.link("a", Artifacts("training", [folder / "model.json", folder / "history.csv"]))
    shutil.rmtree(journal.links)
    (folder / "history.csv").write_text("second")
    there = {path.name: path.exists() for path in journal.linked(files)}
    assert there == {"model.json": True, "history.csv": False}


def test_what_no_attempt_names_is_deleted_when_it_is_old(journal: Journal, folder: Path) -> None:
    for id in ("needed", "old", "new"):
        journal.link(id, Artifacts("training", [folder / "model.json"]))
    for id in ("needed", "old"):
        os.utime(journal.links / id, (0, time.time() - ABANDONED_SECONDS - 1))
    journal.discard(set(), {"needed"})
    assert sorted(path.name for path in journal.links.iterdir()) == ["needed", "new"]
    assert (folder / "model.json").read_text() == "first"


def test_where_nothing_can_be_kept_the_original_is_named(journal: Journal, folder: Path) -> None:
    journal.links.parent.parent.mkdir(parents=True)
    journal.links.parent.write_text("in the way")
    files = journal.link("a", Artifacts("training", [folder / "model.json"]))
    assert files.files[0]["path"] == str(folder / "model.json")
    assert not journal.linked(files)[0].exists()
    journal.links.parent.unlink()
    assert journal.linked(files)[0].read_text() == "first"


@pytest.mark.parametrize("seed", range(20))
def test_any_bytes_are_a_journal(journal: Journal, seed: int) -> None:
    """Whatever a disk has made of it, no event is invented and none that is whole is lost."""
    rng, first = random.Random(seed), opened()
    journal.append(first, *(Epoch(first.attempt, i, 0.5, 0.1) for i in range(20)))
    content = bytearray(journal.path.read_bytes())
    lines = content.splitlines(keepends=True)
    place = rng.randrange(len(lines[0]), len(content))
    content[place : place + rng.randrange(1, 200)] = rng.randbytes(rng.randrange(50)).replace(b"\n", b"")
    journal.path.write_bytes(content)
    whole = {i for i, line in enumerate(lines[1:]) if bytes(line) in bytes(content).splitlines(keepends=True)}
    assert set(journal.read().points) == whole


def test_what_a_file_system_takes_in_pieces_is_whole(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    write, first = os.write, opened()
    monkeypatch.setattr(os, "write", lambda descriptor, text: write(descriptor, text[:7]))
    journal.append(first, Epoch(first.attempt, 0, 0.5, 0.1))
    monkeypatch.undo()
    events = journal.read()
    assert (events.damaged, list(events.points)) == (0, [0])


def test_what_an_interrupted_writer_writes_again_counts_once(journal: Journal, folder: Path) -> None:
    first = opened()
    files = journal.link(first.attempt, Artifacts("training", [folder / "model.json"]))
    for _ in range(2):
        journal.append(first, files, Closed(first.attempt, KILLED, 1.0))
    (attempt,) = journal.read().attempts.values()
    assert [made for _, made in attempt.files] == [files]


def test_one_that_is_killed_while_it_keeps_files_leaves_no_part(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = journal.link("a", Artifacts("training", [folder / "model.json", folder / "history.csv"]))
    shutil.rmtree(journal.links)
    link, linked = os.link, list[Path]()

    def link_one(original: Path, path: Path) -> None:
        if linked:
            raise KeyboardInterrupt
        linked.append(path)
        link(original, path)

    monkeypatch.setattr(os, "link", link_one)
    with pytest.raises(KeyboardInterrupt):
        journal.linked(files)
    monkeypatch.undo()
    assert [path.read_text() for path in journal.linked(files)] == ["first", "first"]
