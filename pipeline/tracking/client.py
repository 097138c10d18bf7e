"""What a stage reports of its run: events in the run's journal. The work does not wait for MLflow, nor stop with its server;
only a command's end waits, for some seconds, until MLflow has it all."""

import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import uuid4

from pipeline import console
from pipeline.config.tracking import Tracking
from pipeline.model.card import ModelCard
from pipeline.processes import supervising, supervisor, this_process
from pipeline.redaction import scrub
from pipeline.tracking import views
from pipeline.tracking.delivery import Delivery
from pipeline.tracking.events import FAILED, KILLED, Artifacts, Closed, Epoch, Event
from pipeline.tracking.journal import Journal, damage_of, journals, new_attempt
from pipeline.tracking.provenance import environment, provenance
from pipeline.tracking.publisher import ensure_publisher
from pipeline.tracking.store import check_writable

logger = logging.getLogger(__name__)

PARENT = "PIPELINE_PARENT_RUN"  # the environment variable with a sweep's key: its run in MLflow has it as the tag `sweep.run`
WAIT_SECONDS = 4.5  # at a command's end, in all: with what it takes to start the publisher, less than five
FAILING_SECONDS = 3.0  # of them, where MLflow has failed
POLL_SECONDS = 0.05  # at a command's end
CHECK_SECONDS = 1.0  # while a stage works
REMEDY = "the next stage or `python -m pipeline.runs publish` sends what it lacks"


class Tracker:
    """What a stage may report. This one reports nothing: tracking=none."""

    def epoch(self, epoch: int, loss: float, gradient_norm: float) -> None:
        """One point of the curve."""

    def files(self, artifacts: Callable[[], Artifacts]) -> None:
        """Files are complete; `artifacts` reads what MLflow shows of them."""


@dataclass
class Pending:
    """The events of a run that MLflow is to have."""

    journal: Journal
    is_model: bool = False
    end: int = 0  # of what was written of the journal
    is_closed: bool = False  # whether nothing more is written
    unwritten: list[Event] = field(default_factory=list)
    label: str = field(default_factory=console.job.get)  # of the sweep's job that it is in
    delivery: Delivery = field(init=False)  # as it was read last

    def __post_init__(self) -> None:
        self.delivery = Delivery.read(self.journal.path)


class Command:
    """What one command has written and MLflow is to have. Each run is logged once, and a failure until MLflow has caught up."""

    def __init__(self) -> None:
        self._pending: list[Pending] = []
        self._logged: set[str] = set()
        self.is_behind = False
        self._pages: dict[str, None] = {}  # that compare what was delivered with other runs

    def add(self, pending: Pending) -> None:
        self._pending.append(pending)

    def write(self, pending: Pending, *events: Event) -> None:
        """Write events; where the disk is full, with the next ones."""
        pending.unwritten += events
        try:
            if pending.unwritten:
                pending.end = pending.journal.append(*pending.unwritten)
                pending.unwritten.clear()
        except OSError as error:
            self.warn(f"{pending.journal.path} cannot be written: {error.strerror}")

    def check(self) -> None:
        """Log what has become of what was written, without waiting."""
        self._pending = [pending for pending in self._pending if not self._is_delivered(pending)]

    def _is_delivered(self, pending: Pending) -> bool:
        """Whether the stage has ended and MLflow has all of it."""
        before, delivery = pending.delivery, Delivery.read(pending.journal.path)
        pending.delivery = delivery
        if delivery.failures > before.failures:
            self.warn(delivery.error or "it failed, and was asked again")
        if delivery.damaged > before.damaged:
            logger.warning(damage_of(pending.journal.path))
        if pending.unwritten or not 0 < pending.end <= delivery.delivered:
            return False
        if delivery.lacking:
            self.warn(next(iter(delivery.lacking.values())))
            return pending.is_closed
        self.is_behind = False
        if pending.is_model and delivery.run_id not in self._logged:
            self._logged.add(delivery.run_id)
            with console.job_context(pending.label):
                logger.info(f"in MLflow: runs:/{delivery.run_id}")
            self._pages[_page(delivery)] = None
        return pending.is_closed

    def warn(self, reason: object) -> None:
        """Once, until MLflow has caught up."""
        if not self.is_behind:
            logger.warning(f"MLflow is behind, the work goes on and {REMEDY}: {reason}")
        self.is_behind = True

    def ensure_publisher(self) -> None:
        try:
            ensure_publisher(supervisor())
        except OSError as error:
            self.warn(f"the process that speaks to MLflow could not be started: {error}")

    def add_jobs(self, sweep: str) -> None:
        """What MLflow lacks of a sweep's jobs, which ran in processes of their own."""
        known = {pending.journal.path for pending in self._pending}
        for path in journals():
            if path not in known and not Delivery.read(path).is_complete(path.stat().st_size):
                events = Journal(path).read()
                if events.opened and events.opened.sweep == sweep:
                    self.add(Pending(Journal(path), end=events.offset, is_closed=True))

    def wait(self, seconds: float) -> None:
        """Wait so long for MLflow, in all, and less where it fails; log what it lacks then."""
        started = time.monotonic()
        if self._pending:
            self.ensure_publisher()
        for pending in self._pending:
            self.write(pending)  # what a full disk did not take
        while self._pending:
            self.check()
            is_failing = any(pending.delivery.error for pending in self._pending)
            if time.monotonic() - started > (min(seconds, FAILING_SECONDS) if is_failing else seconds):
                break
            time.sleep(POLL_SECONDS)
        if self._pending:
            self.warn("it takes longer than this command waits for it")
        self._pending.clear()
        for page in self._pages:
            logger.info(f"compared with other runs: {page}")
        self._pages.clear()


def _page(delivery: Delivery) -> str:
    """The address of the page that compares a run with others."""
    uri = str(delivery.settings.get("uri"))
    is_served = uri.startswith(("http://", "https://"))
    server = uri.rstrip("/") if is_served else f"http://{views.UI_HOST}:{views.UI_PORT}"
    return f"{server}{delivery.view}{'' if is_served else ', once `make ui` runs'}"


@cache
def command() -> Command:
    """This process's, whatever thread a stage runs in."""
    return Command()


class Run(Tracker):
    """A stage that is tracked: an open attempt in its run's journal."""

    def __init__(self, pending: Pending, attempt: str) -> None:
        self._pending, self._attempt = pending, attempt
        self._next_check = time.monotonic() + CHECK_SECONDS

    def epoch(self, epoch: int, loss: float, gradient_norm: float) -> None:
        event, is_due = Epoch(self._attempt, epoch, loss, gradient_norm, time.time()), time.monotonic() > self._next_check
        if self._pending.unwritten and not is_due:
            self._pending.unwritten.append(event)  # the disk is full: to try with each point would take ever longer
        else:
            command().write(self._pending, event)
        if is_due:
            self._next_check = time.monotonic() + CHECK_SECONDS
            command().check()

    def files(self, artifacts: Callable[[], Artifacts]) -> None:
        event = self._pending.journal.link(self._attempt, artifacts())
        command().write(self._pending, event)

    def close(self, error: BaseException | None) -> None:
        """End the attempt, as an error says."""
        self._pending.is_closed = True
        event = Closed.finished(self._attempt)
        if error is not None:
            reason = ": ".join(filter(None, [type(error).__name__, " ".join(str(error).split())]))
            scrubbed = scrub("".join(traceback.format_exception(error)))
            event = Closed(self._attempt, ending_of(error), time.time(), scrub(reason), scrubbed)
        command().write(self._pending, event)
        command().check()


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
    described = card.to_dict() if tracking.uri is not None else {}
    with _open(tracking, journal, stage, {}, sweep=sweep, candidate=candidate, card=described, trains=trains) as tracker:
        yield tracker


@contextmanager
def _open(tracking: Tracking, journal: Journal, stage: str, tags: Mapping[str, str], **fields: Any) -> Iterator[Tracker]:
    if tracking.uri is None:
        yield Tracker()
        return
    check_writable(tracking)
    command().check()
    opened = new_attempt(stage, tracking.to_dict(), tags={**provenance(), **tags}, environment=environment(), **fields)
    pending = Pending(journal, bool(opened.card))
    command().add(pending)
    command().write(pending, opened)
    command().ensure_publisher()
    run = Run(pending, opened.attempt)
    try:
        yield run
    except BaseException as error:
        run.close(error)
        raise
    run.close(None)


@contextmanager
def track_sweep(tracking: Tracking, name: str, swept: Mapping[str, str] | None = None) -> Iterator[str]:
    """A run above the jobs that start inside the block, and that end with it; FINISHED if none failed. Yields its key.

    swept: the keys in which the jobs differ, and their values as a text.
    """
    key = uuid4().hex
    journal = Journal.of(tracking.to_dict(), sweep=key)
    named = {"name": scrub(name), "swept": {each: scrub(values) for each, values in (swept or {}).items()}}
    source = {"mlflow.source.name": scrub(f"python -m pipeline {' '.join(sys.argv[1:])}")}
    try:
        # The publisher of the jobs is this command's, too: joblib kills what its workers started.
        with supervising(), _open(tracking, journal, "sweep", source, sweep=key, **named):
            os.environ[PARENT] = key
            try:
                yield key
            finally:
                del os.environ[PARENT]
    finally:
        command().add_jobs(key)


def wait_for_delivery(seconds: float = WAIT_SECONDS) -> None:
    """Wait until MLflow has what this command's stages have written, at most so long in all."""
    command().wait(seconds)


def wait_at_end() -> None:
    """The same at the end of this process, unless a command above it goes on."""
    if supervisor() == this_process():
        wait_for_delivery()
