"""Work side by side: in order, a few items ahead, in the caller's context, and in its thread while items take no time."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from pipeline import threads
from pipeline.threads import side_by_side


def test_results_come_in_order_and_items_are_taken_as_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "threads", lambda: 2)
    taken, names = list[int](), set[str]()

    def items() -> Iterator[int]:
        for i in range(20):
            taken.append(i)
            yield i

    def work(i: int) -> tuple[int, str]:
        names.add(threading.current_thread().name)
        time.sleep(0.004 if i % 2 else 0.002)
        return i, str(np.geterr()["over"])

    with np.errstate(over="ignore"):
        found = side_by_side(work, items())
        assert next(found) == (0, "ignore")
        assert taken == [0]
        assert next(found) == (1, "ignore")
        assert len(taken) < 8
        assert [*found] == [(i, "ignore") for i in range(2, 20)]
    assert 1 < len(names) <= 3  # the caller's, and two


def test_an_error_is_raised_where_its_item_stands() -> None:
    def inverse(x: int) -> float:
        time.sleep(0.002)
        return 1 / x

    found = side_by_side(inverse, [2, 1, 0, 4])
    assert [next(found), next(found)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert [*side_by_side(str, [])] == []


def test_short_work_needs_no_thread() -> None:
    here = threading.current_thread().name
    assert {*side_by_side(lambda _: threading.current_thread().name, range(5))} == {here}
