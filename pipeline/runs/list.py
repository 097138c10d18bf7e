"""The runs that MLflow has in the experiment that the stages log to: newest first or, by a metric, best first.

Scores are those on the test table and, where a run has any, of validation, with their intervals. Columns for which the terminal
is too narrow are named below the table; --json has all.
"""

import argparse
import logging
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from pipeline import console
from pipeline.errors import CommandError
from pipeline.evaluation.metrics import METRICS, OBJECTIVE, RANKING_METRICS, SUMMARY_METRICS
from pipeline.evaluation.options import NONE
from pipeline.interval import CONFIDENCE, Interval
from pipeline.runs._command import Subparsers, add_command
from pipeline.runs._journals import unsent
from pipeline.runs.doctor import process_state
from pipeline.text import count, join_limited, shorten
from pipeline.tracking.names import FIRST_KEYS, GROUPS, MAX_VALUE
from pipeline.tracking.runs import ID_LETTERS, Store, open_store

if TYPE_CHECKING:
    from mlflow.entities import Run

logger = logging.getLogger(__name__)

LIMIT = 20  # rows
MIN_NAME, MAX_NAME = 16, 48  # letters of a run's name
UNCUT = 140  # letters in a line of what is no terminal
STATUS_UNKNOWN = "RUNNING?"  # in MLflow, but not by a process that is seen to be alive
UNSEEN = ("gone", "elsewhere", "unknown")  # states of the process of a run that is RUNNING in MLflow
GAP = 2  # letters between columns
MAX_LEFT_OUT = 5  # columns that are named
NO_SCORE = dict.fromkeys(("value", "low", "high"))
Listed = dict[str, Any]  # a run, as --json has it


def add_parser(subparsers: Subparsers) -> None:
    examples = ["", "--best roc_auc", "--best log_loss --limit 5 --json"]
    command = add_command(subparsers, run, __doc__, examples, "0 they are listed; 1 there is no tracking store yet")
    best_by = f"best first by one of {', '.join(RANKING_METRICS)}"
    command.add_argument("--best", choices=RANKING_METRICS, metavar="METRIC", help=best_by)
    command.add_argument("--limit", type=int, metavar="N", help=f"rows, 0 for all; {LIMIT} if not given, with --json all")


def run(args: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """True, and the runs."""
    limit = (0 if args.json else LIMIT) if args.limit is None else args.limit
    if limit < 0:
        raise CommandError(f"--limit must be 0 or more; got {limit}")
    store = open_store()
    if args.best:
        ranked = _best_first([_listed(found) for found in store.search("", [store.experiment_id])], args.best)
        shown, total = ranked[: limit or None], len(ranked)
    else:
        shown = _below_sweeps(_newest(store, limit))
        total = store.count() if limit else len(shown)
    _show(shown, total, store.experiment, args.best)
    if lacking := unsent():
        logger.info(f"MLflow lacks something of {count(lacking, 'run')}; `runs publish` sends it")
    return True, {"experiment": store.experiment, "runs": shown, "more": total - len(shown), "unsent": lacking}


def _newest(store: Store, limit: int) -> list[Listed]:
    """The newest runs, and after them the sweeps of those that are jobs, which are older."""
    runs = [_listed(found) for found in store.search("", [store.experiment_id], limit)]
    sweeps = {each["sweep"] for each in runs if each["sweep"]} - {each["run"] for each in runs}
    ids = ", ".join(f"'{sweep}'" for sweep in sweeps)
    above = store.search(f"attributes.run_id IN ({ids})", [store.experiment_id]) if sweeps else []
    return [*runs, *map(_listed, above)]


def _listed(found: "Run") -> Listed:
    from pipeline.tracking.mlflow_run import PARENT_RUN

    tags, metrics = found.data.tags, found.data.metrics
    tested = [each.dataset for each in found.inputs.dataset_inputs if "test" in {tag.value for tag in each.tags}]
    return {
        "run": found.info.run_id,
        "name": found.info.run_name,
        "fingerprint": tags.get("fingerprint"),
        "candidate": tags.get("candidate"),
        "sweep": tags.get(PARENT_RUN),
        "status": found.info.status,
        "process": process_state(found) if found.info.status == "RUNNING" else None,
        "started": datetime.fromtimestamp(found.info.start_time / 1000).astimezone().isoformat(timespec="seconds"),
        "test_table": f"{tested[0].name} {tested[0].digest}" if tested else None,
        "values": {key: value for key, value in found.data.params.items() if key.partition(".")[0] in GROUPS},
        "scores": _all_scores(metrics, "test"),
        "validation": {} if tags.get("validation") == NONE else _all_scores(metrics, "validation"),
    }


def _all_scores(metrics: Mapping[str, float], part: str) -> dict[str, dict[str, float | None]]:
    return {name: _score(metrics, f"{part}/{name}") for name in METRICS if f"{part}/{name}" in metrics}


def _score(metrics: Mapping[str, float], key: str) -> dict[str, float | None]:
    """The value and the ends of its interval; None for what is not there or no number."""
    ends = {"value": key, "low": f"{key}.low", "high": f"{key}.high"}
    return {end: metrics[name] if math.isfinite(metrics.get(name, math.nan)) else None for end, name in ends.items()}


def _below_sweeps(runs: Sequence[Listed]) -> list[Listed]:
    """In the order given, but each sweep's jobs right below it."""
    known = {each["run"] for each in runs}
    jobs: dict[str, list[Listed]] = {}
    for each in runs:
        jobs.setdefault(each["sweep"] if each["sweep"] in known else "", []).append(each)
    return [row for each in jobs.get("", []) for row in (each, *jobs.get(each["run"], []))]


def _best_first(runs: Sequence[Listed], metric: str) -> list[Listed]:
    """The runs that have the metric, one test table after another: no score is comparable with that on another table."""
    sign = -1 if METRICS[metric].greater_is_better else 1
    scored = [each for each in runs if each["scores"].get(metric, NO_SCORE)["value"] is not None]
    tables = list(dict.fromkeys(each["test_table"] for each in scored))
    return sorted(scored, key=lambda each: (tables.index(each["test_table"]), sign * each["scores"][metric]["value"]))


def _show(shown: Sequence[Listed], total: int, experiment: str, best: str | None) -> None:
    if not shown:
        logger.info(f"no run of {experiment} has {best} yet" if best else f"{experiment} has no runs yet")
        return
    order = f"best {best} first" if best else "newest first, each sweep's jobs below it"
    logger.info(f"{count(total, 'run')} of {experiment}, {order}")
    parts: dict[str, list[Listed]] = {}
    for each in shown:
        parts.setdefault(f"on {each['test_table'] or 'an unknown test table'}:\n" if best else "", []).append(each)
    left_out = dict[str, None]()
    for title, rows in parts.items():
        table, others = _table(rows, best, shutil.get_terminal_size((UNCUT, 0)).columns)
        logger.info(f"\n{title}{table}")
        left_out |= dict.fromkeys(others)
    logger.info("")
    if more := total - len(shown):
        logger.info(f"{more} more; --limit 0 shows all")
    if left_out:
        logger.info(f"the terminal is too narrow for {join_limited([*left_out], MAX_LEFT_OUT)}; --json has all")
    if len(parts) > 1:
        logger.info("scores on different test tables cannot be compared; the table that was tested on last comes first")
    if any(each["process"] in UNSEEN for each in shown):
        logger.info(f"{STATUS_UNKNOWN} the process is gone or out of sight; `runs doctor` says which, and closes what is gone")


def _table(shown: Sequence[Listed], best: str | None, width: int) -> tuple[str, list[str]]:
    """Of the columns, in the order of their importance, those that fit into `width` letters; the headers of the others."""
    first, known = best or OBJECTIVE, {each["run"] for each in shown}
    head = {
        "run": [each["run"][:ID_LETTERS] for each in shown],
        "status": [STATUS_UNKNOWN if each["process"] in UNSEEN else each["status"] for each in shown],
    }
    score = dict(_scores(shown, [first]))
    available_width = width - _ends({**head, **score})[-1] - GAP - len("...")
    names = [f"{'  ' if each['sweep'] in known else ''}{each['name']}" for each in shown]
    columns = {
        **head,
        "name": [shorten(name, min(MAX_NAME, max(MIN_NAME, available_width))) for name in names],
        **score,
        **dict(_scores(shown, [first] if any(each["validation"] for each in shown) else [], "validation")),
        **dict(_differing(shown)),
        **dict(_scores(shown, [name for name in SUMMARY_METRICS if name != first])),
        "started": [each["started"].replace("T", " ")[: len("2026-01-01 00:00")] for each in shown],
    }
    fitting = [header for header, end in zip(columns, _ends(columns), strict=True) if end <= width]
    rows = list(zip(*(columns[header] for header in fitting), strict=True))
    return console.table(fitting, rows), [header for header in columns if header not in fitting]


def _ends(columns: Mapping[str, Sequence[str]]) -> list[int]:
    """Where each column ends in the line, in letters."""
    from rich.cells import cell_len

    widths = (max(map(cell_len, (header, *column))) for header, column in columns.items())
    return [end - GAP for end in accumulate(width + GAP for width in widths)]


def _scores(shown: Sequence[Listed], metrics: Sequence[str], part: str = "") -> Iterator[tuple[str, list[str]]]:
    """A column of each metric, with the intervals of the runs that have them. part: validation; the test table if not given."""
    for metric in metrics:
        scores = [each[part or "scores"].get(metric, NO_SCORE) for each in shown]
        name = f"{part} {metric}".strip()
        header = f"{name} ({CONFIDENCE:.0%} interval)" if any(score["low"] is not None for score in scores) else name
        yield header, ["" if score["value"] is None else str(Interval.from_dict(score)) for score in scores]


def _differing(shown: Sequence[Listed]) -> Iterator[tuple[str, list[str]]]:
    """The values of the configuration in which runs that have them differ."""
    seen: dict[str, set[str]] = {}
    for each in shown:
        for key, value in each["values"].items():
            seen.setdefault(key, set()).add(value)
    keys = {key: key.removesuffix(".name").rpartition(".")[2] for key, values in seen.items() if len(values) > 1}
    for key, name in sorted(keys.items(), key=lambda item: (item[1] not in (*FIRST_KEYS, *GROUPS), item[0])):
        header = name if list(keys.values()).count(name) == 1 else key
        yield header, [shorten(each["values"].get(key, ""), MAX_VALUE) for each in shown]
