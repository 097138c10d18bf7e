"""A check, and what it may find: a failure, none, or why it cannot look."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.evaluation.checks.context import Context, NotApplicable

LEVEL = 0.001  # how often a check that tests fails by chance: all together, about one evaluation in a hundred


@dataclass(frozen=True)
class Finding:
    """What a check has found. value, low and high: a number and the ends of its interval, where there are such.

    severe: whether it bars promotion, where that depends on what was found; advice: in place of the check's.
    """

    failed: bool
    sentence: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    severe: bool | None = None
    advice: str = ""


@dataclass(frozen=True)
class Check:
    """One of CHECKS. function: raises NotApplicable where it cannot look; advice: where it has failed."""

    name: str
    looks_at: str
    function: Callable[[Context], Finding]
    advice: str
    severe: bool = False

    def run(self, context: Context) -> dict[str, Any]:
        """The check's entry in checks.json; passed is None where it is not applicable."""
        entry = {
            "name": self.name,
            "looks_at": self.looks_at,
            "severe": self.severe,
            "passed": None,
            "sentence": "",
            "advice": "",
        }
        try:
            found = self.function(context)
        except NotApplicable as reason:
            return {**entry, "sentence": str(reason)}
        if found.failed:
            severe = self.severe if found.severe is None else found.severe
            entry |= {"severe": severe, "advice": found.advice or self.advice}
        numbers = {name: value for name in ("value", "low", "high") if (value := getattr(found, name)) is not None}
        return {**entry, "passed": not found.failed, "sentence": found.sentence, **numbers}
