"""The code and the packages of the stage that trains, as files in its run's journal: captured beside the work, which does not
wait for git."""

import time
from contextlib import suppress

from pipeline.tracking.events import Files
from pipeline.tracking.journal import Events, Journal
from pipeline.tracking.provenance import lineage

FOLDER = "lineage"
CURRENT_SECONDS = 10.0  # after a stage's beginning, in which the code is still taken for the one that it runs
UNKNOWN = {"git.diff": "unknown", "git.diff.reason": "the code was not recorded while the stage ran"}


def capture_lineage(journal: Journal, events: Events) -> Events:
    """Append the lineage of the latest attempt that trains, unless it is there; all events then."""
    training = [(id, attempt) for id, attempt in events.attempts.items() if attempt.opened.trains]
    if not training or any(files.folder == FOLDER for _, files in training[-1][1].files):
        return events
    id, attempt = training[-1]
    is_current = time.time() - attempt.opened.time < CURRENT_SECONDS
    with suppress(OSError):  # of a full disk; the next sync tries again
        tags, artifacts = lineage() if is_current else (UNKNOWN, {})
        texts = {f"{FOLDER}/{name}": content.decode(errors="surrogateescape") for name, content in artifacts.items()}
        journal.append(Files(id, FOLDER, time.time(), [], {}, tags, texts, "", False))
        return journal.read(events)
    return events
