"""Registries: a module that is added is an entry, and the code that a package's registry imports is part of its hash."""

import sys
from pathlib import Path

import pytest

from pipeline.config.code import Code
from pipeline.files import ROOT
from pipeline.learning.models import MODELS
from pipeline.learning.models.torch import TorchModel
from pipeline.learning.optimizers import OPTIMIZERS
from pipeline.registry import name_of, registry

ENTRY = "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass {name}:\n    x: int = 0\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A package whose name no other test uses, which can be imported."""
    folder = tmp_path / f"entries_{abs(hash(request.node.name))}"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_modules_are_entries_by_their_names_and_underscores_are_shared(package: Path) -> None:
    for name in ("beta", "alpha", "_shared"):
        (package / f"{name}.py").write_text(ENTRY.format(name=name.title().strip("_")))
    (package / "alpha.py").write_text(f"from ._shared import Shared\n{ENTRY.format(name='Alpha')}")
    found = registry(package.name)
    assert {name: kind.__name__ for name, kind in found.items()} == {"alpha": "Alpha", "beta": "Beta"}
    assert list(found) == ["alpha", "beta"]
    assert name_of(found["beta"]()) == "beta"


@pytest.mark.parametrize(("content", "count"), [("", 0), (ENTRY.format(name="A") + ENTRY.format(name="B"), 2)])
def test_a_module_defines_one_entry(package: Path, content: str, count: int) -> None:
    (package / "gamma.py").write_text(content)
    with pytest.raises(TypeError, match=f"gamma must define one public dataclass; it defines {count}"):
        registry(package.name)


@pytest.mark.parametrize(("entries", "folder"), [(OPTIMIZERS, "optimizer"), (MODELS, "model")])
def test_every_entry_has_its_file_of_settings(entries: dict[str, type], folder: str) -> None:
    assert set(entries) == {path.stem for path in (ROOT / "conf" / folder).glob("*.yaml")}


def test_the_models_are_known_without_torch() -> None:
    assert name_of(TorchModel()) == "torch"
    assert sys.modules[TorchModel.__module__].__file__ == str(ROOT / "pipeline" / "learning" / "models" / "torch.py")


def test_what_a_registry_imports_is_part_of_its_code() -> None:
    found = Code().reached("pipeline.learning.optimizers", "pipeline.learning.models")
    names = {name.rpartition(".")[2] for name in found}
    assert {"gd", "auto", "_line_search", "registry", "numpy", "torch", "_linear", "torch_objective"} <= names
