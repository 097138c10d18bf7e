"""The import law, seen in sys.modules."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline._files import ROOT

FRAMEWORKS = {"hydra", "omegaconf", "mlflow", "dvc"}


def modules_after(code: str) -> set[str]:
    program = f"{code}\nimport sys, json; print('MODULES' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.partition("MODULES")[2]))


def test_numerics_know_no_framework() -> None:
    names = [path.stem for path in (ROOT / "pipeline" / "numerics").glob("*.py")]
    found = modules_after("\n".join(f"import pipeline.numerics.{name}" for name in names if name != "__init__"))
    assert not found & FRAMEWORKS


@pytest.mark.parametrize("module", sorted(path.stem for path in (ROOT / "pipeline").glob("*.py") if path.stem != "__main__"))
def test_torch_is_imported_only_where_it_trains(module: str) -> None:
    if module not in ("_serving", "_mlflow", "_logged_model"):  # MLflow decides there
        assert "torch" not in modules_after(f"import pipeline.{module}")


@pytest.mark.parametrize("stage", ["compose", "generate", "train", "evaluate", "plot", "report", "ui", "runs"])
def test_help_is_light(stage: str) -> None:
    code = f"import sys, runpy; sys.argv = ['x', '--help']\ntry: runpy.run_module('pipeline.{stage}', run_name='__main__')"
    found = modules_after(f"{code}\nexcept SystemExit as end: assert end.code == 0")
    assert not found & {"mlflow", "torch", "sklearn", "pandas"}


def test_the_served_model_needs_nothing_of_the_project(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pipeline" / "_serving.py", tmp_path / "served.py")
    code = "import sys; sys.modules['pipeline'] = None; import served"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0
