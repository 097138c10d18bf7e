"""Compare out/, DVC's metrics, MLflow's runs and the code with the current dvc.lock."""

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
from pipeline.files import HISTORY_FILE, METRICS_FILE, OUT, file_digest, nan_as_none, read_json
from pipeline.manifest import CARD
from pipeline.model.card import read_card
from pipeline.runs._command import Subparsers, add_command
from pipeline.runs._model_dirs import curve
from pipeline.runs._worktree import dvc
from pipeline.stages import STAGES
from pipeline.stages.compose import OVERRIDES
from pipeline.text import count
from pipeline.tracking.runs import Store, download, name_of, open_store

logger = logging.getLogger(__name__)

LOCK = Path("dvc.lock")
Outs = dict[str, str]  # path -> md5, of every out in dvc.lock
Params = dict[str, dict[str, Any]]  # by stage, the content of the file that its params are in: of compose, overrides.yaml


def add_parser(subparsers: Subparsers) -> None:
    add_command(subparsers, run, __doc__, ["", "--json"], "0 all agree; 1 something has drifted, it is named")


def run(args: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Whether all agree, and each drift in a sentence."""
    params, outs = read_lock()
    if stage_tracking(OUT).uri is None:
        raise CommandError("tracking.uri must not be null, so that there are runs to verify; it is null")
    store, folders = open_store(), sorted({Path(path).parent for path in outs if Path(path).name == CARD})
    changed = [*_overrides(params.pop("compose")), *_code(params)]
    drifts = [*changed, *_files(outs, "dvc repro" if changed else "dvc checkout")]
    of_dvc = json.loads(dvc("metrics", "show", "--json")).get("", {}).get("data", {})
    for folder in folders:
        drifts += [*_readable(_metrics(folder, of_dvc)), *_readable(_run(store, folder, outs))]
    for drift in drifts:
        logger.info(drift)
    agree = f"{count(len(outs), 'out')}, DVC's metrics and {count(len(folders), 'run')} in MLflow agree"
    logger.info(f"{count(len(drifts), 'drift')} from {LOCK}" if drifts else agree)
    return not drifts, {"outs": len(outs), "models": [folder.name for folder in folders], "drifts": drifts}


def read_lock() -> tuple[Params, Outs]:
    """What dvc.lock has of the stages of dvc.yaml. Raises CommandError unless it has every one."""
    params, outs = Params(), Outs()
    locked: Any = read_yaml(LOCK).get("stages")
    for name in dvc("stage", "list", "--name-only").split():  # in dvc.lock stand those of candidates that are gone, too
        try:
            (params[name],) = locked[name]["params"].values()
            outs |= {out["path"]: out["md5"] for out in locked[name]["outs"]}
        except (TypeError, KeyError, ValueError, AttributeError):
            raise CommandError(f"{LOCK} must hold the params and outs of {name}; it does not: run `dvc repro`") from None
    return params, outs


def md5_of(path: Path) -> str:
    """As DVC has it: of a file's bytes, or of the list of a folder's files; nothing where there is neither."""
    if path.is_file():
        return file_digest(path, "md5")
    if not path.is_dir():
        return ""
    files = sorted((file for file in path.rglob("*") if file.is_file()), key=lambda file: file.relative_to(path).as_posix())
    listed = [{"md5": md5_of(file), "relpath": file.relative_to(path).as_posix()} for file in files]
    return hashlib.md5(json.dumps(listed).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _overrides(made: Mapping[str, Any]) -> Iterator[str]:
    """Where overrides.yaml is not what the outs were made from."""
    now = read_yaml(OVERRIDES)
    for key in sorted(made.keys() | now.keys()):
        if made.get(key) != now.get(key):
            values = (json.dumps(content.get(key)) for content in (now, made))
            yield "{} has {}: {} and {} in {}; `dvc repro` brings all in line".format(OVERRIDES, key, *values, LOCK)


def _code(params: Params) -> Iterator[str]:
    """The stages whose code is not what it was when they ran: `dvc repro -s STAGE` skips such a stage."""
    code = Code()
    for name, values in params.items():
        if values.get(CODE) != code.stage(name.partition("@")[0]):
            yield f"the code of {name} has changed since it ran; `dvc repro` runs it again"


def _files(outs: Outs, remedy: str) -> Iterator[str]:
    for path, md5 in outs.items():
        if (found := md5_of(Path(path))) != md5:
            yield f"{path} has md5 {found} and {md5} in {LOCK}" if found else f"{path} is gone; `{remedy}` brings it back"


def _readable(drifts: Iterator[str]) -> Iterator[str]:
    """The drifts; what cannot be read is one, too."""
    try:
        yield from drifts
    except PipelineError as error:
        yield str(error)


def _metrics(folder: Path, of_dvc: Mapping[str, Any]) -> Iterator[str]:
    """Where `dvc metrics show` and the file differ."""
    path = folder / METRICS_FILE
    found = of_dvc.get(str(path), {}).get("data")
    if path.is_file() and found != read_json(path):
        yield f"{path} is not what `dvc metrics show` has: {found}"


def _run(store: Store, folder: Path, outs: Outs) -> Iterator[str]:
    """Where a model's run in MLflow differs from its files."""
    from pipeline.tracking.mlflow_run import run_with

    found = run_with(store.client, store.experiment_id, read_card(folder).content.fingerprint, None)
    if found is None:
        yield f"{folder} has no run in MLflow; `runs publish` sends it"
        return
    name = name_of(found)
    if found.info.status != "FINISHED":
        yield f"the run of {folder}, {name}, must be FINISHED; it is {found.info.status}"
    with tempfile.TemporaryDirectory() as temporary:
        for stage in (stage for stage in STAGES.values() if stage.artifacts):
            place = download(store, found, stage.artifacts, Path(temporary))
            for path in stage.files(folder):  # dvc.lock has each or, as of figures, their folder
                if md5_of(place / path.name) != outs.get(path.as_posix(), md5_of(path)):
                    yield f"{stage.artifacts}/{path.name} of {name} is not {path}; `runs publish` sends it"
    logged = nan_as_none(found.data.metrics)
    for metric, value in read_json(folder / METRICS_FILE).items():
        if (seen := logged.get(f"test/{metric}")) != value:
            yield f"test/{metric} of {name} is {seen} in MLflow and {value} in {folder / METRICS_FILE}"
    yield from _curve(store, found.info.run_id, folder, name)


def _curve(store: Store, run_id: str, folder: Path, name: str) -> Iterator[str]:
    from pipeline.tracking.mlflow_run import CURVE

    made = curve(folder)
    for i, key in enumerate(CURVE):
        points = store.client.get_metric_history(run_id, key)
        if {(p.step, p.value) for p in points} != {(epoch, pair[i]) for epoch, pair in made.items()}:
            yield f"the curve {key} of {name} is not that of {folder / HISTORY_FILE} and its end in {folder / CARD}"
        elif len(points) != len(made):
            yield f"the curve {key} of {name} has double points in MLflow"
