"""Send to MLflow what it lacks of the files: all of it, where the store is new."""

import argparse
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from pipeline.config.code import numerical_code
from pipeline.config.files import read_yaml
from pipeline.config.tracking import Tracking, stage_tracking, tracking_of
from pipeline.errors import CommandError, PipelineError
from pipeline.files import OUT, ROOT, read_json
from pipeline.model.card import ModelCard
from pipeline.processes import Process
from pipeline.redaction import first_line
from pipeline.runs._find import GONE, curve, jobs_in, models_of, sweep_record
from pipeline.runs._sync import sync_all
from pipeline.runs._validate import validate_model_dir
from pipeline.runs._worktree import commit_of, dvc, worktree
from pipeline.stages import STAGES, evaluate, plot, report, train
from pipeline.tracking.events import Artifacts, Closed, Epoch, Event
from pipeline.tracking.journal import Journal, new_attempt
from pipeline.tracking.mlflow_run import connect, find, sweep_run
from pipeline.tracking.provenance import provenance
from pipeline.tracking.publisher import wait_for_publishers
from pipeline.tracking.sqlite_store import is_of_store
from pipeline.tracking.store import absolute_uri, check_writable
from pipeline.tracking.sync import has_files, sync

logger = logging.getLogger(__name__)

PLACES = ("models/*", "runs/*/models/*", "sweeps/*/*/models/*")  # of models' folders in out/
BY = "python -m pipeline.runs publish"
Result = dict[str, Any]


def run(args: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Whether MLflow shows every folder, and what was done about each."""
    if args.rev and args.folders:
        raise CommandError("--rev takes no folders: it publishes all results of a commit")
    wait_for_publishers()  # what they are sending would be sent twice
    if args.rev:
        commit = commit_of(args.rev)
        with results_of(commit) as out:
            results = [_send(folder, folder.relative_to(out.parent), commit) for folder in models_in(out)]
    else:
        late = [] if args.folders else sync_all()
        results = [*late, *(_send(folder, folder, None) for folder in args.folders or models_in(OUT))]
    counts = {how: sum(result["how"] == how for result in results) for how in ("sent", "there", "untracked", "skipped")}
    untracked = f", {counts['untracked']} made with tracking=none" if counts["untracked"] else ""
    logger.info(f"{counts['sent']} sent, {counts['there']} there already{untracked}, {counts['skipped']} skipped")
    return not counts["skipped"], {**counts, "folders": results}


def models_in(out: Path) -> list[Path]:
    """The folders in out/ that have a model.json, and those of the jobs of its sweeps, wherever these lie."""
    jobs = [job for record in sorted(out.rglob("sweep.json")) for job in jobs_in(record)]
    found = [path for place in PLACES for path in sorted(out.glob(f"{place}/model.json"))]
    found += [path for job in jobs for path in sorted(job.glob("models/*/model.json"))]
    once = dict(zip(map(Path.resolve, reversed(found)), reversed(found), strict=True))
    return [path.parent for path in found if once[path.resolve()] is path]


@contextmanager
def results_of(commit: str) -> Iterator[Path]:
    """out/ as it was at a commit, from this repository's DVC cache or its remote, in a temporary worktree."""
    cache = dvc("cache", "dir")
    with worktree(commit) as tree:
        private = ROOT / ".dvc" / "config.local"  # how remotes are reached
        if private.is_file():
            (tree / ".dvc" / "config.local").write_bytes(private.read_bytes())
        dvc("config", "--local", "cache.dir", cache, cwd=tree)
        if dvc("remote", "list", cwd=tree):
            dvc("fetch", "--quiet", cwd=tree)
        try:
            dvc("checkout", "--quiet", cwd=tree)
        except PipelineError:
            raise CommandError(f"the results of {commit} must be whole in DVC's cache or its remote; they are not") from None
        yield tree / "out"


def _send(folder: Path, shown: Path, commit: str | None) -> Result:
    """Publish one folder; `shown` is its name, `commit` where it is from if that is not the working tree."""
    try:
        result = _sent(folder, commit)
    except Exception as error:
        if not (isinstance(error, PipelineError | OSError) or is_of_store(error)):
            raise
        result = {"how": "skipped", "why": first_line(error).replace(f"{folder}", f"{shown}")}
    told = {
        "sent": "sent {stages}",
        "there": "all is there",
        "untracked": "made with tracking=none, so not to be shown",
        "skipped": "skipped, {why}",
    }[result["how"]]
    where = f" -> runs:/{result['run']}" if "run" in result else ""
    stages = ", ".join(result.get("stages", []))
    logger.info(f"{shown}{where}: {told.format(stages=stages, why=result.get('why'))}")
    return {"folder": str(shown), **result}


def _sent(folder: Path, commit: str | None) -> Result:
    tracking = logged_to(folder.parent.parent)
    if tracking.uri is None:
        return {"how": "untracked"}
    card = validate_model_dir(folder)
    check_writable(tracking)
    client, experiment = connect(absolute_uri(tracking.uri), tracking.experiment)
    key = _sweep_of(sweep_record(folder.parent.parent), tracking, client, experiment)
    _, found = find(client, experiment, card.fingerprint, key)
    worker = Process.from_tags(found.data.tags) if found and found.info.status == "RUNNING" else None
    if worker and worker.state() == "alive":
        raise CommandError("its run is still being worked at")
    lacking = [stage for stage in STAGES if STAGES[stage].artifacts and (not found or lacks(client, found, stage, folder))]
    if not lacking:
        assert found
        return {"how": "there", "run": found.info.run_id}
    journal, in_dvc = (
        Journal.of(tracking.to_dict(), card.fingerprint, key),
        not (folder.parent.parent / "config.yaml").is_file(),
    )
    tags = {**({"dvc.stage": f"train@{folder.name}"} if in_dvc else {}), **({} if found else _source(card, commit))}
    about = {"sweep": key, "candidate": folder.name, "card": card.to_dict(), "tags": tags}
    events = list[Event]()
    for stage in lacking:
        opened = new_attempt(stage, tracking.to_dict(), **about)
        points = curve(folder).items() if stage == "train" else ()
        events += [opened, *(Epoch(opened.attempt, epoch, *pair) for epoch, pair in points)]
        events += [journal.keep(opened.attempt, _artifacts(stage, folder, in_dvc), in_dvc), Closed.finished(opened.attempt)]
    journal.append(*events)
    delivery = sync(journal)
    if reason := next(iter(delivery.lacking.values()), ""):
        raise CommandError(reason)
    return {"how": "sent", "run": delivery.run_id, "stages": lacking}


def _artifacts(stage: str, folder: Path, in_dvc: bool) -> Artifacts:
    if stage == "report":
        return report.artifacts(folder, in_dvc)
    made: Artifacts = {"train": train, "evaluate": evaluate, "plot": plot}[stage].artifacts(folder)
    return made


def logged_to(root: Path) -> Tracking:
    """Where the chain in `root` logged: as its own configuration says or, of the DAG, as `compose` wrote it."""
    own = root / "config.yaml"
    if not own.is_file():
        return stage_tracking(root)
    section = read_yaml(own).get("tracking")
    if not isinstance(section, dict):
        raise CommandError(f"{own} must have tracking; it has none")
    return tracking_of(dict(section or {}))


def _source(card: ModelCard, commit: str | None) -> dict[str, str]:
    """Where a run that is made from files comes from. The code that made them is named only where it is known."""
    here = provenance()
    known = ("mlflow.user", "mlflow.source.type")
    if commit:
        git = {"mlflow.source.git.commit": commit, "git.dirty": "false"}
    elif card.fingerprint_of["code"] == numerical_code():
        git = {key: here[key] for key in ("mlflow.source.git.commit", "git.dirty") if key in here}
    else:
        git = {}
    return {**git, **{key: here[key] for key in known}, "mlflow.source.name": BY}


def _sweep_of(record: Path, tracking: Tracking, client: MlflowClient, experiment: str) -> str:
    """The key of the sweep that a job belongs to, by its sweep.json; empty of none. Its run is made where there is none."""
    if not record.is_file():
        if (record.parent / "multirun.yaml").is_file():
            raise CommandError(f"a sweep's folder must have its sweep.json; {record.parent} has none")
        return ""
    sweep = read_json(record, "name", "run", "ending")
    key = str(sweep["run"])
    found = sweep_run(client, experiment, key)
    worker = Process.from_tags(found.data.tags) if found else None
    if found is None or (found.info.status == "RUNNING" and worker and worker.state() == "gone"):
        journal = Journal.of(tracking.to_dict(), sweep=key)
        source = {"mlflow.source.name": f"python -m pipeline -m {sweep['name']}"}
        opened = new_attempt("sweep", tracking.to_dict(), sweep=key, name=sweep["name"], tags=source)
        journal.append(opened, Closed(opened.attempt, sweep["ending"], time.time()))
        sync(journal)
    return key


def lacks(client: MlflowClient, found: Run, stage: str, folder: Path) -> bool:
    """Whether MLflow does not show a stage whole: its ending, each file by its size, its numbers, its model."""
    artifacts = client.list_artifacts(found.info.run_id, STAGES[stage].artifacts)
    sizes = {Path(item.path).name: item.file_size for item in artifacts}
    known = found.data.tags.get(f"stage.{stage}")
    if known in ("failed", "killed") and found.data.tags.get("reason") != GONE:
        return False  # a later attempt than what made the files, and its success alone mends it
    if known != "finished":
        return True
    if any(sizes.get(path.name) != path.stat().st_size for path in STAGES[stage].files(folder)):
        return True
    if stage == "train":
        return _lacks_training(client, found, folder)
    metrics = read_json(folder / "metrics.json") if stage == "evaluate" else {}
    return any(found.data.metrics.get(f"test/{name}") != value for name, value in metrics.items())


def _lacks_training(client: MlflowClient, found: Run, folder: Path) -> bool:
    steps = {point.step for point in client.get_metric_history(found.info.run_id, "loss")}
    configured = "config.yaml" in [item.path for item in client.list_artifacts(found.info.run_id)]
    is_served = any(has_files(client, model) for model in models_of(client, found))
    return not configured or not is_served or steps != set(curve(folder))
