"""What training says of the model that it ended with."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import statsmodels.api as sm
from scipy.sparse import random_array
from sklearn.datasets import dump_svmlight_file
from sklearn.linear_model import LogisticRegression

from pipeline.config.config import compose
from pipeline.config.tracking import Tracking
from pipeline.errors import ArtifactError, DataError, PipelineError
from pipeline.evaluation.folds import FoldRows, FoldRule, encoded_features, features_of
from pipeline.evaluation.penalty import resolve
from pipeline.files import read_json, write_json
from pipeline.learning.coefficients import COLUMNS
from pipeline.learning.inference import SENTENCES
from pipeline.learning.model import Fit
from pipeline.learning.models import MODELS, EncoderOptions
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.optimizers.newton import Newton
from pipeline.manifest import write_manifest
from pipeline.model.card import ModelCard, read_card, read_schema
from pipeline.stages import STAGES
from pipeline.stages._fitting import describe
from pipeline.stages.train import artifacts, train
from tests.chain import NOWHERE, add_weights, made
from tests.conftest import Shell
from tests.typed import OVERRIDES, Typed, people
from tests.typed import made as made_typed

NO_BEST = "so without a penalty no finite best model exists and where this fit stopped is arbitrary: set model.l2, such as"


def fit_of(repo: Path, forked: Shell, words: str) -> tuple[str, dict[str, Any]]:
    """stderr, and what model.json says of the fit."""
    generated = forked(f"python -m pipeline.stages.generate {words}", repo)
    done = forked(f"python -m pipeline.stages.train {words} tracking=none", repo)
    assert done.returncode == 0, done.stderr
    name = "torch" if "model=torch" in words else "numpy"
    return generated.stderr + done.stderr, json.loads((repo / "out" / "models" / name / "model.json").read_text())["fit"]


def test_classes_that_can_be_separated_are_told_in_one_line_unless_there_is_a_penalty(repo: Path, forked: Shell) -> None:
    said, fit = fit_of(repo, forked, "data=breast_cancer optimizer=newton")
    assert said.startswith("warning: the classes can be separated by a combination in which mean area weighs most, ")
    assert NO_BEST in said
    assert said.count("\n") == 1
    assert (fit["stopped_by"], fit["separation"]["kind"]) == ("tol", "complete")
    assert fit["separation"]["columns"][0] == "mean area"
    said, fit = fit_of(repo, forked, "data=breast_cancer optimizer=newton model.l2=0.01")
    assert (said, fit["separation"]) == ("", None)


def test_the_document_s_fit_says_one_line(repo: Path, forked: Shell) -> None:
    said, fit = fit_of(repo, forked, "")
    assert said.count("\n") == 1
    assert NO_BEST in said
    assert (fit["stopped_by"], fit["separation"]) == ("epochs", {"kind": "complete", "alone": False, "columns": ["x2", "x1"]})


def test_a_fit_that_its_epochs_end_far_from_the_optimum_says_what_helps(repo: Path, forked: Shell) -> None:
    said, fit = fit_of(repo, forked, "data=breast_cancer model.l2=0.01")
    assert said.startswith("warning: stopped by the epoch limit far from the optimum: the loss of 0.125 could still fall ")
    assert said.endswith("; what helps is optimizer=auto, more optimizer.epochs, an optimizer.lr of up to 0.3\n")
    assert said.count("\n") == 1
    said, fit = fit_of(repo, forked, "data=breast_cancer model.l2=0.01 optimizer.epochs=5000 optimizer.lr=0.3")
    assert (said, fit["stopped_by"]) == ("", "epochs")


@pytest.mark.parametrize(("largest", "model"), [(1e12, "torch"), (1e30, "numpy")])
def test_a_column_that_the_numbers_type_does_not_hold_is_named(repo: Path, forked: Shell, largest: float, model: str) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 2)), rng.random(300) < 0.5
    X[5, 1] = largest
    lines = "\n".join(f"{a!r},{b!r},{int(c)}" for (a, b), c in zip(X.tolist(), y, strict=True))
    (repo / "t.csv").write_text(f"a,b,y\n{lines}\n")
    said, _ = fit_of(repo, forked, f"data=table data.path=t.csv data.target=y model={model} optimizer=auto model.l2=0.01")
    dtype = {"torch": "float32", "numpy": "float64"}[model]
    reason = "does not distinguish all values, since some are so much larger than the rest, in b"
    assert said.startswith(f"warning: {dtype} {reason}")
    assert said.count("\n") == 1


def noisy_table(repo: Path, **columns: Any) -> str:
    """A table of 60 training rows and 20 for the test; its words for the command line."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 2))
    labels = np.where(rng.random(80) < 1 / (1 + np.exp(-2 * X[:, 0])), "yes", "no")
    pd.DataFrame({"a": X[:, 0], "b": X[:, 1], **columns, "y": labels}).to_csv(repo / "t.csv", index=False)
    return "data=table data.path=t.csv data.target=y"


def training_rows(repo: Path) -> tuple[Any, Any]:
    table = pd.read_parquet(repo / "out" / "data" / "train.parquet")
    return table[["a", "b"]].to_numpy(), np.load(repo / "out" / "data" / "train" / "y.npy")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["numpy", "torch"])
def test_a_table_alone_is_fitted_by_auto_with_scikit_learn_s_penalty(repo: Path, forked: Shell, model: str) -> None:
    words = noisy_table(repo)
    assert forked(f"python -m pipeline.stages.generate {words}", repo).returncode == 0
    done = forked(f"python -m pipeline.stages.train {words} model={model} tracking=none", repo)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\nmodel.l2=auto is 0.0167: 1/(training rows), scikit-learn's C=1\nauto picks newton\n" in done.stdout
    folder = repo / "out" / "models" / model
    trained = read_card(folder)
    assert (trained.content.config["model"]["l2"], trained.content.config["optimizer"]["name"]) == ("auto", "auto")
    assert trained.content.ended.penalty == {"asked": "auto", "l2": 1 / 60, "separation": None, "validation": None}
    assert (folder / "penalty.csv").read_text() == "l2,loss,standard_error\n"
    X, y = training_rows(repo)
    peer = LogisticRegression(tol=1e-10).fit((X - X.mean(axis=0)) / X.std(axis=0), y)
    np.testing.assert_allclose(trained.arrays("model.npz")["w"], peer.coef_[0], rtol=1e-4)


@pytest.mark.slow
def test_the_curve_of_cross_validation_is_in_the_card_and_beside_the_model(repo: Path, forked: Shell) -> None:
    words = noisy_table(repo)
    (repo / "overrides.yaml").write_text(
        "overrides: {data: {name: table, path: t.csv, target: y}}\ncandidates: {auto: {}, chosen: {model: {l2: cv}}}\n"
    )
    for stage in ("compose", "generate --config out/config/generate.yaml"):
        assert forked(f"python -m pipeline.stages.{stage}", repo).returncode == 0
    done = forked("python -m pipeline.stages.train --config out/config/train.chosen.yaml --candidate chosen", repo)
    assert done.returncode == 0, done.stderr
    folder = repo / "out" / "models" / "chosen"
    fit = read_card(folder).content.ended
    assert fit.penalty is not None
    X, y = training_rows(repo)
    expected = resolve(NumpyModel(l2="cv"), FoldRows(features_of(X), y))
    assert fit.penalty == expected.to_dict(None)
    assert f"{expected.sentence}\n" in done.stdout
    curve = pd.read_csv(folder / "penalty.csv")
    assert curve.to_dict("list") == {name: fit.penalty["validation"][name] for name in ("l2", "loss", "standard_error")}
    assert fit.penalty["l2"] == curve["l2"][curve["loss"].argmin()]
    assert artifacts(folder).metrics["train/l2"] == fit.penalty["l2"]
    assert folder / "penalty.csv" in artifacts(folder).paths
    again = forked(f"python -m pipeline.stages.train {words} model.l2=cv tracking=none", repo)
    assert again.returncode == 0, again.stderr
    assert (repo / "out/models/numpy/model.npz").read_bytes() == (folder / "model.npz").read_bytes()
    assert (repo / "out/models/numpy/model.json").read_bytes() == (folder / "model.json").read_bytes()


def test_classes_of_a_table_that_can_be_separated_are_named_though_there_is_a_penalty(repo: Path, forked: Shell) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 2))
    pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": X[:, 1] > 0}).to_csv(repo / "t.csv", index=False)
    said, fit = fit_of(repo, forked, "data=table data.path=t.csv data.target=y")
    sentence = "the classes can be separated by b: only the penalty, model.l2=0.0167, keeps the weights finite\n"
    assert said.endswith(f"warning: {sentence}")
    assert fit["separation"] is None
    assert fit["penalty"]["separation"] == {"kind": "complete", "alone": True, "columns": ["b"]}


def refused_fit(repo: Path, forked: Shell, *overrides: str) -> subprocess.CompletedProcess[str]:
    """Of train, to the target y of t.csv, which generate reads."""
    table = "data=table data.path=t.csv data.target=y"
    assert forked(f"python -m pipeline.stages.generate {table}", repo).returncode == 0
    done = forked(f"python -m pipeline.stages.train {table} tracking=none {' '.join(overrides)}", repo)
    assert done.returncode == 1
    return done


def test_too_few_rows_of_a_class_for_cross_validation(repo: Path, forked: Shell) -> None:
    (repo / "t.csv").write_text("a,y\n" + "".join(f"{i}.5,{'yes' if i < 4 else 'no'}\n" for i in range(40)))
    done = refused_fit(repo, forked, "model.l2=cv")
    assert (
        done.stderr
        == "error: 5-fold cross-validation needs 5 training rows of each class; yes has 3: model.l2=auto needs none\n"
    )
    assert not (repo / "out" / "models").exists()


def test_a_column_that_cannot_be_standardised_is_named(repo: Path, forked: Shell) -> None:
    (repo / "t.csv").write_text("a,b,y\n" + "".join(f"{i},1.{i}e308,{i % 2}\n" for i in range(8)))
    done = refused_fit(repo, forked)
    assert done.stderr.endswith("must be finite in 64 bits for it to be standardised; b has too large values\n")


def test_what_was_not_sought_among_many_columns_is_told(repo: Path, forked: Shell) -> None:
    rng = np.random.default_rng(0)
    X = random_array((3000, 1001), density=0.01, format="csr", rng=rng, data_sampler=rng.standard_normal)
    dump_svmlight_file(X, rng.random(3000) < 0.5, str(repo / "t.svm"), zero_based=False)
    words = "data=svmlight data.path=t.svm data.first_column=1 optimizer=auto optimizer.tol=1e-4"
    said, fit = fit_of(repo, forked, words)
    assert (fit["stopped_by"], fit["separation"]) == ("tol", None)
    assert said.startswith("warning: with 1001 columns it was not checked whether ")
    assert said.count("\n") == 1
    assert fit_of(repo, forked, f"{words} model.l2=0.01")[0] == ""


def test_an_optimizer_that_has_no_effect_is_named(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @dataclass(frozen=True)
    class Constant:
        def fit(self, X: Any, y: Any, optimizer: Any, *others: Any) -> Fit:
            return Fit({"b": np.zeros(1)}, 0, float(np.log(2)), 0.0, "tol", optimizer)

    monkeypatch.setitem(MODELS, "constant", Constant)
    train({"model": {"name": "constant"}, "optimizer": {"name": "adam"}}, trained / "data", tmp_path / "models" / "c", NOWHERE)
    assert "constant has no epochs, so the optimizer adam has no effect\n" in capsys.readouterr().out


def test_the_weights_of_rows_and_classes_reach_the_fit_and_the_card(tmp_path: Path) -> None:
    data = made(tmp_path, until="generate") / "data"
    weight = np.arange(60.0)
    add_weights(data, train=weight)
    model = {"name": "numpy", "l2": 0.1, "class_weight": "{1: 5}"}
    train({"model": model, "optimizer": {"name": "newton"}}, data, tmp_path / "models" / "numpy", NOWHERE)
    trained = read_card(tmp_path / "models" / "numpy")
    X, y = np.load(data / "train" / "X.npy"), np.load(data / "train" / "y.npy")
    expected = NumpyModel(l2=0.1).fit(X, y, Newton(), weight=np.where(y == 1, 5 * weight, weight))
    np.testing.assert_allclose(trained.arrays("model.npz")["w"], expected.arrays["w"], atol=1e-12)
    assert trained.content.config["model"]["class_weight"] == "{1: 5}"


def test_a_file_without_a_model_s_name(repo: Path, forked: Shell) -> None:
    assert forked("python -m pipeline.stages.generate", repo).returncode == 0
    (repo / "x.yaml").write_text("model: {}\noptimizer: {name: gd}\n")
    done = forked("python -m pipeline.stages.train --config x.yaml", repo)
    assert (done.returncode, done.stderr) == (1, "error: model.name must be one of numpy, torch; got None\n")


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_typed(tmp_path_factory.mktemp("typed"), until="train")


def test_the_card_of_a_table_s_model_has_its_columns_and_their_encoder(typed: Path) -> None:
    card = read_card(typed / "models" / "numpy").content
    assert [column.name for column in card.columns] == ["age", "income", "job", "town", "member", "signup", "notes"]
    assert card.identifiers == ["row"]
    assert card.missing_values == ["None", "n/a"]
    assert card.features[:7] == ["age", "age is missing", "income", "job=cook", "job=nurse", "job=teacher", "job is missing"]
    assert {"town=(other)", "member is missing", "signup: year", "signup: month 3", "signup: Monday", "signup: hour 7"} <= {
        *card.features
    }
    assert card.features[-4:] == ["notes: late", "notes: paid", "notes: refund", "notes is missing"]


def test_the_coefficients_of_a_table_s_model_are_of_its_columns_and_levels(typed: Path) -> None:
    trained = read_card(typed / "models" / "numpy")
    (path,) = (path for path in artifacts(typed / "models" / "numpy").paths if path.name == "coefficients.csv")
    trained.open(path.name).close()
    table = pd.read_csv(path, keep_default_na=False, index_col="feature")
    assert tuple(table.reset_index()[list(COLUMNS)]) == COLUMNS
    assert table.index.tolist() == ["(intercept)", *trained.content.features]
    places = {name: tuple(table.loc[name, ["column", "level"]]) for name in table.index}
    assert places["income"] == ("income", "")
    assert places["job=cook"] == ("job", "cook")
    assert places["job is missing"] == ("job", "(missing)")
    assert places["town=(other)"] == ("town", "(other)")
    assert places["signup: month 3"] == ("signup", "month 3")
    assert places["notes: refund"] == ("notes", "refund")
    assert (table[["against", "standard_error", "z", "p"]] == "").all(axis=None)  # for there is a penalty
    np.testing.assert_array_equal(table["weight"].astype(float).to_numpy()[1:], trained.arrays("model.npz")["w"])
    deviation = table.iloc[1:][["per_deviation_low", "per_deviation", "per_deviation_high"]].astype(float)
    assert (deviation.diff(axis=1).iloc[:, 1:] >= 0).to_numpy().mean() > 0.99
    np.testing.assert_allclose(deviation["per_deviation"], table["weight"].astype(float)[1:], rtol=1e-12)
    assert trained.content.ended.inference == {"method": "bootstrap", "sentence": SENTENCES["bootstrap"]}


def test_the_rows_of_a_group_may_be_alike(repo: Path, forked: Shell) -> None:
    words = f"{noisy_table(repo, ward=np.arange(80) // 4)} data.group=ward optimizer.tol=1e-10"
    _, fit = fit_of(repo, forked, f"{words} model.l2=0")
    few = "by 15 groups, fewer than 40, they are mostly too narrow"
    assert fit["inference"] == {"method": "cluster", "sentence": f"{SENTENCES['cluster']}; {few}"}
    X, y = training_rows(repo)
    groups = np.load(repo / "out" / "data" / "train" / "group.npy")
    cluster = {"cov_type": "cluster", "cov_kwds": {"groups": groups}}
    peer = sm.Logit(y, sm.add_constant(X)).fit(disp=0, method="newton", tol=1e-12, **cluster)
    table = pd.read_csv(repo / "out" / "models" / "numpy" / "coefficients.csv")
    for name, values in {"per_unit": peer.params, "standard_error": peer.bse, "p": peer.pvalues}.items():
        np.testing.assert_allclose(table[name], values, 1e-6)


def test_a_fit_that_has_not_arrived_is_said_to_have_no_intervals(
    typed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, folder = {"name": "numpy", "l2": 0.01}, tmp_path / "models" / "numpy"
    train({"model": model, "optimizer": {"name": "gd", "epochs": 5}}, typed / "data", folder, NOWHERE)
    inference = read_card(folder).content.ended.inference
    assert inference is not None
    assert inference["sentence"].startswith("no standard errors or intervals: the fit ended ")
    assert f"\n{inference['sentence']}\n" in capsys.readouterr().out
    train({"model": {**model, "inference": "none"}, "optimizer": {"name": "newton"}}, typed / "data", folder, NOWHERE)
    assert "no standard errors" not in capsys.readouterr().out


def test_no_group_is_made_up(typed: Path, tmp_path: Path) -> None:
    model = {"name": "numpy", "inference": "cluster"}
    rule = "model.inference=cluster needs the column whose rows may be alike, data.group=COLUMN; there is none"
    with pytest.raises(DataError, match=rule):
        train({"model": model, "optimizer": {"name": "newton"}}, typed / "data", tmp_path / "models" / "numpy", NOWHERE)


def test_candidates_may_differ_in_the_encoder(typed: Path, tmp_path: Path) -> None:
    content = compose((*OVERRIDES, "model.encoder.min_rows=1", "model.encoder.max_words=2")).to_dict()
    train({group: content[group] for group in ("model", "optimizer")}, typed / "data", tmp_path / "many", Tracking(None))
    many, few = (read_card(folder).content for folder in (tmp_path / "many", typed / "models" / "numpy"))
    assert many.fingerprint != few.fingerprint
    assert sum(name.startswith("town=") for name in many.features) > sum(name.startswith("town=") for name in few.features)
    assert sum(name.startswith("notes: ") for name in many.features) == 2


@pytest.mark.parametrize("value", ["min_rows=0", "max_levels=1", "max_words=0", "min_rows=few", "words=3"])
def test_options_of_the_encoder_that_cannot_be(value: str) -> None:
    with pytest.raises(PipelineError, match=f"model.encoder.{value.partition('=')[0]} "):
        compose((f"model.encoder.{value}" if value != "words=3" else "+model.encoder.words=3",))


@pytest.mark.parametrize("model", ["numpy", "torch"])
@pytest.mark.parametrize("optimizer", ["gd", "sgd", "adam", "lbfgs", "newton"])
def test_sparse_features_train_by_every_way(
    typed: Path, model: str, optimizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("SMALL_BYTES", "DENSE_BYTES"):
        monkeypatch.setattr(f"pipeline.learning.encoding.{limit}", 0)
    content = compose((*OVERRIDES, f"model={model}", f"optimizer={optimizer}", "optimizer.epochs=3")).to_dict()
    train({group: content[group] for group in ("model", "optimizer")}, typed / "data", tmp_path / "sparse", Tracking(None))
    monkeypatch.undo()
    train({group: content[group] for group in ("model", "optimizer")}, typed / "data", tmp_path / "dense", Tracking(None))
    sparse, dense = (read_card(tmp_path / name).content for name in ("sparse", "dense"))
    assert sparse.features == dense.features
    assert sparse.ended.loss < 0.6931


def test_nothing_is_left_in_scratch_space(typed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    content = compose(OVERRIDES).to_dict()
    train({group: content[group] for group in ("model", "optimizer")}, typed / "data", tmp_path / "again", Tracking(None))
    assert list(scratch.iterdir()) == []
    assert (tmp_path / "again" / "model.npz").read_bytes() == (typed / "models" / "numpy" / "model.npz").read_bytes()


def test_tables_of_which_nothing_can_be_learnt(tmp_path: Path) -> None:
    table, y = people()
    with pytest.raises(DataError, match="a column must vary among the training rows for a model to learn from it; none does"):
        made_typed(tmp_path, source=Typed(pa.table({"job": pa.array([f"j{i % 150}" for i in range(300)])}), y), until="train")
    made_typed(tmp_path, source=Typed(table, y), until="train")
    np.save(tmp_path / "data" / "train.parquet.npy", y)
    (tmp_path / "data" / "train.parquet").write_bytes((tmp_path / "data" / "train.parquet.npy").read_bytes())
    content = compose(OVERRIDES).to_dict()
    with pytest.raises(ArtifactError, match="train.parquet must be what schema.json describes"):
        train({group: content[group] for group in ("model", "optimizer")}, tmp_path / "data", tmp_path / "no", Tracking(None))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda card: card["encoder"][0].pop("fill"), "it must have column, fill, marks_missing; it lacks fill"),
        (lambda card: card["encoder"][0].update(fill="3"), "fill must be of type float; got str"),
        (lambda card: card["encoder"][0].update(kind="colour"), "encoder must have steps of the kinds number, .*; got colour"),
        (lambda card: card["encoder"][0].update(column="x"), "encoder must have steps of the columns; x is none"),
        (lambda card: card["encoder"].pop(), "features must be those that encoder makes; they are not"),
        (lambda card: card["encoder"][2].update(levels=["a", 3]), "levels must be of type list; got list"),
        (lambda card: card.update(encoder=None), "a model of a table must have an encoder; it has none"),
        (lambda card: card.update(encoder={}), "encoder must be of type list or null; got dict"),
        (lambda card: card["columns"][0].pop("type"), "it must have name, kind, type, .*; it lacks type"),
        (lambda card: card["columns"][0].update(kind="constant"), "columns must be of a kind and type that a model takes; age"),
        (lambda card: card["columns"].append("x"), "columns must be of type Column; got str"),
        (lambda card: card.update(missing_values=[1]), "missing_values must be of type list"),
    ],
)
def test_a_damaged_encoder_is_refused(typed: Path, tmp_path: Path, change: Any, sentence: str) -> None:
    shutil.copytree(typed / "models" / "numpy", tmp_path, dirs_exist_ok=True)
    content = read_json(tmp_path / "model.json")
    change(content)
    write_json(tmp_path / "model.json", content)
    with pytest.raises(ArtifactError, match="model.json must be as it was written; it is damaged"):
        read_card(tmp_path)
    with pytest.raises(ArtifactError, match=sentence):
        ModelCard.from_dict(content)
    del content["checksum"]
    write_manifest(tmp_path / "model.json", "train", content, ["model.npz"])
    with pytest.raises(ArtifactError, match=f"model.json cannot be used: {sentence}"):
        read_card(tmp_path)


def test_the_encoder_of_a_fold_knows_its_training_rows_alone(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,job,y\n" + "".join(f"{i}.5,{'xz'[i > 30]},{i % 2}\n" for i in range(40)))
    path = str(tmp_path / "t.csv")
    config = compose(["data=table", f"data.path={path}", "data.target=y", "data.test_fraction=0.1", "tracking=none"])
    STAGES["generate"].run(config, tmp_path)
    tables = read_schema(tmp_path / "data")
    columns = describe(config.to_dict(), tables.content).columns
    features = encoded_features(tables, columns, EncoderOptions(min_rows=1))
    jobs = np.array(tables.table("train.parquet")["job"].to_pylist())
    x, z, every = np.flatnonzero(jobs == "x"), np.flatnonzero(jobs == "z"), np.arange(len(jobs))
    assert features(every, z).shape[1] > features(x, z).shape[1]
    assert np.array_equal(features(every, every)[z], features(every, z))


def test_a_column_of_which_no_feature_comes_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table, y = people()
    caplog.set_level("INFO")
    made_typed(
        tmp_path, source=Typed(table.append_column("street", pa.array([f"s{i % 150}" for i in range(300)])), y), until="train"
    )
    why = "all of one value, or of values in fewer than 5 training rows each (model.encoder.min_rows)"
    assert f"no features come of street: {why}" in caplog.text


@pytest.mark.parametrize(
    ("key", "how"), [("group", "5 folds of whole groups (ward)"), ("time", "5 folds that follow their training rows (day)")]
)
def test_folds_follow_what_the_test_part_was_split_by(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, key: Literal["group", "time"], how: str
) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.standard_normal(200), "b": rng.standard_normal(200), "ward": rng.integers(0, 30, 200)})
    frame["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.permutation(200), "D")
    frame["y"] = np.where(frame["a"] + rng.logistic(size=200) > 0, "yes", "no")
    frame.to_csv(tmp_path / "t.csv", index=False)
    column = {"group": "ward", "time": "day"}[key]
    words = ["data=table", f"data.path={tmp_path / 't.csv'}", "data.target=y", f"data.{key}={column}", "data.drop=[ward,day]"]
    config = compose([*words, "model.l2=cv", "tracking=none"])
    STAGES["generate"].run(config, tmp_path)
    caplog.set_level("INFO")
    STAGES["train"].run(config, tmp_path)
    assert f" of 20 values in {how} (" in caplog.text
    given = np.array(pd.factorize(frame["ward"])[0] if key == "group" else frame["day"].rank() - 1, int)
    in_training = frame["a"].isin(pd.read_parquet(tmp_path / "data" / "train.parquet")["a"])
    keys = np.load(tmp_path / "data" / "train" / f"{key}.npy")
    assert np.array_equal(keys, given[in_training])
    X, y = frame.loc[in_training, ["a", "b"]].to_numpy(), np.load(tmp_path / "data" / "train" / "y.npy")
    expected = resolve(NumpyModel(l2="cv"), FoldRows(features_of(X), y, rule=FoldRule(key, keys, column)))
    penalty = read_card(tmp_path / "models" / "numpy").content.ended.penalty
    assert penalty == expected.to_dict(None)
    assert penalty["validation"]["folds_by"] == key
    assert (
        penalty["validation"]["loss"]
        != resolve(NumpyModel(l2="cv"), FoldRows(features_of(X), y)).to_dict(None)["validation"]["loss"]
    )


def test_whole_weights_of_a_table_give_the_model_of_repeated_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.standard_normal(120).round(2), "job": rng.choice([*"vwxyz"], 120, p=[0.05, 0.1, 0.2, 0.3, 0.35])}
    )
    frame["y"] = np.where(frame["a"] + rng.logistic(size=120) > 0, "yes", "no")
    frame.loc[::7, "a"] = None
    frame = frame.assign(part=np.where(np.arange(120) % 4, "train", "test"), w=rng.integers(0, 4, 120))
    models = {}
    for name, rows, words in (
        ("weighted", frame, ["data.weight=w"]),
        ("repeated", frame.loc[frame.index.repeat(frame["w"])], []),
    ):
        rows.to_csv(tmp_path / f"{name}.csv", index=False)
        base = ["data=table", f"data.path={tmp_path / name}.csv", "data.target=y", "data.split=part", "data.columns=[a,job]"]
        config = compose([*base, *words, "tracking=none"])
        for stage in ("generate", "train"):
            STAGES[stage].run(config, tmp_path / name)
        models[name] = read_card(tmp_path / name / "models" / "numpy")
    weighted, repeated = models.values()
    assert weighted.content.encoder == repeated.content.encoder
    assert weighted.content.ended.penalty == repeated.content.ended.penalty
    for array in ("w", "b", "mean", "scale"):
        np.testing.assert_allclose(weighted.arrays("model.npz")[array], repeated.arrays("model.npz")[array], atol=1e-10)
