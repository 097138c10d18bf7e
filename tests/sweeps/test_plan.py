"""What a sweep stands for before it begins."""

from pathlib import Path

import pytest

from pipeline.config.config import check_sweep
from pipeline.config.overrides import quoted
from pipeline.errors import PipelineError
from pipeline.sweeps.plan import plan


def test_a_preset_in_a_folder_of_one_s_own_is_checked(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "slow.yaml").write_text("# @package _global_\noptimizer: {lr: -3}\n")
    search_path = f"hydra.searchpath=[{quoted(f'file://{tmp_path}')}]"
    planned = plan([search_path, "experiment=breast_cancer,slow"], lambda config: None)
    assert planned.min_jobs == 2
    with pytest.raises(PipelineError, match="optimizer.lr must be > 0 and finite; got -3.0"):
        check_sweep(planned.choices)


def test_a_sweep_is_over_what_is_trained() -> None:
    with pytest.raises(PipelineError, match=r"equal models would be one run; got evaluation\.threshold$"):
        check_sweep([["optimizer.lr=0.1", "optimizer.lr=0.2"], ["evaluation.threshold=0.3", "evaluation.threshold=0.4"]])
    assert check_sweep([["optimizer.lr=0.1", "optimizer.lr=0.2"], ["evaluation.threshold=0.3"]]).evaluation.threshold == "0.3"


def test_a_sweep_that_chooses_by_validation_is_over_the_same_rows() -> None:
    """Losses on different rows cannot be compared."""
    table, seeds = [["data=breast_cancer"], ["evaluation.validation=holdout"]], ["data.seed=0", "data.seed=1"]
    rule = r"must be over models of the same rows; got data\.seed=1: sweep it with evaluation\.validation=none$"
    with pytest.raises(PipelineError, match=rule):
        check_sweep([*table, seeds])
    with pytest.raises(PipelineError, match=r"the same rows; got data=document: "):
        check_sweep([["data=breast_cancer", "data=document"], table[1]])
    check_sweep([table[0], ["evaluation.validation=none"], seeds])
    of_table = [["data=table"], ["data.path=tests/data/none.csv"], ["data.target=y"]]
    check_sweep([*of_table, ["data.drop=[a]", "data.drop=[b]"]])
