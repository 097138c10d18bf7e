"""Make a run again from its own records, in a clean worktree at its commit, and compare every bit."""

import argparse
import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.entities import Run

from pipeline.config.schema import to_yaml
from pipeline.errors import CommandError
from pipeline.files import HISTORY, ROOT, digest_of, read_csv, read_json
from pipeline.model.card import ModelCard, read_card, read_schema
from pipeline.runs._find import Records, Store, download, find, name_of, open_store, read_predictions, records
from pipeline.runs._worktree import commit_of, environment, git, worktree
from pipeline.tracking.provenance import provenance

logger = logging.getLogger(__name__)

VERSION = "version."
SHOWN = 12  # letters of a hash
Difference = tuple[str, str]  # its kind, and what differs in one sentence


def run(args: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Whether the run was reproduced bit for bit, and what was compared."""
    store = open_store()
    found = find(store, args.run)
    commit = commit_of(_tag(found, "mlflow.source.git.commit"))
    with tempfile.TemporaryDirectory() as temporary:
        kept = records(store, found, Path(temporary))
        with worktree(commit) as tree:
            logger.info(f"{name_of(found)}: again, at {commit[:SHOWN]}")
            _apply_diff(store, found, Path(temporary), tree)
            model = tree / "out" / kept.card.model
            difference = _remake(kept, tree) or next(differences(kept, model), None)
    changes = found.data.tags.get("git.diff")
    doubt = "; what was not committed when it was made is unknown" if difference and changes == "unknown" else ""
    verdict = f"not reproduced: {difference[0]}: {difference[1]}{doubt}" if difference else "reproduced: every bit is equal"
    logger.info(verdict)
    told = dict(zip(("kind", "what"), difference, strict=True)) if difference else None
    content = {
        "run": found.info.run_id,
        "commit": commit,
        "changes": changes,
        "equal": not difference,
        "first_difference": told,
    }
    return not difference, {**content, "versions_that_differ": changed_versions(found)}


def _tag(found: Run, key: str) -> str:
    tags: Mapping[str, str] = found.data.tags
    if key not in tags:
        raise CommandError(f"a run must name its git commit to be reproduced; {name_of(found)} does not")
    return tags[key]


def _apply_diff(store: Store, found: Run, temporary: Path, tree: Path) -> None:
    """Bring the worktree to what was not committed when the run was made."""
    how = found.data.tags.get("git.diff", "none")  # `publish` cannot know it; the hash of the code decides then
    if how == "whole":
        diff = download(store, found, "lineage/code.diff", temporary / "lineage")
        if diff.stat().st_size:
            git("apply", "--whitespace=nowarn", "--binary", str(diff), cwd=tree)
    elif how == "unknown":
        reason = found.data.tags.get("git.diff.reason", "no reason was kept")
        logger.warning(f"whether the code differed from the commit is unknown ({reason}); this is the commit alone")
    elif how != "none":
        logger.warning("the run was made from files that were not committed and not kept; this is the commit alone")


def _remake(kept: Records, tree: Path) -> Difference | None:
    """Run the stages as the run's records say; how they ended, if badly."""
    config = kept.card.config
    name = config["model"]["name"]
    _link_table(config["data"], tree)
    files: dict[str, Mapping[str, Any]] = {
        "generate": {"data": config["data"]},
        f"train.{name}": {group: config[group] for group in ("model", "optimizer")},
        "tracking": {"uri": None, "experiment": "reproduced"},
    }
    (tree / "out" / "config").mkdir(parents=True)
    for file, content in files.items():
        (tree / "out" / "config" / f"{file}.yaml").write_text(to_yaml(content), encoding="utf-8")
    stages = {
        "generate": ("data", ["--config", "out/config/generate.yaml"]),
        "train": ("bits", ["--config", f"out/config/train.{name}.yaml"]),
        "evaluate": ("bits", [name]),
    }
    for stage, (kind, words) in stages.items():
        if failure := _stage(stage, words, tree):
            return kind, f"{stage} ended with {failure}"
        if stage == "generate" and (changed := _changed_data(kept, tree)):
            return kind, changed
    return None


def _changed_data(kept: Records, tree: Path) -> str:
    """What to say where the data made again in `tree` are not the run's."""
    schema = read_schema(tree / "out" / "data").content
    was, now = kept.card.fingerprint_of["data"], digest_of(schema.digest)
    if was == now:
        return ""
    what = kept.card.config["data"].get("path", "the data")
    return f"{what} must be as it was when the run was made; its fingerprint.data was {was[:SHOWN]} and is {now[:SHOWN]}"


def _link_table(data: Mapping[str, Any], tree: Path) -> None:
    """A table that git does not track is the working tree's."""
    path = data.get("path")
    if not path or Path(path).is_absolute() or (tree / path).exists():
        return
    inside = (tree / path).resolve().is_relative_to(tree)
    if not inside:
        raise CommandError(f"a run's table must lie in the repository, or its path be absolute, to be found again; got {path}")
    if (ROOT / path).exists():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).symlink_to(ROOT / path)


def _stage(stage: str, words: list[str], tree: Path) -> str:
    """Run a stage in the worktree with this interpreter; what it said last, where it failed."""
    command = [sys.executable, "-m", f"pipeline.{stage}", *words]
    done = subprocess.run(
        command, cwd=tree, env=environment(), stdout=sys.stderr, stderr=subprocess.PIPE, text=True, check=False
    )
    said = done.stderr.strip().splitlines()
    return (said[-1] if said else f"exit code {done.returncode}") if done.returncode else ""


def differences(kept: Records, folder: Path) -> Iterator[Difference]:
    """What the model made again in `folder` has otherwise, the cause first: code, configuration, versions, bits."""
    again = read_card(folder).content
    for part, kind in (("code", "code"), ("config", "configuration")):
        was, now = (card.fingerprint_of[part] for card in (kept.card, again))
        if was != now:
            yield kind, f"fingerprint.{part} was {was[:SHOWN]} and is {now[:SHOWN]}"
    bits = list(_different_bits(kept, again, folder))
    versions = changed_versions(kept.run)
    if bits and versions:
        yield "library versions", ", ".join(f"{name} was {was} and is {now}" for name, (was, now) in versions.items())
    yield from (("bits", sentence) for sentence in bits)


def changed_versions(found: Run) -> dict[str, tuple[str, str]]:
    """The libraries of the run that are here in another version, or not at all."""
    was = {key: value for key, value in found.data.tags.items() if key.startswith(VERSION)}
    here = provenance()
    return {key.removeprefix(VERSION): (old, here.get(key, "absent")) for key, old in was.items() if here.get(key) != old}


def _different_bits(kept: Records, again: ModelCard, folder: Path) -> Iterator[str]:
    training = kept.folder / "training"
    if kept.card.fingerprint != again.fingerprint:
        yield "the fingerprints differ"
    if (training / "model.npz").read_bytes() != (folder / "model.npz").read_bytes():
        yield "model.npz differs"
    if kept.card.fit != again.fit:
        yield f"the fit ended at {kept.card.fit} and now at {again.fit}"
    old, new = (read_csv(place / "history.csv", *HISTORY) for place in (training, folder))
    if not all(np.array_equal(old[name], new[name], equal_nan=True) for name in HISTORY):
        yield "history.csv differs"
    now = read_predictions(folder / "predictions.parquet", str(folder))
    if not all(np.array_equal(column, now[name]) for name, column in kept.predictions.items()):
        yield "predictions.parquet differs"
    yield from _different_metrics(kept, read_json(folder / "metrics.json"))


def _different_metrics(kept: Records, again: Mapping[str, float]) -> Iterator[str]:
    """By the run's file and by MLflow."""
    shown = {key.removeprefix("test/"): value for key, value in kept.run.data.metrics.items() if key.startswith("test/")}
    for where, was in (("metrics.json", kept.metrics), ("MLflow", shown)):
        for name in sorted(was.keys() | again.keys()):
            if was.get(name) != again.get(name):
                yield f"{name} was {was.get(name)} in {where} and is {again.get(name)}"
