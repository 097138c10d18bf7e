"""Which of the project's modules a module imports, at any depth, and the hash of their code.

A module that is named in a string, such as the one that a process is started with, is not an import.
"""

import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from pipeline.config.syntax import parse
from pipeline.errors import ConfigError
from pipeline.files import ROOT

PACKAGE = "pipeline"
NUMERICAL = ("data", "model", "learning", "arrays", "determinism")  # the code that a run's fingerprint names


class Module:
    """One file of the project."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path, self._parsed = name, path, parse(path.read_bytes())
        self.is_package = path.name == "__init__.py"
        self.lists_folder = self.is_package and self._parsed.lists_folder

    @property
    def digest(self) -> str:
        """SHA-256 of the code, and of the files of another kind beside it, such as report.html.j2 beside report.py."""
        stem = self.path.stem
        beside = [path for path in sorted(self.path.parent.glob(f"{stem}.*")) if not path.name.startswith(f"{stem}.py")]
        names = [path.name.encode() + hashlib.sha256(path.read_bytes()).digest() for path in beside]
        return hashlib.sha256(b"".join([self._parsed.digest.encode(), *names])).hexdigest()

    def imports(self) -> Iterator[str]:
        """The absolute names that its import statements may mean, wherever they stand; not those for type checkers alone."""
        for level, module, names in self._parsed.imports:
            source = self._absolute(level, module)
            yield source
            yield from (f"{source}.{name}" for name in names)

    def _absolute(self, level: int, module: str) -> str:
        if not level:
            return module
        parts = self.name.split(".")
        return ".".join([*parts[: len(parts) - level + self.is_package], *([module] if module else [])])


class Code:
    """The project's code in a folder, as it is now."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root, self._modules = root, dict[str, Module | None]()

    def reached(self, *modules: str) -> set[str]:
        """These modules and all that they import, at any depth."""
        found: set[str] = set()
        todo = list(modules)
        while todo:
            name = todo.pop()
            module = self._module(name)
            if module is None or name in found:
                continue
            found.add(name)
            todo += [name.rpartition(".")[0], *module.imports()]
            if module.lists_folder:
                todo += self._below(name)
        return found

    def hash_of(self, modules: Iterable[str]) -> str:
        """SHA-256 over the names and the code of these modules."""
        found = ((name, self._module(name)) for name in sorted(modules))
        return hashlib.sha256("".join(f"{name} {module.digest}\n" for name, module in found if module).encode()).hexdigest()

    def stage(self, name: str) -> str:
        """The hash of all code that a stage imports."""
        return self.hash_of(self.reached(f"{PACKAGE}.stages.{name}"))

    def numerical(self) -> str:
        """The hash of the code that a model's numbers depend on."""
        parts = [f"{PACKAGE}.{part}" for part in NUMERICAL]
        return self.hash_of([*parts, *(name for part in parts for name in self._below(part))])

    def _module(self, name: str) -> Module | None:
        """None of what is not the project's, and of names in modules."""
        if name not in self._modules:
            base = self._root.joinpath(*name.split("."))
            paths = (base / "__init__.py", base.with_suffix(".py")) if name.partition(".")[0] == PACKAGE else ()
            self._modules[name] = next((Module(name, path) for path in paths if path.is_file()), None)
        return self._modules[name]

    def _below(self, package: str) -> list[str]:
        """Every module in a package's folder, at any depth."""
        paths = self._root.joinpath(*package.split(".")).rglob("*.py")
        files = (path.relative_to(self._root).with_suffix("") for path in paths)
        return [".".join(file.parent.parts if file.name == "__init__" else file.parts) for file in files]


@cache
def numerical_code() -> str:
    """`Code.numerical` of the code that this process runs."""
    return Code().numerical()


def require_code(stage: str, expected: object, source: Path) -> None:
    """Raise ConfigError unless a stage's code is what `compose` found when it wrote the file `source`."""
    if expected is not None and expected != Code().stage(stage):
        raise ConfigError(f"{source} must be of the present code of {stage}, which has changed since: run `dvc repro`")
