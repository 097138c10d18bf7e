"""A typed table as a data source, with a column of each kind and gaps, and a model of it."""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.config.config import compose
from pipeline.config.tracking import Tracking
from pipeline.data.dataset import Dataset, Split, split
from pipeline.data.kinds import recognise
from pipeline.stages.evaluate import evaluate
from pipeline.stages.generate import generate
from pipeline.stages.train import train

CONFIG = {"name": "table", "path": "people.csv", "target": "sick"}
OVERRIDES = ("data=breast_cancer", "optimizer=auto", "model.l2=0.01")  # of a table: the document is not standardised


def people(rows: int = 300, seed: int = 0) -> tuple[pa.Table, Any]:
    """Columns of every kind, and y (rows,)."""
    rng = np.random.default_rng(seed)

    def gaps(values: Any) -> list[Any]:
        return [None if rng.random() < 0.1 else value for value in values]

    age, job = rng.integers(18, 90, rows), rng.choice(["nurse", "teacher", "cook"], rows)
    start = datetime.datetime(2023, 10, 5, 7)
    table = pa.table(
        {
            "row": pa.array(range(rows)),
            "age": pa.array(gaps(age.tolist()), pa.int64()),
            "income": pa.array(rng.lognormal(size=rows)),
            "job": pa.array(gaps(job)),
            "town": pa.array(rng.choice([f"t{i}" for i in range(60)], rows)).dictionary_encode(),
            "member": pa.array(gaps((rng.random(rows) < 0.7).tolist())),
            "signup": pa.array(gaps([start + datetime.timedelta(hours=31 * i) for i in range(rows)]), pa.timestamp("us")),
            "notes": pa.array(gaps([" ".join(rng.choice(["paid", "late", "refund", str(i)], 4)) for i in range(rows)])),
            "same": pa.array(["x"] * rows),
        }
    )
    z = 0.05 * (age - 50) + 1.5 * (job == "cook") + rng.logistic(size=rows)
    return table, (z > 0).astype(float)


@dataclass(frozen=True)
class Typed:
    """The source."""

    table: pa.Table
    y: Any
    missing_texts = ("None", "n/a")

    def load(self) -> Dataset:
        columns = recognise(self.table)
        names = [column.name for column in columns if column.is_used]
        rows, _ = split(Split(np.arange(len(self.y))[:, None], self.y), 0.25, 0)
        is_test = np.ones(len(self.y), bool)
        is_test[rows.X[:, 0]] = False
        train, test = (Split(self.table.select(names).filter(pa.array(part)), self.y[part]) for part in (~is_test, is_test))
        return Dataset(names, "sick", ("no", "yes"), train, test, (), columns)


def made(root: Path, *overrides: str, source: Typed | None = None, until: str = "evaluate") -> Path:
    """`root` with data/ and models/numpy/ of such a table."""
    content = compose((*OVERRIDES, *overrides)).to_dict()
    generate(source or Typed(*people()), CONFIG, root / "data")
    train({group: content[group] for group in ("model", "optimizer")}, root / "data", root / "models" / "numpy", Tracking(None))
    if until == "evaluate":
        evaluate(root / "data", root / "models" / "numpy", Tracking(None))
    return root
