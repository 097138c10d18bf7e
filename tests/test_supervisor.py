"""What ends when the process above it is killed, at any moment from the first instruction on; and what does not."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from benchmarks._server import free_port
from pipeline import processes
from pipeline.files import ROOT
from pipeline.processes import SUPERVISOR, Process, is_alive, look_up, this_process
from tests.conftest import Shell, change_overrides, environment

BOUND_SECONDS = 30.0  # how long a process may outlive its command on a busy machine; eight on an idle one
SUPERVISED = [sys.executable, "-c", "import pipeline.stages, time; print('going on', flush=True); time.sleep(60)"]
MARK = "TEST_MARK"  # environment variable of all that a test has started
LONG = ["tracking=none", "optimizer.epochs=100000000", "data.rows=20000"]


def moments(few: tuple[int, ...], many: tuple[int, ...]) -> pytest.MarkDecorator:
    """A test at a few moments, in milliseconds, and at many."""
    return pytest.mark.parametrize("moments", [few, pytest.param(many, marks=pytest.mark.evidence)], ids=["few", "many"])


@contextmanager
def sleeping(**more: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"], env=environment(**more)) as process:
        try:
            yield process
        finally:
            process.kill()


def identity(process: "subprocess.Popen[bytes]") -> Process:
    found = look_up(process.pid)
    assert found
    return found[0]


def ended_process() -> Process:
    with sleeping() as process:
        return identity(process)


def another_start() -> Process:
    """Whose PID this process has now."""
    return this_process()._replace(started="1")


def living(repo: Path) -> list[psutil.Process]:
    """All that was started with MARK in its environment, the publisher and the reaper too."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == str(repo) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def assert_all_end(repo: Path, moment: str) -> None:
    deadline = time.monotonic() + BOUND_SECONDS
    while left := living(repo):
        assert time.monotonic() < deadline, (moment, [process.cmdline() for process in left])
        time.sleep(0.1)


def wait_for_command(command: subprocess.Popen[str], words: str) -> psutil.Process:
    """The first process below the command that has these words in its command line."""
    above = psutil.Process(command.pid)
    while command.poll() is None:
        with suppress(psutil.Error):
            for process in above.children(recursive=True):
                if words in " ".join(process.cmdline()):
                    return process
    raise AssertionError(f"the command ended before there was a {words}: {command.communicate()}")


@contextmanager
def started(words: list[str], repo: Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    env = environment(**{MARK: str(repo)}, **more)
    with subprocess.Popen(words, cwd=repo, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as command:
        try:
            yield command
        finally:
            for process in living(repo):
                with suppress(psutil.Error):
                    process.kill()


ENDED: dict[str, Callable[[], Process]] = {
    "dead": ended_process,
    "another start": another_start,
    "no number": lambda: Process(-1, "0"),
}


@pytest.mark.parametrize("above", ENDED)
def test_an_ended_supervisor_ends_a_process_before_it_imports_numpy(above: str) -> None:
    command, env = (
        [sys.executable, "-X", "importtime", "-m", "pipeline.stages.train"],
        environment(**{SUPERVISOR: ENDED[above]().address}),
    )
    done = subprocess.run([*command, "--help"], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 128 + signal.SIGTERM
    assert not done.stdout
    said = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert len(said) == 1
    assert said[0].startswith("error: the command that started this process must be running")
    assert "numpy" not in done.stderr
    assert "psutil" not in done.stderr


@pytest.mark.parametrize("above", ["", "1 1 another-machine", this_process().address], ids=["none", "elsewhere", "alive"])
def test_with_a_living_supervisor_or_none_a_process_goes_on(above: str) -> None:
    command = [sys.executable, "-m", "pipeline.stages.train", "--help"]
    assert subprocess.run(command, cwd=ROOT, env=environment(**{SUPERVISOR: above}), capture_output=True).returncode == 0


def lock_of(*holders: int) -> str:
    """As DVC writes it; a dvc that is killed leaves its entries there."""
    entries = [{"pid": pid, "cmd": "dvc repro"} for pid in holders]
    return json.dumps({"read": {"data": entries}, "write": {f"out/{entry['pid']}": entry for entry in entries}})


LOCKS: dict[str, tuple[Callable[[], str | None], bool]] = {
    "the parent holds it": (lambda: lock_of(os.getpid()), True),
    "the parent and one that was killed hold it": (lambda: lock_of(ended_process().pid, os.getpid()), True),
    "one that was killed holds it": (lambda: lock_of(ended_process().pid), False),
    "nobody holds it": (lambda: "{}", True),
    "there is none": (lambda: None, True),
    "it is half a file": (lambda: lock_of(ended_process().pid)[:40], True),
    "it is another kind of file": (lambda: "[1]", True),
}


@pytest.mark.parametrize("case", LOCKS)
@pytest.mark.parametrize("place", ["working directory", "DVC_ROOT"])
def test_a_stage_goes_on_where_a_process_above_it_holds_the_lock_of_dvc(tmp_path: Path, case: str, place: str) -> None:
    content, goes_on = LOCKS[case]
    cwd = tmp_path / "below"
    cwd.mkdir()
    (tmp_path / "repo").mkdir()
    root = tmp_path if place == "working directory" else tmp_path / "repo"
    (root / ".dvc" / "tmp").mkdir(parents=True)
    if text := content():
        (root / ".dvc" / "tmp" / "rwlock").write_text(text)
    env = environment(DVC_STAGE="train@numpy", DVC_ROOT=str(root), PYTHONPATH=str(ROOT))
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.stages.train", "--help"], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == (0 if goes_on else 128 + signal.SIGTERM), done.stderr
    assert goes_on or done.stderr.startswith(
        "error: dvc must be running above its stage (PIPELINE_SUPERVISOR= allows for none)"
    )
    assert done.stderr.count("\n") == (not goes_on)


def test_an_import_outside_of_a_command_looks_at_no_process() -> None:
    code = "import pipeline.stages, sys, threading; sys.exit(threading.active_count() > 1)"
    for env in (environment(), environment(DVC_STAGE="somebody's own stage")):
        assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env).returncode == 0


def test_without_proc_processes_are_told_apart_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("pipeline.processes.PROC", tmp_path)
    assert is_alive(this_process())
    assert not is_alive(another_start())
    assert not is_alive(ended_process())
    assert os.getppid() == next(processes.ancestors()).pid


def test_a_process_ends_with_its_supervisor() -> None:
    with sleeping() as above:
        env = environment(**{SUPERVISOR: identity(above).address})
        with subprocess.Popen(SUPERVISED, cwd=ROOT, env=env, stdout=subprocess.PIPE) as below:
            assert below.stdout
            assert below.stdout.readline() == b"going on\n"
            above.kill()
            assert below.wait(BOUND_SECONDS) == -signal.SIGTERM


@pytest.mark.slow
def test_a_process_that_ignores_sigterm_ends_with_its_supervisor(tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SUPERVISED[-1]
    with sleeping() as above:
        env = environment(**{SUPERVISOR: identity(above).address})
        with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=env, stdout=subprocess.PIPE) as below:
            assert below.stdout
            assert below.stdout.readline() == b"going on\n"
            above.kill()
            assert below.wait(BOUND_SECONDS) == -signal.SIGKILL


def test_a_zombie_is_not_alive_and_a_name_is_no_status() -> None:
    """A process may call itself anything; its name stands in parentheses before its status."""
    code = "open('/proc/self/comm', 'w').write(') Z 1 (2'); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        found = identity(process)
        assert is_alive(found)
        process.kill()
        process.stdout.read()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(found)
    assert not is_alive(found)


REAPED = """
import os, subprocess, sys
from pipeline.processes import NOBODY, supervising
with supervising():
    left = subprocess.Popen(["sleep", "60"])
    stubborn = subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 60; sleep 60"])
    spared = subprocess.Popen(["sleep", "60"], env={**os.environ, **NOBODY})
print(left.pid, stubborn.pid, spared.pid, flush=True)
if sys.argv[1] == "waits":
    input()
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "ended"])
def test_what_a_command_has_left_behind_ends_and_nothing_else(how: str) -> None:
    command = [sys.executable, "-c", REAPED, "waits" if how == "killed" else "ends"]
    other = another_start().address
    with (
        sleeping(**{SUPERVISOR: other}) as stranger,
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()) as above,
    ):
        assert above.stdout
        left, stubborn, spared = (psutil.Process(int(pid)) for pid in above.stdout.readline().split())
        try:
            if how == "killed":
                above.kill()
            above.wait(BOUND_SECONDS)
            psutil.wait_procs([left, stubborn], BOUND_SECONDS)
            assert not left.is_running()
            assert not stubborn.is_running()
            assert spared.is_running()
            assert stranger.poll() is None
        finally:
            spared.kill()


def test_what_runs_in_a_worktree_ends_with_its_command(repo: Path) -> None:
    code = """
import subprocess
from pipeline.runs._worktree import environment, worktree
with worktree("HEAD") as tree:
    subprocess.run(["sleep", "60"], cwd=tree, env=environment())
"""
    with started([sys.executable, "-c", code], repo) as command:
        wait_for_command(command, "sleep 60")
        command.kill()
        command.wait()
        assert_all_end(repo, "in a worktree")


@pytest.mark.slow
def test_a_killed_ui_leaves_no_server(repo: Path) -> None:
    with started([sys.executable, "-m", "pipeline.ui", "--port", str(free_port())], repo) as command:
        wait_for_command(command, "mlflow ui")
        command.kill()
        command.wait()
        assert_all_end(repo, "of the UI")


@pytest.mark.slow
# with more than one command the shell stays between dvc and the stage
@pytest.mark.parametrize("more", ["", pytest.param("; true", marks=pytest.mark.evidence)])
@moments((0, 20, 200), (0, 5, 10, 20, 50, 100, 200, 500))
def test_a_dvc_killed_at_any_moment_leaves_nothing_running(
    repo: Path, shell: Shell, more: str, moments: tuple[int, ...]
) -> None:
    stages, command_line = (repo / "dvc.yaml").read_text(), "train.${key}.yaml --candidate ${key}\n"
    assert command_line in stages
    (repo / "dvc.yaml").write_text(stages.replace(command_line, f"{command_line.strip()}{more}\n", 1))
    change_overrides(repo, LONG)
    assert shell("dvc repro -q generate", repo).returncode == 0
    for milliseconds in moments:
        with started(["dvc", "repro", "-q"], repo, SHELL="/bin/sh") as command:
            wait_for_command(command, "python -m pipeline.stages.train")
            time.sleep(milliseconds / 1000)
            command.kill()
            command.wait()
            assert_all_end(repo, f"{milliseconds} ms after the first sight of train")
        assert not (repo / "out" / "models" / "numpy" / "model.json").exists()


@pytest.mark.slow
@moments((20,), (0, 20, 1000))
def test_a_stage_ends_with_the_shell_above_it(repo: Path, shell: Shell, moments: tuple[int, ...]) -> None:
    """Though dvc goes on, as with --keep-going: for dvc the stage has failed."""
    stages = (repo / "dvc.yaml").read_text().replace("--candidate ${key}\n", "--candidate ${key}; true\n", 1)
    (repo / "dvc.yaml").write_text(stages)
    change_overrides(repo, LONG)
    assert shell("dvc repro -q generate", repo).returncode == 0
    for milliseconds in moments:
        with started(["dvc", "repro", "-q", "--keep-going"], repo, SHELL="/bin/sh") as command:
            stage = wait_for_command(command, "python -m pipeline.stages.train --config out/config/train.numpy.yaml")
            shell_above = next(process for process in psutil.Process(command.pid).children() if "-c" in process.cmdline())
            time.sleep(milliseconds / 1000)
            shell_above.kill()
            wait_for_command(command, "python -m pipeline.stages.train --config out/config/train.torch.yaml")
            numpy = [process for process in living(repo) if "out/config/train.numpy.yaml" in process.cmdline()]
            psutil.wait_procs([stage, *numpy], BOUND_SECONDS)
            assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in [stage, *numpy])


@pytest.mark.slow
@moments((0, 300), (0, 20, 100, 300, 1000, 3000))
def test_a_sweep_killed_at_any_moment_leaves_nothing_running(repo: Path, moments: tuple[int, ...]) -> None:
    """With more workers than jobs: one that waits for its first job has not imported the project."""
    words = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=4", *LONG, "optimizer.lr=0.1,0.2"]
    for milliseconds in moments:
        with started([sys.executable, "-m", "pipeline", "-m", *words], repo) as command:
            wait_for_command(command, "popen_loky")
            time.sleep(milliseconds / 1000)
            command.kill()
            command.wait()
            assert_all_end(repo, f"{milliseconds} ms after the first sight of a worker")
        assert not list(repo.glob("out/sweeps/*/*/models/numpy/model.json"))


@pytest.mark.slow
def test_a_make_killed_leaves_nothing_running(repo: Path, shell: Shell) -> None:
    change_overrides(repo, LONG)
    with started(["make", "-o", ".venv/installed", "repro"], repo) as command:
        wait_for_command(command, "python -m pipeline.stages.train")
        command.kill()
        command.wait()
        assert_all_end(repo, "of make")
