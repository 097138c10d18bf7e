"""The terminal: what is logged there, progress and tables, and how a command line begins and ends."""

import argparse
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import NoReturn, Self, TextIO

from pipeline.errors import CommandError, PipelineError
from pipeline.redaction import scrub

FAILED, SIGNALLED, INTERRUPTED = 1, 128, 130  # exit codes; one by a signal is SIGNALLED and its number
ERASED_LINE = "\r\x1b[2K"  # what makes a terminal erase the line that its cursor is in
PREFIXES = {logging.WARNING: "warning: ", logging.ERROR: "error: "}
job: ContextVar[str] = ContextVar("job", default="")  # the number of the sweep's job that is at work, as "[3] "
logger = logging.getLogger(__name__)


class Redaction(logging.Filter):
    """Takes credentials out of what is logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = scrub(record.getMessage()), ()
        return True


class _Handler(logging.StreamHandler[TextIO]):
    """To what sys.stdout or sys.stderr is when something is logged; a line in one piece, also where several processes write."""

    def __init__(self, name: str) -> None:
        logging.Handler.__init__(self)
        self._name = name
        self.addFilter(Redaction())

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        if isinstance(sys.exception(), BrokenPipeError):  # as after `| head`: the work goes on
            discard_output(self.stream)
        else:
            super().handleError(record)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        stream: TextIO = getattr(sys, self._name)
        return stream

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            text = PREFIXES[record.levelno] + " ".join(text.split())
        return job.get() + text


def discard_output(stream: TextIO) -> None:
    """Let what is still written to a stream that nobody reads go nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def configure_logging() -> None:
    """Progress goes to stdout, warnings and errors to stderr, of this project and of Python."""
    ours = logging.getLogger("pipeline")
    if any(isinstance(handler, _Handler) for handler in ours.handlers):
        return
    progress, problems = _Handler("stdout"), _Handler("stderr")
    progress.addFilter(lambda record: record.levelno < logging.WARNING)
    problems.setLevel(logging.WARNING)
    ours.setLevel(logging.INFO)
    for handler in (progress, problems):
        ours.addHandler(handler)
    logging.getLogger("py.warnings").addHandler(problems)
    logging.captureWarnings(True)


@contextmanager
def job_context(label: str) -> Iterator[None]:
    """What is logged inside the block has this label in front."""
    token = job.set(label)
    try:
        yield
    finally:
        job.reset(token)


def parser(module: str, description: str | None, example: str = "") -> argparse.ArgumentParser:
    """The parser of `python -m pipeline.MODULE`. example: arguments for it."""
    prog = f"python -m pipeline.{module}"
    return argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=example and f"example: {prog} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run(main: Callable[[Sequence[str]], None], at_end: Callable[[], None] = lambda: None) -> NoReturn:
    """Run `main` on the command line's arguments. What the user can mend ends in one sentence and exit code 1.

    at_end: called when the work has ended by itself, well or not; its own end does not change the exit code.
    """
    configure_logging()
    signal.signal(signal.SIGTERM, _terminate)
    code = _exit_code(main)
    if code < SIGNALLED:
        with suppress(KeyboardInterrupt, SystemExit):
            at_end()
    sys.exit(code)


def _exit_code(main: Callable[[Sequence[str]], None]) -> int:
    try:
        main(sys.argv[1:])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        discard_output(sys.stdout)
        return SIGNALLED + signal.SIGPIPE
    except Exception as error:
        log_error(error)
        return FAILED
    return 0


def log_error(error: Exception) -> None:
    """Why work failed: one sentence where the user can mend it, else, or where it is asked for, the traceback."""
    mendable = isinstance(error, PipelineError | OSError | MemoryError | RecursionError)
    if mendable and os.environ.get("HYDRA_FULL_ERROR") != "1":
        logger.error(_sentence(error))
    else:
        sys.stderr.write(scrub("".join(traceback.format_exception(error))))


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} cannot be used: {error.strerror}"
    return " ".join(str(error).split()) or "out of memory"


class Progress:
    """How far work has come, in epochs or rows: after a second, one line of a terminal, written over; in a log, a line now and
    then.

    rich draws the line but does not manage it: its live display ends with a line break, and takes what others print.
    """

    TERMINAL_SECONDS, LOG_SECONDS, REFRESH_SECONDS = 1.0, 30.0, 0.2
    BAR = 20  # letters

    def __init__(self, total: int, done: int = 0, unit: str = "epoch") -> None:
        """total: 0 where it is not known."""
        self._unit = unit
        self._total, self._before, self._started = total, done, time.monotonic()
        self._is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._is_drawn, self._next = False, self._started + (self.TERMINAL_SECONDS if self._is_terminal else self.LOG_SECONDS)

    def __enter__(self) -> Self:
        for handler in logging.getLogger("pipeline").handlers:
            handler.addFilter(self.clear)
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()
        for handler in logging.getLogger("pipeline").handlers:
            handler.removeFilter(self.clear)

    def is_due(self) -> bool:
        """Whether it is time to show something."""
        return time.monotonic() >= self._next

    def show(self, done: int, reached: str) -> None:
        """done: of the total; reached: what the work has come to."""
        now = time.monotonic()
        self._next = now + (self.REFRESH_SECONDS if self._is_terminal else self.LOG_SECONDS)
        rate = (done - self._before) / (now - self._started)
        left = f", {timedelta(seconds=round((self._total - done) / rate))} left" if rate and self._total else ""
        of = f"/{self._total}" if self._total else ""
        line = f"{job.get()}{self._unit} {done}{of}{left}, {reached}, {rate:.3g} {self._unit}s/s"
        if self._is_terminal:
            self._draw(done, line)
        else:
            print(line, file=sys.stderr, flush=True)

    def clear(self, record: logging.LogRecord | None = None) -> bool:
        """Leave the terminal's line to others: as a filter of a handler, to what is logged next, which it lets through."""
        if self._is_drawn:
            self._is_drawn = False
            print(ERASED_LINE, end="", file=sys.stderr, flush=True)
        return True

    def _draw(self, done: int, text: str) -> None:
        from rich.console import Console
        from rich.progress_bar import ProgressBar
        from rich.segment import Segment, Segments

        console = Console(stderr=True)
        bar = console.render(ProgressBar(self._total or None, done, width=self.BAR))
        line = Segment.adjust_line_length([*bar, Segment(f" {text}")], console.width - 1, pad=False)
        print(ERASED_LINE, end="", file=sys.stderr)
        console.print(Segments(line), end="")
        self._is_drawn = True


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns, numbers to four decimals, nothing for None, as wide as it takes. rich's own takes 0.3 ms a row."""
    from rich.cells import cell_len
    from rich.control import strip_control_codes

    def text_of(value: object) -> str:
        text = f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)
        return strip_control_codes(" ".join(text.splitlines()).expandtabs(1))

    texts = [[text_of(value) for value in row] for row in (header, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*texts, strict=True)]
    lines = ("  ".join(text + " " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True)) for row in texts)
    return "\n".join(line.rstrip() for line in lines)


def parse_configuration(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of a stage whose configuration is Hydra overrides, or a file that `compose` wrote."""
    parser.add_argument("overrides", nargs="*", help="Hydra overrides on conf/, such as optimizer.lr=0.5")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="read this file of out/config/ instead (what dvc repro does)"
    )
    args = parser.parse_args(argv)
    if args.config and args.overrides:
        raise CommandError(f"--config takes no overrides; got {' '.join(args.overrides)}")
    return args


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(SIGNALLED + signum)
