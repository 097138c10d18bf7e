"""A run's own records."""

import shutil
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.runs._records import records
from pipeline.tracking.runs import Store
from tests.runs.conftest import Commands, all_runs, client_of


@pytest.mark.slow
def test_records_that_are_not_whole(made: Path, runs: Commands) -> None:
    folders = {name: Path(run.info.artifact_uri.removeprefix("file://")) for name, run in all_runs(made).items()}
    (folders["numpy"] / "training" / "model.npz").write_bytes(b"PK cut")
    (folders["torch"] / "training" / "model.json").write_text('{"fingerprint": ')
    (folders["single"] / "evaluation" / "predictions.parquet").write_bytes(b"PAR1")
    (folders["0"] / "evaluation" / "metrics.json").unlink()
    shutil.rmtree(folders["1"] / "evaluation")
    sentences = {
        "numpy": "must have its artifacts undamaged: training/model.npz must be what model.json describes",
        "torch": "must have its artifacts undamaged: training/model.json must be a JSON file",
        "single": "must have its artifacts undamaged: evaluation/predictions.parquet must be what evaluation.json describes",
        "0": "must have its artifacts undamaged: there is no evaluation/metrics.json",
        "1": "must have its artifact evaluation; it cannot be read",
    }
    ids = {name: run.info.run_id for name, run in all_runs(made).items()}
    answers = runs(made, *(f"{command} {ids[name]}" for name in sentences for command in (f"diff {ids[name]}", "reproduce")))
    for i, sentence in enumerate(sentences.values()):
        for answer in answers[2 * i : 2 * i + 2]:
            assert answer.code == 1, answer
            assert sentence in answer.stderr + answer.stdout
            assert "Traceback" not in answer.stderr


@pytest.mark.slow
def test_records_must_be_whole(made: Path, tmp_path: Path) -> None:
    run = all_runs(made)["numpy"]
    Path(run.info.artifact_uri.removeprefix("file://"), "training", "model.json").unlink()
    with pytest.raises(PipelineError, match="must have its artifacts undamaged: there is no training/model.json"):
        records(Store(client_of(made), "", "", run.info.experiment_id), run, tmp_path / "records")
