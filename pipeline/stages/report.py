"""Put the models side by side: one page with nothing outside it, and one table."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.config.files import read_stage_file
from pipeline.config.tracking import Tracking, stage_tracking
from pipeline.evaluation.figures import FIGURES
from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.report import Evaluated, render
from pipeline.files import OUT, write_csv
from pipeline.manifest import REPORT, Manifest, read_evaluation, read_figures, write_manifest
from pipeline.model.card import ModelCard, read_card
from pipeline.stages import MODELS
from pipeline.tracking.client import track, wait_at_end, wait_for_mlflow
from pipeline.tracking.names import data_name

logger = logging.getLogger("pipeline.stages.report")


def report(root: Path, names: Sequence[str], tracking: Tracking) -> None:
    """Write root/report/index.html and comparison.csv about the models in root/models/<name>/; each run shows the page."""
    models = {name: read_card(root / MODELS / name) for name in names}
    with ExitStack() as stack:
        trackers = {
            name: stack.enter_context(track(tracking, "report", trained.content.to_dict())) for name, trained in models.items()
        }
        candidates = {name: _read(trained) for name, trained in models.items()}
        with atomic_dir(root / "report", REPORT) as made:
            source = data_name(models[names[0]].content.config["data"])
            (made / "index.html").write_text(render(candidates, source), encoding="utf-8")
            columns = {name: [candidate.metrics[name] for candidate in candidates.values()] for name in METRICS}
            write_csv(made / "comparison.csv", {"model": list(names), **columns})
            checksums = {name: trained.checksum for name, trained in models.items()}
            write_manifest(made / REPORT, "report", {"models": checksums}, ["index.html", "comparison.csv"])
        logger.info(f"{' and '.join(names)} -> {root / 'report' / 'index.html'}")
        for name, tracker in trackers.items():
            tracker.publish(root / MODELS / name)


def _read(trained: Manifest[ModelCard]) -> Evaluated:
    """A model with its metrics and figures. Raises ArtifactError unless they are of it."""
    evaluation = read_evaluation(trained)
    figures = read_figures(evaluation)
    images = {name: figures.read(f"{name}.png") for name in FIGURES if f"{name}.png" in figures.files}
    return Evaluated(trained.content, evaluation.numbers("metrics.json", *METRICS), images)


def main(argv: Sequence[str]) -> None:
    parser = console.parser("report", __doc__, "python -m pipeline.stages.report numpy torch")
    parser.add_argument("candidates", nargs="*", help="their folders in out/models/; those of overrides.yaml if none is given")
    names = parser.parse_args(argv).candidates
    names = names or read_stage_file(OUT / "config" / "report.yaml", "report", "candidates")["candidates"]
    report(OUT, names, stage_tracking(OUT))
    wait_for_mlflow()  # the DAG's last stage


if __name__ == "__main__":
    console.run(main, wait_at_end)
