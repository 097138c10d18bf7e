"""What a tracking server that is down costs the training: the same fit with a real `mlflow server` up, and with none.

python -m benchmarks.outage         five rounds of each, in turns; each epoch is one point of the curve
"""

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks._measure import Seconds
from benchmarks._server import Server, free_port
from pipeline.config.config import Config, compose
from pipeline.config.tracking import Tracking
from pipeline.data.dataset import Dataset
from pipeline.learning.model import Observer, Record
from pipeline.model.card import DataSchema
from pipeline.stages._fitting import describe
from pipeline.tracking.client import Tracker, track, wait_for_delivery

PATIENCE_SECONDS = 60.0


def fits(up: str, down: str, rounds: int, epochs: int) -> dict[str, Seconds]:
    """Seconds of fits tracked at the two URIs, in turns, each a run of its own."""
    config = compose([f"optimizer.epochs={epochs}", "optimizer.record_every=1", "data.rows=20000"])
    dataset, groups = config.data.load(), {group: config.to_dict()[group] for group in ("data", "model", "optimizer")}
    schema = DataSchema(dataset.features, dataset.target, list(dataset.classes), {}, {}, {}, {})
    times: dict[str, list[float]] = {"up": [], "down": []}
    for i in range(rounds):
        for name, uri in (("up", up), ("down", down)):
            card = describe({**groups, "round": {"of": name, "number": i}}, schema)
            with track(Tracking(uri, "outage"), "train", card) as tracker:
                times[name].append(_fit(config, dataset, tracker))
            wait_for_delivery(PATIENCE_SECONDS)  # so that what is sent of one fit does not slow the next one
    return {name: Seconds(tuple(every)) for name, every in times.items()}


def _fit(config: Config, dataset: Dataset, tracker: Tracker) -> float:
    started = time.perf_counter()

    def record(row: Record) -> None:
        tracker.epoch(row.epoch, row.loss, row.gradient_norm)

    config.model.fit(dataset.train.X, dataset.train.y, config.optimizer, observer=Observer(record))
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outage", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2000)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        server = Server(Path(temporary))
        server.start()
        try:
            server.wait()
            seconds = fits(server.uri, f"http://127.0.0.1:{free_port()}", words.rounds, words.epochs)
        finally:
            server.stop()
    for name, times in seconds.items():
        print(f"server {name:5} {times!s:28} {words.epochs / times.median:.0f} epochs/s")
    print(f"throughput down over up: {seconds['up'].median / seconds['down'].median:.3f}")


if __name__ == "__main__":
    main()
