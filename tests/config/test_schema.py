"""Sections become dataclasses: nested ones, lists and mappings of texts, each value of its field's type."""

from dataclasses import asdict, dataclass
from typing import Any

import pytest

from pipeline.config.config import compose
from pipeline.config.overrides import as_typed
from pipeline.config.schema import Kind, build_typed, text_fields, vocabulary
from pipeline.errors import ConfigError, PipelineError


@dataclass(frozen=True)
class Pump:
    fluid: str = "water"
    rate: float = 1.5

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ConfigError(f"rate must be > 0; got {self.rate}")


@dataclass(frozen=True)
class Plant:
    pump: Pump = Pump()
    tags: str | list[str] = ""
    kinds: dict[str, str] | None = None
    size: int = 3


def test_a_nested_section_is_a_nested_dataclass() -> None:
    plant = build_typed("plant", Plant, {"pump": {"rate": 2}, "tags": ["a", "b"], "kinds": {"x": "y"}})
    assert plant == Plant(Pump("water", 2.0), ["a", "b"], {"x": "y"})
    assert build_typed("plant", Plant, asdict(plant)) == plant


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"pump": {"power": 1}}, "plant.pump.power is not a key; plant.pump takes fluid, rate"),
        ({"pump": {"rate": "fast"}}, "plant.pump.rate must be of type float; got 'fast'"),
        ({"pump": {"rate": 0}}, "plant.pump.rate must be > 0; got 0.0"),
        ({"pump": 3}, "plant.pump must be a mapping of some of fluid, rate; got 3"),
        ({"pump": None}, "plant.pump must be a mapping of some of fluid, rate; got None"),
        ({"tags": 3}, "plant.tags must be text, in quotes where YAML would read something else; got 3"),
        ({"tags": [3]}, "plant.tags must be a list of texts, such as .*; got .3."),
        ({"kinds": {"x": 1}}, "plant.kinds must be a mapping of texts, .*; got {'x': 1}"),
        ({"kinds": ["x"]}, "plant.kinds must be a mapping of texts, .*; got None"),
        ({"kinds": "x"}, "plant.kinds must be a mapping of texts, .*; got 'x'"),
    ],
)
def test_a_value_of_another_type(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        build_typed("plant", Plant, values)


def test_which_keys_take_text() -> None:
    assert text_fields("plant", Plant) == {
        "plant.pump.fluid": Kind.TEXT,
        "plant.tags": Kind.TEXT_OR_TEXTS,
        "plant.kinds": Kind.TEXT_BY_TEXT,
    }
    assert {"pump", "fluid", "water", "rate"} <= set(vocabulary({}, Plant))


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("tags=1_1", "1_1"),
        ("tags=[1_1,grade 3, >4]", ["1_1", "grade 3", ">4"]),
        ("tags=[0,10)", "[0,10)"),
        ('kinds={1_1: category, relapse (y/n): date,"a, b": text,a:b : number}', None),
        ("kinds=null", None),
    ],
)
def test_several_texts_are_taken_as_they_are_typed(typed: str, value: Any) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    kinds = {"tags": Kind.TEXT_OR_TEXTS, "kinds": Kind.TEXT_BY_TEXT}
    override = OverridesParser.create().parse_override(as_typed([typed], kinds)[0])
    read = build_typed("plant", Plant, {override.key_or_group: override.value()})
    if typed.startswith("tags"):
        assert read.tags == value
    elif typed != "kinds=null":
        assert read.kinds == {"1_1": "category", "relapse (y/n)": "date", "a, b": "text", "a:b": "number"}


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("+optimizer.foo=1", "optimizer.foo is not a key; optimizer takes epochs, record_every, tol, lr"),
        ("optimizer.lr=fast", "optimizer.lr must be of type float; got 'fast'"),
        ("optimizer.epochs=1.5", "optimizer.epochs must be of type int; got 1.5"),
        ("optimizer.epochs=2e40", r"optimizer.epochs must be a whole number of 64 bits; got 2e\+40"),
        ("optimizer.epochs=inf", "optimizer.epochs must be of type int; got inf"),
        ("data.seed=nan", "data.seed must be of type int; got nan"),
        (f"optimizer.lr={10**320}", r"optimizer.lr must be a number below 1.8e308; got 1000+\.\.\."),
        ("optimizer.lr=null", "optimizer.lr must be of type float; got None"),
        ("optimizer.lr=[0.1]", r"optimizer.lr must be of type float; got \[0.1\]"),
        ("optimizer.lr={a:1}", "optimizer.lr must be of type float; got {'a': 1}"),
        ("optimizer.name=[gd]", r"optimizer.name must be one of adam, .*; got \['gd'\]"),
        ("tracking.experiment=\udcff", "tracking.experiment must be text in UTF-8"),
        ("model.standardize=3", "model.standardize must be of type bool; got 3"),
        ("data.rows=null", "data.rows must be of type int; got None"),
        ("model.l2=often", "model.l2 must be auto, cv, cv_1se or of type float; got 'often'"),
        ("model.l2=null", "model.l2 must be auto, cv, cv_1se or of type float; got None"),
        ("model.l2=true", "model.l2 must be auto, cv, cv_1se or of type float; got True"),
        ("model.l2=[auto]", r"model.l2 must be auto, cv, cv_1se or of type float; got \['auto'\]"),
        ("model.l2=-1", "model.l2 must be >= 0 and finite in float64, or one of auto, cv, cv_1se; got -1.0"),
        ("model.l2=nan", "model.l2 must be >= 0 and finite in float64, or one of auto, cv, cv_1se; got nan"),
        ("model.name=jax", "model.name must be one of numpy, torch; got jax"),
    ],
)
def test_a_value_of_another_type_in_an_override(override: str, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence) as raised:
        compose([override])
    assert len(str(raised.value).splitlines()) == 1
