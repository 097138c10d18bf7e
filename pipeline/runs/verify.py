"""Hold out/, DVC's metrics and MLflow's runs to the current dvc.lock."""

import argparse
import hashlib
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.config.code import Code
from pipeline.config.files import CODE, read_yaml
from pipeline.config.tracking import stage_tracking
from pipeline.errors import CommandError, PipelineError
from pipeline.files import OUT, file_digest, read_json
from pipeline.model.card import read_card
from pipeline.runs._find import Store, curve, download, name_of, open_store
from pipeline.runs._worktree import dvc
from pipeline.stages import STAGES, Stage
from pipeline.stages.compose import OVERRIDES
from pipeline.tracking.mlflow_run import CURVE, run_with

logger = logging.getLogger(__name__)

LOCK = Path("dvc.lock")
Outs = Mapping[str, str]  # path -> md5, of every out in dvc.lock


def run(args: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Whether all agree, and each drift in a sentence."""
    stages = read_lock()
    outs = outs_of(stages)
    if stage_tracking(OUT).uri is None:
        raise CommandError("tracking.uri must not be null, so that there are runs to verify; it is null")
    store, folders = open_store(), sorted({Path(path).parent for path in outs if Path(path).name == "model.json"})
    changed = [*_overrides(stages), *_code(stages)]
    drifts = [*changed, *_files(outs, "dvc repro" if changed else "dvc checkout"), *_metrics(folders)]
    for folder in folders:
        drifts += _run_drifts(store, folder, outs)
    for drift in drifts:
        logger.info(drift)
    agree = f"{len(outs)} outs, DVC's metrics and {len(folders)} runs in MLflow agree"
    logger.info(f"{len(drifts)} drifts from {LOCK}" if drifts else agree)
    return not drifts, {"outs": len(outs), "models": [folder.name for folder in folders], "drifts": drifts}


def read_lock() -> dict[str, Any]:
    """The stages of dvc.yaml, as dvc.lock has them. Raises CommandError unless it is whole and has every one."""
    locked = read_yaml(LOCK).get("stages")
    if not isinstance(locked, dict):
        raise CommandError(f"{LOCK} must hold stages; it is damaged: run `dvc repro`")
    stages = dvc("stage", "list", "--name-only").split()
    missing = sorted(set(stages) - set(locked))
    if missing:
        raise CommandError(f"{LOCK} must have every stage of dvc.yaml; it lacks {', '.join(missing)}: run `dvc repro`")
    return {name: locked[name] for name in stages}  # DVC leaves those of candidates that are gone in dvc.lock


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
    made, now = _params(stages, "compose", OVERRIDES), read_yaml(OVERRIDES)
    for key in sorted(made.keys() | now.keys()):
        if made.get(key) != now.get(key):
            values = (json.dumps(content.get(key)) for content in (now, made))
            yield "{} has {}: {} and {} in {}; `dvc repro` brings all in line".format(OVERRIDES, key, *values, LOCK)


def _code(stages: Mapping[str, Any]) -> Iterator[str]:
    """The stages whose code is not what it was when they ran: `dvc repro -s STAGE` skips such a stage."""
    code = Code()
    for name in stages:
        stage, _, candidate = name.partition("@")
        if stage == "compose":
            continue
        path = OUT / "config" / (f"{stage}.{candidate}.yaml" if stage == "train" else f"{stage}.yaml")
        if _params(stages, name, path).get(CODE) != code.stage(stage):
            yield f"the code of {name} has changed since it ran; `dvc repro` runs it again"


def _params(stages: Mapping[str, Any], stage: str, path: Path) -> dict[str, Any]:
    try:
        return dict(stages[stage]["params"][str(path)])
    except (KeyError, TypeError):
        raise CommandError(f"{LOCK} must hold the params of {stage}; it is damaged: run `dvc repro`") from None


def _files(outs: Outs, remedy: str) -> Iterator[str]:
    for path, md5 in outs.items():
        if (found := md5_of(Path(path))) != md5:
            yield f"{path} has md5 {found} and {md5} in {LOCK}" if found else f"{path} is gone; `{remedy}` brings it back"


def _metrics(folders: list[Path]) -> Iterator[str]:
    """Where `dvc metrics show` and the files differ."""
    shown = json.loads(dvc("metrics", "show", "--json"))[""]["data"]
    for path in (folder / "metrics.json" for folder in folders):
        of_dvc = shown.get(str(path), {}).get("data")
        if path.is_file() and of_dvc != read_json(path):
            yield f"{path} is not what `dvc metrics show` has: {of_dvc}"


def _run_drifts(store: Store, folder: Path, outs: Outs) -> list[str]:
    """A model's drifts from its run in MLflow; what cannot be read is one, too."""
    try:
        return list(_compared(store, folder, outs))
    except PipelineError as error:
        return [str(error)]


def _compared(store: Store, folder: Path, outs: Outs) -> Iterator[str]:
    found = run_with(store.client, store.experiment_id, read_card(folder).content.fingerprint, None)
    if found is None:
        yield f"{folder} has no run in MLflow; `runs publish` sends it"
        return
    name = name_of(found)
    if found.info.status != "FINISHED":
        yield f"the run of {folder}, {name}, must be FINISHED; it is {found.info.status}"
    with tempfile.TemporaryDirectory() as temporary:
        for stage in STAGES.values():
            if stage.artifacts:
                place = download(store, found, stage.artifacts, Path(temporary))
                different = _different(place, stage, folder, outs)
                yield from (f"{stage.artifacts}/{path.name} of {name} is not {path}" for path in different)
    for metric, value in read_json(folder / "metrics.json").items():
        if (seen := found.data.metrics.get(f"test/{metric}")) != value:
            yield f"test/{metric} of {name} is {seen} in MLflow and {value} in {folder}/metrics.json"
    yield from _curve(store, found.info.run_id, folder, name)


def _different(place: Path, stage: Stage, folder: Path, outs: Outs) -> Iterator[Path]:
    """The stage's files whose artifact, in `place`, is not dvc.lock's or, where the out is their folder, not the file."""
    for path in stage.files(folder):
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
