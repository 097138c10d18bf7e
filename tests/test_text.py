"""Values in sentences stay on one line, are shortened, and are in quotes where they would mislead."""

import pytest

from pipeline.text import count, join_limited, position_of, quote, quote_if_needed, shorten


def test_a_text_is_shortened_and_on_one_line() -> None:
    assert shorten("a\nb", 5) == "a b"
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdefg", 6) == "abcdef..."


@pytest.mark.parametrize("value", ["", " a", "a\nb", "a\x7fb", "a\u2028b", "x" * 61])
def test_a_value_that_would_mislead_is_in_quotes(value: str) -> None:
    assert quote_if_needed(value) == quote(value)
    assert quote(value).isprintable()
    assert len(quote(value)) <= 60 + len("'...'")


def test_other_values_are_shown_as_they_are() -> None:
    assert [quote_if_needed(value) for value in ("é b", 0, 1.5, True)] == ["é b", "0", "1.5", "True"]


def test_names_beyond_a_limit_are_counted() -> None:
    assert join_limited(["a", "b"]) == "a, b"
    assert join_limited([*"abcdefghij"]) == "a, b, c, d, e, f, g, h, i, j"
    assert join_limited([*"abcdefghijkl"]) == "a, b, c, d, e, f, g, h, i, j and 2 more"
    assert join_limited([*"abcd"], 2) == "a, b and 2 more"


@pytest.mark.parametrize(
    ("name", "labels", "position"),
    [
        ("yes", ["no", "yes"], 1),
        ("YES", ["no", " yes"], 1),
        ("1", [0, 1], 1),
        ("1", [-1.0, 1.0], 1),
        ("1e0", ["1.0", "2"], 0),
        ("true", [False, True], 1),
        ("1", [False, True], None),
        ("a", ["a", "A"], 0),
        ("Aa", ["aa", "AA"], None),
        ("maybe", ["no", "yes"], None),
    ],
)
def test_a_label_is_found_by_its_text_its_number_or_apart_from_case(
    name: str, labels: list[object], position: int | None
) -> None:
    assert position_of(name, labels) == position


def test_one_is_no_plural() -> None:
    assert [count(number, "epoch") for number in (0, 1, 2)] == ["0 epochs", "1 epoch", "2 epochs"]
