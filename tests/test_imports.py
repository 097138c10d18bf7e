"""The import law, seen in sys.modules."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.files import ROOT

PACKAGE = ROOT / "pipeline"
FILES = sorted(path.relative_to(ROOT).with_suffix("") for path in PACKAGE.rglob("*.py") if path.stem[0] != "_")
MODULES = [".".join(file.parts) for file in FILES]
STAGES = ("compose", "generate", "train", "evaluate", "plot", "report")
WITH_MLFLOW = ("pipeline.tracking", "pipeline.runs")  # which decides by itself what it imports
FRAMEWORKS = {"hydra", "omegaconf", "mlflow", "dvc"}


def modules_after(code: str) -> set[str]:
    program = f"{code}\nimport sys, json; print('MODULES' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.partition("MODULES")[2]))


def test_the_science_knows_no_framework() -> None:
    rooms = ("data", "model", "learning", "evaluation")
    found = modules_after("\n".join(f"import {name}" for name in MODULES if name.split(".")[1] in rooms))
    assert not found & FRAMEWORKS


def test_torch_is_imported_only_where_it_trains() -> None:
    others = [name for name in MODULES if name != "pipeline.learning.torch_model" and not name.startswith(WITH_MLFLOW)]
    assert "torch" not in modules_after("\n".join(f"import {name}" for name in others))


@pytest.mark.parametrize("stage", [*(f"stages.{name}" for name in STAGES), "ui", "runs"])
def test_help_is_light(stage: str) -> None:
    code = f"import sys, runpy; sys.argv = ['x', '--help']\ntry: runpy.run_module('pipeline.{stage}', run_name='__main__')"
    found = modules_after(f"{code}\nexcept SystemExit as end: assert end.code == 0")
    assert not found & {"mlflow", "torch", "sklearn", "pandas"}


def test_the_served_model_needs_nothing_of_the_project(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pipeline" / "tracking" / "serving.py", tmp_path / "served.py")
    code = "import sys; sys.modules['pipeline'] = None; import served"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0
