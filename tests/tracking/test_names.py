"""Names of runs and of their data: short, telling, and without credentials."""

from dataclasses import replace

import pytest

from pipeline.config.config import compose
from pipeline.model.card import DataFacts, FitSummary, ModelCard
from pipeline.tracking.names import data_name, dataset_name, note, run_name, sweep_name

TABLE = ("data=table", "data.path='data/new/patients.csv'", "data.target=relapse")


def card(*overrides: str, target: str = "label", features: int = 2) -> ModelCard:
    """Of such a configuration, as far as names are made of it."""
    config = {group: section for group, section in compose(overrides).to_dict().items() if group != "tracking"}
    columns, data = [f"x{i}" for i in range(features)], DataFacts({"training": 7, "test": 3}, {})
    return ModelCard(
        "5370f3aa" * 8, {}, columns, target, [0, 1], data, config, FitSummary("newton", 4, "tol", 0.25, 1e-9, None)
    )


NAMES: dict[tuple[str, ...], str] = {
    (): "document | numpy | 5370f3",
    ("model=torch",): "document | torch | 5370f3",
    ("model=torch", "optimizer=adam", "optimizer.lr=0.05"): "document | torch adam lr=0.05 | 5370f3",
    ("experiment=breast_cancer",): "breast_cancer | lbfgs l2=0.01 | 5370f3",
    TABLE: "patients relapse | numpy | 5370f3",
    (*TABLE, "model.l2=0.01"): "patients relapse | l2=0.01 | 5370f3",
    (*TABLE, "optimizer=gd"): "patients relapse | gd | 5370f3",
    ("data.seed=1", "model.l2=0.5", "optimizer.lr=0.3"): "document | lr=0.3 l2=0.5 data.seed=1 | 5370f3",
    ("model.standardize=true", "optimizer.momentum=0.9"): "document | momentum=0.9 standardize=true | 5370f3",
    ("model.init=[1.0,1.0,1.0]",): "document | init=[1.0, 1.0, 1.0] | 5370f3",
    ("data=svmlight", "data.path=a/b/news.svm.gz", "data.columns=9"): "news | columns=9 | 5370f3",
}


@pytest.mark.parametrize("overrides", NAMES, ids=" ".join)
def test_a_run_s_name_has_what_tells_it_apart(overrides: tuple[str, ...]) -> None:
    target = "relapse" if TABLE[0] in overrides else "label"
    assert run_name(card(*overrides, target=target)) == NAMES[overrides]


def test_a_run_s_name_has_its_candidate_and_what_is_swept() -> None:
    """Also where a value that is swept is the default, by which the name of a single run is not made longer."""
    assert run_name(card("model.l2=0.5"), "strong") == "document | strong l2=0.5 | 5370f3"
    assert run_name(card(), "numpy") == "document | numpy | 5370f3"
    assert run_name(card(), "numpy", ("model", "optimizer.lr", "evaluation.threshold")) == "document | numpy lr=0.1 | 5370f3"


def test_a_run_s_name_is_short() -> None:
    path, words = "x" * 200, "w" * 300
    overrides = [f"data.path={path}.csv", "data.target=t", f"data.positive={words}", "optimizer=sgd", "model.seed=12345"]
    many = ["optimizer.lr=0.25", "model.l2=1e-05", "optimizer.epochs=12345", "optimizer.decay=0.125", "optimizer.batch_size=64"]
    name = run_name(card("data=table", *overrides, *many, target=f"a\n{words}"), "c" * 300)
    assert name.startswith(f"{'x' * 16}... a {'w' * 14}... | ")
    assert "\n" not in name
    assert name.endswith(" | 5370f3")
    assert len(name) < 300


HOSTILE = ("a\u202ecod\u2066\x1b[1mb\r\nc", "שלום", "<script>alert(1)</script>", "\"'`$|", "\ud800")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_holds_what_is_printed_alone(text: str) -> None:
    """No line break, nothing that a terminal obeys, and no mark that turns the text around it."""
    named = card(*TABLE, target=text)
    named.config["data"]["path"] = f"data/{text}.csv"
    for name in (run_name(named), dataset_name(named), note(named).replace("\n", " ")):
        assert name.isprintable()
        assert name.encode()
    assert dataset_name(card(*TABLE, target="שלום")) == "patients שלום"


def test_no_name_shows_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_TOKEN", "hunter2hunter2")
    named = card(*TABLE)
    for path, shown, dataset in (
        ("s3://ada:pa55word@host/some/t.csv?token=abcdef", "t.csv?token=***", "t.csv?token=*** label"),
        ("https://ada:pa55word@t.csv", "t.csv", "t label"),
        ("data/hunter2hunter2.csv", "***.csv", "*** label"),
    ):
        named.config["data"]["path"] = path
        assert data_name(named.config["data"]) == shown
        assert dataset_name(named) == dataset
        assert run_name(named).startswith(f"{dataset} | ")
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
    assert run_name(old) == "document | rmsprop rate=0.5 | 5370f3"


def test_a_sweep_is_named_by_what_is_swept() -> None:
    assert sweep_name("data=x model.l2=0,1", {"model.l2": "0,1"}, "5370f3aa") == "l2=0,1 5370f3"
    assert sweep_name("--config-name x", {}, "5370f3aa") == "--config-name x 5370f3"
    assert len(sweep_name("", {"optimizer.lr": "0.1," * 999}, "5370f3aa")) < 80
