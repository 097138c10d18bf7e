"""What a stage says of its run: events in the run's journal. The work does not wait for MLflow, nor stop with its server; only
a command's end waits, for some seconds, until MLflow shows it all."""

import logging
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any
from uuid import uuid4

from pipeline import console
from pipeline.config.tracking import Tracking
from pipeline.model.card import ModelCard
from pipeline.processes import supervising, supervisor, this_process
from pipeline.redaction import scrub
from pipeline.tracking.delivery import Delivery
from pipeline.tracking.events import FAILED, KILLED, Artifacts, Closed, Epoch, Event, Opened
from pipeline.tracking.journal import Journal, damage_of, new_attempt
from pipeline.tracking.provenance import provenance
from pipeline.tracking.publisher import ensure_publisher
from pipeline.tracking.store import check_writable

logger = logging.getLogger(__name__)

PARENT = "PIPELINE_PARENT_RUN"  # the environment variable with a sweep's key: its run in MLflow has it as the tag `sweep.run`
WAIT_SECONDS = 4.5  # at a command's end, in all: with what it takes to start the publisher, less than five
FAILING_SECONDS = 3.0  # of them, where MLflow has failed
POLL_SECONDS = 0.05  # at a command's end
LOOK_SECONDS = 1.0  # while a stage works
LATER = "the next stage or `python -m pipeline.runs publish` sends what it lacks"


class Tracker:
    """What a stage may say. This one says nothing: tracking=none."""

    def epoch(self, epoch: int, loss: float, gradient_norm: float) -> None:
        """One point of the curve."""

    def files(self, artifacts: Artifacts) -> None:
        """Files are complete."""


class Command:
    """What one command has written and MLflow is to show. Each run is logged once, and a failure until MLflow has caught up."""

    def __init__(self) -> None:
        self._waiting: list[Run] = []
        self._logged: set[str] = set()
        self.is_behind = False

    def add(self, run: "Run") -> None:
        self._waiting.append(run)

    def look(self) -> None:
        """Log what has become of what was written, without waiting."""
        self._waiting = [run for run in self._waiting if not self._is_done(run)]

    def _is_done(self, run: "Run") -> bool:
        """Whether the stage has ended and MLflow has all of it."""
        before, delivery = run.delivery, Delivery.read(run.journal.path)
        run.delivery = delivery
        if delivery.failures > before.failures:
            self.warn(delivery.error or "it failed, and was asked again")
        if delivery.damaged > before.damaged:
            logger.warning(damage_of(run.journal.path))
        if run.unwritten or not 0 < run.end <= delivery.delivered:
            return False
        if delivery.lacking:
            self.warn(next(iter(delivery.lacking.values())))
            return run.is_closed
        self.is_behind = False
        if run.is_model and delivery.run_id not in self._logged:
            self._logged.add(delivery.run_id)
            with console.job_context(run.label):
                logger.info(f"in MLflow: runs:/{delivery.run_id}")
        return run.is_closed

    def warn(self, reason: object) -> None:
        """Once, until MLflow has caught up."""
        if not self.is_behind:
            logger.warning(f"MLflow is behind, the work goes on and {LATER}: {reason}")
        self.is_behind = True

    def ensure_publisher(self) -> None:
        try:
            ensure_publisher(supervisor())
        except OSError as error:
            self.warn(f"the process that speaks to MLflow could not be started: {error}")

    def wait(self, seconds: float) -> None:
        """Wait so long for MLflow, in all, and less where it fails; log what it lacks then."""
        started = time.monotonic()
        if self._waiting:
            self.ensure_publisher()
        for run in self._waiting:
            run.append()  # what a full disk did not take
        while self._waiting:
            self.look()
            is_failing = any(run.delivery.error for run in self._waiting)
            if time.monotonic() - started > (min(seconds, FAILING_SECONDS) if is_failing else seconds):
                break
            time.sleep(POLL_SECONDS)
        if self._waiting:
            self.warn("it takes longer than this command waits for it")
        self._waiting.clear()


@cache
def command() -> Command:
    """This process's, whatever thread a stage runs in."""
    return Command()


class Run(Tracker):
    """A stage that is tracked: an open attempt in its run's journal."""

    def __init__(self, opened: Opened, journal: Journal) -> None:
        self.journal, self.attempt, self.is_model = journal, opened.attempt, bool(opened.card)
        self.label = console.job.get()  # the sweep's job that it is in
        self.delivery = Delivery.read(journal.path)  # as it was looked at last
        self.end = 0  # of what was written
        self.is_closed = False
        self.unwritten: list[Event] = []
        self._next_look = time.monotonic() + LOOK_SECONDS
        command().add(self)
        self.append(opened)

    def append(self, *events: Event) -> None:
        """Write events; where the disk is full, later, with the next one."""
        self.unwritten += events
        try:
            if self.unwritten:
                self.end = self.journal.append(*self.unwritten)
                self.unwritten.clear()
        except OSError as error:
            command().warn(f"{self.journal.path} cannot be written: {error.strerror}")

    def epoch(self, epoch: int, loss: float, gradient_norm: float) -> None:
        event, is_due = Epoch(self.attempt, epoch, loss, gradient_norm, time.time()), time.monotonic() > self._next_look
        if self.unwritten and not is_due:
            self.unwritten.append(event)  # of a full disk: to try with each point would take ever longer
        else:
            self.append(event)
        if is_due:
            self._next_look = time.monotonic() + LOOK_SECONDS
            command().look()

    def files(self, artifacts: Artifacts) -> None:
        self.append(self.journal.keep(self.attempt, artifacts, in_dvc="DVC_STAGE" in os.environ))

    def close(self, error: BaseException | None) -> None:
        """End the attempt, as an error says."""
        self.is_closed = True
        if error is None:
            self.append(Closed.finished(self.attempt))
        else:
            reason = ": ".join(filter(None, [type(error).__name__, " ".join(str(error).split())]))
            shown = scrub("".join(traceback.format_exception(error)))
            self.append(Closed(self.attempt, ending_of(error), time.time(), scrub(reason), shown))
        command().look()


def ending_of(error: BaseException) -> str:
    """failed or killed. Work that failed may end its process by SystemExit, as Hydra does."""
    failed = isinstance(error, Exception) or getattr(error, "code", None) == console.FAILED
    return FAILED if failed else KILLED


@contextmanager
def track(tracking: Tracking, stage: str, card: ModelCard, candidate: str = "", trains: bool = False) -> Iterator[Tracker]:
    """The run of the model that `card` describes, open for one stage. The stage's end is the run's, whatever it is.

    candidate: the model's name in the DAG. trains: this stage makes the model, so its code and packages are the run's.
    """
    journal = Journal.of(tracking.to_dict(), card.fingerprint, sweep := os.environ.get(PARENT, ""))
    with _open(tracking, journal, stage, {}, sweep=sweep, candidate=candidate, card=card.to_dict(), trains=trains) as tracker:
        yield tracker


@contextmanager
def _open(tracking: Tracking, journal: Journal, stage: str, tags: Mapping[str, str], **fields: Any) -> Iterator[Tracker]:
    if tracking.uri is None:
        yield Tracker()
        return
    check_writable(tracking)
    command().look()
    run = Run(new_attempt(stage, tracking.to_dict(), tags={**provenance(), **tags}, **fields), journal)
    command().ensure_publisher()
    try:
        yield run
    except BaseException as error:
        run.close(error)
        raise
    run.close(None)


@contextmanager
def track_sweep(tracking: Tracking, name: str) -> Iterator[str]:
    """A run above the jobs that start inside the block, and that end with it; FINISHED if none failed. Yields its key."""
    key = uuid4().hex
    journal = Journal.of(tracking.to_dict(), sweep=key)
    source = {"mlflow.source.name": scrub(f"python -m pipeline {' '.join(sys.argv[1:])}")}
    # The publisher of the jobs is this command's, too: joblib kills what its workers started.
    with supervising(), _open(tracking, journal, "sweep", source, sweep=key, name=scrub(name)):
        os.environ[PARENT] = key
        try:
            yield key
        finally:
            del os.environ[PARENT]


def wait_for_delivery(seconds: float = WAIT_SECONDS) -> None:
    """Wait until MLflow shows what this command's stages have said, at most so long in all."""
    command().wait(seconds)


def wait_at_end() -> None:
    """The same at the end of this process, unless a command above it goes on."""
    if supervisor() == this_process():
        wait_for_delivery()
