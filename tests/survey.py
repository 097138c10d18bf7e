"""A table whose columns and labels look like numbers."""

from pathlib import Path

import numpy as np
import pandas as pd


def survey(repo: Path, name: str = "data/survey.csv") -> str:
    """A table whose columns and labels look like numbers; its words for the command line."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"34": rng.normal(size=40), "age": rng.normal(size=40)})
    frame["3_4"] = np.where(frame["age"] > 0, "2_0", "9e9")
    (repo / name).parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(repo / name, index=False)
    return f"data=table 'data.path={name}'"
