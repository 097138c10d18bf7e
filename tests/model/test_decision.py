"""The decision in a model's folder."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.manifest import DECISION, EVALUATION, read_evaluation, write_manifest
from pipeline.model.card import read_card
from pipeline.model.decision import GREATEST, Decision, log_odds_of, read_decision
from pipeline.model.predictor import probability


def test_log_odds_of_any_probability_are_finite() -> None:
    assert log_odds_of(np.array([0.0, 0.5, 1.0])).tolist() == [-GREATEST, 0, GREATEST]
    p = np.array([1e-300, 0.3, 0.9999])
    assert probability(log_odds_of(p)) == pytest.approx(p)


def test_it_is_read_as_the_evaluation_has_it(trained: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained / "models" / "numpy", tmp_path / "numpy")
    model = read_card(folder)
    assert read_decision(model) == Decision()
    (folder / DECISION).write_text((folder / DECISION).read_text().replace("0.0", "1.0"))
    with pytest.raises(PipelineError, match="decision.json must be what evaluation.json describes; run"):
        read_decision(model)
    (folder / DECISION).unlink()
    with pytest.raises(PipelineError, match="there is no .*decision.json"):
        read_decision(model)
    earlier = [name for name in read_evaluation(model).files if name != DECISION]
    write_manifest(folder / EVALUATION, "evaluate", {"model": model.checksum}, earlier)  # as versions before this file wrote it
    assert read_decision(model) == Decision()
    write_manifest(folder / EVALUATION, "evaluate", {"model": "another"}, earlier)
    with pytest.raises(PipelineError, match="evaluation.json must be of the .*model.json that is there"):
        read_decision(model)
    (folder / EVALUATION).unlink()
    assert read_decision(model) == Decision()
