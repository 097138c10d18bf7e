"""What training says of the model that it ended with."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import random_array
from sklearn.datasets import dump_svmlight_file

from pipeline.learning.model import Fit
from pipeline.learning.models import MODELS
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.optimizers.newton import Newton
from pipeline.model.card import read_card
from pipeline.stages.train import train
from tests.chain import NOWHERE, add_weights, made
from tests.conftest import Shell

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


def test_a_column_that_cannot_be_standardised_is_named(repo: Path, forked: Shell) -> None:
    (repo / "t.csv").write_text("a,b,y\n" + "".join(f"{i},1.{i}e308,{i % 2}\n" for i in range(8)))
    words = "data=table data.path=t.csv data.target=y"
    assert forked(f"python -m pipeline.stages.generate {words}", repo).returncode == 0
    done = forked(f"python -m pipeline.stages.train {words} tracking=none", repo)
    assert done.returncode == 1
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
