"""Load the data source, split it, and write the training and the test table."""

import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.config.files import compose_overrides, read_config
from pipeline.config.schema import build
from pipeline.data.dataset import Dataset, Source, Split
from pipeline.data.kinds import kinds_table
from pipeline.data.leaks import leaks
from pipeline.data.sources import SOURCES
from pipeline.errors import DataError
from pipeline.files import OUT, digest_of, file_digest, list_column, write_features, write_parquet
from pipeline.manifest import SCHEMA, write_manifest
from pipeline.stages import STAGES

logger = logging.getLogger("pipeline.stages.generate")

STAGE = STAGES["generate"]
WATCHED_DIR = Path("data")


def part_digest(dataset: Dataset, folder: Path, name: str) -> str:
    """SHA-256 over the files that a part is read from, and what they mean."""
    meaning: dict[str, Any] = {"features": dataset.features, "target": dataset.target, "classes": list(dataset.classes)}
    if dataset.train.is_table:
        meaning["columns"] = [[column.name, column.kind, column.type] for column in dataset.columns if column.is_used]
    files = {Path(file).name: file_digest(folder / file) for file in files_of(dataset, folder, name)}
    return digest_of({**meaning, "files": files})


def files_of(dataset: Dataset, folder: Path, name: str) -> list[str]:
    """The files that a part is read from, below `folder`."""
    files = [f"{name}/{path.name}" for path in sorted((folder / name).iterdir())]
    return [*files, f"{name}.parquet"] if dataset.train.is_table else files


def write_part(folder: Path, name: str, dataset: Dataset, part: Split) -> None:
    """The table as people read it, NAME.parquet, and what a fit passes over, in NAME/."""
    labels = {dataset.target: np.array(dataset.classes)[part.y.astype(int)]}
    if dataset.train.is_table:
        columns = dict(zip(part.X.column_names, part.X.columns, strict=True))
    elif isinstance(part.X, np.ndarray):
        columns = {feature: part.X[:, i] for i, feature in enumerate(dataset.features)}
    else:
        columns = {"columns": list_column(part.X.indptr, part.X.indices), "values": list_column(part.X.indptr, part.X.data)}
    write_parquet(folder / f"{name}.parquet", {**columns, **labels})
    (folder / name).mkdir()
    if not dataset.train.is_table:
        write_features(folder / name, part.X)
    np.save(folder / name / "y.npy", part.y)
    for of_rows in ("weight", "group", "time"):
        if (values := getattr(part, of_rows)) is not None:
            np.save(folder / name / f"{of_rows}.npy", values)


def generate(source: Source, config: dict[str, Any], folder: Path) -> None:
    """Write train.parquet and test.parquet, train/ and test/ to be mapped, and schema.json. config: for provenance."""
    dataset = source.load()
    for note in dataset.notes:
        logger.info(note)
    if dataset.train.is_table:
        logger.info(console.table(*kinds_table(dataset.columns)))
    parts = {"training": ("train", dataset.train), "test": ("test", dataset.test)}
    with atomic_dir(folder, SCHEMA) as made:
        with ThreadPoolExecutor(len(parts)) as pool:
            written = [pool.submit(write_part, made, name, dataset, part) for name, part in parts.values()]
            for leak in leaks(dataset):
                logger.warning(leak)
            for part_written in written:
                part_written.result()
        write_manifest(
            made / SCHEMA,
            STAGE.name,
            {
                "features": dataset.features,
                "columns": [asdict(column) for column in dataset.columns] if dataset.train.is_table else [],
                "missing_values": list(getattr(source, "missing_texts", ())),
                "decimal": dataset.decimal,
                "target": dataset.target,
                "classes": list(dataset.classes),
                "rows": {name: len(part.y) for name, (_, part) in parts.items()},
                "positives": {name: int(part.y.sum()) for name, (_, part) in parts.items()},
                "digest": {name: part_digest(dataset, made, part) for name, (part, _) in parts.items()},
                "source": config,
            },
            [file for name, _ in parts.values() for file in files_of(dataset, made, name)],
        )
    d, rows = len(dataset.features), len(dataset.train.y)
    what = "columns" if dataset.train.is_table else "features"
    logger.info(f"{config['name']}: {rows} training and {len(dataset.test.y)} test rows, {d} {what} -> {folder}")


def check_in_copy(path: str) -> None:
    """Raise DataError where the file is in the repository, but not in the copy of it that DVC runs an experiment in."""
    repository = os.environ.get("DVC_ROOT")
    if repository and not Path(path).exists() and Path(repository, path).exists():
        rule = "data.path must name a file that git or DVC tracks, since an experiment's copy of the repository has no others"
        file, pointer = shlex.quote(path), shlex.quote(f"{path}.dvc")
        raise DataError(f"{rule}: `git add {file}`, or `dvc add {file} && git add {pointer}`; got {path}")


def run(data: Path, folder: Path, tracking: object, config: Mapping[str, Any]) -> None:
    generate(build("data", SOURCES, config["data"]), config["data"], data)


def main(argv: Sequence[str]) -> None:
    args = console.parse_configuration(console.parser("stages.generate", __doc__, "data=breast_cancer data.seed=1"), argv)
    read = (
        read_config(args.config, STAGE.name, {"data": SOURCES}) if args.config else compose_overrides(args.overrides).to_dict()
    )
    config = read["data"]
    source = build("data", SOURCES, config)
    for path in filter(None, (config.get("path"), config.get("test_path"))):
        check_in_copy(path)
        if args.config and WATCHED_DIR.resolve() not in Path(path).resolve().parents:
            logger.warning(f"{path} is outside {WATCHED_DIR}/, so `dvc repro` will not see when it changes; move it there")
    generate(source, config, OUT / "data")


if __name__ == "__main__":
    console.run(main)
