"""Stages that write a run's journal and processes that sync it, killed at random moments, again and again; then one stage that
ends, and one sync.

python -m tests.tracking.kill_journal SEED KILLS URI MODEL_JSON FOLDER     what it prints last is JSON: what must be in MLflow
"""

import json
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pipeline.tracking.sync  # noqa: F401  so that a child need not import MLflow
from pipeline.atomic import atomic_dir
from pipeline.files import read_json
from pipeline.tracking.events import FAILED, FINISHED, KILLED, Artifacts, Closed, Epoch
from pipeline.tracking.journal import Events, Journal, new_attempt
from pipeline.tracking.sync import sync

EPOCHS = 40
STAGES = ("train", "evaluate")


class Story:
    """What the stages say of one run."""

    def __init__(self, uri: str, model: Path, folder: Path) -> None:
        self.settings, self.card = {"uri": uri, "experiment": "logistic-regression"}, read_json(model)
        self.folder, self.path = folder, Journal.of(self.settings, self.card["fingerprint"]).path

    def work(self, stage: str, reason: str) -> None:
        """A stage, from its beginning to its end; it fails, if there is a reason."""
        opened, journal = new_attempt(stage, self.settings, card=self.card, trains=stage == "train"), Journal(self.path)
        journal.append(opened)
        for epoch in range(EPOCHS if stage == "train" else 0):
            journal.append(Epoch(opened.attempt, epoch, 1 / (epoch + 1), 0.1, time.time()))
            time.sleep(0.002)
        if reason:
            journal.append(Closed(opened.attempt, FAILED, time.time(), reason))
            return
        with atomic_dir(self.folder) as whole:  # as stages write: a file that was linked before keeps its content
            (whole / f"{stage}.txt").write_text(stage)
        made = Artifacts(stage, [self.folder / f"{stage}.txt"], {f"{stage}/x": 0.5})
        journal.append(journal.link(opened.attempt, made))
        journal.append(Closed.finished(opened.attempt))

    def sync(self) -> None:
        sync(Journal(self.path))


def started(task: Callable[[], None]) -> int:
    """The PID of a child that does it."""
    child = os.fork()
    if not child:
        with suppress(Exception):  # the store's
            task()
        os._exit(0)
    return child


def main(seed: int, kills: int, uri: str, model: Path, folder: Path) -> None:
    logging.disable()
    rng, story, killed = random.Random(seed), Story(uri, model, folder), 0
    while killed < kills:
        writer = started(partial(story.work, rng.choice(STAGES), rng.choice(["", "", f"ValueError: {killed}"])))
        syncs = [started(story.sync) for _ in range(rng.choice([0, 1, 1, 2]))]
        time.sleep(rng.uniform(0, 0.4))
        for victim in rng.choice([[writer], syncs, [writer, *syncs]]):
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        for child in (writer, *syncs):
            killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    for stage in STAGES:
        ending = rng.choice([FAILED, FINISHED, KILLED])
        child = started(partial(story.work, stage, "ValueError: last" if ending == FAILED else ""))
        if ending == KILLED:
            time.sleep(0.01)
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    print("killed", killed, flush=True)
    sys.stdin.readline()  # the store is up again
    story.sync()
    events = Journal(story.path).read()
    print(json.dumps({"points": [asdict(point) for point in events.points.values()], **expected(events)}))


def expected(events: Events) -> dict[str, object]:
    """The status and the reason that the journal tells."""
    ends = {stage: attempt.closed[1] for stage, attempt in events.latest().items() if attempt.closed}
    worst = next(end for kind in (FAILED, KILLED, FINISHED) for end in ends.values() if end.ending == kind)
    return {
        "status": worst.ending.upper(),
        "reason": worst.reason,
        "stages": {stage: end.ending for stage, end in ends.items()},
    }


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]), Path(sys.argv[5]))
