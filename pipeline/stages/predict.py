"""Predict a table with a model: for each row its class and the probability of the positive one, as CSV or Parquet.

The table is read in chunks, so it may be of any size. Its columns are found by their names; others may stand beside them.
Columns that name the rows stand beside the answers. It is no stage of the DAG.
"""

import csv
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.data.cells import MISSING_VALUES
from pipeline.data.dialect import CsvFormat
from pipeline.data.table_file import TableFile, open_table
from pipeline.errors import ArtifactError, CommandError, DataError
from pipeline.files import OUT
from pipeline.learning.prediction import load_predictor, predicting
from pipeline.model.card import ModelCard, read_card
from pipeline.model.columns import Cells, missing_cells
from pipeline.model.decision import read_decision
from pipeline.model.encoder import Category, Encoder
from pipeline.stages import MODELS_DIR, STAGES
from pipeline.text import count, join_limited, quote_if_needed

if TYPE_CHECKING:
    import pandas as pd

ANSWER = ("prediction", "probability")  # columns

logger = logging.getLogger("pipeline.stages.predict")


@dataclass(frozen=True)
class UnknownCells:
    """How many cells of each column were missing, and how many had a category that is no level of the model."""

    encoder: Encoder
    missing: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    def add(self, cells: Mapping[str, Cells]) -> None:
        """Those of some rows."""
        self.missing.update({name: missing_cells(column) for name, column in cells.items()})
        categories = [step for step in self.encoder.steps if isinstance(step, Category)]
        self.unknown.update({step.column: step.unknown(cells[step.column]) for step in categories})  # type: ignore[arg-type]

    def sentences(self) -> Iterator[str]:
        for what, found in (("missing", self.missing), ("no category of the model, so rare or new", self.unknown)):
            if columns := [f"{cells} in {quote_if_needed(name)}" for name, cells in found.items() if cells]:
                yield f"{count(found.total(), 'cell')} {'is' if found.total() == 1 else 'are'} {what}: {join_limited(columns)}"


@contextmanager
def model_folder(reference: str) -> Iterator[Path]:
    """The folder of a model: itself, that of a candidate in out/models/, or, for as long as the block lasts, that of a run."""
    reference = reference.removeprefix("runs:/").removesuffix("/model") if reference.startswith("runs:/") else reference
    for folder in (Path(reference), OUT / MODELS_DIR / reference):
        if folder.is_dir():
            yield folder
            return
    if "/" in reference:
        raise ArtifactError(
            f"a model must be a folder, a candidate in {OUT / MODELS_DIR}, a run or @champion; there is no {reference}"
        )
    with tempfile.TemporaryDirectory() as temporary:
        from pipeline.tracking import runs  # imports Hydra, which no folder needs

        training, evaluation = (STAGES[name].artifacts for name in ("train", "evaluate"))
        yield runs.model_folder(reference, training, evaluation, Path(temporary))


def open_rows(table: Path, card: ModelCard) -> TableFile:
    """The table to predict; a CSV file is read with the settings of the one that the model was trained on. What is a level of
    the model, such as None in a Parquet file, is no missing value."""
    data, names = card.config["data"], [column.name for column in card.columns] or card.features
    levels = {level for step in card.encoder or [] for level in step.get("levels", ())}
    missing_values = card.missing_values
    if data.get("missing_values") is None:
        missing_values = [text for text in MISSING_VALUES if text not in levels]
    return open_table(str(table), CsvFormat(**data.get("csv", {})), missing_values, "TABLE", names, card.decimal)


def predict(folder: Path, table: Path, out: Path | None = None, ids: Sequence[str] = ()) -> None:
    """Write ids, prediction and probability for each row of `table` to `out`, else as CSV to stdout."""
    import pandas as pd

    trained = read_card(folder)
    decision, card = read_decision(trained), trained.content
    predictor = load_predictor(trained, decision)
    file = open_rows(table, card)
    names = file.names
    id_columns = _id_columns(card, names, ids, table)
    with predicting():
        predictor.check_names(names)
    ignored = [quote_if_needed(name) for name in names if name not in {*predictor.names, *id_columns}]
    types = {column.name: column.type for column in card.columns} or dict.fromkeys(predictor.features, "number")
    types |= {name: "text" for name in id_columns if name not in types}
    rows, unknown_cells = 0, UnknownCells(predictor.encoder or Encoder([]))
    with _writer(out) as write, console.Progress(0, unit="row") as progress:
        for chunk in file.chunks(types):
            with predicting():
                answer = predictor.predict(chunk, rows, unknown_cells.add)
            for i, name in enumerate(id_columns):
                answer.insert(i, name, chunk[name].to_pandas(), allow_duplicates=True)
            if len(answer):
                write(answer)
            rows += len(answer)
            if progress.is_due():
                progress.show(rows, f"of {table}")
        if not rows:  # the columns alone
            write(pd.DataFrame(columns=[*id_columns, *ANSWER]))
    log = logger.info if out else logger.warning  # stdout has the answers
    if decision.log_odds:
        log(decision.sentence)
    for sentence in unknown_cells.sentences():
        log(sentence)
    without = f", without {join_limited(ignored)}, which the model does not take" if ignored else ""
    if out or ignored:
        log(f"{rows} rows of {table}{without} -> {out or 'stdout'}")


def _id_columns(card: ModelCard, names: Sequence[str], ids: Sequence[str], table: Path) -> list[str]:
    """The columns that stand beside the predictions."""
    if unknown := [quote_if_needed(name) for name in ids if name not in names]:
        raise DataError(f"--id must name a column of {table}; there is no {unknown[0]}: its columns are {join_limited(names)}")
    if taken := [name for name in ids if name in ANSWER]:
        raise DataError(f"--id must not name a column of the answer, which are {' and '.join(ANSWER)}; got {taken[0]}")
    return list(dict.fromkeys([*ids, *(name for name in card.identifiers if name in names and name not in ANSWER)]))


@contextmanager
def _writer(out: Path | None) -> Iterator[Callable[["pd.DataFrame"], None]]:
    """What takes some rows after others. A file is there when it is complete; stdout gets rows as they are ready."""
    with ExitStack() as stack:
        if out is None:
            yield _csv_writer(sys.stdout)
            return
        if out.is_dir():
            raise CommandError(f"--out must name a file; {out} is a folder")
        made = stack.enter_context(atomic_dir(out.parent)) / out.name
        if out.suffix == ".parquet":
            yield _parquet_writer(made, stack)
        else:
            yield _csv_writer(stack.enter_context(made.open("w", encoding="utf-8", newline="")))


def _csv_writer(file: TextIO) -> Callable[["pd.DataFrame"], None]:
    is_first = iter([True])

    def write(rows: "pd.DataFrame") -> None:
        ids = rows.iloc[:, : -len(ANSWER)]
        has_return = any(isinstance(cell, str) and "\r" in cell for _, column in ids.items() for cell in column)
        quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if has_return else csv.QUOTE_MINIMAL  # which leaves "\r" without quotes
        rows.to_csv(file, index=False, header=next(is_first, False), lineterminator="\n", quoting=quoting)

    return write


def _parquet_writer(path: Path, stack: ExitStack) -> Callable[["pd.DataFrame"], None]:
    import pyarrow as pa
    from pyarrow import parquet

    writers: list[parquet.ParquetWriter] = []

    def write(rows: "pd.DataFrame") -> None:
        part = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata()
        if not writers:
            writers.append(stack.enter_context(parquet.ParquetWriter(path, part.schema)))
        writers[0].write_table(part.cast(writers[0].schema))

    return write


def main(argv: Sequence[str]) -> None:
    parser = console.parser("stages.predict", __doc__, "numpy patients.csv --out risks.csv")
    parser.add_argument("model", metavar="MODEL", help="its folder, candidate, run id, fingerprint, or @champion")
    parser.add_argument("table", type=Path, metavar="TABLE", help="a CSV file, or a Parquet file, folder or pattern")
    parser.add_argument("--out", type=Path, metavar="FILE", help="to write: CSV or, named *.parquet, Parquet; else stdout")
    parser.add_argument("--id", action="append", default=[], metavar="COLUMN", help="to stand beside each prediction")
    args = parser.parse_args(argv)
    with model_folder(args.model) as folder:
        predict(folder, args.table, args.out, args.id)


if __name__ == "__main__":
    console.run(main)
