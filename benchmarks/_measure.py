"""Interleaved timing: the contenders take turns, so that what slows the machine slows them all."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Seconds:
    """Wall-clock times of one contender, in seconds."""

    every: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.every)

    def __str__(self) -> str:
        return f"{self.median:.3g} s ({min(self.every):.3g} to {max(self.every):.3g})"


def interleaved(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Seconds]:
    """Time every contender once a round, in a fixed order."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    return {name: Seconds(tuple(every)) for name, every in times.items()}
