"""The command line of a stage of one candidate: its folder, its code, and where it logs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.code import Code
from pipeline.config.tracking import Tracking
from pipeline.errors import PipelineError
from pipeline.stages import STAGES
from pipeline.stages._command import run_on_candidate

Call = tuple[Path, Path, Tracking, Mapping[str, Any]]


def calls_of(argv: list[str]) -> list[Call]:
    calls: list[Call] = []
    run_on_candidate(STAGES["plot"], "", lambda *given: calls.append(given), argv)
    return calls


def test_it_works_on_the_candidate_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "config").mkdir(parents=True)
    (tmp_path / "out" / "config" / "tracking.yaml").write_text("uri: null\nexperiment: mine\n")
    expected: Call = (Path("out/data"), Path("out/models/strong-2"), Tracking(None, "mine"), {})
    assert calls_of(["strong-2"]) == [expected]
    (tmp_path / "out" / "config" / "plot.yaml").write_text(f"code: {Code().stage('plot')}\n")
    assert calls_of(["strong-2"]) == [expected]


def test_other_code_and_another_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError, match=r"a candidate's name must be .*; got '\.\./x'$"):
        calls_of(["../x"])
    (tmp_path / "out" / "config").mkdir(parents=True)
    (tmp_path / "out" / "config" / "plot.yaml").write_text("code: 0\n")
    with pytest.raises(PipelineError, match="plot.yaml must be of the present code of plot"):
        calls_of(["numpy"])
