"""Checkpoints: a fit that was killed continues from one, to the same bytes. They are named by the fit's fingerprint."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from pipeline.atomic import atomic_dir, remove_leftovers
from pipeline.errors import ConfigError, PipelineError
from pipeline.learning.model import Checkpoint, Record
from pipeline.learning.optimizer import State

INTERVAL = "PIPELINE_CHECKPOINT_SECONDS"  # the environment variable with the time between two checkpoints
SECONDS = 30.0
STATE = "state."  # begins the names of the optimizer's arrays


class CheckpointFile:
    """The checkpoint of one fit, FOLDER/FINGERPRINT.npz: replaced now and then, deleted when the fit is written.

    warn: gets a sentence where a checkpoint cannot be read, or for the first time not be written; the fit goes on without.
    """

    def __init__(self, folder: Path, fingerprint: str, warn: Callable[[str], None]) -> None:
        self._path, self._seconds, self._warn = folder / f"{fingerprint}.npz", _interval(), warn
        self._next, self._has_failed = time.monotonic() + self._seconds, False

    def read(self) -> Checkpoint | None:
        """What an earlier run of the same fit left; None where there is none, or a damaged one."""
        try:
            with np.load(self._path) as arrays:
                state = {name.removeprefix(STATE): arrays[name] for name in arrays.files if name.startswith(STATE)}
                history = [Record(int(epoch), loss, norm) for epoch, loss, norm in arrays["history"].tolist()]
                return Checkpoint(int(arrays["epoch"]), state, history)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception:  # a damaged zip file may raise anything
            self._warn(f"{self._path} is damaged, so the fit starts from the beginning")
            return None

    def write_if_due(self, epoch: int, state: State, history: Sequence[Record]) -> None:
        if time.monotonic() < self._next:
            return
        rows = np.array([(row.epoch, row.loss, row.gradient_norm) for row in history if row.epoch < epoch]).reshape(-1, 3)
        arrays = {"epoch": np.array(epoch), "history": rows, **{STATE + name: value for name, value in state.items()}}
        try:
            with atomic_dir(self._path.parent) as folder:
                np.savez(folder / self._path.name, **arrays)  # type: ignore[arg-type]
        except (OSError, PipelineError) as error:
            if not self._has_failed:
                self._warn(f"no checkpoint could be written to {self._path}: {error}")
            self._has_failed = True
        self._next = time.monotonic() + self._seconds

    def delete(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            remove_leftovers(self._path.parent)


def _interval() -> float:
    given = os.environ.get(INTERVAL, str(SECONDS))
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise ConfigError(f"{INTERVAL} must be a number of seconds >= 0; got {given}")
    return seconds
