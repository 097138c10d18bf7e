"""Nested mappings as pairs of a dotted key and a value."""

from pipeline.flatten import flatten


def test_keys_are_joined_by_dots_and_a_list_is_one_value() -> None:
    assert dict(flatten({"a": {"b": 1, "c": [1, 2]}, "d": None})) == {"a.b": 1, "a.c": [1, 2], "d": None}


def test_elements_of_lists_have_the_list_s_key() -> None:
    content = {"a": [1, {"b": 2}, ["c"]], "d": (3, [])}
    assert [*flatten(content, into_lists=True)] == [("a", 1), ("a.b", 2), ("a", "c"), ("d", 3)]
    assert [*flatten([1, 2], "x", into_lists=True)] == [("x", 1), ("x", 2)]
