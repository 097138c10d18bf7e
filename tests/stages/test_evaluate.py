"""The evaluate stage: what it writes is of its own predictions, and of the model that is meant."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation.curves import CURVES
from pipeline.evaluation.metrics import METRICS, measure
from pipeline.manifest import read_manifest
from pipeline.model.card import read_card
from pipeline.runs._records import Records, compare, read_predictions
from pipeline.stages.evaluate import evaluate
from tests.chain import NOWHERE, add_weights, made, run


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
    written = {path.name for path in folder.iterdir()} - {
        "model.json",
        "model.npz",
        "history.csv",
        "validation.csv",
        "evaluation.json",
    }
    assert set(read_manifest(folder / "evaluation.json", dict).files) == written
    curves = {"curves.confusion.csv", *(curve.file for curve in CURVES.values())}
    assert written == {"metrics.json", "predictions.parquet", "checks.json", *curves}
    for curve in CURVES.values():
        assert tuple(pd.read_csv(folder / curve.file)) == curve.columns
    counts = pd.read_csv(folder / "curves.confusion.csv").value_counts().to_dict()
    assert counts.get((1, 1), 0) == values["true_positives"]
    assert capsys.readouterr().out.startswith(f"40 test rows: accuracy {values['accuracy']:.4f}, roc_auc ")


def test_another_model_than_the_one_that_was_meant_is_refused(root: Path) -> None:
    with pytest.raises(PipelineError, match="numpy must stay what was trained; another process has replaced it"):
        run("evaluate", root, "model.l2=1")
    assert not (root / "models" / "numpy" / "evaluation.json").exists()


def test_metrics_curves_and_comparisons_use_the_weights_of_the_test_rows(tmp_path: Path) -> None:
    root = made(tmp_path, until="generate")
    weight = np.arange(40.0) % 4
    add_weights(root / "data", test=weight)
    run("train", root)
    folder = root / "models" / "numpy"
    values = evaluate(root / "data", folder, NOWHERE)
    table = pd.read_parquet(folder / "predictions.parquet")
    p, y = table["probability"].to_numpy(), table["actual"].to_numpy(np.float64)
    z = np.log(p / (1 - p))
    assert values == pytest.approx(measure(z, y, weight))
    assert values["rows"] == weight.sum() == 60
    for name, curve in CURVES.items():
        np.testing.assert_allclose(
            pd.read_csv(folder / curve.file), pd.DataFrame(curve.of(z, y, weight)), atol=1e-9, err_msg=name
        )
    of = SimpleNamespace(info=SimpleNamespace(run_id="a", run_name="a"))
    a = Records(of, folder, read_card(folder).content, {}, values, read_predictions(folder))
    b = replace(a, predictions={**a.predictions, "probability": p**2})
    found = compare(a, b)["log_loss"].value
    assert found == pytest.approx(measure(np.log(p**2 / (1 - p**2)), y, weight)["log_loss"] - values["log_loss"])
