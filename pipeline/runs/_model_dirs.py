"""The models' folders in out/: where they are, whether they are complete, and the sweeps that they belong to."""

import os
from contextlib import suppress
from pathlib import Path

from pipeline.errors import CommandError, PipelineError
from pipeline.files import HISTORY, HISTORY_FILE, read_csv, read_json
from pipeline.manifest import CARD, REPORT, read_evaluation, read_figures, read_manifest, read_validation
from pipeline.model.card import ModelCard, read_card
from pipeline.stages import MODELS_DIR, STAGES

MODEL = f"{MODELS_DIR}/*/{CARD}"


def validate_model_dir(folder: Path) -> ModelCard:
    """The model's card. Raises PipelineError unless the files are there, undamaged, and of one fit."""
    if not folder.is_dir():
        raise CommandError(f"a model's folder must be there to be published; {folder} is not")
    missing = [pattern for stage in STAGES.values() if stage.artifacts for pattern in stage.missing(folder)]
    if missing:
        raise CommandError(f"a model's folder must be complete to be published; {folder} lacks {', '.join(missing)}")
    trained = read_card(folder)
    evaluation = read_evaluation(trained)
    report = read_manifest(folder.parent.parent / "report" / REPORT, lambda content: content)
    validation = read_validation(folder, trained.content.fingerprint)
    for manifest in (validation, trained, evaluation, read_figures(evaluation), report):
        manifest.verify()
    if report.content["models"].get(folder.name) != trained.checksum:
        raise CommandError(f"the report must be of the model beside it; {folder} needs `python -m pipeline.stages.report`")
    return trained.content


def curve(folder: Path) -> dict[int, tuple[float, float]]:
    """The points of a fit, by epoch: history.csv, measured before an epoch's update, and the fit's end."""
    history, fit = read_csv(folder / HISTORY_FILE, *HISTORY), read_card(folder).content.ended
    rows = zip(*(column.tolist() for column in history.values()), strict=True)
    points = {int(epoch): (loss, norm) for epoch, loss, norm in rows}
    points.setdefault(fit.epochs, (fit.loss, fit.gradient_norm))
    return points


def models_in(out: Path) -> list[Path]:
    """The folders in out/ that have a model.json, and those of the jobs of its sweeps, wherever these lie."""
    jobs = (path for job in sweep_jobs(out) for path in sorted(job.glob(MODEL)))
    found: dict[Path, Path] = {}
    for path in (*sorted(out.rglob(MODEL)), *jobs):
        found.setdefault(path.resolve(), path.parent)
    return list(found.values())


def sweep_jobs(out: Path) -> dict[Path, Path]:
    """The folder of each job of the sweeps in out/, and the sweep.json that lists it."""
    return {job: record for record in sorted(out.rglob("sweep.json")) for job in _jobs_in(record)}


def sweep_record(root: Path, jobs: dict[Path, Path]) -> Path:
    """The sweep.json that lists the chain in `root` as a job; where none does, that of the folder above."""
    job = Path(os.path.relpath(root))
    above = (folder / "sweep.json" for folder in root.parents)
    return jobs.get(job) or next((record for record in above if job in _jobs_in(record)), root.parent / "sweep.json")


def _jobs_in(record: Path) -> list[Path]:
    with suppress(PipelineError):
        return [Path(job["folder"]) for job in read_json(record, "jobs")["jobs"]]
    return []
