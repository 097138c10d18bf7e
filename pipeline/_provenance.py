"""Where and by what a run was made: git, DVC, libraries, machine. As flat tags."""

import os
import platform
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline import KERNELS
from pipeline._files import ROOT

LIBRARIES = ("numpy", "scipy", "torch", "pandas", "scikit-learn", "matplotlib", "hydra-core", "mlflow", "dvc")


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


def _git(*words: str) -> str:
    """What git prints; nothing where there is no git or no repository."""
    try:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


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


def host() -> str:
    """This machine's name and, where it is known, the id of its present boot: a process id means something within one."""
    boot = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return f"{platform.node()} {boot}"


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
