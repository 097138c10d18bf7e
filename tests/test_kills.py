"""Stages that are killed at any moment, or run many at once in one folder: what is left is one set of files, or none."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from tests.chain import STAGES, files, leftovers, made, run
from tests.conftest import ROOT, Shell, environment

OVERRIDES = {"generate": ["data.seed=1"], "train": ["optimizer.lr=0.7"]}  # what a killed stage was to make otherwise


def killed(stage: str, original: Path, folder: Path, most: int) -> list[Path]:
    """Copies of `original` in which a stage was killed before one of its changes of the disk each; in the last it ended.

    most: so many of the changes, chosen with a seed.
    """
    arguments = [stage, str(original), str(folder), str(most), *OVERRIDES.get(stage, [])]
    command = [sys.executable, "-m", "tests.kill_after_each", *arguments]
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


NEXT = {
    "generate": ["train", "evaluate"],
    "validate": [],
    "train": ["evaluate"],
    "evaluate": ["plot"],
    "plot": ["report"],
    "report": [],
}


@pytest.mark.slow
@pytest.mark.parametrize("most", [4, pytest.param(1000, marks=pytest.mark.evidence)])
@pytest.mark.parametrize("stage", STAGES)
def test_what_a_killed_stage_leaves_is_one_set_or_is_refused(tmp_path: Path, trained: Path, stage: str, most: int) -> None:
    overrides = OVERRIDES.get(stage, [])
    old = Path(shutil.copytree(trained, tmp_path / "old"))
    if stage not in OVERRIDES:
        shutil.rmtree(old / "report")
    new = made(tmp_path / "new", *overrides) if overrides else trained
    folders = killed(stage, old, tmp_path / "killed", most)
    assert len(folders) > 4
    refusals = 0
    for root in folders:
        for following in NEXT[stage]:
            if is_refused(following, root, *(overrides if following in OVERRIDES else [])):
                refusals += 1
                break
            assert files(root, following) in (files(old, following), files(new, following)), root
        run(stage, root, *overrides)
        assert files(root, stage) == files(new, stage)
        assert leftovers(root) == []
    few_of_two_steps = stage == "plot" and most < 1000  # by which figures/ is replaced as one
    assert refusals or not NEXT[stage] or few_of_two_steps


def test_the_fingerprint_is_that_of_the_data(repo: Path, forked: Shell) -> None:
    """A `generate` with another seed, killed between two renames, and `train` with that seed."""
    assert forked("python -m pipeline.stages.generate", repo).returncode == 0
    kill = (
        "import os; n, replace = 0, os.replace\n"
        "def kill(*paths):\n"
        "    global n; replace(*paths); n += 1; n == 2 and os.kill(os.getpid(), 9)\n"
        "os.replace = kill; from pipeline.stages import generate; generate.main(['data.seed=1'])"
    )
    assert subprocess.run([sys.executable, "-c", kill], cwd=repo, env=environment(), check=False).returncode == -9
    done = forked("python -m pipeline.stages.train data.seed=1 tracking=none", repo)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: there is no out/data/schema.json; an earlier stage makes it: run ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("many", "seeds"), [(3, (0, 1)), *(pytest.param(8, seeds, marks=pytest.mark.evidence) for seeds in [(0, 0), (0, 1)])]
)
def test_several_at_once_end_well(repo: Path, shell: Shell, many: int, seeds: tuple[int, int]) -> None:
    """generate, then train, evaluate and plot, each by several processes in one folder, of one configuration or two."""
    shell("python -m pipeline.stages.generate && python -m pipeline.stages.train tracking=none", repo)

    def at_once(command: str) -> None:
        commands = [command.format(seed=seeds[i % 2]) for i in range(many)]
        with ThreadPoolExecutor(many) as pool:
            ended = list(pool.map(lambda each: shell(f"python -m pipeline{each}", repo), commands))
        for done in ended:
            errors = [line for line in done.stderr.splitlines() if "the classes can be separated" not in line]
            assert done.returncode == 0 or (done.returncode == 1 and len(errors) == 1), done.stderr
            assert "Traceback" not in done.stderr
        if "seed" not in command or "generate" in command or len(set(seeds)) == 1:
            assert any(done.returncode == 0 for done in ended), [done.stderr for done in ended]
        assert leftovers(repo / "out") == []

    (repo / "out" / "config").mkdir()
    (repo / "out" / "config" / "tracking.yaml").write_text("uri: null\nexperiment: none\n")
    at_once(".stages.generate data.seed={seed}")
    seed = int('\n    "seed": 1\n' in (repo / "out" / "data" / "schema.json").read_text())
    assert shell(f"python -m pipeline.stages.train data.seed={seed} tracking=none", repo).returncode == 0
    at_once(".stages.evaluate numpy")
    at_once(".stages.plot numpy")
    assert shell("python -m pipeline.stages.report numpy", repo).returncode == 0
    at_once(" tracking=none hydra.run.dir=out/one data.seed={seed}")
