"""Text is taken as it was typed, through every entry point; Hydra's quotes, escapes and interpolations keep their meaning."""

import shlex
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.config import check_sweep, compose, text_keys
from pipeline.config.files import to_yaml
from pipeline.config.overrides import as_typed, quoted, unquoted
from pipeline.config.schema import Kind
from pipeline.errors import PipelineError
from pipeline.sweeps.plan import plan

TABLE = ["data=table", "data.path=t.csv", "data.target=y"]
KINDS = {"one": Kind.TEXT, "maybe": Kind.OPTIONAL_TEXT, "several": Kind.TEXTS, "group": Kind.OPTION}
LOOKS_LIKE_MORE = [
    *("3_4", "1_2_3", "2e7", "2.50", "00070", "True", "null", "1999", "0b11", "~", " lead", "-8", "12:45", "nan", "+1", "???"),
    *(
        "yes",
        "off",
        "died (y/n)",
        "<5",
        "a=b=c",
        "x, y",
        "[1]",
        "{2}",
        "don't",
        "$3",
        "sum(x)",
        "int(3)",
        "p%",
        "#n",
        "",
        "a\\",
    ),
]


def value_of(word: str, key: str) -> object:
    """What Hydra reads of the word that `as_typed` makes."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    override = OverridesParser.create().parse_override(as_typed([word], KINDS)[0])
    assert override.key_or_group == key
    assert not override.is_sweep_override()
    return override.value()


@pytest.mark.parametrize("text", LOOKS_LIKE_MORE)
def test_a_text_is_what_was_typed(text: str) -> None:
    typed = [f"{key}={text}" for key in ("data.target", "tracking.experiment") if text]  # these must not be empty
    config = compose([*TABLE, f"data.positive={text}", *typed]).to_dict()
    assert config["data"]["positive"] == (["1"] if text == "[1]" else text)  # which may be several
    if text:
        assert config["data"]["target"] == config["tracking"]["experiment"] == text
    assert yaml.safe_load(to_yaml(config)) == config


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\\$'\"")))
@settings(max_examples=50, deadline=None)
def test_any_text_without_hydra_s_own_signs(text: str) -> None:
    assert value_of(f"one={text}", "one") == text


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="$")))
@settings(max_examples=50, deadline=None)
def test_a_quoted_text_is_its_content(text: str) -> None:
    assert value_of(f"one={quoted(text)}", "one") == text
    assert unquoted(f"one={quoted(text)}") == ("one", text)


@pytest.mark.parametrize(
    ("typed", "text"),
    [("'3_4'", "3_4"), ('"a, b"', "a, b"), (r"a\ b\,c", "a b,c"), ("${oc.env:WARD}", "7_8"), (r"cost \${x}", "cost ${x}")],
)
def test_what_keeps_its_meaning_in_hydra(typed: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARD", "7_8")
    assert compose([*TABLE, f"data.target={typed}"]).to_dict()["data"]["target"] == text


def test_null_is_text_unless_the_field_may_be_null() -> None:
    assert value_of("one=null", "one") == "null"
    assert value_of("maybe=null", "maybe") is None
    assert value_of("maybe=NULL", "maybe") == "NULL"
    assert compose(["tracking.uri=null"]).tracking.uri is None


def test_the_elements_of_a_list_are_as_typed() -> None:
    typed = """several=[3_4, 2e7,null ,"a, b",f(x,y), don't]"""
    assert value_of(typed, "several") == ["3_4", "2e7", "null", "a, b", "f(x,y)", "don't"]
    assert value_of("several=[]", "several") == []


def test_the_name_of_an_option_is_as_typed() -> None:
    assert value_of("group=2024_01", "group") == "2024_01"
    assert value_of("group=null", "group") == "null"
    with pytest.raises(PipelineError, match=r"group must be the name of one of its options; got \[a\]"):
        as_typed(["group=[a]"], KINDS)


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ("3_4,2e7", ["3_4", "2e7"]),
        ("choice(3_4, null)", ["3_4", "null"]),
        ("f(a,b),don't", ["f(a,b)", "don't"]),
        ("'a, b',c", ["a, b", "c"]),
        ("died (y/n),>5", ["died (y/n)", ">5"]),
        ("a(b", ["a(b"]),
    ],
)
def test_a_sweep_over_text(given: str, values: list[str]) -> None:
    typed = as_typed([*TABLE, f"data.target={given}"], text_keys(), sweep=True)
    sweep = plan(typed, lambda config: None)
    assert [unquoted(override)[1] for override in sweep.choices[-1]] == values
    assert [compose([*TABLE, override]).to_dict()["data"]["target"] for override in sweep.choices[-1]] == values


def test_an_interpolation_in_a_sweep_is_left_to_its_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARD", "7_8")
    target = "data.target=${oc.env:WARD},${data.path}"
    overrides = [*TABLE, "evaluation.validation=none", target, "hydra.sweep.subdir=j/${hydra.job.num}"]
    sweep = plan(as_typed(overrides, text_keys(), sweep=True), lambda config: None)
    assert [unquoted(override)[1] for override in sweep.choices[-2]] == ["${oc.env:WARD}", "${data.path}"]
    assert check_sweep(sweep.choices).to_dict()["data"]["target"] == "7_8"


def test_an_open_bracket_in_a_sweep_is_refused_with_what_to_type() -> None:
    with pytest.raises(PipelineError, match=r"""or be quoted as 'one="a\(b,c"'; got a\(b,c"""):
        as_typed(["one=a(b,c"], KINDS, sweep=True)


@pytest.mark.parametrize(
    ("yaml_value", "shown"), [("3_4", "34"), ("yes", "True"), ("null", "None"), ("2e7", "20000000.0"), ("[a]", r"\['a'\]")]
)
def test_what_yaml_took_for_something_else_is_refused(tmp_path: Path, yaml_value: str, shown: str) -> None:
    (tmp_path / "experiment").mkdir()
    preset = f"# @package _global_\ndefaults:\n  - override /data: table\ndata: {{path: t.csv, target: {yaml_value}}}\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(preset)
    added = f"hydra.searchpath=[{quoted(f'file://{tmp_path}')}]"
    with pytest.raises(PipelineError, match=f"data.target must be text, in quotes where YAML would .*; got {shown}$"):
        compose([added, "experiment=mine"])
    (tmp_path / "experiment" / "mine.yaml").write_text(preset.replace(yaml_value, f"'{yaml_value}'"))
    assert compose([added, "experiment=mine"]).to_dict()["data"]["target"] == yaml_value


def test_folders_of_hydra_are_as_typed() -> None:
    assert as_typed(["hydra.sweep.dir=2024_01", "++hydra.run.dir=my run (1), a"], {}, sweep=True) == [
        'hydra.sweep.dir="2024_01"',
        '++hydra.run.dir="my run (1), a"',
    ]


@pytest.mark.parametrize(
    "name", ["id", "a, b", 'a"b', "it's", "[id]", "null", "1_0", "${x}", "a\\${b", " id", '"id"', "a\\", 'x\\"y']
)
def test_what_keeps_a_column_can_be_typed_as_it_is_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / "t.csv"
    pd.DataFrame({name: range(24), "v": [i * 7 % 11 / 2 for i in range(24)], "y": [i % 2 for i in range(24)]}).to_csv(
        path, index=False
    )
    table = ["data=table", f"data.path={path}", "data.target=y"]
    note = compose(table).data.load().notes[1]
    (typed,) = shlex.split(note.rpartition("); ")[2].removesuffix(" keeps it"))
    assert compose([*table, typed]).data.load().features == [name, "v"]
