"""Load the data source, split it, and write the training and the test table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import _terminal
from pipeline._config import build, compose, read_config
from pipeline._files import OUT, digest, staged, write_json, write_parquet
from pipeline.numerics.data import SOURCES, Dataset, Part, Source, Table

WATCHED = Path("data")


def part_digest(dataset: Dataset, part: Part) -> str:
    """SHA-256 over the numbers and their meaning."""
    names = "\n".join([*dataset.features, dataset.target, *map(repr, dataset.classes)])
    return digest(names.encode(), np.ascontiguousarray(part.X).data.cast("B"), part.y.data.cast("B"))


def generate(source: Source, config: dict[str, Any], folder: Path) -> None:
    """Write train.parquet, test.parquet, the same as mapped .npy, and schema.json. config: the source's own, for provenance."""
    dataset = source.load()
    parts = {"training": ("train", dataset.train), "test": ("test", dataset.test)}
    classes = np.array(dataset.classes)
    with staged(folder) as made:
        for name, part in parts.values():
            columns = {feature: part.X[:, i] for i, feature in enumerate(dataset.features)}
            write_parquet(made / f"{name}.parquet", {**columns, dataset.target: classes[part.y.astype(int)]})
            np.save(made / f"{name}.X.npy", part.X)
            np.save(made / f"{name}.y.npy", part.y)
        write_json(
            made / "schema.json",
            {
                "features": dataset.features,
                "type": "float64",
                "target": dataset.target,
                "classes": list(dataset.classes),
                "rows": {name: len(part.y) for name, (_, part) in parts.items()},
                "positives": {name: int(part.y.sum()) for name, (_, part) in parts.items()},
                "digest": {name: part_digest(dataset, part) for name, (_, part) in parts.items()},
                "source": config,
            },
        )
    d, rows = len(dataset.features), len(dataset.train.y)
    _terminal.say(f"{config['name']}: {rows} training and {len(dataset.test.y)} test rows, {d} features -> {folder}")


def main(words: Sequence[str]) -> None:
    parser = _terminal.parser("generate", __doc__, "python -m pipeline.generate data=breast_cancer data.seed=1")
    _terminal.add_configuration(parser)
    args = _terminal.parse_configuration(parser, words)
    config = read_config(args.config, "data")["data"] if args.config else compose(args.overrides).plain["data"]
    source = build("data", SOURCES, config)
    if args.config and isinstance(source, Table) and WATCHED.resolve() not in Path(source.path).resolve().parents:
        _terminal.warn(f"{source.path} is outside {WATCHED}/, so `dvc repro` will not see when it changes; move it there")
    generate(source, config, OUT / "data")


if __name__ == "__main__":
    _terminal.run(main)
