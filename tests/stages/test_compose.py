"""What `compose` writes and removes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config.code import Code
from pipeline.config.files import read_stage_file
from pipeline.errors import PipelineError
from pipeline.stages.compose import compose
from tests.conftest import Shell
from tests.survey import survey

TWO = {"weak": ["model.l2=0.5"], "strong": ["model.l2=1", "model=torch"]}


def composed(root: Path, candidates: dict[str, Any], *overrides: str) -> dict[str, dict[str, Any]]:
    """The files in out/config/."""
    (root / "overrides.yaml").write_text(
        yaml.safe_dump({"overrides": list(overrides), "candidates": candidates}, sort_keys=False)
    )
    compose(root / "overrides.yaml", root / "out")
    return {path.name: yaml.safe_load(path.read_text()) for path in (root / "out" / "config").iterdir()}


def test_one_file_a_stage_and_candidate_with_the_code_s_hash(tmp_path: Path) -> None:
    made, code = composed(tmp_path, TWO, "data.rows=700"), Code()
    of_candidates = {f"{stage}.{name}.yaml" for stage in ("validate", "train", "evaluate") for name in TWO}
    assert set(made) == {"generate.yaml", "plot.yaml", "report.yaml", "tracking.yaml"} | of_candidates
    for name in set(made) - {"tracking.yaml"}:
        stage = name.partition(".")[0]
        assert made[name]["code"] == code.stage(stage)
    assert made["generate.yaml"]["data"]["rows"] == 700
    assert made["report.yaml"]["candidates"] == ["weak", "strong"]
    models = {name: made[f"train.{name}.yaml"]["model"] for name in TWO}
    assert {name: (model["name"], model["l2"]) for name, model in models.items()} == {
        "weak": ("numpy", 0.5),
        "strong": ("torch", 1.0),
    }
    assert made["tracking.yaml"] == {"uri": "sqlite:///mlruns/mlflow.db", "experiment": "logistic-regression"}


def test_a_table_s_defaults_stand_in_the_stages_files(tmp_path: Path) -> None:
    own = {"plain": {}, "own": {"optimizer": {"name": "gd"}, "model": {"l2": "cv"}}}
    made = composed(tmp_path, own, "data=table", "data.path=t.csv", "data.target=y")
    assert {
        name: (made[f"train.{name}.yaml"]["optimizer"]["name"], made[f"train.{name}.yaml"]["model"]["l2"]) for name in own
    } == {
        "plain": ("auto", "auto"),
        "own": ("gd", "cv"),
    }
    assert made["validate.own.yaml"]["evaluation"] == {"validation": "cv", "folds": 5, "repeats": 1}


def test_a_candidate_that_is_gone_leaves_nothing_behind(tmp_path: Path) -> None:
    composed(tmp_path, TWO)
    for name in TWO:
        (tmp_path / "out" / "models" / name / "figures").mkdir(parents=True)
        (tmp_path / "out" / "models" / name / "model.json").write_text(name)
    made = composed(tmp_path, {"strong": TWO["strong"]})
    assert {"train.strong.yaml"} == {name for name in made if name.startswith("train.")}
    assert [path.name for path in (tmp_path / "out" / "models").iterdir()] == ["strong"]
    assert (tmp_path / "out" / "models" / "strong" / "model.json").read_text() == "strong"


def test_nothing_is_touched_where_something_is_wrong(tmp_path: Path) -> None:
    before = composed(tmp_path, TWO)
    (tmp_path / "out" / "models" / "weak").mkdir(parents=True)
    with pytest.raises(PipelineError, match=r"model.l2 must be .*; got -1.0"):
        composed(tmp_path, {"other": ["model.l2=-1"]})
    assert {path.name for path in (tmp_path / "out" / "config").iterdir()} == set(before)
    assert (tmp_path / "out" / "models" / "weak").is_dir()


def test_a_stage_s_file_is_read_with_its_keys_and_code(tmp_path: Path) -> None:
    composed(tmp_path, TWO)
    path = tmp_path / "out" / "config" / "report.yaml"
    assert read_stage_file(path, "report", "candidates") == {"candidates": ["weak", "strong"]}
    with pytest.raises(PipelineError, match="report.yaml must hold data; it has candidates"):
        read_stage_file(path, "report", "data")
    path.write_text(path.read_text().replace("code: ", "code: 0"))
    with pytest.raises(PipelineError, match="report.yaml must be of the present code of report"):
        read_stage_file(path, "report", "candidates")


def test_names_are_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    survey(tmp_path, "data/year=2024, (a)/b.csv")
    overrides = ("data=table", "data.path=data/year=2024, (a)/b.csv", "data.target=3_4", "data.positive=2_0")
    data = composed(tmp_path, TWO, *overrides)["generate.yaml"]["data"]
    assert (data["path"], data["target"], data["positive"]) == ("data/year=2024, (a)/b.csv", "3_4", "2_0")
    assert "target: '3_4'\n" in (tmp_path / "out" / "config" / "generate.yaml").read_text()


def test_the_command_ends_in_one_sentence(repo: Path, forked: Shell) -> None:
    (repo / "overrides.yaml").write_text("overrides: [optimizer.lr=-1]\ncandidates: {a: }\n")
    done = forked("python -m pipeline.stages.compose", repo)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: optimizer.lr must be > 0 and finite; got -1.0 (candidate a in overrides.yaml)\n"
    assert not (repo / "out" / "config").exists()
