"""How much of a run's journal MLflow has, in a file beside it. The process that has this file locked sends the run's events."""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self


@dataclass
class Delivery:
    """The content of that file."""

    delivered: int = 0  # the place in the journal up to which everything was sent, but for `lacking`
    settings: dict[str, Any] = field(default_factory=dict)  # of tracking: uri, without credentials, and experiment
    run_id: str = ""  # in this store; empty before the first event was sent
    view: str = ""  # the page on which MLflow compares the run with others, below the server's address
    taken: int = 0  # as `delivered`, of a run that was in the store before and is gone
    lacking: dict[str, str] = field(default_factory=dict)  # why MLflow lacks the event that ends at this place, so far
    lost: dict[str, str] = field(default_factory=dict)  # the same, for good
    error: str = ""  # of the last sync; empty if that was well
    failures: int = 0  # syncs that failed, ever
    damaged: int = 0  # lines of the journal that were skipped
    epoch_lines: int = 0  # of the journal, whose points were sent
    is_open: bool = False  # whether an attempt had not ended then
    sender: str = ""  # the RunSync that was last to send, so that it alone knows what MLflow has

    def is_complete(self, size: int) -> bool:
        """Whether MLflow has all of a journal of this size, and no attempt is open."""
        return self.delivered == size and bool(self.run_id) and not self.lacking and not self.is_open

    def begin_again(self, run_id: str = "", settings: Mapping[str, Any] | None = None) -> None:
        """The store has no run of the journal, or a new one: nothing is delivered yet. Files that MLflow had are not missed."""
        self.taken = max(self.taken, self.delivered if self.run_id else 0)
        self.delivered, self.epoch_lines, self.view = 0, 0, ""
        self.run_id, self.settings = run_id, dict(settings or {})

    @classmethod
    def read(cls, journal: Path) -> Self:
        """Of a file that is not there or cannot be read, nothing is delivered yet."""
        try:
            content = json.loads(delivery_file(journal).read_text(encoding="utf-8"))
            return cls(**{each.name: content[each.name] for each in fields(cls) if each.name in content})
        except (OSError, ValueError, TypeError):
            return cls()

    def lack(self, ends: Iterable[int]) -> str:
        """Why MLflow lacks one of the events that end at these places; empty if it has them all."""
        reasons = {**self.lost, **self.lacking}
        return next((reasons[str(end)] for end in ends if str(end) in reasons), "")

    def write(self, descriptor: int) -> None:
        """Into the file that `locked_run` has locked."""
        content = json.dumps(asdict(self)).encode()
        os.pwrite(descriptor, content + b" " * max(os.fstat(descriptor).st_size - len(content), 0), 0)
        os.ftruncate(descriptor, len(content))


def delivery_file(journal: Path) -> Path:
    return journal.with_suffix(".delivery.json")


@contextmanager
def locked_run(journal: Path, wait: bool) -> Iterator[int]:
    """The file of a run's `Delivery`, open and locked: one process at a time sends a run's events. Raises BlockingIOError where
    another process holds it and is not to be waited for."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    path = delivery_file(journal)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                yield descriptor
                return
        finally:
            os.close(descriptor)
