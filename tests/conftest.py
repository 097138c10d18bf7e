"""What several tests need: a copy of the repository, and a tracking store that is already migrated."""

import pipeline.stages  # noqa: F401  pins the kernels, before NumPy is loaded

# isort: split
import json
import os
import random
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from hypothesis import settings
from xdist.scheduler import WorkStealingScheduling

from pipeline.config.tracking import Tracking
from pipeline.console import configure_logging
from pipeline.determinism import KERNELS
from pipeline.stages.generate import generate
from pipeline.stages.train import train
from pipeline.tracking.publisher import wait_for_publishers
from pipeline.tracking.sqlite_store import LOCATIONS
from tests.chain import composed, made
from tests.forked import ForkServer
from tests.secrets import QUOTED_VALUE, VALUE

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from xdist.remote import Producer

configure_logging()
settings.load_profile("ci")  # Hypothesis draws the same each time, without a deadline; --hypothesis-profile=default: at random

ROOT = Path(__file__).resolve().parent.parent
Shell = Callable[..., "subprocess.CompletedProcess[str]"]
Shared = Callable[[str, Callable[[Path], object]], Path]
SINGLE, SWEEP = "out/runs/single", "out/sweeps/lr"  # folders of `original`
TRACKED = (
    *("conf", "pipeline", "data", "mlruns/.gitignore", ".dvc", ".dvcignore", ".gitignore"),
    *("dvc.yaml", "overrides.yaml", "Makefile"),
)


@pytest.hookimpl(trylast=True)  # after -m and -k
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what simulates at length, unless `-m` asks for it or the command names single tests; see `dealt`."""
    if "evidence" not in config.option.markexpr and not any("::" in argument for argument in config.args):
        left_out = [item for item in items if item.get_closest_marker("evidence")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items[:] = dealt(items, getattr(config, "workerinput", {"workercount": 1})["workercount"])


def dealt(items: Sequence[pytest.Item], processes: int) -> list[pytest.Item]:
    """An order for so many processes, which get equal parts: long tests first, so that the end of a part, of which others take
    when they have nothing left to do, is short. A module's long tests stay together: one process starts their server."""
    long = [item for item in items if item.get_closest_marker("slow") or "server" in item.fixturenames]  # type: ignore[attr-defined]
    short = iter([item for item in items if item not in long])
    begin = {item.path: i for i, item in reversed([*enumerate(long)])}
    order: list[pytest.Item] = []
    for part in range(processes):
        size = (len(items) - len(order)) // (processes - part)
        own = [item for item in long if begin[item.path] * processes // len(long) == part]
        order += [*own, *islice(short, max(size - len(own), 0))]
    return [*order, *short]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> WorkStealingScheduling:
    """A process that has nothing left to do takes over half of what another has: some tests take a minute."""
    return WorkStealingScheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def project_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the journals of what this process itself logs lie."""
    root = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(root))
        yield root


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder of all of pytest's processes."""
    return tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent


@pytest.fixture(scope="session")
def shared(common: Path) -> Shared:
    """A folder by name, which the first of pytest's processes that asks for it fills for all of them to read."""

    def fill_once(name: str, fill: Callable[[Path], object]) -> Path:
        folder, filled = common / name, common / f"{name}.filled"
        with FileLock(common / f"{name}.lock"):
            if not filled.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                filled.touch()
        return folder

    return fill_once


@pytest.fixture(scope="session")
def store(shared: Shared) -> Path:
    """An SQLite store of MLflow, migrated once: copying it takes a tenth of a second, making it several."""
    code = "import mlflow, sys; mlflow.MlflowClient(f'sqlite:///{sys.argv[1]}/mlflow.db').search_experiments()"
    return shared("store", lambda folder: subprocess.run([sys.executable, "-c", code, folder], check=True)) / "mlflow.db"


@pytest.fixture(scope="session")
def trained(shared: Shared) -> Path:
    """A folder with all that the stages make of small data; not to be changed."""
    return shared("trained", made)


@pytest.fixture(scope="session")
def clean(shared: Shared, store: Path) -> Path:
    """The repository, committed to a git of its own, compiled, with an empty store and nothing made; not to be changed."""

    def fill(folder: Path) -> None:
        code = copy_repo(folder / "repo", store) / "pipeline"
        subprocess.run([sys.executable, "-m", "compileall", "-q", code], check=True)

    return shared("clean", fill) / "repo"


@pytest.fixture(scope="session")
def with_script(shared: Shared) -> Path:
    """A folder out/ that has the script of the report's charts: bundling it takes a second."""
    code = "from pipeline.stages.report import script; script()"

    def fill(folder: Path) -> None:
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(DVC_ROOT=str(folder)), check=True)

    return shared("script", fill) / "out"


@pytest.fixture(scope="session")
def reproduced(shared: Shared, clean: Path) -> Path:
    """The repository after `dvc repro`, with its dvc.lock committed; `stdout` is beside it. Not to be changed."""

    def fill(folder: Path) -> None:
        repo = shutil.copytree(clean, folder / "repo", symlinks=True)
        env = environment(OMP_NUM_THREADS="2")
        made = subprocess.run(["dvc", "repro"], cwd=repo, env=env, check=True, stdout=subprocess.PIPE, text=True)
        (folder / "stdout").write_text(made.stdout)
        for command in ("git add dvc.lock", "git commit -qm lock"):
            subprocess.run(command.split(), cwd=repo, env=env, check=True)
        wait_for_publishers(repo)

    return shared("reproduced", fill) / "repo"


@pytest.fixture
def reproduced_repo(tmp_path: Path, reproduced: Path) -> Path:
    """A copy of that."""
    return copy_with_store(reproduced, tmp_path / "repo")


@pytest.fixture(scope="session")
def original(shared: Shared, reproduced: Path, fork_server: ForkServer) -> Path:
    """That after `dvc repro`, one run with a threshold and a sweep of two; not to be changed."""

    def fill(folder: Path) -> None:
        repo = copy_with_store(reproduced, folder / "original")
        for words in (
            f"hydra.run.dir={SINGLE} optimizer.lr=0.5 evaluation.threshold=0.3",
            f"-m hydra.sweep.dir={SWEEP} optimizer.lr=0.1,0.2",
        ):
            (done,) = fork_server.run([["pipeline", *words.split()]], repo, environment())
            done.check_returncode()
        wait_for_publishers(repo)

    return shared("runs", fill) / "original"


def copy_with_store(original: Path, target: Path) -> Path:
    """A copy of a repository whose store knows where it lies."""
    shutil.copytree(original, target, symlinks=True)
    with closing(sqlite3.connect(target / "mlruns" / "mlflow.db")) as database, database:
        for table, column in LOCATIONS:
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(original), str(target)))
    return target


@pytest.fixture
def repo(tmp_path: Path, clean: Path, with_script: Path) -> Path:
    """A copy of the clean repository, in which the report's script was bundled."""
    made = Path(shutil.copytree(clean, tmp_path / "repo", symlinks=True))
    shutil.copytree(with_script, made / "out")
    return made


def copy_repo(target: Path, store: Path) -> Path:
    target.mkdir()
    for name in TRACKED:
        source = ROOT / name
        (target / name).parent.mkdir(exist_ok=True)
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "cache", "tmp", "config.local")
            shutil.copytree(source, target / name, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copy(source, target / name)
    change_overrides(target, [])
    shutil.copy(store, target / "mlruns" / "mlflow.db")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "start"], ["gc", "-q"]):  # few files are copied faster
        subprocess.run(["git", *command], cwd=target, check=True, env=environment())
    return target


def change_overrides(repo: Path, overrides: list[str]) -> None:
    """Overrides that both candidates have in common."""
    both = "candidates: {numpy: [model=numpy], torch: [model=torch]}"
    (repo / "overrides.yaml").write_text(f"overrides: {json.dumps(overrides or {})}\n{both}\n")


def environment(**more: str) -> dict[str, str]:
    """This process's, with the interpreter's own programs first on the path, and a git identity."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    who = {f"GIT_{role}_{what}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    ours = ("DVC_", "MLFLOW_", "HYDRA_", *KERNELS)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return {**inherited, **who, "PATH": path, "DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", **more}


@pytest.fixture
def fitted(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with data/ and a fitted model in numpy/, whose fingerprint is this test's own."""
    lr = 0.1 + random.Random(request.node.name).random()
    base = composed("optimizer.record_every=1")
    config = base.to_dict()
    config["optimizer"]["lr"] = lr
    generate(base.data, config["data"], tmp_path / "data")
    train(
        {group: config[group] for group in ("model", "optimizer")},
        tmp_path / "data",
        tmp_path / "models" / "numpy",
        Tracking(None),
    )
    return tmp_path


@pytest.fixture
def local(tmp_path: Path, store: Path) -> Tracking:
    """An SQLite store."""
    (tmp_path / "mlruns").mkdir()
    return Tracking(f"sqlite:///{shutil.copy(store, tmp_path / 'mlruns')}")


@pytest.fixture
def secret_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two environment variables that hold a secret."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://ada:{QUOTED_VALUE}@host:5000")
    monkeypatch.setenv("SOME_TOKEN", VALUE)


@pytest.fixture
def shell() -> Shell:
    """Run a command in a folder, until what it logs is in MLflow, and capture its output; any exit code is fine."""

    def run(command: str, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            command, cwd=cwd, env=environment(**env), shell=True, text=True, capture_output=True, timeout=300, check=False
        )
        wait_for_publishers(cwd)
        return done

    return run


@pytest.fixture(scope="session")
def fork_server(common: Path) -> Iterator[ForkServer]:
    with FileLock(common / "forked.lock"):
        server = ForkServer(common / "forked", environment())
    yield server
    server.close()


@pytest.fixture
def forked(fork_server: ForkServer) -> Shell:
    """Run `python -m MODULE ...` in a copy of the repository as `shell` does, in a fork that has the libraries already."""

    def run(command: str, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
        python, option, *argv = shlex.split(command)
        assert (python, option) == ("python", "-m")
        (done,) = fork_server.run([argv], cwd, environment(**env))
        wait_for_publishers(cwd)
        return done

    return run


@pytest.fixture
def page() -> "Iterator[Page]":
    """A page of a real browser."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    assert chromium, "the browser tests need Debian's package chromium"
    flags = ("no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-sync")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[f"--{flag}" for flag in flags])
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.set_default_timeout(60_000)
        yield page
        browser.close()
