"""overrides.yaml: its two forms of overrides, and what candidates may and must be."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config.candidates import compose_candidates
from pipeline.config.config import Config, compose
from pipeline.errors import PipelineError

COST = "cost:{false_positive: 1, false_negative: 10}"
CV = "evaluation.validation=cv"
ONE = {"numpy": ["model=numpy"]}


def composed(tmp_path: Path, content: Any) -> dict[str, Config]:
    path = tmp_path / "overrides.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return compose_candidates(path)


def test_each_candidate_has_the_common_overrides_and_its_own(tmp_path: Path) -> None:
    common, weak, strong = ["data=breast_cancer", "model.l2=1"], ["model.l2=0.001"], ["optimizer=lbfgs"]
    made = composed(tmp_path, {"overrides": common, "candidates": {"weak": weak, "strong": strong}})
    assert made == {"weak": compose([*common, *weak]), "strong": compose([*common, *strong])}
    assert list(made) == ["weak", "strong"]


def test_a_table_s_defaults_and_what_a_candidate_gives(tmp_path: Path) -> None:
    candidates = {"plain": {}, "own": {"optimizer": {"name": "gd"}, "model": {"l2": 0.5}}, "chosen": {"model": {"l2": "cv"}}}
    made = composed(
        tmp_path, {"overrides": {"data": {"name": "table", "path": "t.csv", "target": "y"}}, "candidates": candidates}
    )
    contents = {name: config.to_dict() for name, config in made.items()}
    assert {name: (content["optimizer"]["name"], content["model"]["l2"]) for name, content in contents.items()} == {
        "plain": ("auto", "auto"),
        "own": ("gd", 0.5),
        "chosen": ("auto", "cv"),
    }


def test_the_model_may_be_common(tmp_path: Path) -> None:
    (only,) = composed(tmp_path, {"overrides": ["model=torch"], "candidates": {"only": None}}).values()
    assert only == compose(["model=torch"])


@pytest.mark.parametrize(
    ("mapping", "overrides"),
    [
        ({}, []),
        ({"optimizer": {"lr": 0.2, "momentum": 0.5, "nesterov": True}}, ["optimizer.lr=0.2", "optimizer.momentum=0.5"]),
        ({"optimizer": {"memory": 5, "name": "lbfgs"}, "data": "breast_cancer"}, ["data=breast_cancer", "optimizer=lbfgs"]),
        ({"model": {"init": [1.0, 2, -0.5], "l2": "1e-3"}, "tracking": {"uri": None}}, ["model.init=[1.0,2,-0.5]"]),
        ({"optimizer.lr": 0.5, "tracking": "none"}, ["optimizer.lr=0.5", "tracking=none"]),
        ({"evaluation": {"threshold": 0.3}}, ["evaluation.threshold=0.3"]),
        ({"evaluation": {"validation": "cv", "threshold": "recall:0.9"}}, [CV, "evaluation.threshold=recall:0.9"]),
        ({"evaluation": {"validation": "cv", "threshold": COST}}, [CV, f"evaluation.threshold={COST}"]),
    ],
)
def test_a_mapping_says_the_same_as_a_list(tmp_path: Path, mapping: dict[str, Any], overrides: list[str]) -> None:
    more = {
        "nesterov": "optimizer.nesterov=true",
        "memory": "optimizer.memory=5",
        "l2": "model.l2=1e-3",
        "uri": "tracking.uri=null",
    }
    named = yaml.safe_dump(mapping)
    full = [*overrides, *(override for key, override in more.items() if f"{key}:" in named)]
    (made,) = composed(tmp_path, {"overrides": mapping, "candidates": ONE}).values()
    assert made == compose([*full, "model=numpy"])


@pytest.mark.parametrize("text", ["3_4", "null", "died (y/n)", "a, b", "it's", "${x", "1e5"])
def test_text_in_a_mapping_is_as_it_is_in_yaml(tmp_path: Path, text: str) -> None:
    data = {"name": "table", "path": "t.csv", "target": text, "keep": [text, "b"]}
    if "${" in text:
        with pytest.raises(PipelineError, match=r"must begin an interpolation"):
            composed(tmp_path, {"overrides": {"data": data}, "candidates": ONE})
        return
    (made,) = composed(tmp_path, {"overrides": {"data": data}, "candidates": ONE}).values()
    assert (made.to_dict()["data"]["target"], made.to_dict()["data"]["keep"]) == (text, [text, "b"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("overrides: []\n", "overrides.yaml must hold overrides and candidates; it has overrides"),
        ("overrides: []\ncandidates: {}\n", "candidates in .* must map at least one name to overrides; got {}"),
        ("overrides: []\ncandidates: [a]\n", r"candidates in .* must map at least one name to overrides; got \['a'\]"),
        ("overrides: optimizer.lr=1\ncandidates: {a: }\n", r"overrides in .* must be a list with commas, such as \[data="),
        ("overrides: []\ncandidates: {a: model=torch}\n", "candidates.a in .* must be a list with commas"),
        ("overrides: false\ncandidates: {a: }\n", "overrides in .* must be a list with commas, .*; got False"),
        ("overrides: []\ncandidates: {a: 0}\n", "candidates.a in .* must be a list with commas, .*; got 0"),
        ("overrides: []\ncandidates: {a: 3}\n", "candidates.a in .* must be a list with commas, .*; got 3"),
        ("overrides: []\ncandidates: {7: [model.l2=1]}\n", "a candidate's name must be a letter or _, then .*; got 7 in"),
        (
            "overrides: [model.l2=0,1]\ncandidates: {a: }\n",
            r"must be KEY=VALUE each, with one value: only `.*` sweeps over several; got 1 in \['model.l2=0', 1\]",
        ),
        ("overrides: {'~model': 1}\ncandidates: {a: }\n", "what deletes a group must be ~GROUP or ~GROUP=NAME; got ~model=1 "),
        (
            "overrides: [data=breast_cancer model.l2=1]\ncandidates: {a: }\n",
            "overrides.yaml; got data=breast_cancer model.l2=1$",
        ),
        (
            "overrides: ['hydra.job.name=(x)']\ncandidates: {a: }\n",
            r"""such as - 'hydra.job.name="\(x\)"', with commas between them in .*overrides.yaml; got hydra.job.name=\(x\)$""",
        ),
        (
            "overrides: {data: {target: 3_4}}\ncandidates: {a: }\n",
            "data.target must be text, in quotes where YAML would .*; got 34",
        ),
        ("overrides: {optimizer: {foo: 1}}\ncandidates: {a: }\n", "optimizer.foo is not a key; optimizer=gd takes lr"),
        ("overrides: {optimizer: {lr: -1}}\ncandidates: {a: }\n", "optimizer.lr must be > 0 and finite; got -1.0"),
        (
            "overrides: []\ncandidates: {a/b: }\n",
            "a candidate's name must be a letter or _, then letters, digits, _ and -; got 'a/b'",
        ),
        ("overrides: []\ncandidates: {-x: }\n", "a candidate's name must be a letter or _, then .*; got '-x'"),
        ("overrides: []\ncandidates: {yes: }\n", "a candidate's name must be a letter or _, then .*; got True"),
        ("overrides: []\ncandidates: {1e5: }\n", "a candidate's name must be a letter or _, then .*; got '1e5'"),
        ("overrides: []\ncandidates: {'7': }\n", "a candidate's name must be a letter or _, then .*; got '7'"),
        (
            "overrides: []\ncandidates: {a: [data=breast_cancer], b: [model.l2=1]}\n",
            "may change anything but data and tracking, which it shares with the others; got data=breast_cancer for a in",
        ),
        (
            "overrides: []\ncandidates: {a: {tracking: none}}\n",
            "may change anything but data and tracking, .*; got tracking=none for a",
        ),
        (
            "overrides: []\ncandidates: {a: [++data.seed=3]}\n",
            r"may change anything but data and tracking, .*; got \+\+data.seed=3 for",
        ),
        (
            "overrides: []\ncandidates: {a: [experiment=breast_cancer], b: [model.l2=1]}\n",
            "candidates in .* must share data and tracking; a and b differ in data",
        ),
        (
            "overrides: []\ncandidates: {a: [model.l2=0.0], c: [model.l2=1], b: []}\n",
            "candidates in .* must differ in what is trained; a and b are equal",
        ),
        (
            "overrides: []\ncandidates: {a: [evaluation.threshold=0.3], b: []}\n",
            "must differ in what is trained; a and b differ in evaluation alone, so they would be one run$",
        ),
    ],
)
def test_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence) as raised:
        composed(tmp_path, content)
    assert len(str(raised.value).splitlines()) == 1


def test_a_mapping_of_texts_in_the_mapping_form(tmp_path: Path) -> None:
    path = tmp_path / "overrides.yaml"
    data = "data: {name: table, path: t.csv, target: y, kinds: {zip: category, 'a (b)': date}, csv: {decimal: comma}}"
    path.write_text(f"overrides: {{{data}}}\ncandidates: {{numpy: [model=numpy]}}\n")
    content = compose_candidates(path)["numpy"].to_dict()["data"]
    assert content["kinds"] == ["zip: category", "a (b): date"]
    assert content["csv"]["decimal"] == "comma"
