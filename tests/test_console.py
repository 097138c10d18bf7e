"""The terminal: redacted log lines, one line of progress, aligned tables."""

import argparse
import fcntl
import io
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from importlib import import_module
from pathlib import Path

import pytest

from pipeline import console
from pipeline.errors import CommandError, ConfigError
from pipeline.stages import STAGES

COLUMNS = 60
SHOW = """
import logging, sys, time
from pipeline.console import Progress, configure_logging, job_context
configure_logging()
logger = logging.getLogger("pipeline.stages.train")
progress = Progress(300).__enter__()
"""


def terminal_output(code: str, **environment: str) -> str:
    """What a terminal of COLUMNS gets from a program, its stdout and stderr both."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    known = {key: value for key, value in os.environ.items() if key not in ("TERM", "COLUMNS", "LINES", "NO_COLOR")}
    known |= {"TERM": "xterm", **environment}
    subprocess.run([sys.executable, "-c", SHOW + code], stdout=theirs, stderr=theirs, check=True, env=known)
    os.close(theirs)
    received = b""
    while True:
        try:
            received += os.read(ours, 10_000)
        except OSError:  # all is read, and the other end is closed
            os.close(ours)
            return received.decode()


def visible(received: str) -> list[str]:
    """The lines that a terminal shows in the end: a carriage return goes to the line's start, its erasure empties it."""
    lines = []
    for line in received.replace("\r\n", "\n").split("\n"):
        *_, last = line.split(console.ERASED_LINE)
        lines.append(re.sub(r"\x1b\[[\d;]*m", "", last))
    return lines


def test_progress_keeps_to_one_line_of_the_terminal() -> None:
    code = "for epoch in (10, 200): progress.show(epoch, 'loss 0.123456 at 0, gradient 1.2e-05, more')"
    received = terminal_output(code)
    frames = re.sub(r"\x1b\[[\d;]*m", "", received).split(console.ERASED_LINE)[1:]
    assert "\n" not in received
    assert re.fullmatch(r"[╸╺━]{20} epoch 10/300, \d+:\d\d:\d\d left, .*", frames[0])
    assert re.fullmatch(r"[╸╺━]{20} epoch 200/300, \d+:\d\d:\d\d left, loss 0.*", frames[1])
    assert [len(frame) for frame in frames] == [COLUMNS - 1] * 2


def test_what_is_logged_takes_the_line_and_progress_goes_on_below() -> None:
    received = terminal_output(
        "progress.show(10, 'a'); logger.info('Epoch 10, Loss: 0.5'); progress.show(20, 'b'); logger.warning('of a kind')\n"
        "progress.show(30, 'c'); progress.clear(); progress.clear(); logger.info('the end')"
    )
    assert visible(received) == ["Epoch 10, Loss: 0.5", "warning: of a kind", "the end", ""]
    assert received.count("\n") == 3
    assert [f"epoch {epoch}/300" in received for epoch in (10, 20, 30)] == [True] * 3


def test_when_the_fit_has_ended_its_line_is_gone_and_nothing_stays_behind() -> None:
    received = terminal_output(
        "handlers = logging.getLogger('pipeline').handlers; before = [len(handler.filters) for handler in handlers]\n"
        "progress.show(10, 'a'); progress.__exit__()\n"
        "assert [len(handler.filters) for handler in handlers] == [count - 1 for count in before]"
    )
    assert visible(received) == [""]


def test_a_terminal_that_cannot_erase_and_a_log_get_lines_without_control_characters() -> None:
    dumb = terminal_output("progress.show(10, 'a')", TERM="dumb")
    assert re.fullmatch(r"epoch 10/300, .* left, a, .* epochs/s\r\n", dumb)
    done = subprocess.run(
        [sys.executable, "-c", f"{SHOW}\nwith job_context('[3] '): progress.show(10, 'a')\nassert not progress.is_due()"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    assert re.fullmatch(r"\[3\] epoch 10/300, \d+:\d\d:\d\d left, a, \S+ epochs/s\n", done.stderr)


def test_a_table_is_aligned_and_neither_cut_nor_interpreted() -> None:
    rows = [[0, "[b]0.1", 0.123456, "語"], [11, "x" * 300, "", 2]]
    first, second, third = console.table(["job", "[red]lr", "log_loss", "日本"], rows).splitlines()
    assert first == "job  [red]lr" + " " * 295 + "log_loss  日本"
    assert second == "0    [b]0.1" + " " * 296 + "0.1235    語"
    assert third == "11   " + "x" * 300 + "  " + " " * 10 + "2"
    assert console.table(["a\nb", "c"], [["d\te", "f\x07"]]).splitlines() == ["a b  c", "d e  f"]


def test_levels_streams_labels_and_redaction(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SOME_PASSWORD", "hunter2secret")
    logger = logging.getLogger("pipeline.tests")
    with console.job_context("[7] "):
        logger.info("%s at http://ada:pw@host", "seen")
        logger.error("two\nlines with %s", "hunter2secret")
    logging.getLogger("py.warnings").warning("from Python")
    out, err = capsys.readouterr()
    assert out.startswith("[7] seen at http://")
    assert "pw" not in out
    assert err.startswith("[7] error: two lines with ")
    assert "hunter2secret" not in err
    assert err.endswith("\nwarning: from Python\n")
    assert err.count("\n") == 2


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ConfigError("lr must be > 0;\n got -1"), "error: lr must be > 0; got -1\n"),
        (
            FileNotFoundError(2, "No such file", "x.csv"),
            "error: x.csv cannot be used: No such file\n",
        ),
        (MemoryError(), "error: out of memory\n"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(
    error: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    console.log_error(error)
    assert capsys.readouterr().err == sentence
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    try:
        raise error
    except Exception as raised:
        console.log_error(raised)
    assert capsys.readouterr().err.startswith("Traceback (most recent call last):\n")


def test_a_stage_takes_overrides_or_a_file() -> None:
    parser = console.parser("stages.train", "Fit.", "a=1")
    assert parser.prog == "python -m pipeline.stages.train"

    def parsed(*argv: str) -> argparse.Namespace:
        return console.parse_configuration(console.parser("stages.train", "Fit."), argv)

    assert parsed("a=1", "b=2").overrides == ["a=1", "b=2"]
    assert parsed("--config", "x.yaml").config == Path("x.yaml")
    with pytest.raises(CommandError, match="^--config takes no overrides; got a=1$"):
        parsed("--config", "x.yaml", "a=1")


@pytest.mark.parametrize("name", [*STAGES, "predict"])
def test_a_stage_s_help_names_the_command_that_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        import_module(f"pipeline.stages.{name}").main(["--help"])
    shown = capsys.readouterr().out
    commands = re.findall(r"python -m pipeline\.(\S+)", shown)
    assert set(commands) == {f"stages.{name}"}


def test_rich_is_loaded_where_it_is_used_alone() -> None:
    code = "import sys, pipeline.console; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_handler_writes_to_the_stream_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = io.StringIO()
    monkeypatch.setattr(sys, "stdout", elsewhere)
    logging.getLogger("pipeline.tests").info("here")
    assert elsewhere.getvalue() == "here\n"


def test_a_closed_pipe_ends_what_is_shown_and_nothing_else() -> None:
    code = (
        "import logging, pathlib, sys, time\n"
        "from pipeline import console\n"
        "def main(argv):\n"
        "    logger = logging.getLogger('pipeline.stages.train')\n"
        "    for i in range(20): logger.info(str(i)); time.sleep(0.02)\n"
        "    pathlib.Path(argv[0]).touch()\n"
        "console.run(main)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", code, f"{folder}/done"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as work:
            assert work.stdout
            assert work.stderr
            assert work.stdout.readline() == "0\n"
            work.stdout.close()
            assert work.stderr.read() == ""
        assert work.returncode == 0
        assert Path(folder, "done").exists()
