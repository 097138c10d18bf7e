"""Commands in forks of one process that has imported the libraries they import: each starts in a third of a second.

python -m tests.forked ADDRESS     returns when a process in the background listens there; it ends with its last connection

Each connection has a fork. For each line {"commands": [[MODULE, ...], ...], "cwd": ..., "env": ...} a fork of that runs them,
one after another, and answers with [[exit code, stdout, stderr], ...]. The publisher that a command starts is a fork, too: it
has a connection with one line, which comes with the file that it locks and has no answer.

The project's own modules are imported in the fork, from the folder that the command runs in.
"""

import pipeline.stages  # noqa: F401  pins the kernels, before NumPy is loaded

# isort: split
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module, invalidate_caches
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from pipeline.files import ROOT
from pipeline.stages import STAGES

IMPORTED = (
    *("pipeline.__main__", "pipeline.runs.__main__", "pipeline.tracking.sync", "pipeline.tracking.logged_model"),
    *(f"pipeline.stages.{name}" for name in (*STAGES, "predict")),
    *("jinja2", "matplotlib.backends.backend_agg", "matplotlib.figure", "scipy.optimize", "sklearn.datasets"),
    *("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store"),
)
PUBLISHER = "pipeline.tracking.publisher"
BYTES = 2**20  # read at once
FIRST_SECONDS = 60  # until the first connection


class ForkServer:
    """A connection to the process, which is started where none listens."""

    def __init__(self, address: Path, env: dict[str, str]) -> None:
        try:
            self._connection = connect(address)
        except OSError:
            address.unlink(missing_ok=True)
            subprocess.run([sys.executable, "-m", "tests.forked", address], cwd=ROOT, env=env, check=True)
            self._connection = connect(address)
        self._answers = self._connection.makefile()

    def run(self, commands: Sequence[Sequence[str]], cwd: Path, env: Mapping[str, str]) -> list["CompletedProcess[str]"]:
        """`python -m MODULE ...` in a folder, for the module and the arguments of each command."""
        self._connection.sendall(request(commands, cwd, env))
        answer = self._answers.readline()
        assert answer, f"a fork has ended; {self._connection.getpeername()}.log says why"
        ended = json.loads(answer)
        return [CompletedProcess(command, *end) for command, end in zip(commands, ended, strict=True)]

    def close(self) -> None:
        self._answers.close()
        self._connection.close()


def connect(address: Path) -> socket.socket:
    """Raises OSError where no process listens, or one that is about to end."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(address))
        if not connection.recv(1):
            raise ConnectionResetError(str(address))
    except OSError:
        connection.close()
        raise
    return connection


def request(commands: Sequence[Sequence[str]], cwd: Path, env: Mapping[str, str]) -> bytes:
    return json.dumps({"commands": commands, "cwd": str(cwd), "env": dict(env)}).encode() + b"\n"


class Popen(subprocess.Popen[Any]):
    """What a command starts; a publisher as a fork of the process at `address`."""

    address: Path

    def __init__(self, args: Any, **how: Any) -> None:
        if not isinstance(args, list) or args[1:3] != ["-m", PUBLISHER]:
            super().__init__(args, **how)
            return
        with connect(self.address) as connection:
            line = request([args[2:]], how["cwd"], how["env"])
            socket.send_fds(connection, [line], how["pass_fds"])


def main(address: Path) -> None:
    for name in IMPORTED:
        import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "pipeline"]:
        del sys.modules[name]
    gc.freeze()
    Popen.address = address
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        if not os.fork():
            with open(f"{address}.log", "w") as log, open(os.devnull) as nothing:
                for number, file in enumerate((nothing, log, log)):
                    os.dup2(file.fileno(), number)
            accept(listener)


def accept(listener: socket.socket) -> None:
    """A fork for each connection, until the last of them has ended."""
    signal.signal(signal.SIGCHLD, exit_with_last)
    signal.alarm(FIRST_SECONDS)
    while True:
        connection = listener.accept()[0]
        signal.alarm(0)
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            serve(connection)
            os._exit(0)
        connection.close()


def exit_with_last(*_: object) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        os._exit(0)


def serve(connection: socket.socket) -> None:
    connection.sendall(b"\n")
    while received := receive(connection):
        asked, files = received
        if files:
            connection.close()
            os.setsid()
            run_all(**asked)
        elif child := os.fork():
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code == 0, f"{asked} ended with {code}"
        else:
            connection.sendall(json.dumps(run_all(**asked)).encode() + b"\n")
            os._exit(0)


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """What is asked, and the files that come with it; None at the end."""
    line, files, *_ = socket.recv_fds(connection, BYTES, 1)
    while line and not line.endswith(b"\n"):
        line += connection.recv(BYTES)
    return (json.loads(line), files) if line else None


def run_all(commands: list[list[str]], cwd: str, env: dict[str, str]) -> list[tuple[int, str, str]]:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[0] = cwd
    subprocess.Popen = Popen  # type: ignore[assignment,misc]
    invalidate_caches()
    return [run(command) for command in commands]


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
    main(Path(sys.argv[1]))
