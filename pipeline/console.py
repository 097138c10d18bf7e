"""The terminal: what a stage's command line looks like, and how it ends."""

import argparse
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from pipeline.errors import CommandError, PipelineError
from pipeline.redaction import scrub

FAILED, SIGNALLED, INTERRUPTED = 1, 128, 130  # exit codes; one by a signal is SIGNALLED and its number

label = ""  # what `say` and `warn` put first: which of a sweep's jobs speaks


def parser(module: str, does: str, example: str = "") -> argparse.ArgumentParser:
    """The parser of `python -m pipeline.<module>`."""
    return argparse.ArgumentParser(
        prog=f"python -m pipeline.{module}",
        description=does,
        epilog=f"example: {example}" if example else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


before_exit: list[Callable[[], None]] = []  # what `run` does when the work has ended by itself


def run(main: Callable[[Sequence[str]], None]) -> NoReturn:
    """Run a stage's `main` on the command line's words. What the user can mend ends in one sentence and exit code 1."""
    warnings.showwarning = _show_warning
    signal.signal(signal.SIGTERM, _terminate)
    code = _exit_code(main)
    if code < SIGNALLED:
        with suppress(KeyboardInterrupt, SystemExit):  # the work is done, and its exit code stands
            for callback in before_exit:
                callback()
    sys.exit(code)


def _exit_code(main: Callable[[Sequence[str]], None]) -> int:
    try:
        main(sys.argv[1:])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        tell(error)
        return FAILED
    return 0


def tell(error: Exception) -> None:
    """Why work failed: one sentence where the user can mend it, else, or where it is asked for, the traceback."""
    mendable = isinstance(error, PipelineError | OSError | MemoryError | RecursionError)
    if mendable and os.environ.get("HYDRA_FULL_ERROR") != "1":
        complain(_sentence(error))
    else:
        sys.stderr.write(scrub("".join(traceback.format_exception(error))))


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} cannot be used: {error.strerror}"
    return " ".join(str(error).split()) or "out of memory"


def say(sentence: str, of: str | None = None) -> None:
    """A line of progress, seen at once also where output is piped, and whole where several processes speak. of: the label of
    the job that it is about, if that is not the present one."""
    print(f"{label if of is None else of}{scrub(sentence)}\n", end="", flush=True)


def complain(sentence: str) -> None:
    print(f"{label}error: {scrub(sentence)}", file=sys.stderr)


def warn(sentence: str) -> None:
    print(f"{label}warning: {scrub(sentence)}", file=sys.stderr)


class Progress:
    """How far long work has come: after a second, on one line of a terminal, written over; in a log, a line now and then."""

    TERMINAL_SECONDS, LOG_SECONDS = 1.0, 30.0

    def __init__(self, total: int, done: int = 0) -> None:
        self._total, self._before, self._started, self._shown = total, done, time.monotonic(), False
        self._every = self.TERMINAL_SECONDS if sys.stderr.isatty() else self.LOG_SECONDS
        self._next = self._started + self._every

    def due(self) -> bool:
        """Whether it is time to show something."""
        return time.monotonic() >= self._next

    def show(self, done: int, how: str) -> None:
        """done: epochs of the total; how: what they have reached."""
        now = time.monotonic()
        self._next = now + min(self._every, 0.2) if sys.stderr.isatty() else now + self._every
        rate = (done - self._before) / (now - self._started)
        left = f", {_duration((self._total - done) / rate)} left" if rate else ""
        line = f"{label}epoch {done}/{self._total}, {how}, {rate:.3g} epochs/s{left}"
        self._shown = sys.stderr.isatty()
        if self._shown:
            line = line[: (os.get_terminal_size(sys.stderr.fileno()).columns or 80) - 1]
        print(f"\r{line}\x1b[K" if self._shown else line, end="" if self._shown else "\n", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leave the terminal's line to others."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = False


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns, numbers to four decimals."""
    cells = [list(header), *([f"{v:.4f}" if isinstance(v, float) else str(v) for v in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Where a stage has its configuration from: Hydra overrides, or a file that `compose` wrote."""
    parser.add_argument("overrides", nargs="*", help="Hydra overrides on conf/, such as optimizer.lr=0.5")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="read this file of out/config/ instead (what dvc repro does)"
    )


def parse_configuration(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """The arguments of a stage with `add_configuration`, which takes one or the other."""
    args = parser.parse_args(words)
    if args.config and args.overrides:
        raise CommandError(f"--config takes no overrides; got {' '.join(args.overrides)}")
    return args


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(SIGNALLED + signum)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    warn(" ".join(str(message).split()))
