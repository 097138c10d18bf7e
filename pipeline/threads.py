"""Threads: how many there are to work, and what they do side by side."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")
Result = TypeVar("Result")

SHORT = 1e-3  # seconds, in which a thread hardly begins
MAX_WORKERS = 8  # beyond which reading and writing bound the work


def threads() -> int:
    """The cores that this process may use, at most OMP_NUM_THREADS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(limit))) if limit.isdigit() else cores


def side_by_side(work: Callable[[T], Result], items: Iterable[T]) -> Iterator[Result]:
    """What `work` returns for each item, in their order; only a few items are taken ahead of it.

    It runs in the caller's context, such as NumPy's `errstate`, and in the caller's thread until an item takes long.
    """
    items = iter(items)
    for item in items:
        started = time.perf_counter()
        result = work(item)
        is_long = time.perf_counter() - started > SHORT
        yield result
        if is_long:
            break
    workers, pending = min(threads(), MAX_WORKERS), deque[Future[Result]]()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            pending.append(pool.submit(copy_context().run, work, item))
            if len(pending) > workers + 1:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
