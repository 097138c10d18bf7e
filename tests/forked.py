"""Commands in forks of one process that has imported the libraries they import: each starts in a third of a second.

python -m tests.forked      for each line {"argv": [MODULE, ...], "cwd": ..., "env": ...}: [exit code, stdout, stderr]

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
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import IO, Any

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

    def run(self, argv: list[str], cwd: Path, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        """`python -m MODULE ...` in a folder. argv: the module and its arguments."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps({"argv": argv, "cwd": str(cwd), "env": env}), file=self._process.stdin, flush=True)
        return subprocess.CompletedProcess(argv, *json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.communicate()


def serve() -> None:
    for name in IMPORTED:
        import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "pipeline"]:
        del sys.modules[name]
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            if not (child := os.fork()):
                run(**json.loads(line), streams=(out, err))
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            texts = [file.read() for file in (out, err) if not file.seek(0)]
        print(json.dumps([code, *texts]), flush=True)


def run(argv: list[str], cwd: str, env: dict[str, str], streams: tuple[IO[Any], IO[Any]]) -> None:
    """A command, in a fork that ends with it."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, file in enumerate(streams, 1):
        os.dup2(file.fileno(), number)
    sys.path[0] = cwd
    invalidate_caches()
    sys.argv = argv
    code = 1
    try:
        runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve()
