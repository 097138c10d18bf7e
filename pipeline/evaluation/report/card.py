"""What the report says of the data, of each fit, and of what a model is for: facts as pairs of a label and texts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.evaluation.report.candidate import Evaluated
from pipeline.evaluation.report.display import UNDEFINED, fixed, isolated, listed, share, significant, whole
from pipeline.flatten import flatten
from pipeline.model.card import ENDS, DataSchema, ModelCard
from pipeline.text import join_limited

SIDE_BY_SIDE = 4  # candidates in one table
HASH_LETTERS = 12  # of a fingerprint, in commands
AT_RANDOM = "rows drawn from the same source as the training rows"
HELD_OUT = {  # by data.NAME, which rows were tested on where they were not drawn at random
    "test_path": "the rows of a file of their own",
    "split": "the rows that the column {} names",
    "time": "the latest rows by {}",
    "group": "rows of other groups (by {}) than those in training",
}


@dataclass(frozen=True)
class Fact:
    """A row of facts: a label, and what it is of each candidate, or of all. code: a text to type or compare."""

    label: str
    values: Sequence[str]
    code: bool = False
    differs: bool = False


@dataclass(frozen=True)
class FactTable:
    """Facts of some candidates, side by side."""

    names: Sequence[str]
    rows: Sequence[Fact]


def fact_tables(names: Sequence[str], facts: Sequence[Fact]) -> list[FactTable]:
    """As many candidates a table as fit beside each other on a page."""
    starts = range(0, len(names), SIDE_BY_SIDE)
    parts = [slice(start, start + SIDE_BY_SIDE) for start in starts]
    return [FactTable(names[part], [replace(fact, values=fact.values[part]) for fact in facts]) for part in parts]


def data_facts(schema: DataSchema, source: str, of: ModelCard) -> list[Fact]:
    """What was predicted from what."""
    negative, positive = (isolated(label) for label in schema.classes)
    rows = schema.rows
    shares = [f"{share(schema.positives[part] / rows[part])} in {part}" for part in ("training", "test")]
    made = f", as {whole(len(of.features))} features" if of.columns else ""
    used = len(schema.used) if schema.columns else len(schema.features)
    unused = len(schema.columns) - used if schema.columns else 0
    left_out = f", {whole(unused)} left out" if unused else ""
    return [
        Fact("Data set", [isolated(source)]),
        Fact("Target", [f"{isolated(schema.target)}: {positive} is positive, {negative} negative"]),
        Fact("Rows", [f"{whole(rows['training'])} training, {whole(rows['test'])} test"]),
        Fact("Share of positives", [", ".join(shares)]),
        Fact("Columns", [f"{whole(used)} used{left_out}{made}"]),
    ]


def fit_facts(candidates: Sequence[Evaluated]) -> list[Fact]:
    """How each model came about."""
    fits = [each.card.ended for each in candidates]
    rows: list[tuple[str, list[str]]] = [
        ("model", [each.card.model for each in candidates]),
        ("features", [whole(len(each.card.features)) for each in candidates]),
        ("penalty l2", [_penalty(each) for each in candidates]),
        ("optimizer", [fit.optimizer for fit in fits]),
        ("epochs", [whole(fit.epochs) for fit in fits]),
        ("stopped by", [ENDS.get(fit.stopped_by, fit.stopped_by) for fit in fits]),
        ("converged", [_converged(each) for each in candidates]),
        ("training loss", [fixed(fit.loss) for fit in fits]),
        ("gradient norm", [significant(fit.gradient_norm) for fit in fits]),
        ("separation", [_separation(each) for each in candidates]),
        ("validation", [str(each.validation.get("by", UNDEFINED)) for each in candidates]),
        ("threshold", [each.decision.sentence for each in candidates]),
    ]
    return [_fact(label, values) for label, values in rows]


def configuration(candidates: Sequence[Evaluated]) -> list[Fact]:
    """Every key of the configurations: those in which candidates differ first."""
    configs = [dict(flatten(each.card.config)) for each in candidates]
    keys = dict.fromkeys(key for config in configs for key in config)
    facts = [_fact(key, [_text(config.get(key)) if key in config else UNDEFINED for config in configs]) for key in keys]
    return sorted(facts, key=lambda fact: not fact.differs)


def hashes(of: Evaluated) -> list[Fact]:
    """Of one candidate: what it was made of, by which another can tell that it is the same."""
    card = of.card
    made_of = {f"{part} (SHA-256)": digest for part, digest in card.fingerprint_of.items()}
    tables = {f"{part} table (SHA-256)": digest for part, digest in card.data.digest.items()}
    named = {"fingerprint": card.fingerprint, **made_of, **tables, "weights (SHA-256)": of.weights_digest}
    return [Fact(label, [digest], code=True) for label, digest in named.items()]


def commands(of: Evaluated) -> list[Fact]:
    """What to type for this candidate, wherever its folder is."""
    fingerprint = of.card.fingerprint[:HASH_LETTERS]
    return [
        Fact("make it again, bit for bit", [f"python -m pipeline.runs reproduce {fingerprint}"], code=True),
        Fact("predict new rows", [f"python -m pipeline.stages.predict {fingerprint} NEW.csv --out answers.csv"], code=True),
    ]


def intended_use(of: ModelCard) -> str:
    """What the model is for."""
    positive = isolated(of.classes[1])
    names = [isolated(name) for name in ([column.name for column in of.columns] or of.features)]
    target = isolated(of.target)
    return (
        f"To predict {target} of rows like those that it was trained on, from {join_limited(names)}: the probability of "
        f"{positive}, and the class by a threshold. It says by how much each column moves that probability, and not that the "
        "column causes it."
    )


def limits(of: Evaluated, failed: Sequence[str]) -> list[str]:
    """What the model was not shown to do. failed: the names of the checks that it failed."""
    data = of.card.config.get("data", {})
    by = next((key for key in HELD_OUT if data.get(key)), None)
    tested = HELD_OUT[by].format(isolated(data[by])) if by else AT_RANDOM
    found = [f"It was tested on {tested}: other times, places or populations may differ."]
    if of.coefficients:
        found.append("It adds up effects on the log-odds: it sees no interaction and no curve that columns do not hold.")
    if of.predictions.weight is not None:
        found.append("Rows have weights: all scores are of weighted rows.")
    if of.decision.is_constant:
        found.append("At its threshold it predicts one class for every row.")
    if failed:
        found.append(f"It failed the checks {listed(list(failed))}: read what they found before you use it.")
    return found


def _fact(label: str, values: Sequence[str]) -> Fact:
    return Fact(label, values, differs=len(set(values)) > 1)


def _penalty(of: Evaluated) -> str:
    """The l2 of the fit and, where it was a word, how that became the number."""
    found = of.card.ended.penalty
    if not found:
        return _text(of.card.config.get("model", {}).get("l2", UNDEFINED))
    validation = found.get("validation")
    how = f", in {validation['folds']} folds" if validation else ""
    return f"{significant(found['l2'])} (by {found['asked']}{how})"


def _converged(of: Evaluated) -> str:
    """As the check `unconverged` found it."""
    found = of.check("unconverged")
    return {True: "yes", False: "no", None: "not known"}[found["passed"] if found else None]


def _separation(of: Evaluated) -> str:
    """Whether the classes can be separated, as the check found it: with a penalty a fit does not look."""
    found = of.check("separation")
    return str(found["sentence"]) if found else UNDEFINED


def _text(value: Any) -> str:
    return value if isinstance(value, str) else significant(value, 6) if isinstance(value, float) else str(value)
