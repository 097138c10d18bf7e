"""The report: candidates side by side on one self-contained HTML page, rendered from report.html.j2."""

import base64
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.evaluation.figures import FIGURES
from pipeline.evaluation.metrics import COMPARED_METRICS, METRICS
from pipeline.flatten import flatten
from pipeline.interval import CONFIDENCE
from pipeline.model.card import ModelCard
from pipeline.model.decision import Decision

MAX_COEFFICIENTS = 20  # that are shown of a candidate
Coefficient = Mapping[str, str]  # a row of coefficients.csv
TEMPLATE = Path(__file__).with_name("report.html.j2")


@dataclass(frozen=True)
class Evaluated:
    """One candidate: its card, its decision, its metrics and their intervals, its figures' PNG files by name, and its largest
    coefficients."""

    card: ModelCard
    decision: Decision
    metrics: Mapping[str, float]
    intervals: Mapping[str, Any]  # intervals.json
    images: Mapping[str, bytes]
    checks: Sequence[Mapping[str, Any]]  # as checks.json has them
    coefficients: Sequence[Coefficient] = ()

    @property
    def penalty(self) -> str:
        """The l2 of the fit, and the word that became it, if one did."""
        found = self.card.ended.penalty
        return f"{found['l2']:.3g} ({found['asked']})" if found else str(self.card.config.get("model", {}).get("l2", ""))

    def image(self, name: str) -> str:
        """The figure as base64."""
        return base64.b64encode(self.images[name]).decode()


def largest_coefficients(content: bytes) -> list[Coefficient]:
    """Of the bytes of a coefficients.csv the intercept, and those by which a standard deviation more changes the most."""
    rows = csv.DictReader(io.StringIO(content.decode(), newline=""))
    return [*islice(rows, 1), *nlargest(MAX_COEFFICIENTS, rows, key=lambda row: abs(float(row["per_deviation"] or 0)))]


def render(candidates: Mapping[str, Evaluated], source: str) -> str:
    """The page; source: what the data are called. Equal inputs give equal text."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    configs = {name: dict(flatten(candidate.card.config)) for name, candidate in candidates.items()}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        candidates=candidates,
        card=next(iter(candidates.values())).card,
        source=source,
        scores=[_score(name, candidates) for name in COMPARED_METRICS],
        confidence=f"{CONFIDENCE:.0%}",
        checks=_in_order(candidates.values()),
        figures=[f for f in FIGURES.values() if any(f.name in candidate.images for candidate in candidates.values())],
        configuration={
            key: [config.get(key, "") for config in configs.values()]
            for key in dict.fromkeys(key for config in configs.values() for key in config)
        },
    )


def _score(name: str, candidates: Mapping[str, Evaluated]) -> dict[str, Any]:
    """A row of the scores: label, baseline, and of each candidate the numbers and whether it is the best of several."""
    metric, all_numbers = METRICS[name], [candidate.intervals for candidate in candidates.values()]
    tests = [numbers["test"][name] for numbers in all_numbers]
    values = [None if test["value"] is None else round(test["value"], 4) for test in tests]
    known = {value for value in values if value is not None}
    best = None if metric.greater_is_better is None or len(known) < 2 else (max if metric.greater_is_better else min)(known)
    cells = [
        {**test, "training": numbers["training"][name], "is_best": value is not None and value == best}
        for test, value, numbers in zip(tests, values, all_numbers, strict=True)
    ]
    return {"label": metric.label, "cells": cells, "baseline": all_numbers[0]["baseline"][name]}


def _in_order(candidates: Iterable[Evaluated]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """What each check looks at, and its entry of each candidate: first those that one of them failed, severe ones before."""
    rows = [(entries[0]["looks_at"], [*entries]) for entries in zip(*(each.checks for each in candidates), strict=True)]
    return sorted(rows, key=lambda row: -max(map(_badness, row[1])))


def _badness(check: Mapping[str, Any]) -> int:
    """2 of a failure that bars promotion, 1 of another, 0 of none."""
    return (1 + check["severe"]) if check["passed"] is False else 0
