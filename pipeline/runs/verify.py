"""Hold out/, DVC's metrics and MLflow's runs to the current dvc.lock."""

import argparse
import hashlib
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.config.schema import read_yaml
from pipeline.errors import CommandError, PipelineError
from pipeline.files import OUT, file_digest, read_json
from pipeline.model.card import read_card
from pipeline.runs._find import STAGE_FILES, Store, download, name_of, open_store, sent_files
from pipeline.runs._worktree import dvc
from pipeline.stages.compose import OVERRIDES
from pipeline.tracking.client import stage_tracking
from pipeline.tracking.mlflow_run import CURVE, curve, run_with

logger = logging.getLogger(__name__)

LOCK = Path("dvc.lock")
Outs = Mapping[str, str]  # path -> md5, of every out in dvc.lock


def run(args: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Whether all agree, and each drift in a sentence."""
    stages = read_lock()
    outs = outs_of(stages)
    if stage_tracking(OUT).uri is None:
        raise CommandError("tracking.uri must not be null, so that there are runs to verify; it is null")
    store, models = open_store(), sorted({Path(path).parent for path in outs if Path(path).name == "model.json"})
    changed = list(_overrides(stages))
    drifts = [*changed, *_files(outs, "dvc repro" if changed else "dvc checkout"), *_metrics(models)]
    for folder in models:
        drifts += _in_words(store, folder, outs)
    for drift in drifts:
        logger.info(drift)
    agree = f"{len(outs)} outs, DVC's metrics and {len(models)} runs in MLflow agree"
    logger.info(f"{len(drifts)} drifts from {LOCK}" if drifts else agree)
    return not drifts, {"outs": len(outs), "models": [folder.name for folder in models], "drifts": drifts}


def read_lock() -> dict[str, Any]:
    """The stages. Raises CommandError unless dvc.lock is whole and has every stage of dvc.yaml."""
    stages = read_yaml(LOCK).get("stages")
    if not isinstance(stages, dict):
        raise CommandError(f"{LOCK} must hold stages; it is damaged: run `dvc repro`")
    assert isinstance(stages, dict)
    missing = sorted(set(dvc("stage", "list", "--name-only").split()) - set(stages))
    if missing:
        raise CommandError(f"{LOCK} must have every stage of dvc.yaml; it lacks {', '.join(missing)}: run `dvc repro`")
    return stages


def outs_of(stages: Mapping[str, Any]) -> Outs:
    """Raises CommandError where an out lacks its path or md5."""
    try:
        return {out["path"]: out["md5"] for entry in stages.values() for out in entry["outs"]}
    except (KeyError, TypeError):
        raise CommandError(f"{LOCK} must have a path and an md5 of each out; it is damaged: run `dvc repro`") from None


def md5_of(path: Path) -> str:
    """As DVC has it: of a file's bytes, or of the list of a folder's files; nothing where there is neither."""
    if path.is_file():
        return file_digest(path, "md5")
    if not path.is_dir():
        return ""
    files = sorted((file for file in path.rglob("*") if file.is_file()), key=lambda file: file.relative_to(path).as_posix())
    listed = [{"md5": md5_of(file), "relpath": file.relative_to(path).as_posix()} for file in files]
    return hashlib.md5(json.dumps(listed).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _overrides(stages: Mapping[str, Any]) -> Iterator[str]:
    """Where overrides.yaml is not what the outs were made from."""
    try:
        made, now = stages["compose"]["params"][str(OVERRIDES)], read_yaml(OVERRIDES)
    except (KeyError, TypeError):
        raise CommandError(f"{LOCK} must hold the params of compose; it is damaged: run `dvc repro`") from None
    if made != now:
        words = (", ".join(map(str, content.get("overrides") or [])) or "none" for content in (now, made))
        yield "{} has {} and {} in {}; `dvc repro` brings all in line".format(OVERRIDES, *words, LOCK)


def _files(outs: Outs, remedy: str) -> Iterator[str]:
    for path, md5 in outs.items():
        if (found := md5_of(Path(path))) != md5:
            yield f"{path} has md5 {found} and {md5} in {LOCK}" if found else f"{path} is gone; `{remedy}` brings it back"


def _metrics(models: list[Path]) -> Iterator[str]:
    """Where `dvc metrics show` and the files differ."""
    shown = json.loads(dvc("metrics", "show", "--json"))[""]["data"]
    for path in (folder / "metrics.json" for folder in models):
        of_dvc = shown.get(str(path), {}).get("data")
        if path.is_file() and of_dvc != read_json(path):
            yield f"{path} is not what `dvc metrics show` tells: {of_dvc}"


def _in_words(store: Store, folder: Path, outs: Outs) -> list[str]:
    """A model's drifts from its run in MLflow; what cannot be read is one, too."""
    try:
        return list(_run(store, folder, outs))
    except PipelineError as error:
        return [str(error)]


def _run(store: Store, folder: Path, outs: Outs) -> Iterator[str]:
    found = run_with(store.client, store.experiment_id, read_card(folder).content.fingerprint, None)
    if found is None:
        yield f"{folder} has no run in MLflow; `runs publish` sends it"
        return
    name = name_of(found)
    if found.info.status != "FINISHED":
        yield f"the run of {folder}, {name}, must be FINISHED; it is {found.info.status}"
    with tempfile.TemporaryDirectory() as temporary:
        for stage, (artifacts, _) in STAGE_FILES.items():
            place = download(store, found, artifacts, Path(temporary))
            yield from (f"{artifacts}/{path.name} of {name} is not {path}" for path in _others(place, stage, folder, outs))
    for metric, value in read_json(folder / "metrics.json").items():
        if (seen := found.data.metrics.get(f"test/{metric}")) != value:
            yield f"test/{metric} of {name} is {seen} in MLflow and {value} in {folder}/metrics.json"
    yield from _curve(store, found.info.run_id, folder, name)


def _others(place: Path, stage: str, folder: Path, outs: Outs) -> Iterator[Path]:
    """The stage's files whose artifact, in `place`, is not dvc.lock's or, where the out is their folder, not the file."""
    for path in sent_files(stage, folder):
        if md5_of(place / path.name) != outs.get(path.as_posix(), md5_of(path)):
            yield path


def _curve(store: Store, run_id: str, folder: Path, name: str) -> Iterator[str]:
    made = curve(folder)
    for i, key in enumerate(CURVE):
        points = store.client.get_metric_history(run_id, key)
        if {(p.step, p.value) for p in points} != {(epoch, pair[i]) for epoch, pair in made.items()}:
            yield f"the curve {key} of {name} is not that of {folder}/history.csv and its end in {folder}/model.json"
        elif len(points) != len(made):
            yield f"the curve {key} of {name} has double points in MLflow"
