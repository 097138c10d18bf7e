"""The digest of code: what counts as code, and that every Python finds the same."""

import pytest

from pipeline.config.syntax import parse

SAMPLE = '''"""A module."""
import math as m  # why
from os import path


class A:
    """A class."""

    x: int = 0x10


async def f(a, /, b=1.50, *c, d=None, **e):
    """A function."""
    try:
        return f"{a!r:>{b}} {c} 'é' " "more" f"{d=}", b"\\x00", 1e400, 2j, ..., None, "None", u"x"
    except* (ValueError, KeyError) as error:
        match a:
            case {"k": [1, *_], **rest} | None if (y := rest):
                return lambda: [z async for z in y if not z]


def g():
    """Only a docstring."""
'''
DIGEST = "478b3b4eafa7462423655222b05bfad253deb1c61a72eddd53a667cfc876352d"


def digest(text: str) -> str:
    return parse(text.encode()).digest


def test_the_digest_is_the_same_on_every_python() -> None:
    assert digest(SAMPLE) == DIGEST


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # why", ""),
        ("A class.", "Another\n\n    sentence."),
        ('    """A function."""\n', ""),
        ('"""A module."""', "# none\n"),
        ("    x: int", "\n\n    x:   int"),
        ("0x10", "16"),
        ("1.50", "1.5"),
        ('"more"', "'more'"),
        ('"more"', '"mo" "re"'),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(old: str, new: str) -> None:
    assert old in SAMPLE
    assert digest(SAMPLE.replace(old, new)) == DIGEST


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("b=1.50", "b=1.51"),
        ("'é'", "'è'"),
        (' "None",', " None,"),
        ("a, /, b", "a, b"),
        ("if not z", "if z"),
        ("1e400", "-1e400"),
        ("import path", "import path as p"),
        ("{a!r", "{a!s"),
    ],
)
def test_everything_else_counts(old: str, new: str) -> None:
    assert old in SAMPLE
    assert digest(SAMPLE.replace(old, new)) != DIGEST
