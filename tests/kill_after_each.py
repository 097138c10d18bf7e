"""Run a stage in copies of a folder, killed before its first change of the disk, before its second and so on, until it ends.

python -m tests.kill_after_each STAGE ORIGINAL FOLDER MOST [OVERRIDE ...]

The copies are FOLDER/1, FOLDER/2, ...; where there would be more than MOST, as many are chosen with a seed, and the last.
"""

import pipeline.stages  # noqa: F401  pins the kernels, before NumPy is loaded

# isort: split
import json
import os
import random
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import vl_convert

from pipeline.atomic import PREFIX
from tests.chain import composed, run

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Killer:
    """Counts this process's changes of the disk, and kills it before the one of a number; one in a temporary file is none."""

    def __init__(self) -> None:
        self.changes, self.fatal = 0, 0
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
        if event in CHANGES or (writes and PREFIX not in str(arguments[0])):
            self.changes += 1
            if self.changes == self.fatal:
                os.kill(os.getpid(), signal.SIGKILL)


def draw_before_forking() -> None:
    """A chart that this process has drawn is not drawn again: the JavaScript engine of vl-convert does not work in a fork."""
    draw, drawn = vl_convert.vegalite_to_svg, dict[str, str]()

    def draw_once(spec: dict[str, Any]) -> str:
        key = json.dumps(spec, sort_keys=True)
        if key not in drawn:
            drawn[key] = draw(spec)
        return drawn[key]

    vl_convert.vegalite_to_svg = draw_once  # type: ignore[assignment]


def main(stage: str, original: Path, folder: Path, most: int, overrides: list[str]) -> None:
    composed(*overrides)
    draw_before_forking()
    for name in ("imports", "changes"):  # the first run imports and caches, which a run's changes are not to include
        copy, killer = Path(shutil.copytree(original, folder / name)), Killer()
        run(stage, copy, *overrides)
    last = killer.changes + 1
    shutil.rmtree(folder / "imports")
    copy.rename(folder / str(last))
    numbers = random.Random(stage).sample(range(1, last), min(most, last - 1))
    for number in sorted(numbers):
        copy = Path(shutil.copytree(original, folder / str(number)))
        if not (child := os.fork()):
            killer.changes, killer.fatal = 0, number
            run(stage, copy, *overrides)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status == -signal.SIGKILL, status


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
