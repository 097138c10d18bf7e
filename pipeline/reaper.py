"""Ends what a process has started and left behind: all that has it as PIPELINE_SUPERVISOR in its environment.

    python -m pipeline.reaper PID STARTED NODE BOOT    wait for the end of that process, then end those, then exit

A worker that waits for its first job has not imported `pipeline` yet, and programs that are not Python's never do.
"""

import sys
import time
from contextlib import suppress

import psutil

from pipeline.processes import GRACE_SECONDS, POLL_SECONDS, SUPERVISOR, Process, is_alive

KILL_SECONDS = 2.0  # from SIGKILL until it is given up


def left_behind(address: str) -> list[psutil.Process]:
    """Which processes have this supervisor."""
    found = []
    for candidate in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if candidate.environ().get(SUPERVISOR) == address:
                found.append(candidate)
    return found


def reap(address: str) -> None:
    """SIGTERM for each once, then SIGKILL for those that are still there; until two searches find none."""
    terminated: set[psutil.Process] = set()
    kill_at = time.monotonic() + GRACE_SECONDS
    searches = 2
    while searches and (now := time.monotonic()) < kill_at + KILL_SECONDS:
        found = left_behind(address)
        searches = 2 if found else searches - 1
        for each in found:
            with suppress(psutil.Error):
                if now >= kill_at:
                    each.kill()
                elif each not in terminated:
                    each.terminate()
        terminated.update(found)
        time.sleep(POLL_SECONDS / 2)


if __name__ == "__main__":
    supervisor = Process(int(sys.argv[1]), sys.argv[2])
    while is_alive(supervisor):
        time.sleep(POLL_SECONDS)
    reap(" ".join(sys.argv[1:]))
