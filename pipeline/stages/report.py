"""Put the models side by side: one page with nothing outside it, and one table."""

import base64
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from html import escape
from pathlib import Path
from typing import Any

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.config.schema import Tracking, flatten
from pipeline.files import OUT, write_csv
from pipeline.manifest import REPORT, Manifest, read_evaluation, read_figures, write_manifest
from pipeline.model.card import ModelCard, read_card
from pipeline.tracking.client import stage_tracking, track, wait_at_end, wait_for_mlflow
from pipeline.tracking.names import data_name

logger = logging.getLogger("pipeline.stages.report")

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --best: #1f5fa822; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2.5rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p.about { margin-top: .2rem; opacity: .75; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .9rem .28rem 0; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; font-weight: 400; }
td.best { background: var(--best); font-weight: 600; }
.figures { display: grid; gap: 1rem; align-items: start; }
figure { margin: 0; } figure img { width: 100%; border-radius: 6px; background: white; }
figcaption { font-size: .85rem; opacity: .75; }
code { font-size: .9em; background: var(--soft); padding: .1em .3em; border-radius: 4px; }
"""
HIGHER = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "mcc", "roc_auc", "average_precision")
LOWER = ("log_loss", "brier", "calibration_error")
ABBREVIATIONS = ("auc", "f1", "mcc", "roc")
FIGURES = ("loss", "decision_boundary", "data", "roc", "precision_recall", "calibration", "confusion", "weights")

Models = Mapping[str, tuple[ModelCard, Mapping[str, float]]]  # name -> card, metrics


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _metric_row(name: str, models: Models) -> list[str]:
    values = [round(metrics[name], 4) for _, metrics in models.values()]
    best = max(values) if name in HIGHER else min(values)
    marks = [' class="best"' if value == best and len(set(values)) > 1 else "" for value in values]
    cells = [f"<td{mark}>{value:.4f}</td>" for mark, value in zip(marks, values, strict=True)]
    return [f"<td>{_words(name)}</td>", *cells]


def _words(name: str) -> str:
    """A metric's or figure's name as one writes it: roc_auc as ROC AUC."""
    return " ".join(word.upper() if word in ABBREVIATIONS else word for word in name.split("_"))


def _config_rows(models: Models) -> list[list[str]]:
    configs = [dict(flatten(card.config)) for card, _ in models.values()]
    keys = list(dict.fromkeys(key for config in configs for key in config))
    return [
        [f"<td>{escape(key)}</td>", *(f"<td>{escape(str(config.get(key, '')))}</td>" for config in configs)] for key in keys
    ]


def _figure_row(name: str, figures: Mapping[str, Manifest[Mapping[str, Any]]]) -> str:
    cells = []
    for model, drawn in figures.items():
        if f"{name}.png" in drawn.files:
            image = base64.b64encode(drawn.read(f"{name}.png")).decode()
            alt = f"{_words(name)} of {model}"
            cells.append(
                f'<figure><img alt="{alt}" src="data:image/png;base64,{image}"><figcaption>{model}</figcaption></figure>'
            )
    columns = f"grid-template-columns: repeat({max(len(figures), 1)}, minmax(0, 1fr))"
    return f'<div class="figures" style="{columns}">{"".join(cells)}</div>' if cells else ""


def page(models: Models, drawn_of: Mapping[str, Manifest[Mapping[str, Any]]]) -> str:
    """The report as HTML, with its figures inside."""
    card = next(iter(models.values()))[0]
    rows, source = card.data.rows, data_name(card.config["data"])
    names = [escape(name) for name in models]
    title = f"Predicting {escape(card.target)}: {' and '.join(names)}"
    subtitle = f"{escape(source)}, {len(card.features)} features, {rows['training']} training and {rows['test']} test rows"
    scores = _table(["on the test table", *names], [_metric_row(name, models) for name in (*HIGHER, *LOWER)])
    fits = [
        ["<td>training loss</td>", *(f"<td>{a.ended.loss:.4f}</td>" for a, _ in models.values())],
        ["<td>optimizer</td>", *(f"<td>{a.ended.optimizer}</td>" for a, _ in models.values())],
        ["<td>epochs</td>", *(f"<td>{a.ended.epochs}</td>" for a, _ in models.values())],
        ["<td>stopped by</td>", *(f"<td>{a.ended.stopped_by}</td>" for a, _ in models.values())],
        ["<td>fingerprint</td>", *(f"<td><code>{a.fingerprint[:12]}</code></td>" for a, _ in models.values())],
    ]
    figures = [(name, _figure_row(name, drawn_of)) for name in FIGURES]
    drawn = "".join(f"<h2>{_words(name)[0].upper()}{_words(name)[1:]}</h2>{row}" for name, row in figures if row)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{STYLE}</style>
<h1>{title}</h1>
<p class="about">{subtitle}</p>
<h2>Scores</h2>{scores}
<h2>Training</h2>{_table(["", *names], fits)}
{drawn}
<h2>Configuration</h2>{_table(["", *names], _config_rows(models))}
</html>
"""


def report(root: Path, names: Sequence[str], tracking: Tracking) -> None:
    """Write root/report/index.html and comparison.csv about the models in root/<name>/; each one's run shows the page."""
    models = {name: read_card(root / name) for name in names}
    cards = {name: trained.content for name, trained in models.items()}
    with ExitStack() as stack:
        trackers = {name: stack.enter_context(track(tracking, "report", card.to_dict())) for name, card in cards.items()}
        evaluations = {name: read_evaluation(trained) for name, trained in models.items()}
        figures = {name: read_figures(evaluation) for name, evaluation in evaluations.items()}
        measured = {name: evaluation.numbers("metrics.json", *HIGHER, *LOWER) for name, evaluation in evaluations.items()}
        with atomic_dir(root / "report", REPORT) as made:
            html = page({name: (cards[name], measured[name]) for name in names}, figures)
            (made / "index.html").write_text(html, encoding="utf-8")
            columns = {metric: [values[metric] for values in measured.values()] for metric in measured[names[0]]}
            write_csv(made / "comparison.csv", {"model": list(names), **columns})
            of = {name: trained.checksum for name, trained in models.items()}
            write_manifest(made / REPORT, {"models": of}, ["index.html", "comparison.csv"])
        logger.info(f"{' and '.join(names)} -> {root / 'report' / 'index.html'}")
        for name, tracker in trackers.items():
            tracker.publish(root / name)


def main(words: Sequence[str]) -> None:
    parser = console.parser("report", __doc__, "python -m pipeline.stages.report numpy torch")
    parser.add_argument("models", nargs="+", help="the models' folders in out/")
    report(OUT, parser.parse_args(words).models, stage_tracking(OUT))
    wait_for_mlflow()  # the DAG's last stage


if __name__ == "__main__":
    console.run(main, wait_at_end)
