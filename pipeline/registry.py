"""A registry: from a module's name to the one dataclass that it defines, for the modules of a package.

A module whose name begins with an underscore is shared by the others and is no entry. `REGISTRY = registry(__name__)` in the
package's `__init__` is all that it takes; the hash of the code knows that such a package imports all its modules.
"""

import pkgutil
from dataclasses import is_dataclass
from importlib import import_module
from types import ModuleType
from typing import Any


def registry(package: str) -> dict[str, type[Any]]:
    """The entries of a package, sorted by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(import_module(package).__path__))
    return {name: _entry(import_module(f"{package}.{name}")) for name in names if not name.startswith("_")}


def name_of(entry: object) -> str:
    """The name by which the class of this object is registered."""
    return type(entry).__module__.rpartition(".")[2]


def _entry(module: ModuleType) -> type[Any]:
    """The public dataclass that a module defines. Raises TypeError unless it defines exactly one."""
    own = [value for name, value in vars(module).items() if isinstance(value, type) and not name.startswith("_")]
    found = [value for value in own if is_dataclass(value) and value.__module__ == module.__name__]
    if len(found) != 1:
        raise TypeError(f"{module.__name__} must define one public dataclass; it defines {len(found)}")
    return found[0]
