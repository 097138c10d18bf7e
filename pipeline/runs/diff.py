"""What run B has otherwise than run A, and how sure the differences of their metrics, B - A, are."""

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import _terminal
from pipeline._config import leaves
from pipeline._files import file_digest
from pipeline.numerics import InvalidInput
from pipeline.numerics.bootstrap import CONFIDENCE, RESAMPLES, Difference
from pipeline.runs._compare import compare
from pipeline.runs._find import Records, Store, download, find, name_of, open_store, records

CODE = ("fingerprint.code", "mlflow.source.git.commit", "git.dirty")
Pairs = dict[str, tuple[Any, Any]]  # what differs, in a and in b; None: not there


def run(args: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Whether the metrics could be compared, and all that differs."""
    store = open_store()
    with tempfile.TemporaryDirectory() as temporary:
        a, b = (records(store, find(store, word), Path(temporary, side)) for side, word in (("a", args.a), ("b", args.b)))
        parts = {
            "configuration": _pairs(*(dict(leaves(side.about["config"])) for side in (a, b))),
            "data": _pairs(*(_data(side) for side in (a, b))),
            "code": _pairs(*(_code(store, side, Path(temporary)) for side in (a, b))),
            "environment": _pairs(*(_environment(side) for side in (a, b))),
        }
        _terminal.say(f"a = {name_of(a.run)}\nb = {name_of(b.run)}")
        for title, pairs in parts.items():
            _terminal.say("\n".join(_part(title, pairs)))
        try:
            found, refused = compare(a, b), None
        except InvalidInput as error:
            found, refused = {}, str(error)
        metrics = {name: {"a": a.metrics[name], "b": b.metrics[name], **asdict(d)} for name, d in found.items()}
    _terminal.say(f"\nmetrics: {refused}" if refused else _table(found, metrics))
    ids = {"a": a.run.info.run_id, "b": b.run.info.run_id}
    return not refused, {**ids, **parts, "metrics": metrics or None, "metrics_refused": refused}


def _pairs(a: Mapping[str, Any], b: Mapping[str, Any]) -> Pairs:
    keys = list(dict.fromkeys([*a, *b]))
    return {key: (a.get(key), b.get(key)) for key in keys if a.get(key) != b.get(key)}


def _data(side: Records) -> dict[str, Any]:
    about = side.about
    return {**dict(leaves(about["data"])), **{key: about[key] for key in ("features", "target", "classes")}}


def _code(store: Store, side: Records, temporary: Path) -> dict[str, Any]:
    """Commit, the numerical code's hash, and the hash of what was not committed."""
    tags = side.run.data.tags
    code = {key: tags[key] for key in CODE if key in tags}
    if tags.get("git.diff") == "whole":
        path = download(store, side.run, "lineage/code.diff", temporary / side.run.info.run_id)
        code["lineage/code.diff"] = file_digest(path)
    return code


def _environment(side: Records) -> dict[str, str]:
    return {key: value for key, value in sorted(side.run.data.tags.items()) if key.startswith(("version.", "machine."))}


def _part(title: str, pairs: Pairs) -> Iterator[str]:
    yield f"\n{title}: {'' if pairs else 'the same'}".rstrip()
    for key, (a, b) in pairs.items():
        yield f"  {key}: {_shown(a)} -> {_shown(b)}"


def _shown(value: Any) -> str:
    return "absent" if value is None else str(value)


def _table(found: Mapping[str, Difference], metrics: Mapping[str, Mapping[str, float]]) -> str:
    verdicts = {-1: "lower", 0: "", 1: "higher"}
    rows = [
        [name, metrics[name]["a"], metrics[name]["b"], *(f"{v:+.6f}" for v in (d.value, d.low, d.high)), verdicts[d.sign]]
        for name, d in found.items()
    ]
    head = (
        f"\nmetrics, with the {CONFIDENCE:.0%} interval of b - a from {RESAMPLES} paired bootstrap resamples of the test rows:"
    )
    return f"{head}\n" + _terminal.table(["metric", "a", "b", "b - a", "from", "to", "b is surely"], rows)
