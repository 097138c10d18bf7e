"""The evaluate stage: what it writes is of its own predictions, and of the model that is meant."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation.curves import CURVES
from pipeline.evaluation.metrics import METRICS, measure
from pipeline.manifest import read_manifest
from pipeline.stages.evaluate import evaluate
from tests.chain import NOWHERE, made, run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("trained"), until="train")


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def test_all_is_of_the_same_predictions(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = root / "models" / "numpy"
    values = evaluate(root / "data", folder, NOWHERE)
    table = pd.read_parquet(folder / "predictions.parquet")
    p, y = table["probability"].to_numpy(), table["actual"].to_numpy(np.float64)
    assert (table["predicted"] == (p > 0.5)).all()
    assert list(values) == list(METRICS)
    assert values == json.loads((folder / "metrics.json").read_text()) == pytest.approx(measure(np.log(p / (1 - p)), y))
    written = {path.name for path in folder.iterdir()} - {"model.json", "model.npz", "history.csv", "evaluation.json"}
    assert set(read_manifest(folder / "evaluation.json", dict).files) == written
    assert written == {"metrics.json", "predictions.parquet", "curves.confusion.csv", *(c.file for c in CURVES.values())}
    for curve in CURVES.values():
        assert tuple(pd.read_csv(folder / curve.file)) == curve.columns
    counts = pd.read_csv(folder / "curves.confusion.csv").value_counts().to_dict()
    assert counts.get((1, 1), 0) == values["true_positives"]
    assert capsys.readouterr().out.startswith(f"40 test rows: accuracy {values['accuracy']:.4f}, roc_auc ")


def test_another_model_than_the_one_that_was_meant_is_refused(root: Path) -> None:
    with pytest.raises(PipelineError, match="numpy must stay what was trained; another process has replaced it"):
        run("evaluate", root, "model.l2=1")
    assert not (root / "models" / "numpy" / "evaluation.json").exists()
