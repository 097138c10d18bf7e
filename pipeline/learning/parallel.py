"""Sums over blocks of rows, by threads, whose bits do not depend on the number of threads."""

import operator
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache, reduce
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from pipeline.threads import threads

TASKS = 32  # parts that threads take one after the other; a constant, since the number of parts decides the bits
Add = Callable[[Any, Any], Any]


def grouped(blocks: Sequence[Any]) -> list[Sequence[Any]]:
    """At most TASKS tasks: the blocks that a thread takes one after the other."""
    size = -(-len(blocks) // TASKS)
    return [blocks[i : i + size] for i in range(0, len(blocks), size)]


class BlockSum:
    """What a function returns for each block, added in the order of the blocks.

    Each thread has two arrays to write to, so small that they stay in its core's cache. So not for two callers at once.
    """

    def __init__(self, blocks: int, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """shape: of each of the two arrays, (rows of a block, ...)."""
        self._is_one_block = blocks == 1
        self.workspaces = [np.empty((2, *shape), dtype) for _ in range(1 if self._is_one_block else threads())]

    def __call__(self, work: Callable[..., Any], tasks: Sequence[Sequence[Any]], add: Add = operator.add) -> Any:
        """work: takes what a block is made of, and the two arrays, as long as its first part has rows."""
        own, *workspaces = self.workspaces
        if self._is_one_block:
            return work(*tasks[0][0], *own)
        total, remaining = OrderedSum(add), enumerate(tasks)

        def run_tasks(workspace: Any) -> None:
            for i, blocks in remaining:
                total.add(i, reduce(add, (work(*block, *workspace[:, : block[0].shape[0]]) for block in blocks)))

        others = [_pool(len(workspaces)).submit(run_tasks, workspace) for workspace in workspaces]
        try:
            run_tasks(own)
        finally:  # after an error no thread starts another task, and the workspaces are free again
            deque(remaining, maxlen=0)
            wait(others)
        for other in others:
            other.result()
        return total.so_far


class OrderedSum:
    """The sum of numbered parts that come in any order, added in that of their numbers, and each as soon as it can be."""

    def __init__(self, add: Add) -> None:
        self.so_far: Any = None
        self._add, self._next, self._waiting, self._lock = add, 0, dict[int, Any](), Lock()

    def add(self, number: int, part: Any) -> None:
        with self._lock:
            self._waiting[number] = part
            while self._next in self._waiting:
                part = self._waiting.pop(self._next)
                self.so_far = part if self._next == 0 else self._add(self.so_far, part)
                self._next += 1


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, "objective", initializer=np.seterr, initargs=("ignore",))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has no threads of its parent's
