"""What the stage validate writes of a table before a model is fitted to it, and what of that MLflow gets."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation.curves import COURSE
from pipeline.evaluation.metrics import defined, of_rows
from pipeline.evaluation.samples import ScoredRows
from pipeline.manifest import read_validation
from pipeline.model.card import read_card
from pipeline.stages import STAGES
from pipeline.stages.validate import artifacts, scores_of
from tests.chain import files, made, run

FILES = ["validation.json", "validation_predictions.parquet", "validation_history.csv"]
NAMES = ("row", "label", "log_odds", "repeat", "fold")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a table of 120 rows."""
    write_table(tmp_path, "late", 1.0)
    return tmp_path


def write_table(folder: Path, level: str, factor: float) -> None:
    """The last 60 rows, in time, have this level of a category, and in a column with gaps numbers that are so much larger."""
    rng, day = np.random.default_rng(0), np.arange(120)
    a, gaps = rng.standard_normal(120), rng.standard_normal(120) + 1
    frame = pd.DataFrame({"a": a, "day": day, "seen": np.where(day < 60, "early", level), "w": 1 + day % 2})
    frame["gaps"] = np.where(day % 4 == 0, np.nan, np.where(day < 60, gaps, gaps * factor))
    frame["y"] = np.where(a + rng.logistic(size=120) > 0, "yes", "no")
    frame.to_csv(folder / "t.csv", index=False)


def validated(root: Path, *overrides: str) -> dict[str, Any]:
    """The content of validation.json."""
    words = ("data=table", f"data.path={root / 't.csv'}", "data.target=y", *overrides)
    for stage in ("generate", "validate"):
        run(stage, root, *words, base=())
    return dict(json.loads((root / "models" / "numpy" / "validation.json").read_text()))


def predictions(root: Path) -> pd.DataFrame:
    return pd.read_parquet(root / "models" / "numpy" / "validation_predictions.parquet")


def test_a_table_is_cross_validated_unless_another_way_is_given(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    content = validated(root, "data.weight=w")
    table, y = predictions(root), np.load(root / "data" / "train" / "y.npy")
    assert tuple(table) == (*NAMES, "weight")
    assert sorted(table["row"]) == list(range(len(y)))
    assert np.array_equal(table["label"], y[table["row"]])
    assert np.array_equal(table["weight"], np.load(root / "data" / "train" / "weight.npy")[table["row"]])
    for fold in content["of_folds"]:
        part = table[table["fold"] == fold["fold"]]
        z, labels, weight = (part[name].to_numpy() for name in ("log_odds", "label", "weight"))
        assert fold["scores"] == of_rows(ScoredRows(z, labels, weight), fold["scores"])
        assert (fold["rows"], fold["training_rows"]) == (len(part), len(y) - len(part))
    history = pd.read_csv(root / "models" / "numpy" / "validation_history.csv")
    assert tuple(history) == ("repeat", "fold", *COURSE)
    last = history.groupby("fold").last()["validation"]
    assert last.tolist() == pytest.approx([fold["scores"]["log_loss"] for fold in content["of_folds"]], abs=1e-12)
    loss = content["scores"]["log_loss"]
    assert loss["value"] == np.mean([fold["scores"]["log_loss"] for fold in content["of_folds"]])
    shown = artifacts(root / "models" / "numpy")
    assert {name: shown.metrics[f"validation/log_loss{end}"] for end, name in (("", "value"), (".low", "low"))} == {
        name: loss[name] for name in ("value", "low")
    }
    assert shown.tags == {"validation": "5 folds"}
    assert [path.name for path in shown.paths] == FILES
    (line,) = (record.message for record in caplog.records if record.message.startswith("validation by "))
    assert f"validation by 5 folds: accuracy {content['scores']['accuracy']['value']:.4f} (" in line


def test_it_is_of_the_model_that_is_fitted_next(root: Path) -> None:
    words = ("data=table", f"data.path={root / 't.csv'}", "data.target=y", "evaluation.validation=holdout")
    content = validated(root, *words[3:])
    run("train", root, *words, base=())
    assert content["fingerprint"] == read_card(root / "models" / "numpy").content.fingerprint
    assert validated(root)["fingerprint"] == content["fingerprint"]
    assert (root / "models" / "numpy" / "model.json").exists()


def test_an_encoder_sees_the_rows_of_its_fold_alone(root: Path) -> None:
    """What comes later in time, be it a new level or what a median is of, changes no prediction of earlier rows."""
    words = ("data.time=day", "data.drop=[w,day]", "model.encoder.min_rows=1")
    folds = validated(root, *words)["of_folds"]
    first = predictions(root)
    write_table(root, "later", 1000.0)
    assert validated(root, *words)["folds_by"] == "time"
    again = predictions(root)
    assert (first["row"] >= first["fold"].map({fold["fold"]: fold["training_rows"] for fold in folds})).all()
    early = first["row"] < 60
    assert first[early]["fold"].nunique() == 3
    pd.testing.assert_frame_equal(first[early], again[early])
    assert not np.array_equal(first["log_odds"], again["log_odds"])


def test_the_document_is_not_validated(trained: Path) -> None:
    folder = trained / "models" / "numpy"
    content = json.loads((folder / "validation.json").read_text())
    assert (content["validation"], content["scores"], content["of_folds"]) == ("none", {}, [])
    table = pd.read_parquet(folder / "validation_predictions.parquet")
    assert (tuple(table), len(table)) == (NAMES, 0)
    assert (folder / "validation_history.csv").read_text() == "repeat,fold,epoch,training,validation\n"
    assert scores_of(read_validation(folder)) == {}
    assert (defined(artifacts(folder).metrics), artifacts(folder).tags) == ({}, {"validation": "none"})


def test_equal_inputs_give_equal_bytes_and_another_seed_of_the_data_other_folds(tmp_path: Path) -> None:
    words = ("evaluation.validation=cv", "model.standardize=true", "model.l2=0.1")
    (first, again, other) = (
        files(made(tmp_path / name, *words, f"data.seed={seed}", until="validate"), "validate")
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == again
    assert first != other


def test_a_matrix_is_validated_as_a_table(tmp_path: Path) -> None:
    root = made(tmp_path, "evaluation.validation=cv", "evaluation.repeats=2", "evaluation.folds=3", until="validate")
    table = pd.read_parquet(root / "models" / "numpy" / "validation_predictions.parquet")
    assert table.groupby(["repeat", "fold"]).size().tolist() == [20] * 6


def test_a_damaged_file_is_found(trained: Path, tmp_path: Path) -> None:
    folder = made(tmp_path, until="validate") / "models" / "numpy"
    (folder / "validation_predictions.parquet").write_bytes(b"")
    with pytest.raises(PipelineError, match="must be what validation.json describes; run `python -m pipeline.stages.validate`"):
        artifacts(folder)


def test_too_few_rows_are_one_sentence_that_offers_none(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": np.random.default_rng(0).standard_normal(35), "y": ["yes"] * 30 + ["no"] * 5})
    frame.to_csv(tmp_path / "t.csv", index=False)
    reason = "^5-fold cross-validation needs 5 training rows of each class; no has 4: evaluation.validation=none does without$"
    with pytest.raises(PipelineError, match=reason):
        validated(tmp_path)
    assert STAGES["validate"].missing(tmp_path / "models" / "numpy") == FILES
