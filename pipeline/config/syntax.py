"""A Python file's imports, and a digest of its code: of its syntax tree without comments, docstrings and layout.

The digest is equal on Python 3.11 to 3.14, which that of `ast.dump` is not.
"""

import ast
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from types import NoneType
from typing import Any

LISTING = "registry"  # a package that calls this function imports all of its modules
DOCUMENTED = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
LAYOUT = frozenset({"ctx", "kind", "type_comment", "type_ignores"})  # fields without a meaning of their own


@dataclass(frozen=True)
class Parsed:
    """What is in a Python file: its code's digest, the names that it imports, and whether it calls LISTING.

    imports: absolute or, with dots in front, relative; of `from a import b` both a and a.b.
    """

    digest: str
    imports: Sequence[str]
    lists_folder: bool


@cache
def parse(source: bytes) -> Parsed:
    tree = ast.parse(source)
    nodes, parts = list(_executed(tree)), list[str]()
    _serialize(tree, parts)
    imports = [name for node in nodes for name in _imported(node)]
    calls = (node.func for node in nodes if isinstance(node, ast.Call))
    lists_folder = any(isinstance(function, ast.Name) and function.id == LISTING for function in calls)
    return Parsed(hashlib.sha256("".join(parts).encode()).hexdigest(), imports, lists_folder)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    source = "." * node.level + (node.module or "")
    prefix = f"{source}." if node.module else source
    return [source, *(prefix + alias.name for alias in node.names)]


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """A syntax tree's nodes without `if TYPE_CHECKING:`."""
    todo = [node]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            todo += node.orelse
        else:
            yield node
            todo += ast.iter_child_nodes(node)


def _serialize(node: Any, parts: list[str]) -> None:
    """Append a syntax tree as text. Fields that are empty are left out: newer Pythons have more of them."""
    if isinstance(node, ast.AST):
        parts.append(f"({type(node).__name__}")
        for name in node._fields:
            if name not in LAYOUT and (value := _meaning(node, name)) not in (None, []):
                parts.append(f" {name}=")
                _serialize(value, parts)
        parts.append(")")
    elif isinstance(node, list):
        for part in node:
            _serialize(part, parts)
        parts.append(";")
    else:
        parts.append(f"{type(node).__name__}:{node!a},")  # not repr, which differs between versions of Unicode


def _meaning(node: ast.AST, field: str) -> Any:
    """A field without a docstring, and an f-string's parts as every Python splits them."""
    value = getattr(node, field, None)
    if field == "body" and isinstance(node, DOCUMENTED):
        return node.body if ast.get_docstring(node, clean=False) is None else node.body[1:]
    if field == "values" and isinstance(node, ast.JoinedStr):
        return _joined(node.values)
    return NoneType if field == "value" and value is None and isinstance(node, ast.Constant) else value


def _joined(parts: list[ast.expr]) -> list[ast.expr]:
    """Neighbouring texts in one, without empty ones."""
    joined: list[ast.expr] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, ast.Constant) and isinstance(last, ast.Constant):
            joined[-1] = ast.Constant(last.value + part.value)  # type: ignore[operator]
        elif not (isinstance(part, ast.Constant) and part.value == ""):
            joined.append(part)
    return joined
