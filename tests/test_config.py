"""Composition: conf/ equals the dataclasses' defaults, and every wrong word ends in one sentence."""

from dataclasses import MISSING, asdict, fields

import pytest
import yaml

from pipeline._config import CONF, GROUPS, build, compose, leaves, options
from pipeline.numerics import InvalidInput


@pytest.mark.parametrize(("group", "name"), [(group, name) for group, registry in GROUPS.items() for name in registry])
def test_each_yaml_has_its_dataclass_s_name_and_defaults(group: str, name: str) -> None:
    content = yaml.safe_load((CONF / group / f"{name}.yaml").read_text())
    defaults = {field.name: field.default for field in fields(GROUPS[group][name])}
    assert MISSING not in defaults.values()
    assert content == {"name": name, **defaults}


@pytest.mark.parametrize("group", GROUPS)
def test_no_yaml_without_a_registry_line(group: str) -> None:
    assert options(group) == sorted(GROUPS[group])


@pytest.mark.parametrize("name", options("experiment"))
def test_every_experiment_composes(name: str) -> None:
    compose([f"experiment={name}"])


@pytest.mark.parametrize("word", ["data.pth=x.csv", "optimizer.lrr=1"])
def test_an_unknown_key_is_named_before_a_value_that_is_missing(word: str) -> None:
    with pytest.raises(InvalidInput, match=f"{word.partition('=')[0]} is not a key; "):
        compose(["data=table", word])


def test_what_a_model_does_differently_on_the_document() -> None:
    assert compose(["experiment=document_torch"]).plain == compose(["model=torch"]).plain
    assert compose(["model=torch"]).plain["model"]["init"] == [0.041394, -0.194136, -0.495043]
    assert compose(["model=torch", "data=breast_cancer"]).plain["model"]["init"] == "uniform"


def test_plain_builds_the_same_objects() -> None:
    config = compose(["experiment=breast_cancer"])
    for group, registry in GROUPS.items():
        rebuilt = build(group, registry, config.plain[group])
        assert asdict(rebuilt) == asdict(getattr(config, group))


def test_leaves() -> None:
    assert dict(leaves({"a": {"b": 1, "c": [1, 2]}, "d": None})) == {"a.b": 1, "a.c": [1, 2], "d": None}


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("optimizer.foo=1", "optimizer.foo is not a key; optimizer takes lr, epochs"),
        ("+optimizer.foo=1", "optimizer.foo is not a key; optimizer takes lr, epochs"),
        ("foo=1", "foo is not a key; the keys are data, model, optimizer, tracking, experiment"),
        ("+foo=1", "the keys must be data, model, optimizer, tracking; got"),
        ("~optimizer", "the keys must be data, model, optimizer, tracking; got data, model, tracking"),
        ("optimizer.lr=fast", "optimizer.lr must be of type float; got 'fast'"),
        ("optimizer.epochs=1.5", "optimizer.epochs must be of type int; got 1.5"),
        ("model.standardize=3", "model.standardize must be of type bool; got 3"),
        ("data.rows=null", "data.rows must be of type int; got None"),
        ("optimizer.lr=-1", "optimizer.lr must be > 0 and finite; got -1.0"),
        ("optimizer.momentum=1.5", r"optimizer.momentum must be in \[0, 1\); got 1.5"),
        ("optimizer.nesterov=true", "optimizer.nesterov needs momentum > 0; got momentum 0.0"),
        ("optimizer=sgdd", "there is no such optimizer; choose adam, auto, gd"),
        ("experiment=nope", "there is no such experiment; choose breast_cancer, document_numpy, document_torch"),
        ("model.name=jax", "model.name must be one of numpy, torch; got jax"),
        ("data=table", "data.path must name a .csv or .parquet file"),
        ("tracking=server", "the environment variable MLFLOW_TRACKING_URI must be set"),
        ("optimizer.lr=1,2", "only `python -m pipeline -m` sweeps over several values"),
    ],
)
def test_a_wrong_word(override: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InvalidInput, match=sentence) as raised:
        compose([override])
    assert "\n" not in str(raised.value)
