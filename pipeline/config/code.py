"""Which of the project's modules a module imports, at any depth, and the hash of their code.

A module that is named in a string, such as the one that a process is started with, is not an import.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

from pipeline.atomic import atomic_dir
from pipeline.config import syntax
from pipeline.errors import ConfigError
from pipeline.files import OUT, ROOT, write_json

PACKAGE = "pipeline"
# the code that a run's fingerprint names
NUMERICAL = ("data", "model", "learning", "evaluation.folds", "evaluation.penalty", "arrays", "determinism")
FINGERPRINTING = f"{PACKAGE}.stages._fitting"  # imported by the stages that make a run's fingerprint
CACHE = OUT / "code.json"  # what is in each file, by the SHA-256 of its bytes: written by `compose`, so stages parse nothing
SYNTAX = Path(syntax.__file__)  # its bytes are in the cache's keys, too


class Code:
    """The project's code in a folder, as it is now."""

    def __init__(self, root: Path = ROOT, cache: Path = CACHE) -> None:
        files = sorted((root / PACKAGE).rglob("*.py"))
        self._paths = {_module_name(path.relative_to(root)): path for path in files}
        self._cache, self._cached = cache, _read_cache(cache)
        self._salt = SYNTAX.read_bytes()
        self._read: dict[str, tuple[str, syntax.Parsed]] = {}  # by a module's name: the cache's key, and what is in the file

    def reached(self, *modules: str) -> set[str]:
        """These modules and all that they import, at any depth."""
        found: set[str] = set()
        todo = list(modules)
        while todo:
            name = todo.pop()
            if name in self._paths and name not in found:
                found.add(name)
                todo += [name.rpartition(".")[0], *self._imports(name)]
        return found

    def hash_of(self, modules: Iterable[str]) -> str:
        """SHA-256 over the names and the code of these modules."""
        lines = [f"{name} {self._digest(name)}\n" for name in sorted(modules) if name in self._paths]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def stage(self, name: str) -> str:
        """The hash of all code that a stage imports and, where it writes a run's fingerprint, of all that this names."""
        modules = self.reached(f"{PACKAGE}.stages.{name}")
        return self.hash_of(modules | self._numerical() if FINGERPRINTING in modules else modules)

    def numerical(self) -> str:
        """The hash of the code that a model's numbers depend on, beside its data: all of it is `train`'s, so that whatever
        changes this hash lets DVC train again."""
        return self.hash_of(self._numerical())

    def _numerical(self) -> set[str]:
        parts = [f"{PACKAGE}.{part}" for part in NUMERICAL]
        counted = {*parts, *(name for part in parts for name in self._below(part))}
        return counted & self.reached(f"{PACKAGE}.stages.train")

    def write_cache(self) -> None:
        """Write what is in the files that were read."""
        content = {key: asdict(parsed) for key, parsed in self._read.values()}
        with atomic_dir(self._cache.parent) as made:
            write_json(made / self._cache.name, content)

    def _imports(self, name: str) -> Sequence[str]:
        """The absolute names that a module's import statements may mean, wherever they stand."""
        parsed = self._parse(name)
        package = name if self._paths[name].name == "__init__.py" else name.rpartition(".")[0]
        imported = [resolve_name(module, package) for module in parsed.imports]
        return [*imported, *(self._below(name) if parsed.lists_folder else [])]

    def _digest(self, name: str) -> str:
        """SHA-256 of a module's code, and of the files of another kind beside it, such as page.css beside page.py."""
        path = self._paths[name]
        beside = [file for file in sorted(path.parent.glob(f"{path.stem}.*")) if not file.name.startswith(path.name)]
        parts = [file.name.encode() + hashlib.sha256(file.read_bytes()).digest() for file in beside]
        return hashlib.sha256(b"".join([self._parse(name).digest.encode(), *parts])).hexdigest()

    def _parse(self, name: str) -> syntax.Parsed:
        if name not in self._read:
            source = self._paths[name].read_bytes()
            key = hashlib.sha256(self._salt + source).hexdigest()
            self._read[name] = key, self._cached.get(key) or syntax.parse(source)
        return self._read[name][1]

    def _below(self, package: str) -> list[str]:
        """Every module in a package's folder, at any depth."""
        return [name for name in self._paths if name.startswith(f"{package}.")]


def _module_name(path: Path) -> str:
    return ".".join((path.parent if path.stem == "__init__" else path.with_suffix("")).parts)


def _read_cache(path: Path) -> dict[str, syntax.Parsed]:
    """Nothing where there is none, or it is damaged."""
    try:
        return {key: syntax.Parsed(**parsed) for key, parsed in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


@cache
def numerical_code() -> str:
    """`Code.numerical` of the code that this process runs."""
    return Code().numerical()


def require_code(stage: str, expected: object, source: Path) -> None:
    """Raise ConfigError unless a stage's code is what `compose` found when it wrote the file `source`."""
    if expected is not None and expected != Code().stage(stage):
        raise ConfigError(f"{source} must be of the present code of {stage}, which has changed since: run `dvc repro`")
