"""In what run B differs from run A, and how sure the differences of their metrics, B - A, are."""

import argparse
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import console
from pipeline.errors import PipelineError
from pipeline.evaluation.comparison import verdict
from pipeline.evaluation.intervals import RESAMPLES, Difference
from pipeline.files import digest, nan_as_none
from pipeline.flatten import flatten
from pipeline.interval import CONFIDENCE
from pipeline.runs._command import RUN, Subparsers, add_command
from pipeline.runs._records import Records, compare, records
from pipeline.text import join_limited
from pipeline.tracking.provenance import COMMIT
from pipeline.tracking.runs import Store, download, find, name_of, open_store

logger = logging.getLogger(__name__)

CHANGES = "changes to the commit, but for overrides.yaml"
WITHOUT_DIFF = ("too long", "unknown")  # values of git.diff with which a run has no code.diff
INCOMPLETE = (*WITHOUT_DIFF, "without credentials")  # with which two runs may differ in what was not recorded
Pairs = dict[str, tuple[Any, Any]]  # what differs, in a and in b; None: not there


def add_parser(subparsers: Subparsers) -> None:
    codes = "0 the metrics were compared; 1 they cannot be, all else is shown"
    command = add_command(subparsers, run, __doc__, ["3f2a91 77b0c4", "@champion 77b0c4 --json"], codes)
    command.add_argument("a", metavar="A", help=RUN)
    command.add_argument("b", metavar="B", help="likewise")


def run(args: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Whether the metrics could be compared, and all that differs."""
    store = open_store()
    with tempfile.TemporaryDirectory() as temporary:
        a, b = (records(store, find(store, name), Path(temporary, side)) for side, name in (("a", args.a), ("b", args.b)))
        sides = {"a": a, "b": b}
        unknown = {  # of a run that `publish` made, neither is known
            "code": [name for name, side in sides.items() if side.run.data.tags.get("git.diff", "unknown") in INCOMPLETE],
            "environment": [name for name, side in sides.items() if side.environment is None],
        }
        code = _pairs(*(_code(store, side, Path(temporary)) for side in (a, b)))
        parts = {
            "configuration": _pairs(*map(_configuration, (a, b))),
            "data": _pairs(*(_data(side) for side in (a, b))),
            "code": {key: pair for key, pair in code.items() if None not in pair},
            "environment": None if unknown["environment"] else _pairs(a.environment or {}, b.environment or {}),
        }
    logger.info(f"a = {name_of(a.run)}\nb = {name_of(b.run)}")
    for title, pairs in parts.items():
        logger.info("\n".join(_describe(title, pairs, unknown.get(title, []))))
    try:
        found, refusal = compare(a, b), None
    except PipelineError as error:
        found, refusal = {}, str(error)
    metrics = {
        name: {"a": a.metrics[name], "b": b.metrics[name], **asdict(d), "verdict": verdict(name, d)}
        for name, d in found.items()
    }
    units = "whole groups of test rows" if "group" in a.predictions else "the test rows"
    logger.info(f"\nmetrics: not compared, since {refusal}" if refusal else _table(found, metrics, units))
    ids = {"a": a.run.info.run_id, "b": b.run.info.run_id}
    return not refusal, {
        **ids,
        **parts,
        "unknown": unknown,
        "metrics": nan_as_none(metrics) or None,
        "metrics_refused": refusal,
    }


def _pairs(a: Mapping[str, Any], b: Mapping[str, Any]) -> Pairs:
    return {key: (a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)}


def _configuration(side: Records) -> dict[str, Any]:
    """What the model was made by, and what it was evaluated by."""
    return dict(flatten({**side.card.config, "evaluation": {"threshold": side.decision.rule}}))


def _data(side: Records) -> dict[str, Any]:
    card = side.card
    return {**dict(flatten(asdict(card.data))), "features": card.features, "target": card.target, "classes": card.classes}


def _code(store: Store, side: Records, temporary: Path) -> dict[str, str]:
    """Commit, the numerical code's hash, and the hash of what was not committed, as far as they are known."""
    tags = side.run.data.tags
    code = {"fingerprint.code": side.card.fingerprint_of["code"]}
    if COMMIT in tags:
        code[COMMIT] = tags[COMMIT]
    if kind := tags.get("git.diff"):
        reason = f" ({tags['git.diff.reason']})" if kind == "unknown" and "git.diff.reason" in tags else ""
        code[CHANGES] = f"{kind}{reason}" if kind in ("none", *WITHOUT_DIFF) else _changes(store, side, temporary)
    return code


def _changes(store: Store, side: Records, temporary: Path) -> str:
    """The hash of code.diff without overrides.yaml, which is configuration."""
    diff = download(store, side.run, "lineage/code.diff", temporary / side.run.info.run_id).read_bytes()
    files = re.split(rb"^(?=diff --git )", diff, flags=re.MULTILINE)
    code = b"".join(file for file in files if not file.partition(b"\n")[0].endswith(b"/overrides.yaml"))
    return digest(code) if code else "none"


def _describe(title: str, pairs: Pairs | None, unknown: Sequence[str]) -> Iterator[str]:
    """The lines on one part; unknown: the runs of which it is not known in full."""
    sides = " and ".join(unknown)
    if pairs is None:
        yield f"\n{title}: unknown for {sides}"
        return
    yield f"\n{title}:{'' if pairs else ' the same'}{f' as far as it is known for {sides}' if sides else ''}"
    for key, (a, b) in pairs.items():
        yield f"  {key}: {_names(a, b) if key == 'features' else f'{_abbreviated(a)} -> {_abbreviated(b)}'}"


def _names(a: Sequence[str], b: Sequence[str]) -> str:
    """The features that one run has and the other has not."""
    known_a, known_b = {*a}, {*b}
    only = {"only in a": [name for name in a if name not in known_b], "only in b": [name for name in b if name not in known_a]}
    parts = [f"{where}: {join_limited(names)}" for where, names in only.items() if names]
    return "; ".join(parts) or "the same in another order"


def _abbreviated(value: Any) -> str:
    """A digest by its beginning."""
    return "absent" if value is None else re.sub(r"\b([0-9a-f]{12})[0-9a-f]{20,}\b", r"\1", str(value))


def _table(found: Mapping[str, Difference], metrics: Mapping[str, Mapping[str, Any]], units: str) -> str:
    rows = [
        [
            name,
            metrics[name]["a"],
            metrics[name]["b"],
            *(f"{v:+.6f}" for v in (d.value, d.low, d.high)),
            metrics[name]["verdict"],
        ]
        for name, d in found.items()
    ]
    interval = f"the {CONFIDENCE:.0%} interval of b - a from {RESAMPLES} paired bootstrap resamples of {units}"
    table = console.table(["metric", "a", "b", "b - a", "from", "to", "b is"], rows)
    return f"\nmetrics, with {interval}:\n{table}"
