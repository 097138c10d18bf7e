"""Predict a table with a model's folder: a class and the probability of the positive one for each row, as CSV.

The columns are found by their names; others may stand beside them. It is no stage of the DAG.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline import console
from pipeline.errors import DataError
from pipeline.learning.prediction import load_predictor, predicting
from pipeline.model.card import read_card


def read_table(path: Path) -> Any:
    """A pyarrow Table of a Parquet file, or of a CSV file in UTF-8."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    with path.open("rb") as file:
        try:
            return parquet.ParquetFile(file).read() if path.suffix == ".parquet" else csv.read_csv(file)
        except pa.ArrowException as error:
            reason = str(error).partition("\n")[0]
            raise DataError(f"{path} must be a table in CSV or, named *.parquet, Parquet: {reason}") from None


def predict(folder: Path, table: Path, out: Path | None = None) -> None:
    """Write prediction and probability for each row of `table` to `out`, else to stdout."""
    predictor, rows = load_predictor(read_card(folder)), read_table(table)
    with predicting():
        answer = predictor.predict(rows)
    answer.to_csv(out or sys.stdout, index=False, lineterminator="\n")


def main(argv: Sequence[str]) -> None:
    parser = console.parser("stages.predict", __doc__, "out/models/numpy patients.csv")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a model's folder")
    parser.add_argument("table", type=Path, metavar="TABLE", help="a CSV file, or a Parquet file named *.parquet")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the CSV file to write; without it, stdout")
    args = parser.parse_args(argv)
    predict(args.folder, args.table, args.out)


if __name__ == "__main__":
    console.run(main)
