"""Names of runs and of their data: short, telling, and without credentials."""

from dataclasses import replace

import pytest

from pipeline.config.config import compose
from pipeline.model.card import DataFacts, FitSummary, ModelCard
from pipeline.tracking.names import data_name, note, run_name

TABLE = ("data=table", "data.path='data/new/patients.csv'", "data.target=relapse")


def card(*overrides: str, target: str = "label", features: int = 2) -> ModelCard:
    """Of such a configuration, as far as names are made of it."""
    config = {group: section for group, section in compose(overrides).to_dict().items() if group != "tracking"}
    columns, data = [f"x{i}" for i in range(features)], DataFacts({"training": 7, "test": 3}, {})
    return ModelCard(
        "5370f3aa" * 8, {}, columns, target, [0, 1], data, config, FitSummary("newton", 4, "tol", 0.25, 1e-9, None)
    )


NAMES: dict[tuple[str, ...], str] = {
    (): "numpy gd document 5370f3",
    ("model=torch",): "torch gd document 5370f3",
    ("experiment=breast_cancer",): "l2=0.01 numpy lbfgs breast_cancer 5370f3",
    (*TABLE, "optimizer=auto", "model.l2=0.01"): "l2=0.01 numpy auto patients.csv relapse 5370f3",
    ("data.seed=1", "model.l2=0.5", "optimizer.lr=0.3"): "lr=0.3 l2=0.5 data.seed=1 numpy gd document 5370f3",
    ("model.standardize=true", "optimizer.momentum=0.9"): "momentum=0.9 standardize=true numpy gd document 5370f3",
    ("model.init=[1.0,1.0,1.0]",): "init=[1.0, 1.0, 1.0] numpy gd document 5370f3",
    ("data=svmlight", "data.path=a/b/news.svm", "data.columns=9"): "columns=9 numpy gd news.svm 5370f3",
}


@pytest.mark.parametrize("overrides", NAMES, ids=" ".join)
def test_a_run_s_name_has_what_tells_it_apart(overrides: tuple[str, ...]) -> None:
    target = "relapse" if TABLE[0] in overrides else "label"
    assert run_name(card(*overrides, target=target)) == NAMES[overrides]


def test_a_run_s_name_is_short() -> None:
    path, words = "x" * 200, "w" * 300
    overrides = [f"data.path={path}.csv", "data.target=t", f"data.positive={words}", "optimizer=sgd", "model.seed=12345"]
    many = ["optimizer.lr=0.25", "model.l2=1e-05", "optimizer.epochs=12345", "optimizer.decay=0.125", "optimizer.batch_size=64"]
    name = run_name(card("data=table", *overrides, *many, target=f"a\n{words}"))
    assert name.startswith("lr=0.25 l2=1e-05 ")
    assert " ... numpy sgd xxx" in name
    assert name.endswith(" 5370f3")
    assert "\n" not in name
    assert len(name) < 180


def test_no_name_shows_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_TOKEN", "hunter2hunter2")
    named = card(*TABLE)
    for path, shown in {
        "s3://ada:pa55word@host/some/t.csv?token=abcdef": "t.csv?token=***",
        "https://ada:pa55word@t.csv": "t.csv",
        "data/hunter2hunter2.csv": "***.csv",
    }.items():
        named.config["data"]["path"] = path
        assert data_name(named.config["data"]) == shown
        assert f" {shown} " in run_name(named)
        assert f"`{shown}`" in note(named)


def test_a_description_names_the_columns() -> None:
    assert "It takes the columns `x0`, `x1` and gives the prediction, `0` or `1`, and the probability of `1`." in note(card())
    assert "`x9` and 15 more and gives" in note(card(features=25))


def test_a_description_names_how_the_fit_ended() -> None:
    limited = replace(card(), fit=replace(card().ended, epochs=1, stopped_by="epochs"))
    assert "`newton` in `numpy` ran for 1 epoch, to a loss of 0.2500, and was stopped by the epoch limit.\n" in note(limited)


def test_names_of_what_this_code_does_not_know() -> None:
    """Of a run that another version made."""
    old = card()
    old.config["optimizer"] = {"name": "rmsprop", "rate": 0.5}
    assert run_name(old) == "rate=0.5 numpy rmsprop document 5370f3"
