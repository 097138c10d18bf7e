"""Run a stage in copies of a folder, killed before its first change of the disk, before its second and so on, until it ends.

python -m tests.kill_after_each STAGE ORIGINAL FOLDER [OVERRIDE ...]     the copies are FOLDER/1, FOLDER/2, ...
"""

import pipeline.stages  # noqa: F401  the door, before NumPy is loaded

# isort: split
import os
import shutil
import signal
import sys
from pathlib import Path

from pipeline.atomic import PREFIX
from tests.chain import composed, run

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def die_before(which: int) -> None:
    """Kill this process where it is about to change the disk for the so-manieth time."""
    changes = 0

    def hook(event: str, words: tuple[object, ...]) -> None:
        nonlocal changes
        writes = event == "open" and isinstance(words[2], int) and words[2] & WRITES
        if event in CHANGES or (writes and PREFIX not in str(words[0])):  # what is written in a temporary folder, nobody reads
            changes += 1
            if changes == which:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main(stage: str, original: Path, folder: Path, overrides: list[str]) -> None:
    composed(*overrides)
    run(stage, Path(shutil.copytree(original, folder / "warm")), *overrides)  # what is imported and cached at first use
    shutil.rmtree(folder / "warm")
    for which in range(1, 1000):
        root = Path(shutil.copytree(original, folder / str(which)))
        if not (child := os.fork()):
            die_before(which)
            run(stage, root, *overrides)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            return
        assert status == -signal.SIGKILL, status


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
