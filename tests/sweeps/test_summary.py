"""The table of a sweep's jobs: what differs among them, how each ended, and which is the best."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.evaluation.metrics import OBJECTIVE, SUMMARY_METRICS
from pipeline.sweeps.summary import log_failures, summarize


def job(number: int, ending: str = "finished", loss: float = 0.5, **overrides: str) -> dict[str, Any]:
    scores = dict.fromkeys(SUMMARY_METRICS, loss) if ending == "finished" else {}
    status = {"job": number, "folder": f"out/s/{number}", "overrides": overrides, "ending": ending}
    return {**status, "validation": {}, "scores": scores}


def test_the_table_has_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [job(0, loss=0.3, data="a", lr="1"), job(1, "failed", data="a", lr="2"), job(2, loss=0.2, data="a")]
    summarize(tmp_path, jobs)
    table = pd.read_csv(tmp_path / "comparison.csv")
    assert list(table) == ["job", "lr", "ending", *SUMMARY_METRICS]
    assert table["ending"].tolist() == ["finished", "failed", "finished"]
    assert table[OBJECTIVE].isna().tolist() == [False, True, False]
    out = capsys.readouterr()
    assert out.out.endswith(f"least log loss: job 2 -> out/s/2; all of them -> {tmp_path}/comparison.csv\n")
    assert out.err.startswith("warning: the best of several jobs on the test table does less well on new rows: ")
    summarize(tmp_path, jobs[:2])
    assert capsys.readouterr().err == ""  # nothing was chosen


def test_jobs_that_were_validated_are_compared_by_that(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loss = {0: (0.3, None, None), 1: (0.2, 0.1, 0.3)}
    jobs = [
        {**job(i, lr=str(i)), "validation": {OBJECTIVE: dict(zip(("value", "low", "high"), loss[i], strict=True))}}
        for i in loss
    ]
    jobs[0]["scores"] = {}
    summarize(tmp_path, jobs)
    table = pd.read_csv(tmp_path / "comparison.csv")
    assert table[f"validation_{OBJECTIVE}"].tolist() == [0.3, 0.2]
    assert table[f"validation_{OBJECTIVE}_low"].isna().tolist() == [True, False]
    assert table[OBJECTIVE].isna().tolist() == [True, False]
    out = capsys.readouterr()
    assert "0.2000 (0.1000 to 0.3000)" in out.out
    assert "least validation loss: job 1 -> out/s/1; " in out.out
    assert out.err == ""
    jobs[1] |= {"scores": {}, "ending": "failed"}
    summarize(tmp_path, jobs)
    assert capsys.readouterr().out.endswith("on the test table, after a fit to all training rows: none, since its fit failed\n")


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
    sentence = "warning: of 3 values of lr from 1 to 3, 3 is the best: a value beyond it may be better"
    first, *others = capsys.readouterr().err.splitlines()
    assert "evaluation.validation=cv" in first
    assert others == ([sentence] if warned else [])


def test_a_seed_has_no_edge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summarize(tmp_path, [job(i, loss=1 / (i + 1), **{"model.seed": str(i), "data.rows": str(i)}) for i in range(3)])
    assert "a value beyond it" not in capsys.readouterr().err
