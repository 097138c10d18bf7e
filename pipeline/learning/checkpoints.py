"""Checkpoints: a fit that was killed goes on where it was, to the same bytes. They are named by the fit's fingerprint."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.atomic import atomic_dir, remove_leftovers
from pipeline.errors import ConfigError, PipelineError
from pipeline.learning.fit import Checkpoint, Record
from pipeline.learning.optimizers import State

logger = logging.getLogger(__name__)

INTERVAL = "PIPELINE_CHECKPOINT_SECONDS"  # the environment variable with the time between two checkpoints
SECONDS = 30.0
STATE = "state."  # begins the names of the optimizer's arrays


class CheckpointFile:
    """The checkpoint of one fit, FOLDER/FINGERPRINT.npz: replaced now and then, dropped when the fit is written."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._path, self._seconds, self._failed = folder / f"{fingerprint}.npz", _interval(), False
        self._next = time.monotonic() + self._seconds

    def read(self) -> Checkpoint | None:
        """What an earlier run of the same fit left; None where there is nothing, or nothing whole."""
        try:
            with np.load(self._path) as arrays:
                state = {name.removeprefix(STATE): arrays[name] for name in arrays.files if name.startswith(STATE)}
                history = [Record(int(epoch), loss, norm) for epoch, loss, norm in arrays["history"].tolist()]
                return Checkpoint(int(arrays["epoch"]), state, history)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception:  # a damaged zip file may raise anything
            logger.warning(f"{self._path} is damaged, so the fit starts from the beginning")
            return None

    def keep(self, epoch: int, state: State, history: Sequence[Record]) -> None:
        """Write a checkpoint if it is time. The fit goes on where that fails."""
        if time.monotonic() < self._next:
            return
        rows = [(row.epoch, row.loss, row.gradient_norm) for row in history if row.epoch < epoch]
        arrays = {STATE + name: value for name, value in state.items()}
        try:
            self._write({"epoch": np.array(epoch), "history": np.array(rows).reshape(-1, 3), **arrays})
        except (OSError, PipelineError) as error:
            if not self._failed:
                logger.warning(f"no checkpoint could be written to {self._path}: {error}")
            self._failed = True
        self._next = time.monotonic() + self._seconds

    def _write(self, arrays: Mapping[str, Any]) -> None:
        with atomic_dir(self._path.parent) as made:
            np.savez(made / self._path.name, **arrays)

    def drop(self) -> None:
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
