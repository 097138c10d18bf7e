"""What simulates at length runs only where it is asked for; each process has long tests first."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import dealt, pytest_collection_modifyitems


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
    items: list[Any] = [item(name, "module", **own) for name, own in markers.items()]
    pytest_collection_modifyitems(config, items)
    assert [item.name for item in items] == left
    assert len(items) + len(left_out) == 2


def item(name: str, module: str, *fixtures: str, **markers: bool) -> Any:
    return SimpleNamespace(name=name, path=module, fixturenames=fixtures, get_closest_marker=markers.get)


def test_long_tests_are_first_of_a_process_s_part_and_those_of_a_module_stay_together() -> None:
    short = [item(f"{module}{i}", module) for module in "abcd" for i in range(3)]
    long = [item(f"b-{i}", "b", slow=True) for i in range(3)] + [item(f"d-{i}", "d", "server") for i in range(2)]
    items = sorted([*short, *long], key=lambda each: each.path)
    assert [each.name for each in dealt(items, 1)] == [each.name for each in [*long, *short]]
    parts = " ".join(each.name for each in dealt(items, 2))
    assert parts == "b-0 b-1 b-2 a0 a1 a2 b0 b1 d-0 d-1 b2 c0 c1 c2 d0 d1 d2"
    for processes in range(1, 20):
        assert sorted(each.name for each in dealt(items, processes)) == sorted(each.name for each in items)
