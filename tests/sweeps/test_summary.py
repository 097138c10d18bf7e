"""The table of a sweep's jobs: what differs among them, how each ended, and which is the best."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.evaluation.metrics import OBJECTIVE, SUMMARY_METRICS
from pipeline.sweeps.summary import log_failures, summarize


def job(number: int, ending: str = "finished", loss: float = 0.5, **overrides: str) -> dict[str, Any]:
    scores = dict.fromkeys(SUMMARY_METRICS, loss) if ending == "finished" else {}
    return {"job": number, "folder": f"out/s/{number}", "overrides": overrides, "scores": scores, "ending": ending}


def test_the_table_has_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [job(0, loss=0.3, data="a", lr="1"), job(1, "failed", data="a", lr="2"), job(2, loss=0.2, data="a")]
    summarize(tmp_path, jobs)
    table = pd.read_csv(tmp_path / "comparison.csv")
    assert list(table) == ["job", "lr", "ending", *SUMMARY_METRICS]
    assert table["ending"].tolist() == ["finished", "failed", "finished"]
    assert table[OBJECTIVE].isna().tolist() == [False, True, False]
    assert capsys.readouterr().out.endswith(f"least log loss: job 2 -> out/s/2; all of them -> {tmp_path}/comparison.csv\n")


def test_no_job_and_no_finished_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summarize(tmp_path, [])
    assert list(tmp_path.iterdir()) == []
    summarize(tmp_path, [job(0, "killed")])
    assert "least" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("endings", "planned", "sentences"),
    [
        (["finished"], 1, ""),
        (["finished", "failed"], 2, "error: 1 of 2 jobs failed\n"),
        (["killed"], 3, "error: 1 of 3 jobs failed\nerror: 2 of 3 jobs did not start\n"),
    ],
)
def test_what_did_not_finish(endings: list[str], planned: int, sentences: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert log_failures([job(i, ending) for i, ending in enumerate(endings)], planned) == bool(sentences)
    assert capsys.readouterr().err == sentences


@pytest.mark.parametrize(
    ("values", "warned"), [(["1", "2", "3"], True), (["3", "1", "2"], False), (["1", "3"], False), (["a", "b", "c"], False)]
)
def test_the_best_value_at_the_edge_of_a_sweep(
    values: list[str], warned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summarize(tmp_path, [job(i, loss=1 / (i + 1), lr=value) for i, value in enumerate(values)])
    sentence = "warning: of 3 values of lr from 1 to 3, 3 is the best: a value beyond it may be better\n"
    assert capsys.readouterr().err == (sentence if warned else "")
