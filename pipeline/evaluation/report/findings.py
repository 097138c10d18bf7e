"""What the checks found of all candidates, and the paragraph that says which candidate is better, and how surely."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.evaluation.comparison import SURELY_BETTER, SURELY_WORSE, verdict
from pipeline.evaluation.intervals import Difference
from pipeline.evaluation.metrics import METRICS, OBJECTIVE
from pipeline.evaluation.report.candidate import Evaluated
from pipeline.evaluation.report.display import ends, fixed, isolated, listed, whole
from pipeline.interval import CONFIDENCE, Interval
from pipeline.text import join_limited

FAILED, PASSED, NOT_APPLICABLE = "failed", "passed", "not applicable"
MAX_NAMES = 4  # of candidates, in the verdict
MIN_SELECTED = 3  # candidates, from which the best one is better on the test table than on new rows


@dataclass(frozen=True)
class Finding:
    """What a check found, and of which candidates; none are named where it found the same of all."""

    candidates: str
    sentence: str
    advice: str
    severe: bool = False  # it bars promotion


@dataclass(frozen=True)
class CheckOutcome:
    """One check over all candidates."""

    name: str
    looks_at: str
    outcome: str
    findings: Sequence[Finding]  # severe ones first
    others: str = ""  # who passed, where it failed for some

    @property
    def severe(self) -> bool:
        return any(found.severe for found in self.findings)

    @property
    def badness(self) -> int:
        """By which checks are ordered."""
        return 2 + self.severe if self.outcome == FAILED else int(self.outcome == PASSED)


@dataclass(frozen=True)
class Verdict:
    """Which candidate is better, and how sure that is."""

    headline: str
    sentences: Sequence[str]


def check_outcomes(candidates: Mapping[str, Evaluated]) -> list[CheckOutcome]:
    """Those that failed first, severe ones before the others; then those that passed."""
    entries = {name: {entry["name"]: entry for entry in each.checks} for name, each in candidates.items()}
    names = dict.fromkeys(check for of in entries.values() for check in of)
    rows = [_outcome(check, {name: of[check] for name, of in entries.items() if check in of}) for check in names]
    return sorted(rows, key=lambda row: -row.badness)


def _outcome(check: str, entries: Mapping[str, Mapping[str, object]]) -> CheckOutcome:
    first = next(iter(entries.values()))
    failed = {name: entry for name, entry in entries.items() if entry["passed"] is False}
    if not failed:
        passed = {name: entry for name, entry in entries.items() if entry["passed"]}
        shown = passed or entries
        outcome = PASSED if passed else NOT_APPLICABLE
        return CheckOutcome(check, str(first["looks_at"]), outcome, _grouped(shown, len(entries)))
    others = [isolated(name) for name, entry in entries.items() if entry["passed"]]
    return CheckOutcome(check, str(first["looks_at"]), FAILED, _grouped(failed, len(entries)), join_limited(others))


def _grouped(entries: Mapping[str, Mapping[str, object]], of: int) -> list[Finding]:
    """Candidates of which the same was found together, severe findings first."""
    groups: dict[tuple[str, str, bool], list[str]] = {}
    for name, entry in entries.items():
        has_failed = entry["passed"] is False
        advice, severe = str(entry["advice"]) if has_failed else "", has_failed and bool(entry["severe"])
        groups.setdefault((str(entry["sentence"]), advice, severe), []).append(name)
    findings = [
        Finding("" if len(names) == of else listed([isolated(name) for name in names]), *found)
        for found, names in groups.items()
    ]
    return sorted(findings, key=lambda found: not found.severe)


def build_verdict(candidates: Mapping[str, Evaluated], differences: Mapping[str, Mapping[str, Difference]]) -> Verdict:
    """candidates: the best first; differences: of each other minus the best."""
    best, *others = candidates
    of = candidates[best]
    beats, why = _beats_rate(of)
    alone = f"{isolated(best)} is {beats} than the training rate"
    headline = _comparison(best, {name: differences[name][OBJECTIVE] for name in others}) if others else alone
    sentences = [_loss(of)]
    if others:
        sentences.append(f"It is {beats} than that.")
    if why:
        sentences.append(why)
    pairs = "the share of pairs of a positive and a negative row that it ranks rightly"
    sentences.append(f"Its ROC AUC, {pairs}, is {_sure(of.test('roc_auc'))}.")
    if len(candidates) >= MIN_SELECTED:
        found = f"The best of {len(candidates)} was found on the test rows themselves"
        sentences.append(f"{found}, so it will do a little less well on new ones.")
    return Verdict(f"{headline}.", sentences)


def _beats_rate(of: Evaluated) -> tuple[str, str]:
    """How it compares with the training rate, and a sentence where its losses alone do not show that."""
    found = of.check("baseline")
    if found is None or found["passed"] is None:
        return "not known to be better", ""
    if found["passed"]:
        orders = "Its log loss alone does not show that, but positives surely score above negatives."
        return SURELY_BETTER, orders if found["low"] <= 0 else ""
    return SURELY_WORSE if found["high"] < 0 else "not surely better" if found["value"] > 0 else "no better", ""


def _loss(of: Evaluated) -> str:
    rows, baseline = whole(of.card.data.rows["test"]), fixed(of.intervals["baseline"][OBJECTIVE])
    return (
        f"Its {METRICS[OBJECTIVE].label} on the {rows} test rows is {_sure(of.test(OBJECTIVE))}; less is better, and the share "
        f"of positives, predicted for every row, has {baseline}."
    )


def _sure(score: Interval) -> str:
    """A score and its interval."""
    return f"{fixed(score.value)} ({ends(score)})" if ends(score) else fixed(score.value)


def _comparison(best: str, differences: Mapping[str, Difference]) -> str:
    """Whom the best is surely better than, and from whom it is not surely different."""
    # `verdict` speaks of the other, minus the best: seen from the best, a surely worse one is what it is surely better than
    surely = [name for name, each in differences.items() if each.sign > 0]
    alike = [name for name in differences if name not in surely]
    label = METRICS[OBJECTIVE].label
    if len(differences) == 1:
        ((other, each),) = differences.items()
        interval = f", {CONFIDENCE:.0%} interval {ends(each)}" if ends(each) else ""
        gap = f"is lower by {fixed(each.value)}{interval}"
        if surely:
            return f"{isolated(best)} is {SURELY_BETTER} than {isolated(other)} (its {label} {gap})"
        return f"{isolated(best)} and {isolated(other)} are {verdict(OBJECTIVE, each)} (the {label} of {isolated(best)} {gap})"
    parts = []
    if surely:
        parts.append(f"{SURELY_BETTER} than {_some(surely)}")
    if alike:
        parts.append(f"not surely different from {_some(alike)}")
    return f"{isolated(best)} has the least {label}, and is {' and '.join(parts)}"


def _some(names: Sequence[str]) -> str:
    shown = [isolated(name) for name in names]
    return listed(shown) if len(names) <= MAX_NAMES else f"{len(names)} others: {join_limited(shown, MAX_NAMES)}"
