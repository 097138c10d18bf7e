"""Register a run's model as the champion, but only if it is surely better than the present one, on the same test table.

A refusal registers nothing. What was decided, by which numbers, is in the tags of the model's version.
"""

import argparse
import json
import logging
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import CommandError, PipelineError
from pipeline.evaluation.checks import failed_checks
from pipeline.evaluation.comparison import SEED, SURELY_BETTER, verdict
from pipeline.evaluation.intervals import RESAMPLES, Difference
from pipeline.evaluation.metrics import OBJECTIVE, RANKING_METRICS
from pipeline.files import WEIGHTS_FILE, file_digest, nan_as_none
from pipeline.interval import CONFIDENCE
from pipeline.redaction import first_line
from pipeline.runs._command import RUN, Subparsers, add_command
from pipeline.runs._records import compare, records
from pipeline.text import join_limited
from pipeline.tracking.names import NOTE, WEIGHTS_TAG
from pipeline.tracking.runs import Store, find, name_of, open_store
from pipeline.tracking.store import store_lock

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

logger = logging.getLogger(__name__)

ALIAS = "champion"
TAG_PREFIX = "promotion."  # of a model version's tags that hold the decision
FIRST, BETTER, FORCED, REFUSED = "first", "better", "forced", "refused"  # decisions


def add_parser(subparsers: Subparsers) -> None:
    examples = ["3f2a91", "3f2a91 --name churn --metric roc_auc", "3f2a91 --force"]
    codes = "0 it is the champion; 1 it was refused, and nothing was changed"
    command = add_command(subparsers, run, __doc__, examples, codes)
    command.add_argument("run", metavar="RUN", help=RUN)
    command.add_argument(
        "--name", help="of the registered model, whose champion it is to be; the experiment's name if not given"
    )
    decides = f"what decides, {OBJECTIVE} if not given; one of {', '.join(RANKING_METRICS)}"
    command.add_argument("--metric", choices=RANKING_METRICS, default=OBJECTIVE, metavar="METRIC", help=decides)
    command.add_argument(
        "--force", action="store_true", help="promote it whatever numbers and checks are; the tags of the version record that"
    )


def run(args: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Whether the run's model is the champion now, and the decision with its numbers."""
    store = open_store()
    candidate, name = find(store, args.run), args.name or store.experiment
    if candidate.info.status != "FINISHED":
        raise CommandError(f"a run must be FINISHED to be promoted; {name_of(candidate)} is {candidate.info.status}")
    if ":" in name or "/" in name:
        raise CommandError(f"a registered model's name must be without : and /; got {name}")
    with store_lock(store.uri):  # two at once would both be compared with the champion that the first of them replaces
        return _promote(store, candidate, name, args.metric, args.force)


def _promote(store: Store, candidate: "Run", name: str, metric: str, force: bool) -> tuple[bool, dict[str, Any]]:
    champion = _champion(store, name)
    answer = {"name": name, "run": candidate.info.run_id}
    if champion and champion.run_id == candidate.info.run_id:
        version = champion.version
        logger.info(f"{name_of(candidate)} is the champion of {name} already, as version {version}; nothing was changed")
        return True, {**answer, "version": version, "decision": "already"}
    decision = _decide(store, candidate, champion, metric, force)
    numbers = {"difference": json.loads(decision["difference"])} if "difference" in decision else {}
    told = f"{decision['decision']}: {decision['reason']}"
    if decision["decision"] == REFUSED:
        logger.info(f"{name_of(candidate)} was not made the champion of {name}; --force does it all the same\n{told}")
        return False, {**answer, "version": None, **decision, **numbers}
    version = _version(store, candidate, name)
    _set_tags(store, version, decision)
    store.client.set_registered_model_alias(name, ALIAS, version.version)
    logger.info(f"{name_of(candidate)} is the champion of {name} now, as version {version.version}\n{told}")
    logger.info(f"models:/{name}@{ALIAS}")
    return True, {**answer, "version": version.version, **decision, **numbers}


def _champion(store: Store, name: str) -> "ModelVersion | None":
    from mlflow.exceptions import MlflowException

    try:
        return store.client.get_model_version_by_alias(name, ALIAS)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # no such model; no such alias
            return None
        raise


def _decide(store: Store, run: "Run", champion: "ModelVersion | None", metric: str, force: bool) -> dict[str, str]:
    """The decision, its reason and its numbers, as the version's tags."""
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as temporary:
        candidate = records(store, run, Path(temporary, "candidate"))
        if not force:
            require_severe_checks(run, candidate.checks)
        tags = {"metric": metric, "run": run.info.run_id, "test_table": candidate.card.data.digest["test"]}
        tags["failed_severe_checks"] = _failed_severe(candidate.checks)
        if champion is None:
            return {**tags, "decision": FIRST, "reason": "there was no champion"}
        tags |= {"champion.run": champion.run_id, "champion.version": str(champion.version)}
        try:
            present = records(store, store.client.get_run(champion.run_id), Path(temporary, "champion"))
            difference = compare(present, candidate)[metric]
        except (PipelineError, MlflowException) as error:
            if force:
                return {**tags, "decision": FORCED, "reason": f"not compared, since {first_line(error)}"}
            raise CommandError(f"{first_line(error)}: the champion stays, unless you give another --name or --force") from None
    return tags | _judge(metric, difference, champion.version, force)


def _judge(metric: str, difference: Difference, against: str, force: bool) -> dict[str, str]:
    found = verdict(metric, difference)
    interval = f"{CONFIDENCE:.0%} interval {difference.low:+.4g} to {difference.high:+.4g}"
    return {
        "decision": BETTER if found == SURELY_BETTER else FORCED if force else REFUSED,
        "reason": f"{metric} {found}, {difference.value:+.4g} against version {against}, {interval}",
        "difference": json.dumps(nan_as_none(asdict(difference))),
        "resamples": str(RESAMPLES),
        "seed": str(SEED),
        "confidence": str(CONFIDENCE),
    }


def _failed_severe(checks: Sequence[dict[str, Any]] | None) -> str:
    """The checks that bar promotion and failed, which --force passes over."""
    if checks is None:
        return "unknown"
    return ", ".join(check["name"] for check in failed_checks(checks, severe=True)) or "none"


def require_severe_checks(run: "Run", checks: Sequence[dict[str, Any]] | None) -> None:
    """Raise CommandError where a check of the run's evaluation failed that bars promotion, or there was none."""
    if checks is None:
        raise CommandError(f"a run must have been checked to be promoted; evaluate {name_of(run)} again, or give --force")
    if failed := failed_checks(checks, severe=True):
        first, names = failed[0], join_limited([check["name"] for check in failed])
        rule = f"a run must pass the checks that bar promotion to be promoted; {name_of(run)} failed {names}"
        raise CommandError(f"{rule}, since {first['sentence']}: {first['advice']}, or give --force")


def _version(store: Store, run: "Run", name: str) -> "ModelVersion":
    """The version of the registered model that is the run's, made where there is none."""
    from mlflow.exceptions import MlflowException

    from pipeline.tracking.mlflow_run import models_of

    versions = store.client.search_model_versions(f"run_id = '{run.info.run_id}'")
    if own := [version for version in versions if version.name == name]:
        return own[0]
    models = models_of(store.client, run)
    if not models:
        raise CommandError(f"a run must have its model in MLflow to be promoted; {name_of(run)} has none")
    model = models[-1]
    if _weights_digest(model) != run.data.tags.get(WEIGHTS_TAG):
        raise CommandError(f"the model of {name_of(run)} in MLflow must hold its weights; they are damaged or missing")
    with suppress(MlflowException):  # it is there
        store.client.create_registered_model(name)
    return store.client.create_model_version(
        name, model.artifact_location, run.info.run_id, description=run.data.tags.get(NOTE), model_id=model.model_id
    )


def _weights_digest(model: "LoggedModel") -> str:
    """SHA-256 of the weights that a model is served with; "" where they cannot be read."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as temporary, suppress(MlflowException, OSError):
        return file_digest(Path(download_artifacts(f"{model.artifact_location}/artifacts/{WEIGHTS_FILE}", dst_path=temporary)))
    return ""


def _set_tags(store: Store, version: "ModelVersion", decision: dict[str, str]) -> None:
    """Write the decision to the version, in place of an earlier one."""
    for old in [tag for tag in version.tags if tag.startswith(TAG_PREFIX)]:
        store.client.delete_model_version_tag(version.name, version.version, old)
    for key, value in decision.items():
        store.client.set_model_version_tag(version.name, version.version, f"{TAG_PREFIX}{key}", value)
