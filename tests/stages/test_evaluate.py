"""The evaluate stage: what it writes is of its own predictions, and of the model that is meant."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation.curves import CURVES
from pipeline.evaluation.intervals import bootstrap, paired_bootstrap
from pipeline.evaluation.metrics import COMPARED_METRICS, METRICS, measure
from pipeline.evaluation.threshold import ValidationRows, decide
from pipeline.files import nan_as_none, write_parquet
from pipeline.learning.prediction import load_predictor
from pipeline.manifest import read_manifest, write_manifest
from pipeline.model.card import read_card
from pipeline.model.decision import Decision, read_decision
from pipeline.runs._records import Records, compare, read_predictions
from pipeline.stages.evaluate import artifacts, evaluate, main
from tests.chain import NOWHERE, add_weights, made, run, write_arrays


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
        "penalty.csv",
        "validation.json",
        "validation_predictions.parquet",
        "validation_history.csv",
        "coefficients.csv",
        "evaluation.json",
    }
    assert set(read_manifest(folder / "evaluation.json", dict).files) == written
    curves = {"curves.confusion.csv", *(curve.file for curve in CURVES.values())}
    numbers = {"decision.json", "metrics.json", "intervals.json", "checks.json"}
    assert written == {*numbers, "predictions.parquet", *curves}
    for curve in CURVES.values():
        table = pd.read_csv(folder / curve.file)
        assert tuple(table) == curve.file_columns
        known = table.dropna()
        assert "low" not in table or ((known["low"] >= 0) & (known["low"] < known["high"]) & (known["high"] <= 1)).all()
    counts = pd.read_csv(folder / "curves.confusion.csv").value_counts().to_dict()
    assert counts.get((1, 1), 0) == values["true_positives"]
    intervals = json.loads((folder / "intervals.json").read_text())
    training, test, baseline = (intervals[table] for table in ("training", "test", "baseline"))
    assert list(test) == list(training) == list(baseline) == list(COMPARED_METRICS)
    assert {name: interval["value"] for name, interval in test.items()}.items() <= values.items()
    labels = np.load(root / "data/train/y.npy")
    assert baseline["log_loss"] == pytest.approx(-np.mean(y * np.log(labels.mean()) + (1 - y) * np.log(1 - labels.mean())))
    X, card = np.load(root / "data/train/X.npy"), read_card(folder)
    assert training == nan_as_none({name: measure(load_predictor(card).log_odds(X), labels)[name] for name in COMPARED_METRICS})
    first, header, accuracy, *_ = capsys.readouterr().out.splitlines()
    losses = f"log loss {values['log_loss']:.4f} against {baseline['log_loss']:.4f}"
    assert first.startswith(f"40 test rows: the model is surely better than the training rate: {losses} (-0.")
    (check,) = (check for check in json.loads((folder / "checks.json").read_text())["checks"] if check["name"] == "baseline")
    assert check["sentence"] in first
    assert header.split() == ["test", "(95%", "interval)", "training", "training", "rate"]
    assert accuracy.split()[:3] == ["accuracy", f"{values['accuracy']:.4f}", f"({test['accuracy']['low']:.4f}"]


def test_a_model_of_noise_is_not_said_to_be_better_than_the_training_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = made(tmp_path, until="generate")
    names = ("train/y.npy", "test/y.npy")
    write_arrays(root / "data", {name: np.roll(np.load(root / "data" / name), 7) for name in names})
    run("train", root)
    capsys.readouterr()
    evaluate(root / "data", root / "models" / "numpy", NOWHERE)
    assert capsys.readouterr().out.startswith("40 test rows: the model is not surely better than the training rate: log loss ")


def test_mlflow_is_shown_each_number_once(root: Path) -> None:
    folder = root / "models" / "numpy"
    evaluate(root / "data", folder, NOWHERE)
    intervals = json.loads((folder / "intervals.json").read_text())
    shown = artifacts(folder).metrics
    assert shown["test/roc_auc"] == intervals["test"]["roc_auc"]["value"]
    assert shown["test/roc_auc.low"] == intervals["test"]["roc_auc"]["low"]
    assert shown.keys() == {f"test/{name}{end}" for name in COMPARED_METRICS for end in ("", ".low", ".high")} | {
        f"test/{name}" for name in METRICS
    }


def validation(folder: Path, rows: int, fingerprint: str = "") -> dict[str, Any]:
    """Two predictions of each of so many rows, by models that were fitted without them, as a file in `folder`."""
    rng, label = np.random.default_rng(0), np.arange(rows) % 2.0
    z = np.concatenate([rng.normal(size=rows) + label, rng.normal(size=rows) + label])
    columns = {"row": np.tile(np.arange(rows), 2), "label": np.tile(label, 2), "log_odds": z}
    write_parquet(folder / "validation_predictions.parquet", columns)
    content = {"fingerprint": fingerprint or read_card(folder).content.fingerprint}
    write_manifest(folder / "validation.json", "validate", content, ["validation_predictions.parquet"])
    return columns


def test_a_threshold_is_chosen_on_validation_rows_and_all_but_the_model_follows(root: Path) -> None:
    folder = root / "models" / "numpy"
    columns = validation(folder, rows=30)
    model = {name: (folder / name).read_bytes() for name in ("model.json", "model.npz")}
    values = evaluate(root / "data", folder, NOWHERE, {"evaluation": {"threshold": "recall:0.9"}})
    decision = read_decision(read_card(folder))
    assert decision == decide("recall:0.9", ValidationRows(30, columns["log_odds"], columns["label"], None))
    assert decision.threshold != 0.5
    table, confusion = pd.read_parquet(folder / "predictions.parquet"), pd.read_csv(folder / "curves.confusion.csv")
    assert (table["predicted"] == (table["probability"] > decision.threshold)).all()
    assert (confusion["predicted"] == table["predicted"]).all()
    assert values["accuracy"] == (table["predicted"] == table["actual"]).mean()
    assert {name: (folder / name).read_bytes() for name in model} == model
    tags = artifacts(folder).tags
    assert tags["threshold"] == f"{decision.threshold:.6g} by recall:0.9"


def test_without_validation_rows_a_threshold_must_be_a_number(root: Path) -> None:
    validation(root / "models" / "numpy", rows=0)
    with pytest.raises(PipelineError, match="threshold must be a number where there are no validation rows .*; got youden$"):
        evaluate(root / "data", root / "models" / "numpy", NOWHERE, {"evaluation": {"threshold": "youden"}})


def test_a_threshold_is_not_chosen_on_the_validation_of_another_configuration(root: Path) -> None:
    folder = root / "models" / "numpy"
    validation(folder, rows=30, fingerprint="of another")
    with pytest.raises(PipelineError, match="validation.json must be of the model beside it; "):
        evaluate(root / "data", folder, NOWHERE, {"evaluation": {"threshold": "f1"}})
    assert evaluate(root / "data", folder, NOWHERE, {"evaluation": {"threshold": 0.3}})


def test_by_hand_it_takes_the_threshold_that_compose_wrote(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.rename(root.with_name("out"))
    monkeypatch.chdir(root.parent)
    files = {"tracking": "uri: null\nexperiment: a\n", "evaluate.numpy": "evaluation: {threshold: '0.3'}\n"}
    (root.parent / "out" / "config").mkdir()
    for expected, (name, content) in zip((0.5, 0.3), files.items(), strict=True):
        (root.parent / "out" / "config" / f"{name}.yaml").write_text(content)
        main(["numpy"])
        assert read_decision(read_card(Path("out/models/numpy"))).threshold == expected


def test_another_model_than_the_one_that_was_meant_is_refused(root: Path) -> None:
    with pytest.raises(PipelineError, match="numpy must stay what was trained; another process has replaced it"):
        run("evaluate", root, "model.l2=1")
    assert not (root / "models" / "numpy" / "evaluation.json").exists()


def test_what_is_measured_uses_the_weights_and_groups_of_the_test_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = made(tmp_path, until="generate")
    weight, group = np.arange(40.0) % 4, np.arange(40) // 5
    add_weights(root / "data", test=weight)
    write_arrays(root / "data", {"test/group.npy": group})
    run("train", root)
    folder = root / "models" / "numpy"
    values = evaluate(root / "data", folder, NOWHERE)
    groups = "the intervals are of whole groups drawn anew (data.group), 8 in the test table, fewer than 40: mostly too narrow"
    assert groups in capsys.readouterr().out
    table = pd.read_parquet(folder / "predictions.parquet")
    z, y = table["log_odds"].to_numpy(), table["actual"].to_numpy(np.float64)
    assert table["probability"].to_numpy() == pytest.approx(1 / (1 + np.exp(-z)))
    assert values == pytest.approx(measure(z, y, weight))
    assert values["rows"] == weight.sum() == 60
    for name, curve in CURVES.items():
        expected = pd.DataFrame(curve.of(z, y, weight, table["group"].to_numpy()))
        np.testing.assert_allclose(pd.read_csv(folder / curve.file)[[*curve.columns]], expected, atol=1e-9, err_msg=name)
    of = SimpleNamespace(info=SimpleNamespace(run_id="a", run_name="a"))
    a = Records(of, folder, read_card(folder).content, {}, Decision(), values, read_predictions(folder))
    b = replace(a, predictions={**a.predictions, "log_odds": 2 * z})
    found, z_b = compare(a, b)["log_loss"], 2 * z
    assert found.value == pytest.approx(measure(z_b, y, weight)["log_loss"] - values["log_loss"])
    assert found.low == pytest.approx(paired_bootstrap(z, z_b, y, weight=weight, group=group)["log_loss"].low)
    low = bootstrap(z, y, weight, group=group)["roc_auc"].low
    assert json.loads((folder / "intervals.json").read_text())["test"]["roc_auc"]["low"] == pytest.approx(low)
