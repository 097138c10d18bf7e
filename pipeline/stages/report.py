"""Put the models side by side: one page with nothing outside it, and one table."""

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.config.files import check_candidate_name, check_stage_file, read_stage_file, to_yaml
from pipeline.config.tracking import Tracking, stage_tracking
from pipeline.evaluation.figures import FIGURES
from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.report import Evaluated, largest_coefficients, render
from pipeline.files import CHECKS_FILE, COEFFICIENTS_FILE, INTERVALS_FILE, METRICS_FILE, OUT, write_csv
from pipeline.manifest import REPORT, Manifest, read_evaluation, read_figures, write_manifest
from pipeline.model.card import ModelCard, read_card
from pipeline.model.decision import decision_of
from pipeline.redaction import scrub
from pipeline.stages import MODELS_DIR, STAGES, remove_other_candidates
from pipeline.tracking.client import track, wait_at_end, wait_for_delivery
from pipeline.tracking.events import Artifacts
from pipeline.tracking.names import data_name
from pipeline.tracking.store import experiment_in_copy

logger = logging.getLogger("pipeline.stages.report")

STAGE = STAGES["report"]


def report(root: Path, names: Sequence[str], tracking: Tracking) -> None:
    """Write root/report/index.html and comparison.csv about the models in root/models/<name>/; each run shows the page."""
    models = {name: read_card(root / MODELS_DIR / name) for name in names}
    with ExitStack() as stack:
        trackers = {
            name: stack.enter_context(track(tracking, STAGE.name, trained.content, name)) for name, trained in models.items()
        }
        candidates = {name: _read(trained) for name, trained in models.items()}
        with atomic_dir(root / "report", REPORT) as made:
            source = data_name(models[names[0]].content.config["data"])
            (made / "index.html").write_text(render(candidates, source), encoding="utf-8")
            columns = {name: [candidate.metrics[name] for candidate in candidates.values()] for name in METRICS}
            write_csv(made / "comparison.csv", {"model": list(models), **columns})
            checksums = {name: trained.checksum for name, trained in models.items()}
            write_manifest(made / REPORT, STAGE.name, {"models": checksums}, ["index.html", "comparison.csv"])
        logger.info(f"{', '.join(models)} -> {root / 'report' / 'index.html'}")
        for name, tracker in trackers.items():
            tracker.files(partial(artifacts, root / MODELS_DIR / name, "DVC_STAGE" in os.environ))


def artifacts(folder: Path, in_dvc: bool) -> Artifacts:
    """What MLflow shows of the report beside the model in `folder`; in a DAG, also what dvc.lock has on all that led to it.

    An experiment in a copy of the repository may share the run with the repository, so its report has a folder of its own.
    """
    pages, root, copy = STAGE.files(folder), folder.resolve().parents[2], experiment_in_copy()
    lock, place = root / "dvc.lock", str(Path(STAGE.artifacts, copy))
    if not in_dvc or not lock.is_file():
        return Artifacts(place, pages)
    locked = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
    names = [name for name in locked if name.partition("@")[2] in ("", folder.name) and name != STAGE.name]
    stages = {name: locked[name] for name in names}
    return Artifacts(place, pages, texts={str(Path("lineage", copy, "dvc.lock.yaml")): scrub(to_yaml(stages))})


def _read(trained: Manifest[ModelCard]) -> Evaluated:
    """A model with its metrics and figures. Raises ArtifactError unless they are of it."""
    evaluation = read_evaluation(trained)
    figures = read_figures(evaluation)
    images = {name: figures.read(f"{name}.png") for name in FIGURES if f"{name}.png" in figures.files}
    intervals = evaluation.json(INTERVALS_FILE, "test", "training", "baseline")
    numbers = evaluation.numbers(METRICS_FILE, *METRICS)
    checks = evaluation.json(CHECKS_FILE, "checks")["checks"]
    coefficients = largest_coefficients(trained.read(COEFFICIENTS_FILE))
    return Evaluated(trained.content, decision_of(evaluation), numbers, intervals, images, checks, coefficients)


def run(data: Path, folder: Path, tracking: Tracking, config: Mapping[str, Any]) -> None:
    report(data.parent, [folder.name], tracking)


def main(argv: Sequence[str]) -> None:
    parser = console.parser("stages.report", __doc__, "numpy torch")
    parser.add_argument("candidates", nargs="*", help="their folders in out/models/; those of overrides.yaml if none is given")
    names = parser.parse_args(argv).candidates
    for name in names:
        check_candidate_name(name)
    file = OUT / "config" / STAGE.config_file
    check_stage_file(file, STAGE.name)
    if not names:
        names = read_stage_file(file, STAGE.name, *STAGE.sections)["candidates"]
        remove_other_candidates(OUT, names)
    report(OUT, names, stage_tracking(OUT))
    wait_for_delivery()  # the DAG's last stage


if __name__ == "__main__":
    console.run(main, wait_at_end)
