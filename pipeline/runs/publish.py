"""Send to MLflow what it lacks of out/journal/ and of the models' folders in out/, or of those given.

A store that was lost comes back, but for the model registry, old run ids and files that were overwritten. A folder without its
journal brings back neither code.diff nor the environment.
"""

import argparse
import logging
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config.code import numerical_code
from pipeline.config.files import read_yaml
from pipeline.config.tracking import Tracking, stage_tracking, tracking_of
from pipeline.errors import CommandError, PipelineError
from pipeline.files import OUT, ROOT, file_digest, read_json
from pipeline.manifest import DECISION
from pipeline.model.card import ModelCard
from pipeline.processes import Process
from pipeline.runs._command import Subparsers, add_command
from pipeline.runs._journals import Result, attempt, sync_all
from pipeline.runs._model_dirs import curve, models_in, sweep_jobs, sweep_record, validate_model_dir
from pipeline.runs._worktree import commit_of, dvc, worktree
from pipeline.runs.doctor import GONE
from pipeline.stages import STAGES
from pipeline.sweeps.jobs import swept_values
from pipeline.tracking.events import FAILED, FINISHED, KILLED, Artifacts, Closed, Epoch, Event
from pipeline.tracking.journal import Journal, new_attempt
from pipeline.tracking.provenance import COMMIT, provenance
from pipeline.tracking.publisher import wait_for_publishers
from pipeline.tracking.store import absolute_uri, check_writable, project_root

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

logger = logging.getLogger(__name__)

BY = "python -m pipeline.runs publish"


def add_parser(subparsers: Subparsers) -> None:
    examples = ["", "out/models/numpy out/runs/*/models/torch", "--rev HEAD~3"]
    command = add_command(subparsers, run, __doc__, examples, "0 nothing failed; 1 a folder was skipped, as its line says")
    command.add_argument(
        "folders",
        nargs="*",
        type=Path,
        metavar="FOLDER",
        help="a model's, such as out/models/numpy; all in out/ if none is given",
    )
    command.add_argument("--rev", help="publish this commit's results instead, from DVC's cache or remote")


def run(args: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Whether no folder had to be skipped, and what was done about each."""
    if args.rev and args.folders:
        raise CommandError("--rev takes no folders: it publishes all results of a commit")
    wait_for_publishers(project_root())  # what they are sending would be sent twice
    jobs, served = sweep_jobs(OUT), set[str]()
    if args.rev:
        commit = commit_of(args.rev)
        with results_of(commit):
            results = [attempt(folder, partial(_send, folder, jobs, served, commit)) for folder in models_in(OUT)]
    else:
        results = [] if args.folders else sync_all()
        results += [attempt(folder, partial(_send, folder, jobs, served)) for folder in args.folders or models_in(OUT)]
    counts = {how: sum(result["how"] == how for result in results) for how in ("sent", "there", "untracked", "skipped")}
    untracked = f", {counts['untracked']} made with tracking=none, so not to be sent" if counts["untracked"] else ""
    logger.info(f"{counts['sent']} sent, {counts['there']} there already, {counts['skipped']} skipped{untracked}")
    return not counts["skipped"], {**counts, "folders": results}


@contextmanager
def results_of(commit: str) -> Iterator[None]:
    """Inside the block the current folder is a temporary worktree, with out/ from this repository's DVC cache or its remote."""
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
            raise CommandError(f"the results of {commit} must be complete in DVC's cache or its remote; they are not") from None
        with chdir(tree):
            yield


def _send(folder: Path, jobs: dict[Path, Path], served: set[str], commit: str = "") -> Result:
    """Publish one folder. served: the runs of earlier folders; where several folders are of one run, MLflow has the first.
    commit: where it is from if that is not the working tree."""
    from pipeline.tracking.mlflow_run import connect, find, is_below
    from pipeline.tracking.sync import sync

    root = folder.parent.parent
    in_dvc = not (root / "config.yaml").is_file()
    tracking = stage_tracking(root) if in_dvc else _tracking_in(root / "config.yaml")
    if tracking.uri is None:
        return {"how": "untracked"}
    card = validate_model_dir(folder)
    check_writable(tracking)
    client, experiment = connect(absolute_uri(tracking.uri), tracking.experiment)
    sweep = _sweep_of(sweep_record(root, jobs), tracking, client, experiment)
    parent, found, _ = find(client, experiment, card.fingerprint, sweep)
    worker = Process.from_tags(found.data.tags) if found and found.info.status == "RUNNING" else None
    if worker and worker.state() == "alive":
        raise CommandError("its run is still being worked at")
    artifacts = {stage.name: stage.artifacts_of(folder, in_dvc) for stage in STAGES.values() if stage.artifacts}
    lacking = [stage for stage in artifacts if found is None or lacks(client, found, stage, artifacts[stage], in_dvc)]
    if found and ((not lacking and is_below(found, parent)) or found.info.run_id in served):
        served.add(found.info.run_id)
        return {"how": "there", "run": found.info.run_id}
    journal = Journal.of(tracking.to_dict(), card.fingerprint, sweep)
    tags = {**({"dvc.stage": f"train@{folder.name}"} if in_dvc else {}), **({} if found else _source(card, commit))}
    description = {"sweep": sweep, "candidate": folder.name, "card": card.to_dict(), "tags": tags}
    events = list[Event]()
    for stage in lacking or artifacts:
        opened = new_attempt(stage, tracking.to_dict(), **description)
        points = curve(folder).items() if artifacts[stage].is_model else ()
        events += [opened, *(Epoch(opened.attempt, epoch, *pair) for epoch, pair in points)]
        events += [journal.link(opened.attempt, artifacts[stage]), Closed.finished(opened.attempt)]
    journal.append(*events)
    delivery = sync(journal)
    if reason := next(iter(delivery.lacking.values()), ""):
        raise CommandError(reason)
    served.add(delivery.run_id)
    return {"how": "sent", "run": delivery.run_id, "stages": lacking}


def _tracking_in(config: Path) -> Tracking:
    """Where a chain logged that has a configuration of its own."""
    section = read_yaml(config).get("tracking")
    if not isinstance(section, dict):
        raise CommandError(f"{config} must have tracking; it has none")
    return tracking_of(section)


def _source(card: ModelCard, commit: str) -> dict[str, str]:
    """Where a run that is made from files comes from. The code that made them is named only where it is known."""
    here, known = provenance(), ["mlflow.user", "mlflow.source.type"]
    if commit:
        here |= {COMMIT: commit, "git.dirty": "false"}
    if commit or card.fingerprint_of["code"] == numerical_code():
        known += [COMMIT, "git.dirty"]
    return {**{key: here[key] for key in known if key in here}, "mlflow.source.name": BY}


def _sweep_of(record: Path, tracking: Tracking, client: "MlflowClient", experiment: str) -> str:
    """The key of the sweep that a job belongs to, by its sweep.json; empty of none. Its run is made where there is none."""
    from pipeline.tracking.mlflow_run import sweep_run
    from pipeline.tracking.sync import sync

    if not record.is_file():
        if (record.parent / "multirun.yaml").is_file():
            raise CommandError(f"a sweep's folder must have its sweep.json; {record.parent} has none")
        return ""
    sweep = read_json(record, "name", "run", "jobs", "ending")
    key = str(sweep["run"])
    found = sweep_run(client, experiment, key)
    worker = Process.from_tags(found.data.tags) if found else None
    if found is None or (found.info.status == "RUNNING" and worker and worker.state() == "gone"):
        journal = Journal.of(tracking.to_dict(), sweep=key)
        source = {"mlflow.source.name": f"python -m pipeline -m {sweep['name']}"}
        swept = {name: ",".join(values) for name, values in swept_values(sweep["jobs"]).items()}
        opened = new_attempt("sweep", tracking.to_dict(), sweep=key, name=sweep["name"], swept=swept, tags=source)
        journal.append(opened, Closed(opened.attempt, sweep["ending"], time.time()))
        sync(journal)
    return key


def lacks(client: "MlflowClient", found: "Run", stage: str, artifacts: Artifacts, in_dvc: bool) -> bool:
    """Whether MLflow lacks anything of a stage: its ending, a file, a number, a point of the curve, the model.

    Files are compared by their sizes; those of the DAG, whose report may be another DAG's in MLflow, by their bytes, too.
    """
    from pipeline.tracking.logged_model import has_decision
    from pipeline.tracking.mlflow_run import LOSS, has_file, has_model_files, missing_metrics, models_of

    run_id, ending = found.info.run_id, found.data.tags.get(f"stage.{stage}")
    if ending in (FAILED, KILLED) and found.data.tags.get("reason") != GONE:
        return False  # a later attempt than what made the files, and its success alone mends it
    folders = {artifacts.folder, *(str(Path(text).parent).strip(".") for text in artifacts.texts)}
    sizes = {item.path: item.file_size for folder in folders for item in client.list_artifacts(run_id, folder or None)}
    files = {f"{artifacts.folder}/{path.name}": path for path in artifacts.paths}
    if (
        ending != FINISHED
        or any(sizes.get(name) != path.stat().st_size for name, path in files.items())
        or not sizes.keys() >= artifacts.texts.keys()
        or missing_metrics(found, artifacts.metrics)
        or (in_dvc and not all(has_file(client, run_id, name, file_digest(path)) for name, path in files.items()))
    ):
        return True
    if any(path.name == DECISION for path in artifacts.paths):
        return not any(has_decision(client, model) for model in models_of(client, found))
    if not artifacts.is_model:
        return False
    steps = {point.step for point in client.get_metric_history(run_id, LOSS)}
    models = models_of(client, found)
    return steps != set(curve(artifacts.paths[0].parent)) or not any(has_model_files(client, model) for model in models)
