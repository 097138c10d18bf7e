"""Where and by what a run was made: git, DVC, libraries, machine, process. As flat tags, and as the artifacts in lineage/."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

import psutil

from pipeline import KERNELS
from pipeline._files import ROOT
from pipeline._secrets import scrub

LIBRARIES = ("numpy", "scipy", "torch", "pandas", "scikit-learn", "matplotlib", "hydra-core", "mlflow", "dvc")
ELSEWHERE = (":!dvc.lock", ":!out", ":!data", ":!mlruns")  # what is hashed in its own way, or made
PRIVATE = (":(exclude,glob)**/.env*", ":(exclude,glob)**/*.pem", ":(exclude,glob)**/*.key", ":(exclude,glob)**/id_*")
LONGEST_DIFF = 2**20  # bytes


def provenance() -> dict[str, str]:
    """Every tag that says where this process runs."""
    return {**_git_tags(), **_dvc_tags(), **_versions(), **_machine()}


def _git_tags() -> dict[str, str]:
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return {}
    # `dvc repro` writes dvc.lock after each stage.
    dirty = str(bool(_git("status", "--porcelain", "--", ".", ":!dvc.lock"))).lower()
    return {"mlflow.source.git.commit": commit, "git.dirty": dirty}


def _git(*words: str, **env: str) -> str:
    """What git prints; nothing where there is no git or no repository."""
    return _git_bytes(*words, **env).decode(errors="surrogateescape").strip()


def _git_bytes(*words: str, **env: str) -> bytes:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=True, timeout=10, env={**os.environ, **env})
        return done.stdout
    except (OSError, subprocess.SubprocessError):
        return b""


def lineage() -> tuple[dict[str, str], dict[str, bytes]]:
    """Tags, and artifacts: requirements.txt and, if the code differs from the commit, code.diff.

    The tag git.diff says whether that is whole: none, whole, without credentials (so it may not apply), or too long.
    """
    texts = {"requirements.txt": _requirements().encode()}
    diff = code_diff()
    shown = scrub(diff.decode(errors="surrogateescape")).encode(errors="surrogateescape")
    if 0 < len(diff) <= LONGEST_DIFF:
        texts["code.diff"] = shown
    how = (
        "too long" if len(diff) > LONGEST_DIFF else "none" if not diff else "whole" if shown == diff else "without credentials"
    )
    return {"git.diff": how}, texts


def _requirements() -> str:
    """Every installed distribution as NAME==VERSION, sorted."""
    return "".join(
        f"{line}\n" for line in sorted({f"{found.name}=={found.version}" for found in distributions()}, key=str.lower)
    )


def code_diff() -> bytes:
    """What `git apply` makes of a clean commit to have these files, new ones too; beyond LONGEST_DIFF only its length counts.

    Made in a temporary index and object folder: the repository is not touched.
    """
    changed = _git("ls-files", "-z", "-m", "-o", "--exclude-standard", "--", ".", *ELSEWHERE, *PRIVATE).split("\0")
    sizes = [(ROOT / name).lstat().st_size for name in changed if name and (ROOT / name).is_file()]
    if sum(sizes) > 16 * LONGEST_DIFF:
        return bytes(LONGEST_DIFF + 1)
    index, objects = (Path(_git("rev-parse", "--path-format=absolute", "--git-path", name)) for name in ("index", "objects"))
    with tempfile.TemporaryDirectory() as folder:
        if index.is_file():
            shutil.copy(index, f"{folder}/index")  # what git knows of unchanged files
        Path(folder, "objects").mkdir()
        env = {"GIT_INDEX_FILE": f"{folder}/index", "GIT_OBJECT_DIRECTORY": f"{folder}/objects"}
        env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = str(objects)
        _git("add", "-A", "--", ".", *ELSEWHERE, *PRIVATE, **env)
        return _git_bytes("diff", "--cached", "--binary", "HEAD", "--", ".", *ELSEWHERE, *PRIVATE, **env)


def host() -> str:
    """This machine since it was last started."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{platform.node()} {boot.read_text().strip() if boot.exists() else ''}"


def process() -> dict[str, str]:
    """The tags by which it can be told whether this process still lives."""
    here = psutil.Process()
    return {"process.pid": str(here.pid), "process.started": repr(here.create_time()), "process.host": host()}


def _dvc_tags() -> dict[str, str]:
    names = {"DVC_STAGE": "dvc.stage", "DVC_EXP_NAME": "dvc.exp", "DVC_EXP_BASELINE_REV": "dvc.exp.baseline"}
    found = {tag: os.environ[name] for name, tag in names.items() if os.environ.get(name)}
    module = getattr(sys.modules["__main__"].__spec__, "name", "").removesuffix(".__main__")
    command = "dvc repro" if found else f"python -m {module if module.startswith('pipeline') else 'pipeline'}"
    return {"mlflow.source.name": command, "mlflow.source.type": "LOCAL", **found}


def _versions() -> dict[str, str]:
    tags = {"version.python": platform.python_version()}
    for library in LIBRARIES:
        with suppress(PackageNotFoundError):
            tags[f"version.{library}"] = version(library)
    return tags


def _machine() -> dict[str, str]:
    return {
        "mlflow.user": os.environ.get("USER", "unknown"),
        "machine.platform": platform.platform(),
        "machine.processor": _processor(),
        "machine.cores": str(os.cpu_count()),
        "machine.kernels": ", ".join(f"{name}={os.environ.get(name, '')}" for name in KERNELS),
    }


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
