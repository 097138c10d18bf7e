"""Which processes must be running for this one to go on: the dvc above a stage, the command that has started a job.

The package `stages` imports this module before any other, because a process may be orphaned before its first instruction. So
it imports little, and psutil only where there is no /proc.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

SUPERVISOR = "PIPELINE_SUPERVISOR"  # environment variable: "PID STARTED NODE BOOT" of the process to end with; empty: none
NOBODY = {SUPERVISOR: ""}  # in the environment of a process that outlives the command for a moment
POLL_SECONDS = 0.2
GRACE_SECONDS = 5.0  # from SIGTERM to SIGKILL
LOCK_SECONDS = 1.0  # in which another dvc has finished writing its lock file
ENDED = 128 + signal.SIGTERM
PROC = Path("/proc")
ADOPTER = 1  # the PID of the process that becomes the parent of orphans
BOOT = PROC / "sys/kernel/random/boot_id"
HOST = f"{os.uname().nodename} {BOOT.read_text().strip() if BOOT.exists() else ''}"  # this machine since it was last started


class Process(NamedTuple):
    """A process; its start tells it apart from a later one with the same PID."""

    pid: int
    started: str  # in clock ticks since the machine's start, which setting the clock does not change
    host: str = HOST

    @property
    def address(self) -> str:
        """The value of PIPELINE_SUPERVISOR for what is to end with it."""
        return f"{self.pid} {self.started} {self.host}"

    @property
    def tags(self) -> dict[str, str]:
        """As a run in MLflow names it."""
        return {"process": self.address}

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> "Process | None":
        """The one that a run in MLflow names, if it does."""
        pid, started, host = [*tags.get("process", "").split(" ", 2), "", "", ""][:3]
        return cls(int(pid), started, host) if pid.isdecimal() else None

    def state(self) -> str:
        """alive; gone; elsewhere, so that nobody here can tell."""
        if self.host != HOST:  # started again since, or another
            return "gone" if self.host.split(" ")[0] == HOST.split(" ")[0] else "elsewhere"
        return "alive" if is_alive(self) else "gone"


class SupervisorEnded(Exception):
    """A process without which this one must not go on has ended. The message says which."""


def look_up(pid: int) -> tuple[Process, int] | None:
    """The process and its parent's PID; None if it has ended, as a zombie has. Raises OSError where that is hidden."""
    if not (PROC / "self").exists():
        return _look_up_without_proc(pid)
    try:
        state, parent, *more = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else (Process(pid, more[17]), int(parent))


def _look_up_without_proc(pid: int) -> tuple[Process, int] | None:
    import psutil

    try:
        found = psutil.Process(pid)
        ended = found.status() == psutil.STATUS_ZOMBIE
        return None if ended else (Process(pid, str(found.create_time())), found.ppid())
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied as error:
        raise PermissionError(str(error)) from None


def is_alive(process: Process) -> bool:
    """Whether it runs; true, too, where this process cannot know."""
    try:
        found = look_up(process.pid)
    except OSError:
        return True
    return found is not None and found[0] == process


def this_process() -> Process:
    found = look_up(os.getpid())
    assert found
    return found[0]


def ancestors() -> Iterator[Process]:
    """The parent, its parent and so on, as far as they can be seen."""
    pid = os.getppid()
    with suppress(OSError):
        while pid and (found := look_up(pid)):
            yield found[0]
            pid = found[1]


@cache
def dvc_above() -> tuple[Process, ...]:
    """The processes from the parent up to the dvc that runs this process as a stage; empty outside of dvc.

    DVC keeps the PIDs of those who work in a repository in its .dvc/tmp/rwlock. Where none of them is an ancestor, the stage
    was adopted by another process: raises SupervisorEnded.
    """
    if "DVC_STAGE" not in os.environ:
        return ()
    above = tuple(ancestors())
    locks = rwlocks()
    pids = set().union(*map(lock_holders, locks))
    if not pids and [process.pid for process in above[:1]] != [ADOPTER]:
        return _up_to_no_stage(above)
    for count, process in enumerate(above, 1):
        if process.pid in pids:
            return above[:count]
    names = " and ".join(map(str, locks))
    raise SupervisorEnded(
        f"dvc must be running above its stage ({SUPERVISOR}= allows for none); {names} names no process above this one"
    )


def rwlocks() -> list[Path]:
    """Those of the repository around the working directory, which may be an experiment's copy, and of DVC_ROOT."""
    here = Path.cwd()
    around = next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), here)
    found = dict.fromkeys(folder / ".dvc" / "tmp" / "rwlock" for folder in (around, Path(os.environ.get("DVC_ROOT", around))))
    return [path for path in found if path.exists()]


def lock_holders(lock: Path) -> set[int]:
    """The PIDs in an rwlock; none where it is not what DVC 3 writes."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            content = json.loads(lock.read_text(encoding="utf-8"))
            readers = [reader for readers in content.get("read", {}).values() for reader in readers]
            return {int(holder["pid"]) for holder in [*content.get("write", {}).values(), *readers]}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            if time.monotonic() > deadline:
                return set()
            time.sleep(POLL_SECONDS)


def _up_to_no_stage(above: tuple[Process, ...]) -> tuple[Process, ...]:
    """Up to the first ancestor that is not itself part of a stage."""
    import psutil

    with suppress(psutil.Error):
        for count, process in enumerate(above, 1):
            if "DVC_STAGE" not in psutil.Process(process.pid).environ():
                return above[:count]
    return ()


def named_above() -> tuple[Process, ...]:
    """The process that PIPELINE_SUPERVISOR names; none where that is on another machine, out of sight."""
    pid, started, host = (*os.environ.get(SUPERVISOR, "").split(" ", 2), "", "")[:3]
    if not pid or host not in ("", HOST):
        return ()
    return (Process(int(pid) if pid.isdecimal() else 0, started),)


def supervisor() -> Process:
    """The process that this one's publisher serves: the sweep above a job, the dvc above a stage, else this one."""
    with suppress(SupervisorEnded):
        return (named_above() or dvc_above() or (this_process(),))[-1]
    return this_process()


def exit_with_supervisor() -> None:
    """Exit now if a process above has ended, else as soon as one ends. An orphan would write over a later command's files."""
    try:
        above = (*named_above(), *dvc_above())
        for process in above:
            if not is_alive(process):
                raise SupervisorEnded(f"the command that started this process must be running; process {process.pid} has ended")
    except SupervisorEnded as ended:
        with suppress(OSError):
            os.write(2, f"error: {ended}\n".encode())
        os._exit(ENDED)
    if above:
        threading.Thread(target=_exit_with, args=above, daemon=True).start()


def exit_with_command() -> None:
    """The same where this process is a command's own: a job of a sweep, or what dvc runs as a stage by `python -m`."""
    supervised = os.environ.get(SUPERVISOR)
    if supervised or (supervised is None and "DVC_STAGE" in os.environ and sys.argv[:1] == ["-m"]):
        exit_with_supervisor()


def _exit_with(*processes: Process) -> None:
    """By SIGTERM or, if that is not obeyed, by SIGKILL."""
    while all(map(is_alive, processes)):
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def supervising() -> Iterator[None]:
    """All that is started inside the block ends with this process, however this one ends."""
    before, address = os.environ.get(SUPERVISOR), this_process().address
    _start_reaper(address)
    os.environ[SUPERVISOR] = address
    try:
        yield
    finally:
        del os.environ[SUPERVISOR]
        if before is not None:
            os.environ[SUPERVISOR] = before


@cache
def _start_reaper(address: str) -> None:
    """One a process. It ends by itself, after this process."""
    started = subprocess.Popen(
        [sys.executable, "-m", "pipeline.reaper", *address.split(" ")],
        cwd=Path(__file__).resolve().parent.parent,
        env={**os.environ, **NOBODY},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C and a closed terminal end the work, not this
    )
    started.returncode = 0  # it outlives this process, which does not wait for it
