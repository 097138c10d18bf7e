"""Where and by what a run was made: git, DVC, libraries, machine. As tags, and as the artifacts in lineage/, which are captured
beside the work: a stage does not wait for git."""

import getpass
import json
import os
import platform
import sys
import time
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from pipeline.determinism import KERNELS
from pipeline.redaction import scrub
from pipeline.text import join_limited
from pipeline.tracking import git
from pipeline.tracking.events import Files
from pipeline.tracking.git import GitError
from pipeline.tracking.journal import Events, Journal

USERNAME = "MLFLOW_TRACKING_USERNAME"
COMMIT = "mlflow.source.git.commit"  # the tag
LIBRARIES = ("numpy", "scipy", "torch", "pandas", "scikit-learn", "matplotlib", "hydra-core", "mlflow", "dvc")
MAX_FILES = 20  # named in a tag
LINEAGE_DIR = "lineage"
ENVIRONMENT = f"{LINEAGE_DIR}/environment.json"  # the artifact
CURRENT_SECONDS = 10.0  # after a stage's beginning, in which the code is still taken for the one that it runs
UNKNOWN = {"git.diff": "unknown", "git.diff.reason": "the code was not recorded while the stage ran"}


def provenance() -> dict[str, str]:
    """The tags of where, by what and by whom this process was started."""
    return {**_git_tags(), **_dvc_tags(), "mlflow.user": _user()}


def environment() -> dict[str, str]:
    """The versions of libraries, and the machine."""
    return {**_versions(), **_machine()}


def _git_tags() -> dict[str, str]:
    """Nothing outside a repository; where git fails in one, git.dirty is unknown."""
    if not git.in_repository():
        return {}
    tags = {}
    with suppress(GitError):
        tags[COMMIT] = git.commit()
    try:
        return {**tags, "git.dirty": str(git.is_dirty()).lower()}
    except GitError:
        return {**tags, "git.dirty": "unknown"}


def lineage() -> tuple[dict[str, str], dict[str, bytes]]:
    """Tags, and artifacts: requirements.txt and, if the code differs from the commit, code.diff.

    The tag git.diff says whether that has all changes of code and configuration: none, whole, without credentials (so it may
    not apply), too long, or unknown, where git failed; git.diff.reason says what was left out, or how git failed. New files
    elsewhere, which no stage reads, count for git.dirty alone. Outside a repository there is no tag.
    """
    artifacts = {"requirements.txt": _requirements().encode()}
    if not git.in_repository():
        return {}, artifacts
    try:
        diff, left_out = git.code_diff()
    except GitError as error:
        return {"git.diff": "unknown", "git.diff.reason": scrub(str(error))}, artifacts
    if diff is None:
        return {"git.diff": "too long"}, artifacts
    if diff or left_out:
        artifacts["code.diff"] = diff
    if left_out:
        reason = scrub(f"left out: {join_limited(left_out, MAX_FILES)}")
        return {"git.diff": "without credentials", "git.diff.reason": reason}, artifacts
    return {"git.diff": "whole" if diff else "none"}, artifacts


def capture_lineage(journal: Journal, events: Events) -> Events:
    """Append the lineage of the latest attempt that trains, unless it is there; all events then."""
    training = [(id, attempt) for id, attempt in events.attempts.items() if attempt.opened.trains]
    if not training or any(files.folder == LINEAGE_DIR for _, files in training[-1][1].files):
        return events
    id, attempt = training[-1]
    is_current = time.time() - attempt.opened.time < CURRENT_SECONDS
    with suppress(OSError):  # of a full disk; the next sync tries again
        tags, artifacts = lineage() if is_current else (UNKNOWN, {})
        texts = {f"{LINEAGE_DIR}/{name}": content.decode(errors="surrogateescape") for name, content in artifacts.items()}
        texts[ENVIRONMENT] = json.dumps(attempt.opened.environment, indent=2)
        journal.append(Files(id, LINEAGE_DIR, time.time(), [], {}, tags, texts, "", False))
        return journal.read(events)
    return events


@cache
def _requirements() -> str:
    """Every installed distribution as NAME==VERSION, sorted, as it was when this process asked first."""
    lines = {f"{distribution.name}=={distribution.version}\n" for distribution in distributions()}
    return "".join(sorted(lines, key=str.lower))


def _dvc_tags() -> dict[str, str]:
    variables = {"DVC_STAGE": "dvc.stage", "DVC_EXP_NAME": "dvc.exp", "DVC_EXP_BASELINE_REV": "dvc.exp.baseline"}
    tags = {tag: os.environ[variable] for variable, tag in variables.items() if os.environ.get(variable)}
    module = getattr(sys.modules["__main__"].__spec__, "name", "").removesuffix(".__main__")
    command = "dvc repro" if tags else f"python -m {module if module.startswith('pipeline') else 'pipeline'}"
    return {"mlflow.source.name": command, "mlflow.source.type": "LOCAL", **tags}


def _versions() -> dict[str, str]:
    tags = {"version.python": platform.python_version()}
    for library in LIBRARIES:
        with suppress(PackageNotFoundError):
            tags[f"version.{library}"] = version(library)
    return tags


def _machine() -> dict[str, str]:
    return {
        "machine.platform": platform.platform(),
        "machine.processor": _processor(),
        "machine.cores": str(os.cpu_count()),
        "machine.kernels": ", ".join(f"{name}={os.environ.get(name, '')}" for name in KERNELS),
    }


def _user() -> str:
    """The name by which the user is known to the server, else that of the account or, where it has none, its number."""
    try:
        return os.environ.get(USERNAME) or getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
