"""List the test rows that a model predicts wrong."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.config.tracking import Tracking
from pipeline.files import PREDICTIONS_FILE, write_json
from pipeline.model.card import read_card
from pipeline.stages import STAGES
from pipeline.stages._command import run_on_candidate
from pipeline.tracking.client import track, wait_at_end
from pipeline.tracking.events import Artifacts

logger = logging.getLogger("pipeline.stages.mistakes")

STAGE = STAGES["mistakes"]


def mistakes(data: Path, folder: Path, tracking: Tracking) -> None:
    import pyarrow.parquet as pq

    with track(tracking, STAGE.name, read_card(folder).content, folder.name) as tracker:
        table = pq.read_table(folder / PREDICTIONS_FILE).to_pydict()
        wrong = [i for i, (a, b) in enumerate(zip(table["actual"], table["predicted"], strict=True)) if a != b]
        with atomic_dir(folder) as made:
            write_json(made / "mistakes.json", {"rows": wrong})
        logger.info(f"{len(wrong)} rows are predicted wrong")
        tracker.files(lambda: artifacts(folder))


def artifacts(folder: Path, in_dvc: bool = False) -> Artifacts:
    return Artifacts(STAGE.artifacts, STAGE.files(folder))


def run(data: Path, folder: Path, tracking: Tracking, config: Mapping[str, Any]) -> None:
    mistakes(data, folder, tracking)


def main(argv: Sequence[str]) -> None:
    run_on_candidate(STAGE, __doc__, run, argv)


if __name__ == "__main__":
    console.run(main, wait_at_end)
