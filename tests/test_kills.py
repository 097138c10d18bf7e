"""Stages that are killed at any moment, or run many at once in one folder: what is left is one set of files, or none."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.atomic import PREFIX, atomic_dir
from pipeline.errors import PipelineError
from tests.chain import STAGES, files, leftovers, made, run
from tests.conftest import ROOT, Shell, environment

OVERRIDES = {"generate": ["data.seed=1"], "train": ["optimizer.lr=0.7"]}  # what a killed stage was to make otherwise


def killed(stage: str, original: Path, folder: Path) -> list[Path]:
    """Copies of `original` in which a stage was killed before each of its changes of the disk; in the last one it ended."""
    command = [sys.executable, "-m", "tests.kill_after_each", stage, str(original), str(folder), *OVERRIDES.get(stage, [])]
    env = environment(OMP_NUM_THREADS="1", DVC_ROOT=str(folder))
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return sorted(folder.glob("[0-9]*"), key=lambda path: int(path.name))


def is_refused(stage: str, root: Path, *overrides: str) -> bool:
    try:
        run(stage, root, *overrides)
    except PipelineError:
        return True
    return False


NEXT = {"generate": ["train", "evaluate"], "train": ["evaluate"], "evaluate": ["plot"], "plot": ["report"], "report": []}


@pytest.mark.parametrize("stage", ["generate", "train", *(pytest.param(stage, marks=pytest.mark.slow) for stage in STAGES[2:])])
def test_what_a_killed_stage_leaves_is_one_set_or_is_refused(tmp_path: Path, stage: str) -> None:
    overrides = OVERRIDES.get(stage, [])
    old = made(tmp_path / "old")
    if stage not in OVERRIDES:
        shutil.rmtree(old / "report")
    new = made(tmp_path / "new", *overrides)
    folders = killed(stage, old, tmp_path / "killed")
    assert len(folders) > 4
    refusals = 0
    for root in folders:
        for later in NEXT[stage]:
            if is_refused(later, root, *(overrides if later in OVERRIDES else [])):
                refusals += 1
                break
            assert files(root, later) in (files(old, later), files(new, later)), root
        run(stage, root, *overrides)
        assert files(root, stage) == files(new, stage)
        assert leftovers(root) == []
    assert refusals or stage == "report"


def test_the_fingerprint_is_that_of_the_data(repo: Path, shell: Shell) -> None:
    """A `generate` with another seed, killed between two renames, and `train` with that seed."""
    assert shell("python -m pipeline.stages.generate", repo).returncode == 0
    kill = (
        "import os; n, replace = 0, os.replace\n"
        "def kill(*words):\n"
        "    global n; replace(*words); n += 1; n == 2 and os.kill(os.getpid(), 9)\n"
        "os.replace = kill; from pipeline.stages import generate; generate.main(['data.seed=1'])"
    )
    assert subprocess.run([sys.executable, "-c", kill], cwd=repo, env=environment(), check=False).returncode == -9
    done = shell("python -m pipeline.stages.train data.seed=1 tracking=none", repo)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: there is no out/data/schema.json; an earlier stage makes it: run ")


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


def test_a_folder_that_is_deleted_meanwhile(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="must stay a folder that can be written to"), atomic_dir(tmp_path / "out"):
        shutil.rmtree(tmp_path / "out")


def test_what_was_made_from_a_set_goes_with_it(tmp_path: Path) -> None:
    for content, kept in (("1", False), ("1", True), ("2", False)):
        with atomic_dir(tmp_path, "about.json", ["later*"]) as folder:
            (folder / "about.json").write_text(content)
        assert (tmp_path / "later.txt").exists() == kept
        (tmp_path / "later.txt").write_text("")


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [(0, 0), (0, 1)])
def test_eight_at_once_end_well(repo: Path, shell: Shell, seeds: tuple[int, int]) -> None:
    """generate, then train, evaluate and plot, each by eight processes in one folder, of one configuration or two."""
    shell("python -m pipeline.stages.generate && python -m pipeline.stages.train tracking=none", repo)

    def eight(command: str) -> None:
        words = [command.format(seed=seeds[i % 2]) for i in range(8)]
        with ThreadPoolExecutor(8) as pool:
            ended = list(pool.map(lambda each: shell(f"python -m pipeline.{each}", repo), words))
        for done in ended:
            said = [line for line in done.stderr.splitlines() if "the classes can be separated" not in line]
            assert done.returncode == 0 or (done.returncode == 1 and len(said) == 1), done.stderr
            assert "Traceback" not in done.stderr
        if "seed" not in command or command.startswith("generate") or len(set(seeds)) == 1:
            assert any(done.returncode == 0 for done in ended)
        assert leftovers(repo / "out") == []

    (repo / "out" / "config").mkdir()
    (repo / "out" / "config" / "tracking.yaml").write_text("uri: null\nexperiment: none\n")
    eight("generate data.seed={seed}")
    seed = int('\n    "seed": 1\n' in (repo / "out" / "data" / "schema.json").read_text())
    assert shell(f"python -m pipeline.stages.train data.seed={seed} tracking=none", repo).returncode == 0
    eight("evaluate numpy")
    eight("plot numpy")
    assert shell("python -m pipeline.stages.report numpy", repo).returncode == 0
    eight("__main__ tracking=none hydra.run.dir=out/one data.seed={seed}")
