"""The YAML files of the configuration: what is written, and what is read of them."""

from pathlib import Path

import pytest
import yaml

from pipeline.config.config import REGISTRIES, compose
from pipeline.config.files import check_candidate_name, read_config, read_yaml, to_yaml
from pipeline.errors import PipelineError
from pipeline.flatten import flatten
from tests.secrets import VALUE


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "there is no .*x.yaml$"),
        ("a: [", "x.yaml must be YAML: "),
        ("- a", "x.yaml must hold a mapping; it does not$"),
        ("", "x.yaml must hold a mapping; it does not$"),
    ],
)
def test_no_mapping(tmp_path: Path, content: str | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(PipelineError, match=sentence) as raised:
        read_yaml(tmp_path / "x.yaml")
    assert "\n" not in str(raised.value)


def test_text_that_looks_like_a_number_is_in_quotes(tmp_path: Path) -> None:
    content = {"b": "1e5", "a": ["3_4", "-x", "text", 1e5], "c": None}
    (tmp_path / "x.yaml").write_text(to_yaml(content))
    assert read_yaml(tmp_path / "x.yaml") == content
    assert (tmp_path / "x.yaml").read_text().startswith("b: '1e5'\na:\n- '3_4'\n- '-x'\n- text\n")


def test_a_stage_s_groups_are_mappings(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("data: document\n")
    with pytest.raises(PipelineError, match="x.yaml must hold data, a mapping each"):
        read_config(tmp_path / "x.yaml", "generate", {"data": REGISTRIES["data"]})


@pytest.mark.parametrize("name", ["numpy", "strong-2", "_x", "a" * 100])
def test_a_candidate_s_name(name: str) -> None:
    check_candidate_name(name)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "7", 7, "1e5", "-x", "é", "a" * 101, "a\n", True, None])
def test_no_candidate_s_name(name: object) -> None:
    with pytest.raises(PipelineError, match=r"must be a letter or _, then letters, digits, _ and -; got .* in x$"):
        check_candidate_name(name, " in x")


def test_a_file_for_a_stage_with_a_secret_is_refused(tmp_path: Path, secret_environment: None) -> None:
    content = {"data": {**compose().to_dict()["data"], "name": VALUE}}
    (tmp_path / "generate.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(PipelineError, match="data.name must hold no credential"):
        read_config(tmp_path / "generate.yaml", "generate", {"data": REGISTRIES["data"]})
    assert dict(flatten(content))["data.name"] == VALUE
