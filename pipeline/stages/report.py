"""Put the models side by side: one page with nothing outside it, one table, and figures."""

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.config.files import check_candidate_name, check_stage_file, read_stage_file, to_yaml
from pipeline.config.tracking import Tracking, stage_tracking
from pipeline.errors import ArtifactError
from pipeline.evaluation.comparison import Predictions
from pipeline.evaluation.figures import FIGURES, MAX_CANDIDATES
from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.report import charts
from pipeline.evaluation.report.candidate import Evaluated
from pipeline.evaluation.report.page import PICTURES, build, render
from pipeline.evaluation.report.tables import MAX_ROWS
from pipeline.files import (
    CHECKS_FILE,
    INTERVALS_FILE,
    OUT,
    PREDICTIONS_FILE,
    WEIGHTS_FILE,
    digest,
    write_csv,
)
from pipeline.manifest import REPORT, VALIDATION, Manifest, read_evaluation, read_figures, read_validation, write_manifest
from pipeline.model.card import ModelCard, read_card, read_schema_of
from pipeline.redaction import scrub
from pipeline.stages import MODELS_DIR, STAGES, remove_other_candidates
from pipeline.stages._drawing import draw, read_context
from pipeline.tracking.client import track, wait_at_end, wait_for_delivery
from pipeline.tracking.events import Artifacts
from pipeline.tracking.names import data_name
from pipeline.tracking.store import experiment_in_copy, project_root

logger = logging.getLogger("pipeline.stages.report")

STAGE = STAGES["report"]
SCRIPT = "charts.js"


def report(root: Path, names: Sequence[str], tracking: Tracking) -> None:
    """Write root/report/index.html, comparison.csv and, of several, figures/ about the models in root/models/<name>/; each run
    shows the page."""
    models = {name: read_card(root / MODELS_DIR / name) for name in names}
    with ExitStack() as stack:
        trackers = {
            name: stack.enter_context(track(tracking, STAGE.name, trained.content, name)) for name, trained in models.items()
        }
        (tables, *_) = [read_schema_of(trained, root / "data") for trained in models.values()]
        candidates = {name: _read(trained) for name, trained in models.items()}
        with atomic_dir(root / "report", REPORT, ["figures"]) as made:
            source = data_name(tables.content.source)
            page = build(candidates, tables.content, source)
            (made / "index.html").write_text(render(page, script()), encoding="utf-8")
            columns = {name: [candidate.metrics[name] for candidate in candidates.values()] for name in METRICS}
            write_csv(made / "comparison.csv", {"model": list(models), **columns})
            checksums = {name: trained.checksum for name, trained in models.items()}
            files = ["index.html", "comparison.csv", *_compare(made, list(candidates.values()))]
            write_manifest(made / REPORT, STAGE.name, {"models": checksums}, files)
        logger.info(f"{', '.join(models)} -> {root / 'report' / 'index.html'}")
        for name, tracker in trackers.items():
            tracker.files(partial(artifacts, root / MODELS_DIR / name, "DVC_STAGE" in os.environ))


def script() -> str:
    """What draws the charts, from a copy beside the outs that has its SHA-256 in its first line, and what it was made by."""
    path = project_root() / OUT / SCRIPT
    with suppress(OSError, UnicodeDecodeError):
        header, _, bundled = path.read_text(encoding="utf-8").partition("\n")
        if header == _header(bundled):
            return bundled
    bundled = charts.bundle()
    with suppress(ArtifactError), atomic_dir(path.parent) as made:
        (made / path.name).write_text(f"{_header(bundled)}\n{bundled}", encoding="utf-8")
    return bundled


def _header(script: str) -> str:
    return f"// {charts.bundle_key()} {digest(script.encode())}"


def _compare(folder: Path, candidates: Sequence[Evaluated]) -> list[str]:
    """Draw several candidates over each other, into folder/figures/. Returns the files' names; none of one candidate."""
    if len(candidates) < 2:
        return []
    if len(candidates) > MAX_CANDIDATES:
        logger.info(f"{folder.parent / 'figures'} compares the first {MAX_CANDIDATES} of {len(candidates)} candidates")
    (folder / "figures").mkdir()
    compared = [figure for figure in FIGURES.values() if figure.compares]
    return [f"figures/{name}" for figure in compared for name in draw(folder / "figures", figure, *candidates[:MAX_CANDIDATES])]


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
    """A model with all that the stages made of it. Raises ArtifactError unless that is of it."""
    folder, card = trained.path.parent, trained.content
    evaluation = read_evaluation(trained)
    figures = read_figures(evaluation)
    context = read_context(trained, evaluation, MAX_ROWS)
    table = evaluation.table(PREDICTIONS_FILE)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    is_validated = (folder / VALIDATION).is_file()
    return Evaluated(
        **vars(context),
        intervals=evaluation.json(INTERVALS_FILE, "test", "training", "baseline"),
        checks=evaluation.json(CHECKS_FILE, "checks")["checks"],
        predictions=Predictions.of(columns, card.classes, context.decision.log_odds),
        weights_digest=trained.files[WEIGHTS_FILE],
        validation=read_validation(folder, card.fingerprint).content if is_validated else {},
        pictures={name: figures.read(f"{name}.png") for name in PICTURES if f"{name}.png" in figures.files},
    )


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
