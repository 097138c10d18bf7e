"""The page: all that it shows, as one typed structure, and its HTML, rendered from page.html.j2, page.css and page.js."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pipeline.evaluation.comparison import differences
from pipeline.evaluation.figures import DASHES, FIGURES, PALETTE
from pipeline.evaluation.intervals import resamples_for
from pipeline.evaluation.report import card, charts, findings, scores, tables, threshold
from pipeline.evaluation.report.candidate import Evaluated
from pipeline.evaluation.report.display import isolated, whole
from pipeline.interval import CONFIDENCE
from pipeline.model.card import DataSchema
from pipeline.model.encoder import Encoder
from pipeline.text import join_limited

PICTURES = ("data", "decision_boundary")  # of FIGURES: those that the document draws, where the features are two
MANY_ROWS = 5_000  # test rows, beyond which the differences are of fewer resamples
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Picture:
    """A static figure."""

    alt: str
    caption: str
    png: str  # base64


@dataclass(frozen=True)
class Model:
    """The model card of one candidate."""

    name: str
    intended_use: str
    limits: Sequence[str]
    commands: Sequence[card.Fact]
    hashes: Sequence[card.Fact]


@dataclass(frozen=True)
class Page:
    """All that the page shows, from its top to its end."""

    title: str
    heading: str
    names: Sequence[str]  # of the candidates
    facts: Sequence[card.Fact]
    verdict: findings.Verdict
    checks: Sequence[findings.CheckOutcome]
    leaderboard: scores.Table
    all_scores: Sequence[scores.Table]
    differences: Sequence[scores.Table]
    method: str  # how intervals and differences were found
    training_rate_note: str
    validation_note: str
    charts: Sequence[charts.Chart]
    classes: Sequence[str]
    matrices: Sequence[threshold.Matrix]
    coefficients: Sequence[tables.LongTable]
    columns: tables.LongTable | None
    features: str  # where the data are a matrix of numbers
    fit: Sequence[card.FactTable]
    configuration: Sequence[card.FactTable]
    models: Sequence[Model]
    pictures: Sequence[Picture]
    data: Mapping[str, Any]  # for the page's script

    @property
    def failed(self) -> Sequence[findings.CheckOutcome]:
        return [check for check in self.checks if check.outcome == findings.FAILED]

    @property
    def failed_count(self) -> str:
        """How many checks failed."""
        severe = sum(check.severe for check in self.failed)
        how = f", {severe} of them severely, which bars promotion" if severe else ""
        return f"{len(self.failed)} of {len(self.checks)} checks failed{how}:"

    @property
    def others(self) -> Sequence[findings.CheckOutcome]:
        """Checks that passed, or that do not apply."""
        return [check for check in self.checks if check.outcome != findings.FAILED]


def build(candidates: Mapping[str, Evaluated], schema: DataSchema, source: str) -> Page:
    """The page of candidates that were tested on one table; source: what the data are called."""
    ordered = dict(sorted(candidates.items(), key=lambda item: item[1].loss))
    best, *others = ordered
    resamples = resamples_for(len(ordered[best].predictions.y), MANY_ROWS)
    found = differences([each.predictions for each in ordered.values()], resamples) if others else []
    by_name = dict(zip(others, found, strict=True))
    many = list(candidates.values())
    drawn = charts.charts(many)
    first = ordered[best].card
    coefficients = [
        tables.coefficient_table(f"coefficients-{i}", name, each)
        for i, (name, each) in enumerate(candidates.items())
        if each.coefficients
    ]
    columns = tables.column_table(schema, Encoder.from_list(first.encoder) if first.encoder else None)
    target, positive = (isolated(text) for text in (schema.target, schema.classes[1]))
    long = [*coefficients, *([columns] if columns else [])]
    return Page(
        title=f"Predicting {target}: {join_limited([isolated(name) for name in candidates], 4)}",
        heading=f"Predicting {target} = {positive}",
        names=list(candidates),
        facts=card.data_facts(schema, source, first),
        verdict=findings.build_verdict(ordered, by_name),
        checks=findings.check_outcomes(ordered),
        leaderboard=scores.leaderboard(candidates, by_name),
        all_scores=scores.all_scores(candidates),
        differences=scores.difference_tables(best, by_name),
        method=_method(ordered[best], len(ordered), resamples),
        training_rate_note=scores.training_rate_note(candidates),
        validation_note=scores.validation_note(candidates),
        charts=drawn,
        classes=[isolated(label) for label in schema.classes],
        matrices=[threshold.matrix(name, i, each) for i, (name, each) in enumerate(candidates.items())],
        coefficients=coefficients,
        columns=columns,
        features="" if schema.columns else join_limited([isolated(name) for name in schema.features]),
        fit=card.fact_tables(list(candidates), card.fit_facts(many)),
        configuration=card.fact_tables(list(candidates), card.configuration(many)),
        models=[_model(name, each) for name, each in candidates.items()],
        pictures=_pictures(best, candidates[best]),
        data={
            "names": list(candidates),
            "charts": {chart.name: chart.to_dict() for chart in drawn},
            "shades": threshold.SHADES,
            "thresholds": threshold.thresholds(many),
            "tables": {table.id: table.rest for table in long if table.rest},
        },
    )


def render(page: Page, script: str) -> str:
    """Its HTML. Equal pages give equal text. script: what draws charts, `charts.bundle`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    css = charts.palette_css() + threshold.shades_css() + (FOLDER / "page.css").read_text(encoding="utf-8")
    scripts = [script, (FOLDER / "page.js").read_text(encoding="utf-8")]
    policy = [
        "default-src 'none'",
        f"script-src {' '.join(map(_digest, scripts))}",
        f"style-src {_digest(css)}",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return environment.get_template("page.html.j2").render(
        page=page,
        confidence=f"{CONFIDENCE:.0%}",
        policy="; ".join(policy),
        css=Markup(css),
        scripts=[Markup(script) for script in scripts],
        data=Markup(charts.to_json(page.data)),
        svg={chart.name: Markup(chart.svg()) for chart in page.charts},
        colours=len(PALETTE),
        dashes=len(DASHES),
    )


def _digest(text: str) -> str:
    """By which a policy allows a script or style that stands in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _method(best: Evaluated, candidates: int, resamples: int) -> str:
    """resamples: of the differences."""
    units = "groups of test rows" if best.predictions.group is not None else "test rows"
    text = f"Intervals ({CONFIDENCE:.0%}) are of {units} drawn anew (bootstrap) or, of shares of rows, exact."
    if candidates < 2:
        return text
    together = ", by intervals that hold together, whichever candidate is the best" if candidates > 2 else ""
    return f"{text} Differences are of the same rows drawn for both candidates, {whole(resamples)} times{together}."


def _model(name: str, of: Evaluated) -> Model:
    failed = [entry["name"] for entry in of.checks if entry["passed"] is False]
    return Model(name, card.intended_use(of.card), card.limits(of, failed), card.commands(of), card.hashes(of))


def _pictures(name: str, of: Evaluated) -> list[Picture]:
    """Those of the best candidate."""
    shown = {FIGURES[figure].title: base64.b64encode(_in_few_colours(png)).decode() for figure, png in of.pictures.items()}
    return [Picture(f"{title} of {isolated(name)}", title, png) for title, png in shown.items()]


def _in_few_colours(png: bytes) -> bytes:
    """A PNG file in 256 colours: points and lines look alike in a third of the bytes."""
    from PIL import Image

    made = BytesIO()
    Image.open(BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(made, "png", optimize=True)
    return made.getvalue()
