"""A commit's files in a folder of their own, beside the working tree and without touching it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import CommandError, PipelineError
from pipeline.files import ROOT
from pipeline.processes import supervising
from pipeline.tracking.client import PARENT

NOT_INHERITED = ("DVC_", "GIT_", PARENT)  # what would lead a command back to the working tree, or to a sweep
FAILURES = ("ERROR: ", "error: ", "fatal: ")  # how the line of dvc or git begins that says what is wrong


def environment() -> dict[str, str]:
    """For commands in a worktree."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(NOT_INHERITED)}
    return {**inherited, "DVC_NO_ANALYTICS": "1"}


def git(*args: str, cwd: Path = ROOT) -> str:
    """What git prints. Raises CommandError with git's own message where it fails."""
    return _output(["git", *args], cwd)


def dvc(*args: str, cwd: Path = ROOT) -> str:
    """What this interpreter's dvc prints. Raises CommandError with dvc's own message where it fails."""
    return _output([sys.executable, "-m", "dvc", *args], cwd)


def _output(command: list[str], cwd: Path) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise CommandError(f"{command[0]} must be installed; it is not on the path") from None
    except subprocess.CalledProcessError as error:
        message = next((line for line in error.stderr.splitlines() if line.startswith(FAILURES)), "no message")
        typed = " ".join(command).removeprefix(f"{sys.executable} -m ")
        raise CommandError(f"`{typed}` must succeed; it ended with: {message}") from None
    return done.stdout.strip()


def commit_of(revision: str) -> str:
    """The commit that a revision names. Raises CommandError where this repository has none."""
    with suppress(PipelineError):
        return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    raise CommandError(f"a commit must be in this repository; {revision} is not")


@contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """The project's folder in a temporary worktree at the commit; removed when the block ends. What runs in it ends with us."""
    prefix = git("rev-parse", "--show-prefix")
    with supervising(), tempfile.TemporaryDirectory(prefix="pipeline-tree-") as temporary:
        tree = Path(temporary).resolve() / "tree"
        try:
            git("-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--detach", str(tree), commit)
            yield tree / prefix
        finally:
            with suppress(PipelineError):  # it was never made
                git("worktree", "remove", "--force", str(tree))
