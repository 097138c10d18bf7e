"""What simulates at length runs only where it is asked for."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import pytest_collection_modifyitems


@pytest.mark.parametrize(
    ("expression", "arguments", "left"),
    [
        ("", ["tests"], ["short"]),
        ("not slow", ["tests"], ["short"]),
        ("evidence", ["tests"], ["short", "long"]),
        ("", ["tests/test_kills.py::test_x"], ["short", "long"]),
    ],
)
def test_evidence_is_left_out_unless_it_is_asked_for(expression: str, arguments: list[str], left: list[str]) -> None:
    left_out: list[Any] = []
    hook = SimpleNamespace(pytest_deselected=lambda items: left_out.extend(items))
    config: Any = SimpleNamespace(option=SimpleNamespace(markexpr=expression), args=arguments, hook=hook)
    markers: dict[str, dict[str, bool]] = {"short": {}, "long": {"evidence": True}}
    items: list[Any] = [SimpleNamespace(name=name, get_closest_marker=own.get) for name, own in markers.items()]
    pytest_collection_modifyitems(config, items)
    assert [item.name for item in items] == left
    assert len(items) + len(left_out) == 2
