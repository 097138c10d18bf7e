"""The process that speaks to MLflow, whose attempts may hang, fail and overlap."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.tracking import Tracking
from pipeline.files import read_json
from pipeline.processes import Process
from pipeline.tracking import endings, publisher
from pipeline.tracking.client import Publisher
from pipeline.tracking.publisher import Listener
from tests.observing import wait_for

LOCAL = Tracking("sqlite:///mlruns/mlflow.db")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes lie in a folder of the test's own."""
    monkeypatch.setattr("pipeline.tracking.endings.project_root", lambda: tmp_path)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """MLflow does not answer; set once it was asked."""
    asked, over = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        asked.set()
        over.wait(30)

    monkeypatch.setattr(publisher.Listener, "_open", hang)
    yield asked
    over.set()


def opened(stage: str, fingerprint: str = "f00") -> dict[str, Any]:
    about = {"fingerprint": fingerprint}
    made = {"parent": None, "provenance": {}, "settings": LOCAL.to_dict(), "process": {}}
    return {"do": "open", "tracking": {"uri": "sqlite:////x.db"}, "stage": stage, "card": about, **made}


def listening(*earlier: Listener) -> tuple[socket.socket, Listener]:
    """A stage's end of a connection, and the listener at the other."""
    stage, here = socket.socketpair()
    listener = Listener(here, earlier, lambda: None)
    threading.Thread(target=listener.listen, daemon=True).start()
    return stage, listener


def say(stage: socket.socket, *messages: dict[str, Any]) -> None:
    stage.sendall("".join(f"{json.dumps(message)}\n" for message in messages).encode())


def test_what_was_said_during_an_attempt_that_hangs_is_kept(tmp_path: Path, hanging: threading.Event) -> None:
    stage, listener = listening()
    say(stage, opened("evaluate"))
    assert hanging.wait(10)
    points = [{"epoch": epoch, "loss": 0.5, "gradient_norm": 0.1} for epoch in range(3)]
    ended = {"ending": "finished", "reason": ""}
    say(
        stage,
        *({"do": "loss", **point} for point in points),
        {"do": "publish", "folder": "out/models/numpy"},
        {"do": "close", **ended},
    )
    wait_for(lambda: listener._said.qsize() == 5)
    listener.keep_note()
    (note,) = endings.kept()
    kept = read_json(note)
    assert (kept["ended"], kept["folder"], kept["curve"]) == (ended, "out/models/numpy", points)
    stage.close()


def test_several_that_find_no_publisher_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ears: list[socket.socket] = []

    def start(address: str, _: Process) -> None:
        time.sleep(0.2)  # in which the others look, too
        Path(address).unlink(missing_ok=True)
        ears.append(socket.socket(socket.AF_UNIX))
        ears[-1].bind(address)
        ears[-1].listen()

    monkeypatch.setattr("pipeline.tracking.client._start_publisher", start)
    monkeypatch.setattr("pipeline.tracking.client.supervisor", lambda: Process(2**31, "0"))
    with ThreadPoolExecutor(4) as pool:
        for publisher in pool.map(lambda _: Publisher(), range(4)):
            publisher.close()
    (ear,) = ears
    Path(ear.getsockname()).unlink()
    ear.close()
