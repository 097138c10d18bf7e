"""The import law: in sys.modules, and in modules that are started or imported by their names in strings."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator

import grimp

from pipeline.files import ROOT
from pipeline.stages import STAGES

PACKAGE = ROOT / "pipeline"
FILES = sorted(path.relative_to(ROOT).with_suffix("") for path in PACKAGE.rglob("*.py") if path.stem[0] != "_")
MODULES = [".".join(file.parts) for file in FILES]
SCIENCE = [name for name in MODULES if name.split(".")[1] in ("data", "model", "learning", "evaluation")]
WITH_MLFLOW = ("pipeline.tracking", "pipeline.runs")  # which decides by itself what it imports
FRAMEWORKS = {"hydra", "omegaconf", "mlflow", "dvc"}


TORCH_FIT = """
import pipeline.stages
from pipeline.data.sources.document import Textbook
from pipeline.learning.logistic import fit
from pipeline.learning.models.torch import TorchModel
from pipeline.learning.optimizers import OPTIMIZERS
train = Textbook(rows=20, test_rows=10).load().train
for name in ("gd", "sgd", "adam"):
    fit(train.X, train.y, TorchModel(), OPTIMIZERS[name](epochs=2))
"""


def modules_after(*programs: str) -> Iterator[set[str]]:
    """What is in sys.modules after each of these, in one process."""
    shown = "import sys, json; print('MODULES' + json.dumps(sorted(sys.modules)))"
    code = "".join(f"{program}\n{shown}\n" for program in programs)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return (set(json.loads(line)) for line in re.findall("^MODULES(.*)", done.stdout, re.MULTILINE))


def importing(names: Iterable[str]) -> str:
    return "\n".join(f"import {name}" for name in names)


def test_the_science_knows_no_framework_and_a_torch_fit_not_torch_s_compiler() -> None:
    """It takes as long as torch itself."""
    science, fitted = modules_after(importing(SCIENCE), TORCH_FIT)
    assert not science & FRAMEWORKS
    assert "torch" in fitted
    assert "torch._dynamo" not in fitted


def test_torch_is_imported_only_where_it_trains() -> None:
    others = [name for name in MODULES if not name.startswith("pipeline.learning.torch_") and not name.startswith(WITH_MLFLOW)]
    (found,) = modules_after(importing(others))
    assert "torch" not in found


def test_help_is_light() -> None:
    """Each command's in one process, which names the first that is not."""
    commands = [f"pipeline.{name}" for name in (*(f"stages.{stage}" for stage in (*STAGES, "predict")), "ui", "runs")]
    program = f"""
import runpy, sys
for name in {commands}:
    sys.argv = ["x", "--help"]
    try:
        runpy.run_module(name, run_name="__main__")
    except SystemExit as end:
        assert end.code == 0, name
    else:
        raise AssertionError(name)
    heavy = sys.modules.keys() & {{"mlflow", "torch", "sklearn", "pandas"}}
    assert not heavy, (name, heavy)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


STATE = """
import json, os, sys, warnings
import matplotlib, numpy, pandas, pyarrow.parquet, scipy.linalg, scipy.sparse, sklearn.datasets, threadpoolctl, torch
def state():
    blas = [(each["filepath"], each["num_threads"]) for each in threadpoolctl.threadpool_info()]
    threads = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    return repr((dict(os.environ), warnings.filters, blas, threads, numpy.geterr(), dict(matplotlib.rcParams)))
before = state()
"""


def test_importing_the_science_changes_nothing_in_the_process() -> None:
    program = f"{STATE}\n{importing(['pipeline', *SCIENCE])}\nassert state() == before"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_stage_is_a_module_and_each_module_a_stage() -> None:
    modules = {path.stem for path in (PACKAGE / "stages").glob("[a-z]*.py")} - {"predict"}  # which is for afterwards
    assert modules == set(STAGES)


def named_modules() -> Iterator[tuple[str, str]]:
    """(module, a module of the project whose name stands in a string in it), as of a process that it starts."""
    modules = grimp.build_graph("pipeline", cache_dir=None).modules
    for name in modules:
        base = ROOT.joinpath(*name.split("."))
        path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in modules and node.value != "pipeline":
                yield name, str(node.value)


def test_a_module_names_none_above_itself() -> None:
    (contract, *_) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rows = [row.replace(":", "|").replace(" ", "").split("|") for row in contract["layers"]]

    def row(module: str) -> int:
        return next(i for i, names in enumerate(rows) if any(f"{module}.".startswith(f"{name}.") for name in names))

    found = {(name, named) for name, named in named_modules() if not named.startswith("pipeline.stages.")}
    assert {named for _, named in found} >= {"pipeline.tracking.publisher", "pipeline.reaper"}
    assert [(name, named) for name, named in found if name != "pipeline" and row(named) < row(name)] == []


def test_no_test_module_imports_another_and_benchmarks_import_no_tests() -> None:
    imported = {
        (path.relative_to(ROOT).as_posix(), name)
        for folder in ("tests", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in _imports(node)
    }
    assert ("tests/test_redaction.py", "tests.conftest") in imported
    assert [each for each in imported if each[1].startswith("tests.") and ".test_" in each[1]] == []
    assert [each for each in imported if each[0].startswith("benchmarks/") and each[1].startswith("tests.")] == []


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [str(node.module), *(f"{node.module}.{each.name}" for each in node.names)]
    return [each.name for each in node.names] if isinstance(node, ast.Import) else []


def test_every_single_file_has_a_layer() -> None:
    (contract, *_) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    named = {name for row in contract["layers"] for name in row.replace(":", "|").replace(" ", "").split("|")}
    found = {f"pipeline.{path.stem}" for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert found - {"pipeline.__init__"} == named


def test_the_drawing_is_of_these_imports() -> None:
    drawn = subprocess.run([sys.executable, "-m", "docs.imports"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert drawn.strip() in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
