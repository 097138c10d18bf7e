"""The DAG beside the imports that it cannot avoid: `python -c 'import mlflow, torch'`, all of `dvc repro`, and none of it.

python -m benchmarks.dag            three rounds in a clone of this repository's last commit, in a temporary folder
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks._measure import interleaved

ROOT = Path(__file__).resolve().parent.parent


def _run(folder: Path, *command: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, check=True, stdout=subprocess.DEVNULL)


def _forget(folder: Path) -> None:
    """As after the clone: no outputs, no cache, no runs."""
    for made in ("out", ".dvc/cache", ".dvc/tmp", "mlruns/artifacts"):
        shutil.rmtree(folder / made, ignore_errors=True)
    for file in folder.glob("mlruns/mlflow.db*"):
        file.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dag", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as temporary:
        clone = Path(temporary) / "clone"
        _run(ROOT, "git", "clone", "--quiet", str(ROOT), str(clone))

        def whole() -> None:
            _forget(clone)
            _run(clone, "dvc", "repro", "--quiet")

        contenders = {
            "import mlflow, torch": lambda: _run(clone, sys.executable, "-c", "import mlflow, torch"),
            "dvc repro, from nothing": whole,
            "dvc repro, nothing to do": lambda: _run(clone, "dvc", "repro", "--quiet"),
        }
        times = interleaved(contenders, rounds)
    imports = times["import mlflow, torch"].median
    for name, seconds in times.items():
        print(f"{name:26} {seconds!s:28} {seconds.median / imports:.2f} x the imports")


if __name__ == "__main__":
    main()
