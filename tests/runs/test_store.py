"""How a run is named on the command line."""

import json
import re
from pathlib import Path

import pytest

from tests.runs.conftest import Commands, all_runs, client_of


@pytest.mark.slow
def test_how_a_run_is_named(made: Path, runs: Commands) -> None:
    named = all_runs(made)
    client, ids = client_of(made), {name: run.info.run_id for name, run in named.items()}
    fingerprints = {name: run.data.tags.get("fingerprint", "") for name, run in named.items()}
    foreign = client.create_run(named["numpy"].info.experiment_id, run_name="foreign").info.run_id
    client.delete_run(ids["1"])
    both = "ab" * 32  # two sweeps' jobs
    for sweep in ("1" * 32, "2" * 32):
        tags = {"fingerprint": both, "mlflow.parentRunId": sweep}
        client.create_run(named["numpy"].info.experiment_id, run_name="job", tags=tags)
    single = ids["single"]
    good = [single, single[:12], fingerprints["single"], fingerprints["single"][:6]]
    sentences = {
        "f" * 32: "a run must be in MLflow, and not deleted there; ffff",
        ids["1"]: "a run must be in MLflow, and not deleted there",
        both: f"a run must be named unambiguously, as by its id; {both} may be any of ",
        fingerprints["torch"][:5]: "a run must be in MLflow",
        foreign: "a run must be of one model of this project, with its fingerprint; ",
        ids["parent"]: "has none: a sweep, or another project's",
        "numpy'": "a run must be given as run id, fingerprint (6 letters at least), prefix of either or @champion; got numpy'",
        "@champion": "logistic-regression@champion must be a registered model's alias; there is none",
        "no@one": "no@one must be a registered model's alias; there is none",
    }
    answers = runs(made, *(f"diff {word} {ids['torch']} --json" for word in [*good, *sentences]))
    for answer in answers[:4]:
        assert answer.code == 0, answer.stderr
        assert json.loads(answer.stdout)["a"] == single
    for answer, sentence in zip(answers[4:], sentences.values(), strict=True):
        assert (answer.code, answer.stdout, answer.stderr.count("\n")) == (1, "", 1)
        assert sentence in answer.stderr
    assert re.search(
        r" [0-9a-f]{8} \(job\) in the sweep 22222222, [0-9a-f]{8} \(job\) in the sweep 11111111\n", answers[6].stderr
    )
    (outside,) = runs(made, f"diff {fingerprints['numpy']} {ids['0']} --json")
    assert json.loads(outside.stdout)["a"] == ids["numpy"]
