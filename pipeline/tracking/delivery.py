"""How far MLflow has been brought, in a file beside a run's journal; who has it locked sends the run's events."""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Self


@dataclass
class Delivery:
    """The content of that file."""

    delivered: int = 0  # the place in the journal up to which everything was sent, but for `lacking`
    run_id: str = ""
    lacking: dict[str, str] = field(default_factory=dict)  # why MLflow lacks the event that ends at this place, so far
    lost: dict[str, str] = field(default_factory=dict)  # the same, for good
    error: str = ""  # of the last sync; empty if that was well
    failures: int = 0  # syncs that failed, ever
    damaged: int = 0  # lines of the journal that were skipped
    epoch_lines: int = 0  # of the journal, whose points were sent
    is_open: bool = False  # whether an attempt had not ended then

    def is_complete(self, size: int) -> bool:
        """Whether MLflow has all of a journal of this size, and no attempt is open."""
        return self.delivered == size and not self.lacking and not self.is_open

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
        """Into the file that `run_lock` holds."""
        content = json.dumps(asdict(self)).encode()
        os.pwrite(descriptor, content + b" " * max(os.fstat(descriptor).st_size - len(content), 0), 0)
        os.ftruncate(descriptor, len(content))


def delivery_file(journal: Path) -> Path:
    return journal.with_suffix(".delivery.json")


@contextmanager
def run_lock(journal: Path, wait: bool = True) -> Iterator[int | None]:
    """One process at a time sends a run's events: the locked file of its `Delivery`; None where another process holds it."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    path = delivery_file(journal)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                break
        except BlockingIOError:
            os.close(descriptor)
            yield None
            return
        os.close(descriptor)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
