"""Composition: conf/ equals the dataclasses' defaults, and every wrong word ends in one sentence."""

from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.config import REGISTRIES, compose
from pipeline.config.hydra import CONF, options
from pipeline.config.schema import build
from pipeline.errors import PipelineError


@pytest.mark.parametrize(("group", "name"), [(group, name) for group, registry in REGISTRIES.items() for name in registry])
def test_each_yaml_has_its_dataclass_s_name_and_defaults(group: str, name: str) -> None:
    content = yaml.safe_load((CONF / group / f"{name}.yaml").read_text())
    defaults = {}
    for field in fields(REGISTRIES[group][name]):
        factory = field.default_factory
        defaults[field.name] = field.default if factory is MISSING else asdict(factory())
    assert MISSING not in defaults.values()
    assert content == {"name": name, **defaults}


def test_mappings_and_nested_keys_of_a_section() -> None:
    table = ["data=table", "data.path=t.csv", "data.target=y"]
    config = compose([*table, "data.kinds={zip: category, 1_1: date}", "data.csv.delimiter=;", "data.csv.header=false"])
    content = config.to_dict()["data"]
    assert content["kinds"] == ["zip: category", "1_1: date"]
    assert config.data == replace(config.data, kinds={"zip": "category", "1_1": "date"})  # type: ignore[type-var]
    assert (content["csv"]["delimiter"], content["csv"]["header"]) == (";", False)
    assert build("data", REGISTRIES["data"], content) == config.data
    for override, sentence in {
        "data.csv.separator=1": "data.csv.separator is not a key; data.csv takes delimiter, quote, encoding, header",
        "data.csv.delimiter=ab": "data.csv.delimiter must be one sign or its name; got ab",
        "data.csv.decimal=semicolon": "data.csv.decimal must be point or comma; got semicolon",
        "data.csv.thousands=none": "data.csv.thousands must be comma, point, space or apostrophe; got none",
        "data.csv.encoding=utf-9": "data.csv.encoding must be one that Python knows, such as utf-8 or cp1252; got utf-9",
        "data.csv.dates=iso": "data.csv.dates must be day_first or month_first, or a format such as %d%m%y; got iso",
        "data.csv.header=maybe": "data.csv.header must be of type bool; got 'maybe'",
        "data.kinds={zip: code}": "data.kinds must be of number, .*; got code for zip",
        "data.kinds=zip": "data.kinds must be a mapping of texts",
    }.items():
        with pytest.raises(PipelineError, match=sentence):
            compose([*table, override])
    with pytest.raises(PipelineError, match="data.csv.decimal and thousands must differ; both are comma"):
        compose([*table, "data.csv.decimal=comma", "data.csv.thousands=comma"])


@pytest.mark.parametrize("group", REGISTRIES)
def test_no_yaml_without_a_registry_line(group: str) -> None:
    assert options(group) == sorted(REGISTRIES[group])


@pytest.mark.parametrize("name", options("experiment"))
def test_every_experiment_composes(name: str) -> None:
    compose([f"experiment={name}"])


@pytest.mark.parametrize("word", ["data.pth=x.csv", "optimizer.lrr=1"])
def test_an_unknown_key_is_named_before_a_value_that_is_missing(word: str) -> None:
    with pytest.raises(PipelineError, match=f"{word.partition('=')[0]} is not a key; "):
        compose(["data=table", word])


def test_what_a_model_does_differently_on_the_document() -> None:
    assert compose(["experiment=document_torch"]).to_dict() == compose(["model=torch"]).to_dict()
    assert compose(["model=torch"]).to_dict()["model"]["init"] == [0.041394, -0.194136, -0.495043]
    assert compose(["model=torch", "data=breast_cancer"]).to_dict()["model"]["init"] == "uniform"


TABLE = ("data=table", "data.path=t.csv", "data.target=y")


def chosen(*overrides: str) -> tuple[str, object]:
    """The optimizer's name and model.l2."""
    content = compose(overrides).to_dict()
    return content["optimizer"]["name"], content["model"]["l2"]


@pytest.mark.parametrize("model", REGISTRIES["model"])
def test_a_table_alone_has_auto_for_both_and_the_document_neither(model: str) -> None:
    assert chosen(*TABLE, f"model={model}") == ("auto", "auto")
    assert chosen(f"model={model}") == ("gd", 0.0)
    assert chosen("data=breast_cancer", f"model={model}") == ("gd", 0.0)
    assert chosen("data=svmlight", "data.path=x.svm", f"model={model}") == ("gd", 0.0)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["optimizer=gd"], ("gd", "auto")),
        (["optimizer=gd", "optimizer.lr=0.2"], ("gd", "auto")),
        (["optimizer=newton", "model.l2=0"], ("newton", 0.0)),
        (["model.l2=1e-3"], ("auto", 1e-3)),
        (["model.l2=cv"], ("auto", "cv")),
        (["optimizer.tol=1e-3"], ("auto", "auto")),
        (["experiment=breast_cancer"], ("lbfgs", 0.01)),  # but for its data
    ],
)
def test_what_is_given_beside_a_table_wins(overrides: list[str], expected: tuple[str, object], order: int) -> None:
    assert chosen(*[*TABLE, *overrides][::order]) == expected


def test_a_key_that_the_default_optimizer_of_a_table_lacks() -> None:
    with pytest.raises(PipelineError, match="^optimizer.lr is not a key; optimizer=auto takes epochs, record_every, tol$"):
        compose(["data=table", "optimizer.lr=1"])


def test_an_experiment_s_table_has_the_defaults_and_what_it_gives_wins(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    own = "model: {l2: cv_1se}\nevaluation: {validation: holdout}\n"
    for name, more, values in (("plain", "", ""), ("own", "  - override /optimizer: gd\n", own)):
        text = f"# @package _global_\ndefaults:\n  - override /data: table\n{more}{values}"
        (tmp_path / "experiment" / f"{name}.yaml").write_text(text)
    folder = f"hydra.searchpath=[file://{tmp_path}]"
    table = [folder, *TABLE[1:]]
    assert chosen(*table, "experiment=plain") == ("auto", "auto")
    assert chosen(*table, "experiment=own") == ("gd", "cv_1se")
    assert chosen(*table, "experiment=own", "optimizer=lbfgs", "model.l2=auto") == ("lbfgs", "auto")
    ways = [["experiment=plain"], ["experiment=own"], ["experiment=own", "evaluation.validation=none"]]
    assert [compose([*table, *words]).evaluation.validation for words in ways] == ["cv", "holdout", "none"]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("evaluation.validation=loo", "evaluation.validation must be one of none, holdout, cv; got loo"),
        ("evaluation.folds=1", "evaluation.folds must be >= 2; got 1"),
        ("evaluation.repeats=0", "evaluation.repeats must be >= 1; got 0"),
        (
            "evaluation.validation=holdout evaluation.repeats=2",
            "evaluation.repeats must be 1 with .*; got 2",
        ),
    ],
)
def test_folds_that_cannot_be_made(override: str, sentence: str) -> None:
    with pytest.raises(PipelineError, match=f"^{sentence}$"):
        compose(override.split())


def test_to_dict_builds_the_same_objects() -> None:
    config = compose(["experiment=breast_cancer"])
    for group, registry in REGISTRIES.items():
        rebuilt = build(group, registry, config.to_dict()[group])
        assert asdict(rebuilt) == asdict(getattr(config, group))


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("+foo=1", "the keys must be data, model, optimizer, evaluation, tracking; got"),
        ("~optimizer", "the keys must be data, model, optimizer, evaluation, tracking; got evaluation, data, model, tracking"),
        ("model={}", "model must be the name of one of its options; got {}"),
        ("data=[document]", r"data must be the name of one of its options; got \[document\]"),
        ("model.init=[a,b]", "model.init must be one of zeros, uniform or a list"),
        ("model.dtype=a\nb", "model.dtype must be one of float32, float64; got a b"),
        ("data.rows=1_000_000_000_000_000", "data.rows and test_rows must be at most"),
        ("hydra/launcher=[[a]]", r"hydra/launcher must be the name of one of its options; got \[\[a\]\]"),
        ("optimizer.lr=-1", "optimizer.lr must be > 0 and finite; got -1.0"),
        ("optimizer.momentum=1.5", r"optimizer.momentum must be in \[0, 1\); got 1.5"),
        ("optimizer.nesterov=true", "optimizer.nesterov needs momentum > 0; got momentum 0.0"),
        ("data=table", "data.path must name a .csv or .parquet file"),
    ],
)
def test_a_wrong_override(override: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(PipelineError, match=sentence) as raised:
        compose([override])
    assert len(str(raised.value).splitlines()) == 1


def test_a_whole_number_may_be_written_as_a_float() -> None:
    assert compose(["optimizer.epochs=2e3"]).to_dict()["optimizer"]["epochs"] == 2000


KEYS = [
    "data",
    "data.path",
    "data.seed",
    "model.init",
    "optimizer",
    "optimizer.lr",
    "tracking.uri",
    "hydra.mode",
    "hydra/launcher",
]
ODD = [
    "1_1",
    "null",
    "(x)",
    "a,b",
    "[1,2]",
    "{a:1}",
    "${x}",
    "${",
    "'",
    "9" * 400,
    "???",
    "",
    "a\nb",
    "\0",
    "range(1,3)",
    "int(x)",
]


@given(st.lists(st.tuples(st.sampled_from(["", "+", "++", "~"]), st.sampled_from(KEYS), st.sampled_from(ODD)), max_size=4))
@settings(max_examples=25, deadline=None)
def test_unusual_overrides_make_a_configuration_or_one_sentence(overrides: list[tuple[str, str, str]]) -> None:
    sentence = "a configuration"
    try:
        compose([f"{sign}{key}={value}" for sign, key, value in overrides])
    except PipelineError as error:
        sentence = str(error)
    assert len(sentence.splitlines()) == 1


@pytest.mark.parametrize("text", ["balanced", "{yes: 5}", "{>50K: 5, <=50K: 1}", "{'a, b': 2, 1: 3}"])
def test_class_weights_are_taken_as_they_are_typed(text: str) -> None:
    config = compose([f"model.class_weight={text}"])
    assert config.to_dict()["model"]["class_weight"] == text
