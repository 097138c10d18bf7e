"""Register a run's model; move the alias champion to it only if it is surely better than the present one."""

import argparse
import json
import logging
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModel, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from pipeline.errors import CommandError, PipelineError
from pipeline.evaluation.intervals import CONFIDENCE, GREATER_IS_BETTER, RESAMPLES
from pipeline.files import file_digest
from pipeline.learning.separation import sentence
from pipeline.model.card import FitSummary
from pipeline.redaction import first_line
from pipeline.runs._compare import SEED, compare
from pipeline.runs._find import Store, find, models_of, name_of, open_store, records
from pipeline.tracking.client import store_lock
from pipeline.tracking.names import NOTE

logger = logging.getLogger(__name__)

ALIAS = "champion"
DECIDED = "promotion."  # begins the names of the tags with a decision
FIRST, BETTER, FORCED, REFUSED = "first", "better", "forced", "refused"  # decisions


def run(args: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Whether the run's model is the champion now, and the decision with its numbers."""
    store = open_store()
    found = find(store, args.run)
    name = args.name or store.experiment
    if found.info.status != "FINISHED":
        raise CommandError(f"a run must be FINISHED to be promoted; {name_of(found)} is {found.info.status}")
    with store_lock(store.uri):  # else one of two at once would be compared with a champion that is none any more
        return _promote(store, found, name, args.metric, args.force)


def _promote(store: Store, found: Run, name: str, metric: str, force: bool) -> tuple[bool, dict[str, Any]]:
    champion = _champion(store, name)
    if champion and champion.run_id == found.info.run_id:
        logger.info(f"{name_of(found)} is the champion of {name} already, as version {champion.version}; nothing was changed")
        return True, {"name": name, "version": champion.version, "run": found.info.run_id, "decision": "already"}
    decision = _decide(store, found, champion, metric, force)
    version = _version(store, found, name)
    for old in [tag for tag in version.tags if tag.startswith(DECIDED)]:
        store.client.delete_model_version_tag(name, version.version, old)
    for key, value in decision.items():
        store.client.set_model_version_tag(name, version.version, f"{DECIDED}{key}", value)
    won = decision["decision"] != REFUSED
    if won:
        store.client.set_registered_model_alias(name, ALIAS, version.version)
    logger.info(f"{name_of(found)}, version {version.version} of {name}: {decision['decision']}, {decision['reason']}")
    if won:
        logger.info(f"models:/{name}@{ALIAS}")
    numbers = {"difference": json.loads(decision["difference"])} if "difference" in decision else {}
    return won, {"name": name, "version": version.version, "run": found.info.run_id, **decision, **numbers}


def _champion(store: Store, name: str) -> ModelVersion | None:
    try:
        return store.client.get_model_version_by_alias(name, ALIAS)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # no such model; no such alias
            return None
        raise


def _decide(store: Store, found: Run, champion: ModelVersion | None, metric: str, force: bool) -> dict[str, str]:
    """The decision, its reason and its numbers, as the version's tags."""
    with tempfile.TemporaryDirectory() as temporary:
        candidate = records(store, found, Path(temporary, "candidate"))
        _require_a_best_model(found, candidate.card.ended, force)
        about = {"metric": metric, "run": found.info.run_id, "test_table": candidate.card.data.digest["test"]}
        if champion is None:
            return {**about, "decision": FIRST, "reason": "there was no champion"}
        against = {**about, "champion.run": champion.run_id, "champion.version": str(champion.version)}
        try:
            present = records(store, store.client.get_run(champion.run_id), Path(temporary, "champion"))
            difference = compare(present, candidate)[metric]
        except (PipelineError, MlflowException) as error:
            if force:
                return {**against, "decision": FORCED, "reason": f"not compared: {first_line(error)}"}
            raise CommandError(f"{first_line(error)}: the champion stays, unless you give another --name or --force") from None
    better = difference.sign == (1 if GREATER_IS_BETTER[metric] else -1)
    said = f"{metric} {difference.value:+.4g}, {CONFIDENCE:.0%} interval {difference.low:+.4g} to {difference.high:+.4g}"
    how = {"resamples": str(RESAMPLES), "seed": str(SEED), "confidence": str(CONFIDENCE)}
    numbers = {"difference": json.dumps(asdict(difference)), **how}
    decision = BETTER if better else FORCED if force else REFUSED
    return {**against, "decision": decision, "reason": f"against version {champion.version}: {said}", **numbers}


def _require_a_best_model(run: Run, fit: FitSummary, force: bool) -> None:
    """Raise CommandError where a fit claims to have arrived at a best model, and there is none."""
    found = fit.separation
    if found and fit.stopped_by != "epochs" and not force:
        raise CommandError(
            f"a fit that has arrived must have a finite best model to arrive at; {name_of(run)} has none, for "
            f"{sentence(found)}: train it with model.l2 set, or give --force"
        )


def _served(model: LoggedModel) -> str:
    """SHA-256 of the weights that a model is served with; nothing where they cannot be read."""
    with tempfile.TemporaryDirectory() as temporary, suppress(MlflowException, OSError):
        return file_digest(Path(download_artifacts(f"{model.artifact_location}/artifacts/model.npz", dst_path=temporary)))
    return ""


def _version(store: Store, found: Run, name: str) -> ModelVersion:
    """The version of the registered model that is the run's, made where there is none."""
    if not (":" not in name and "/" not in name):
        raise CommandError(f"a registered model's name must be without : and /; got {name}")
    made = store.client.search_model_versions(f"name = '{name}' and run_id = '{found.info.run_id}'")
    if made:
        return made[0]
    models = models_of(store.client, found)
    if not len(models) > 0:
        raise CommandError(f"a run must have its model in MLflow to be promoted; {name_of(found)} has none")
    model = models[-1]
    if _served(model) != found.data.tags.get("model.sha256"):
        raise CommandError(f"the model of {name_of(found)} in MLflow must be whole; it is damaged")
    if not store.client.search_registered_models(f"name = '{name}'"):
        store.client.create_registered_model(name)
    return store.client.create_model_version(
        name, model.artifact_location, found.info.run_id, description=found.data.tags.get(NOTE), model_id=model.model_id
    )
