"""Commands in forks of one process that has imported the libraries they import: each starts in a third of a second.

python -m tests.forked      for each line {"commands": [[MODULE, ...], ...], "cwd": ..., "env": ...} a fork that runs them, one
                            after another, and answers with [[exit code, stdout, stderr], ...]

The project's own modules are imported in the fork, from the folder that the command runs in.
"""

import pipeline.stages  # noqa: F401  pins the kernels, before NumPy is loaded

# isort: split
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import import_module, invalidate_caches
from pathlib import Path
from subprocess import CompletedProcess
from typing import IO

from pipeline.stages import STAGES

IMPORTED = (
    *("pipeline.__main__", "pipeline.runs.__main__", "pipeline.tracking.sync", "pipeline.tracking.logged_model"),
    *(f"pipeline.stages.{name}" for name in (*STAGES, "predict")),
    *("jinja2", "matplotlib.backends.backend_agg", "matplotlib.figure", "scipy.optimize", "sklearn.datasets"),
)


class ForkServer:
    """The process, from outside."""

    def __init__(self, cwd: Path, env: dict[str, str]) -> None:
        command = [sys.executable, "-m", "tests.forked"]
        self._process = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, commands: Sequence[Sequence[str]], cwd: Path, env: dict[str, str]) -> list["CompletedProcess[str]"]:
        """`python -m MODULE ...` in a folder, for the module and the arguments of each command."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps({"commands": commands, "cwd": str(cwd), "env": env}), file=self._process.stdin, flush=True)
        ended = json.loads(self._process.stdout.readline())
        return [CompletedProcess(command, *end) for command, end in zip(commands, ended, strict=True)]

    def close(self) -> None:
        self._process.communicate()


def serve() -> None:
    for name in IMPORTED:
        import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "pipeline"]:
        del sys.modules[name]
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as answer:
            if not (child := os.fork()):
                run_all(**json.loads(line), answer=answer)
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code == 0, f"{line} ended with {code}"
            answer.seek(0)
            print(answer.read(), flush=True)


def run_all(commands: list[list[str]], cwd: str, env: dict[str, str], answer: IO[str]) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.path[0] = cwd
    invalidate_caches()
    json.dump([run(command) for command in commands], answer)
    answer.flush()


def run(command: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr, of the processes that it starts, too."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        for number, file in enumerate((out, err), 1):
            os.dup2(file.fileno(), number)
        sys.argv = command
        code = 1
        try:
            runpy.run_module(command[0], run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        texts = [file.read() for file in (out, err) if not file.seek(0)]
    return code, texts[0], texts[1]


if __name__ == "__main__":
    serve()
