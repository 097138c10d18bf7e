"""The comparison with the peers, but for its times."""

import gc
import sys
import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from benchmarks import peers
from benchmarks.peers import COLUMNS, OURS, draw, merged
from benchmarks.problems import Problem

PROBLEM = "breast cancer, raw"


def table(**medians: float) -> pd.DataFrame:
    """Rows to 1e-6 of solvers with these median times."""
    rows = [(PROBLEM, 1e-6, solver.replace("_", " "), median, median, median) for solver, median in medians.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_the_peers_left_out_keep_their_rows() -> None:
    old = merged(table()[:0], table(pipeline_auto=1.0, liblinear=2.0, glum_lbfgs=3.0))
    new = merged(old, table(pipeline_auto=1.5, glum_lbfgs=4.0))
    assert dict(zip(new["solver"], new["median"], strict=True)) == {OURS: 1.5, "liblinear": 2.0, "glum lbfgs": 4.0}
    assert dict(zip(new["solver"], new["over_best_peer"], strict=True)) == {OURS: 0.75, "liblinear": 1.0, "glum lbfgs": 2.0}


@pytest.mark.parametrize("arrived", [{"pipeline_auto": 1.0, "liblinear": 2.0}, {"pipeline_auto": 1.0}, {"liblinear": 2.0}])
def test_whoever_arrives_is_drawn(arrived: dict[str, float], tmp_path: Path) -> None:
    draw(table(**arrived), tmp_path / "peers.png")
    assert (tmp_path / "peers.png").stat().st_size > 0


@pytest.mark.parametrize("option", ["--only", "--against"])
def test_a_word_that_is_in_no_name(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["peers", option, "nosuch"])
    with pytest.raises(SystemExit):
        peers.main()
    assert f"{option} must be part of one of " in capsys.readouterr().err


def test_a_problem_makes_the_other_forms_of_x_once_and_is_then_let_go() -> None:
    problem = Problem(csr_array(np.eye(3)), np.ones(3))
    assert problem.by_columns is problem.by_columns
    assert problem.with_intercept is problem.with_intercept
    gone = weakref.ref(problem)
    del problem
    gc.collect()
    assert gone() is None
