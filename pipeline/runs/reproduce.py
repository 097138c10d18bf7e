"""Make a run again from its own records, in a clean worktree at its commit, and compare every bit."""

import argparse
import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.files import to_yaml
from pipeline.config.schema import to_values
from pipeline.errors import CommandError
from pipeline.evaluation.metrics import defined
from pipeline.evaluation.options import EvaluationOptions
from pipeline.files import METRICS_FILE, OUT, PREDICTIONS_FILE, ROOT, digest_of, file_digest, read_numbers
from pipeline.model.card import read_card, read_schema
from pipeline.runs import _worktree
from pipeline.runs._command import RUN, Subparsers, add_command
from pipeline.runs._records import Records, read_predictions, records
from pipeline.runs._worktree import commit_of, git, worktree
from pipeline.stages import MODELS_DIR, STAGES, Stage
from pipeline.tracking.provenance import COMMIT, environment
from pipeline.tracking.runs import Store, download, find, name_of, open_store

if TYPE_CHECKING:
    from mlflow.entities import Run

logger = logging.getLogger(__name__)

VERSION = "version."  # what begins the names of libraries in an environment
HASH_LETTERS = 12  # of a hash, in sentences
NAME = "reproduced"  # of the model's folder in the worktree
Difference = tuple[str, str]  # its kind, and what differs in one sentence


def add_parser(subparsers: Subparsers) -> None:
    codes = "0 equal bit for bit; 1 not equal, the first difference is named"
    command = add_command(subparsers, run, __doc__, ["3f2a91", "@champion --json"], codes)
    command.add_argument("run", metavar="RUN", help=RUN)


def run(args: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Whether the run was reproduced bit for bit, and what was compared."""
    store = open_store()
    found = find(store, args.run)
    if COMMIT not in found.data.tags:
        raise CommandError(f"a run must name its git commit to be reproduced; {name_of(found)} does not")
    commit = commit_of(found.data.tags[COMMIT])
    with tempfile.TemporaryDirectory() as temporary:
        original = records(store, found, Path(temporary))
        with worktree(commit) as tree:
            logger.info(f"{name_of(found)}: again, at {commit[:HASH_LETTERS]}")
            _apply_diff(store, found, Path(temporary), tree)
            difference = _remake(original, tree) or next(differences(original, tree / OUT / MODELS_DIR / NAME), None)
    changes = found.data.tags.get("git.diff")
    doubt = "; what was not committed when it was made is unknown" if difference and changes == "unknown" else ""
    verdict = f"not reproduced: {difference[0]}: {difference[1]}{doubt}" if difference else "reproduced: every bit is equal"
    logger.info(verdict)
    return not difference, {
        "run": found.info.run_id,
        "commit": commit,
        "changes": changes,
        "equal": not difference,
        "first_difference": dict(zip(("kind", "what"), difference, strict=True)) if difference else None,
        "versions_that_differ": changed_versions(original),
    }


def _apply_diff(store: Store, found: "Run", temporary: Path, tree: Path) -> None:
    """Bring the worktree to what was not committed when the run was made."""
    how = found.data.tags.get("git.diff", "none")  # `publish` cannot know it; the hash of the code decides then
    if how == "whole":
        diff = download(store, found, "lineage/code.diff", temporary / "lineage")
        if diff.stat().st_size:
            git("apply", "--whitespace=nowarn", "--binary", str(diff), cwd=tree)
    elif how == "unknown":
        reason = found.data.tags.get("git.diff.reason", "no reason is recorded")
        logger.warning(f"whether the code differed from the commit is unknown ({reason}); this is the commit alone")
    elif how != "none":
        logger.warning("the run was made from files that were neither committed nor recorded; this is the commit alone")


def _remake(original: Records, tree: Path) -> Difference | None:
    """Run the stages by the run's records; the difference, if they fail or find other data."""
    # by the threshold itself: a rule would need the validation rows, too
    options = EvaluationOptions(threshold=repr(original.decision.threshold))
    config = {**original.card.config, "evaluation": to_values(options)}
    folder = tree / OUT / "config"
    _link_table(config["data"], tree)
    folder.mkdir(parents=True)
    (folder / "tracking.yaml").write_text(to_yaml({"uri": None, "experiment": NAME}), encoding="utf-8")
    for stage in _chain(last := STAGES["evaluate"]):
        makes_data, file = "data" in stage.groups, stage.config_file.format(candidate=NAME)
        if stage.groups:  # the file is without the code's hash, which the stage then does not compare
            (folder / file).write_text(to_yaml(stage.settings(config)), encoding="utf-8")
        argv = [NAME]
        if stage is not last:  # which finds its file by the candidate's name
            argv = ["--config", f"{OUT}/config/{file}", *(["--candidate", NAME] if file != stage.config_file else [])]
        failure = _run_stage(stage.name, argv, tree)
        if makes_data and not failure:
            failure = _changed_data(original, tree)
        if failure:
            return "data" if makes_data else "bits", failure
    return None


def _chain(last: Stage) -> list[Stage]:
    """A stage and before it those that make its inputs, but for `compose`, whose files are written here."""
    chain = [last]
    for stage in reversed(STAGES.values()):
        if any(set(stage.outputs) & set(later.inputs) for later in chain):
            chain.insert(0, stage)
    return chain


def _changed_data(original: Records, tree: Path) -> str:
    """How the data made again in `tree` differ from the run's; empty where they do not."""
    schema = read_schema(tree / "out" / "data").content
    was, now = original.card.fingerprint_of["data"], digest_of(schema.digest)
    if was == now:
        return ""
    what = original.card.config["data"].get("path", "the data")
    was, now = was[:HASH_LETTERS], now[:HASH_LETTERS]
    return f"{what} must be as it was when the run was made; its fingerprint.data was {was} and is {now}"


def _link_table(data: Mapping[str, Any], tree: Path) -> None:
    """A table that git does not track is the working tree's."""
    path = data.get("path")
    if not path or Path(path).is_absolute() or (tree / path).exists():
        return
    if not (tree / path).resolve().is_relative_to(tree):
        raise CommandError(f"a run's table must lie in the repository, or its path be absolute, to be found again; got {path}")
    if (ROOT / path).exists():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).symlink_to(ROOT / path)


def _run_stage(stage: str, argv: list[str], tree: Path) -> str:
    """Run a stage in the worktree with this interpreter; how it failed, empty where it did not."""
    command = [sys.executable, "-m", f"pipeline.stages.{stage}", *argv]
    done = subprocess.run(
        command, cwd=tree, env=_worktree.environment(), stdout=sys.stderr, stderr=subprocess.PIPE, text=True, check=False
    )
    if not done.returncode:
        return ""
    lines = done.stderr.strip().splitlines()
    return f"{stage} ended with {lines[-1] if lines else f'exit code {done.returncode}'}"


def differences(original: Records, folder: Path) -> Iterator[Difference]:
    """What the model made again in `folder` has otherwise, the cause first: code, configuration, versions, bits."""
    again = read_card(folder).content
    for part, kind in (("code", "code"), ("config", "configuration")):
        was, now = (card.fingerprint_of[part] for card in (original.card, again))
        if was != now:
            yield kind, f"fingerprint.{part} was {was[:HASH_LETTERS]} and is {now[:HASH_LETTERS]}"
    bits = [*_different_files(original, folder), *_different_metrics(original, read_numbers(folder / METRICS_FILE))]
    if original.card.fit != again.fit:
        bits.append(f"the fit ended at {original.card.fit} and now at {again.fit}")
    versions = changed_versions(original)
    if bits and versions:
        yield "library versions", ", ".join(f"{name} was {was} and is {now}" for name, (was, now) in versions.items())
    yield from (("bits", sentence) for sentence in bits)


def changed_versions(original: Records) -> dict[str, tuple[str, str]]:
    """The libraries of the run that are here in another version, or not at all."""
    was = {key: value for key, value in (original.environment or {}).items() if key.startswith(VERSION)}
    here = environment()
    return {key.removeprefix(VERSION): (old, here.get(key, "absent")) for key, old in was.items() if here.get(key) != old}


def _different_files(original: Records, folder: Path) -> Iterator[str]:
    for name, digest in original.digests.items():
        if file_digest(folder / name) != digest:
            yield f"{name} differs"
    now = read_predictions(folder)  # its bytes tell pyarrow's version, too
    if not all(np.array_equal(column, now[name]) for name, column in original.predictions.items()):
        yield f"{PREDICTIONS_FILE} differs"


def _different_metrics(original: Records, again: Mapping[str, float]) -> Iterator[str]:
    """By the run's file and by its metrics in MLflow."""
    logged, now = defined(original.run.data.metrics), defined(again)
    of_mlflow = {name: logged[f"test/{name}"] for name in original.metrics.keys() | again.keys() if f"test/{name}" in logged}
    for where, was in ((METRICS_FILE, defined(original.metrics)), ("MLflow", of_mlflow)):
        for name in sorted(was.keys() | now.keys()):
            if was.get(name) != now.get(name):
                yield f"{name} was {was.get(name)} in {where} and is {now.get(name)}"
