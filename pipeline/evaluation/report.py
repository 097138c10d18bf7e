"""The report: candidates side by side on one self-contained HTML page, rendered from report.html.j2."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.evaluation.figures import FIGURES
from pipeline.evaluation.metrics import METRICS
from pipeline.flatten import flatten
from pipeline.model.card import ModelCard

TEMPLATE = Path(__file__).with_name("report.html.j2")


@dataclass(frozen=True)
class Evaluated:
    """One candidate: its card, its metrics, and its figures' PNG files by name."""

    card: ModelCard
    metrics: Mapping[str, float]
    images: Mapping[str, bytes]
    checks: Sequence[Mapping[str, Any]]  # as checks.json has them

    @property
    def penalty(self) -> str:
        """The l2 of the fit, and the word that became it, if one did."""
        found = self.card.ended.penalty
        return f"{found['l2']:.3g} ({found['asked']})" if found else str(self.card.config.get("model", {}).get("l2", ""))

    def image(self, name: str) -> str:
        """The figure as base64."""
        return base64.b64encode(self.images[name]).decode()


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
        scores=[_scores(name, candidates) for name, metric in METRICS.items() if metric.greater_is_better is not None],
        checks=_in_order(candidates.values()),
        figures=[f for f in FIGURES.values() if any(f.name in candidate.images for candidate in candidates.values())],
        configuration={
            key: [config.get(key, "") for config in configs.values()]
            for key in dict.fromkeys(key for config in configs.values() for key in config)
        },
    )


def _in_order(candidates: Iterable[Evaluated]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """What each check looks at, and its entry of each candidate: first those that one of them failed, severe ones before."""
    rows = [(entries[0]["looks_at"], [*entries]) for entries in zip(*(each.checks for each in candidates), strict=True)]
    return sorted(rows, key=lambda row: -max(map(_badness, row[1])))


def _badness(check: Mapping[str, Any]) -> int:
    """2 of a failure that bars promotion, 1 of another, 0 of none."""
    return (1 + check["severe"]) if check["passed"] is False else 0


def _scores(name: str, candidates: Mapping[str, Evaluated]) -> tuple[str, list[tuple[float, bool]]]:
    """A metric's label, and of each candidate the value and whether it is the best of several."""
    metric = METRICS[name]
    values = [round(candidate.metrics[name], 4) for candidate in candidates.values()]
    best = max(values) if metric.greater_is_better else min(values)
    return metric.label, [(value, value == best and len(set(values)) > 1) for value in values]
