"""Sends to MLflow what it lacks of a run's journal and files. It may be done at any time, by any process, however often: beside
the work, at the next stage, in `runs publish` and `runs doctor`. Nothing else writes to a run.

Each value is there once, whatever is killed and however often it is sent. A point of the curve is known by run, key and step:
MLflow's steps are read before points are sent, under a lock that all processes with one SQLite store share and, with a server,
all of one user on one machine. MLflow itself refuses no point that it has, so where two machines send the same point of one run
to one server in the same moment, it may be there twice; `runs verify` names that.
"""

import json
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun

from pipeline.config.tracking import tracking_of
from pipeline.evaluation.metrics import OBJECTIVE
from pipeline.manifest import DECISION
from pipeline.model.card import ModelCard, read_card
from pipeline.redaction import first_line
from pipeline.tracking import mlflow_run, views
from pipeline.tracking.delivery import Delivery, locked_run
from pipeline.tracking.events import FAILED, FINISHED, KILLED, Files, Opened
from pipeline.tracking.journal import Attempt, Events, Journal, damage_of
from pipeline.tracking.logged_model import dataset_of, log_dataset, log_decision, log_model, logged_model
from pipeline.tracking.names import WEIGHTS_TAG
from pipeline.tracking.provenance import capture_lineage
from pipeline.tracking.store import absolute_uri, check_writable, store_lock

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 1.0  # in which a server that answers again does what was asked of it before
UNPUBLISHED = "unpublished"  # how a stage ends whose files MLflow could not take
MAX_REASON = 500  # letters
FIRST_METRIC = f"test/{OBJECTIVE}"  # nan until it is known: MLflow's page compares two runs by what they had first
OPENED = "opened"  # the tag that says when the latest attempt at each stage began
# The run's status, by the worst that its stages' latest attempts are.
STATUSES = {"running": "RUNNING", FAILED: "FAILED", KILLED: "KILLED", UNPUBLISHED: "FAILED", FINISHED: "FINISHED"}


def sync(journal: Journal) -> Delivery:
    """Send what MLflow lacks of a run. Raises what the store raises; see `Delivery.lacking` for what it alone did not take."""
    opened = RunSync(journal)
    opened.deliver()
    return opened.delivery


class RunSync:
    """Sends a run's events, each time `deliver` is called, and keeps in between what it knows of the run."""

    def __init__(self, journal: Journal) -> None:
        self.journal, self.delivery, self.events = journal, Delivery(), Events()
        self._steps: set[int] | None = None  # of the curve, that MLflow has
        self._sender = uuid4().hex

    def deliver(self, events: Events | None = None, *, wait: bool = True, again: bool = False) -> bool:
        """Send what is new, and what MLflow did not take before. Whether there was any, so that the store was asked.

        events: those of the journal that were read already.
        wait: for another process that sends this run's events at the moment; else that raises BlockingIOError.
        again: the store has lost the run, so all is sent.
        """
        with locked_run(self.journal.path, wait) as descriptor:
            self.delivery = Delivery.read(self.journal.path)
            if self.delivery.sender != self._sender:  # another has sent some since, and may not have come to say what
                self._steps, self.delivery.sender = None, self._sender
                self._note(descriptor)
            if again:
                self.delivery.begin_again()
            return self._deliver(events, descriptor)

    def _deliver(self, events: Events | None, descriptor: int) -> bool:
        try:
            self.events = self.journal.close_dead(self.journal.read(events or self.events))
            self.events = capture_lineage(self.journal, self.events)
            if self.delivery.delivered > self.events.offset:  # the journal was removed and made again
                self.delivery = Delivery()
            is_sent = self.delivery.delivered == self.events.offset and not self.delivery.lacking and not self.delivery.error
            opened = None if is_sent else self.events.opened
            if opened:
                self._send(opened)
            self.delivery.delivered, self.delivery.error = self.events.offset, ""
            self.delivery.is_open = self.events.is_open
            if self.events.damaged > self.delivery.damaged:
                logger.warning(damage_of(self.journal.path))
            self.delivery.damaged = self.events.damaged
        except Exception as error:
            self.delivery.error, self._steps = f"{type(error).__name__}: {first_line(error)}", None
            self.delivery.failures += 1
            raise
        finally:
            self._note(descriptor)
        self.journal.discard(self._done(), self.events.attempts)
        return opened is not None

    def _note(self, descriptor: int) -> None:
        """Write down what was delivered. On a full disk that is left out: what is not noted is sent again."""
        with suppress(OSError):
            self.delivery.write(descriptor)

    def _done(self) -> set[str]:
        """The attempts whose links are not needed any more."""
        lacking = {int(end) for end in self.delivery.lacking}
        closed = {id: attempt.files for id, attempt in self.events.attempts.items() if attempt.closed}
        return {id for id, files in closed.items() if lacking.isdisjoint(end for end, _ in files)}

    def _send(self, opened: Opened) -> None:
        tracking = tracking_of(opened.settings)
        check_writable(tracking)
        uri = absolute_uri(tracking.uri or "")
        client, experiment = mlflow_run.connect(uri, tracking.experiment)
        if self.delivery.error:
            time.sleep(SETTLE_SECONDS)  # else a run whose making was asked for would be made twice
        with store_lock(uri):
            first = next(iter(self.events.attempts.values())).opened
            run = mlflow_run.find_or_create(client, experiment, first, opened)
            if run.info.run_id != self.delivery.run_id:
                self.delivery.begin_again(run.info.run_id, opened.settings)
            self._send_points(client, run)
        self._describe(client, run, opened)
        for attempt in self.events.attempts.values():
            for end, files in attempt.files:
                if end > self.delivery.delivered or str(end) in self.delivery.lacking:
                    self._send_files(client, run, attempt, end, files)
            if attempt.closed and attempt.closed[0] > self.delivery.delivered and (traceback := attempt.closed[1].traceback):
                mlflow_run.log_texts(client, run.info.run_id, {f"lineage/traceback.{attempt.opened.stage}.txt": traceback})
        described = client.get_run(run.info.run_id)
        if self.delivery.view != (page := views.page(experiment, views.key_for(described.data.tags))):
            mlflow_run.share_views(client, experiment)
            self.delivery.view = page
        self._set_status(client, described)

    def _send_points(self, client: MlflowClient, run: MlflowRun) -> None:
        """Those of the curve that MLflow lacks. Its history, which may be long, is read only if points were measured anew, and
        again only where its last point is not the one that was sent last: another process has sent some since."""
        if self.events.epoch_lines == self.delivery.epoch_lines:
            return
        last = mlflow_run.last_step(run, mlflow_run.LOSS)
        if self._steps is None or last != max(self._steps, default=None):
            self._steps = {point.step for point in client.get_metric_history(run.info.run_id, mlflow_run.LOSS)}
        missing = [point for step, point in self.events.points.items() if step not in self._steps]
        start = run.info.start_time / 1000
        curve = mlflow_run.CURVE.items()
        points = [(key, getattr(each, name), each.epoch, each.time or start) for each in missing for key, name in curve]
        if not run.data.metrics:
            points.insert(0, (FIRST_METRIC, math.nan, 0, start))
        mlflow_run.log_points(client, run.info.run_id, points)
        self._steps |= {each.epoch for each in missing}
        self.delivery.epoch_lines = self.events.epoch_lines

    def _describe(self, client: MlflowClient, run: MlflowRun, opened: Opened) -> None:
        """Parameters, and where and by what the run was made: as the latest attempt that trains says, else the first of all."""
        if opened.card:
            settings = {f"tracking.{key}": str(value) for key, value in opened.settings.items()}
            mlflow_run.log_params(client, run, {**opened.card["config"], **settings})
        first, *_ = attempts = [attempt.opened for attempt in self.events.attempts.values()]
        training = [each for each in attempts if each.trains]
        if training or mlflow_run.DESCRIBED not in run.data.tags:
            names = [each.candidate for each in attempts if each.candidate]
            tags = (training[-1] if training else first).tags
            mlflow_run.set_tags(client, run, {**tags, **({"candidate": names[-1]} if names else {})})

    def _send_files(self, client: MlflowClient, run: MlflowRun, attempt: Attempt, end: int, files: Files) -> None:
        """One event. What the store does not take of it, though it answers, is noted and keeps nothing else back."""
        for reasons in (self.delivery.lacking, self.delivery.lost):
            reasons.pop(str(end), None)
        if self.events.is_superseded(attempt, files):
            return
        run_id, paths = run.info.run_id, self.journal.linked(files)
        gone = {file["name"]: file["sha256"] for file, path in zip(files.files, paths, strict=True) if not path.exists()}
        lost = [f"{files.folder}/{name}".lstrip("/") for name in gone]
        lost = [name for name in lost if not mlflow_run.has_file(client, run_id, name, gone[Path(name).name])]
        if lost and end > self.delivery.taken:
            self.delivery.lost[str(end)] = f"{lost[0]} was written over or removed before MLflow took it"
            return
        paths = [path for path in paths if path.name not in gone]
        for path in paths:
            with self._noting(client, run_id, end, path):
                client.log_artifact(run_id, str(path), files.folder or None)
        with self._noting(client, run_id, end, self.journal.path):
            mlflow_run.log_texts(client, run_id, files.texts)
            if files.table:
                log_dataset(client, run_id, ModelCard.from_dict(attempt.opened.card), files.table)
            if files.is_model and not gone:
                _delete_lost_models(client, run)
                log_model(client, run_id, read_card(paths[0].parent).content, paths[0].parent)
            if decision := next((path for path in paths if path.name == DECISION), None):
                card = ModelCard.from_dict(attempt.opened.card)
                log_decision(client, run_id, card, files.tags[WEIGHTS_TAG], decision)
            self._send_metrics(client, run, attempt, files, has_model=not (files.is_model and gone))
            mlflow_run.set_tags(client, run, files.tags)

    def _send_metrics(self, client: MlflowClient, run: MlflowRun, attempt: Attempt, files: Files, has_model: bool) -> None:
        """Those of an event. What was measured on a table is the logged model's, too, by which models are searched for.

        has_model: its files are not known to be lost."""
        of: dict[str, str] = {}
        changed = mlflow_run.missing_metrics(run, files.metrics)
        if has_model and files.table and WEIGHTS_TAG in files.tags:
            card = ModelCard.from_dict(attempt.opened.card)
            model = logged_model(client, run.info.run_id, card, files.tags[WEIGHTS_TAG])
            known = {metric.key: metric.value for metric in model.metrics or []}
            changed |= {key: value for key, value in files.metrics.items() if known.get(key) != value and not math.isnan(value)}
            of = {"model_id": model.model_id, **{f"dataset_{key}": v for key, v in dataset_of(card, files.table).items()}}
        times = mlflow_run.times_of(run, files.metrics)  # a value that the run has is not there twice
        for is_number, more in ((True, of), (False, {})):  # of a model, MLflow stores nan as 0
            values = {key: float(value) for key, value in changed.items() if math.isnan(value) != is_number}
            points = [(key, value, 0, times.get(key, files.time)) for key, value in values.items()]
            mlflow_run.log_points(client, run.info.run_id, points, **more)

    @contextmanager
    def _noting(self, client: MlflowClient, run_id: str, end: int, place: Path) -> Iterator[None]:
        """Note what failed inside the block, unless the store does not answer at all."""
        try:
            yield
        except Exception as error:
            client.get_run(run_id)
            remedy = f"to go on without it, remove {place}"
            self.delivery.lacking.setdefault(str(end), f"{place.name} cannot be sent, {first_line(error)}; {remedy}")

    def _set_status(self, client: MlflowClient, run: MlflowRun) -> None:
        """FINISHED only if no stage's latest attempt ended otherwise."""
        tags, stages, reasons, ended = dict[str, str](), dict[str, str](), dict[str, str](), 0
        own = {attempt.opened.time for attempt in self.events.attempts.values()}
        opened: dict[str, float] = json.loads(run.data.tags.get(OPENED, "{}"))
        for stage, attempt in self.events.latest().items():
            known = opened.get(stage, 0.0)
            if known not in own and attempt.opened.time < known:
                continue  # a later one was made elsewhere; in one journal the order of the lines decides, not the clock
            lack = self.delivery.lack(end for end, _ in attempt.files)
            ending = UNPUBLISHED if lack and attempt.ending == FINISHED else attempt.ending
            stages[f"stage.{stage}"] = ending
            opened[stage] = attempt.opened.time
            tags |= {OPENED: json.dumps(opened), **attempt.process.tags}
            if attempt.closed:
                ended = max(ended, round(attempt.closed[1].time * 1000))
                reasons[ending] = lack if ending == UNPUBLISHED else attempt.closed[1].reason
        earlier = {key: value for key, value in run.data.tags.items() if key.startswith("stage.")}
        endings = {**earlier, **stages}.values()
        worst = next((ending for ending in STATUSES if ending in endings), FINISHED)
        if worst != FINISHED and (reason := reasons.get(worst)):
            tags["reason"] = reason[:MAX_REASON]
        mlflow_run.set_tags(client, run, {**tags, **stages})
        if worst == FINISHED and "reason" in run.data.tags:
            client.delete_tag(run.info.run_id, "reason")
        if worst == "running" and run.info.status != "RUNNING":
            client.update_run(run.info.run_id, status="RUNNING")
        elif worst != "running" and (run.info.status != STATUSES[worst] or ended > (run.info.end_time or 0)):
            client.set_terminated(run.info.run_id, STATUSES[worst], ended or None)


def _delete_lost_models(client: MlflowClient, run: MlflowRun) -> None:
    """Delete the run's models whose files are gone: such an entry would pass for a model, and is none."""
    for model in mlflow_run.models_of(client, run):
        if model.status == "READY" and not mlflow_run.has_model_files(client, model):
            client.delete_logged_model(model.model_id)
