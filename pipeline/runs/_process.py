"""Whether the process that a run names as its own still works at it."""

import platform
from collections.abc import Mapping

import psutil

from pipeline.tracking.provenance import host, process

CLOCK_SECONDS = 2.0  # by how much the same process's start may be told differently after the clock was set


def state(run_tags: Mapping[str, str]) -> str:
    """alive; gone; elsewhere, so that nobody here can tell; or unknown, where the run names no process."""
    if not process().keys() <= run_tags.keys():
        return "unknown"
    machine = run_tags["process.host"]
    if machine != host():  # started again since, or another
        return "gone" if machine.split(" ")[0] == platform.node() else "elsewhere"
    return "alive" if _alive(int(run_tags["process.pid"]), float(run_tags["process.started"])) else "gone"


def _alive(pid: int, started: float) -> bool:
    try:
        found = psutil.Process(pid)
        return bool(found.status() != psutil.STATUS_ZOMBIE and abs(found.create_time() - started) < CLOCK_SECONDS)
    except psutil.NoSuchProcess:
        return False
