"""A model of two files, a torch network with one hidden layer, goes through everything without an edit of another file."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.conftest import Shell, environment
from tests.killed_fits import kill_while_it_trains, take_made

FILES = Path(__file__).with_name("new_model")
CANDIDATES = "overrides: []\ncandidates:\n  network: [model=hidden, model.width=6, optimizer=adam]\n"
LONG = "model=hidden optimizer=adam optimizer.epochs=3000 optimizer.record_every=500"


@pytest.fixture
def extended(repo: Path) -> Path:
    """The repository with the two files."""
    shutil.copy(FILES / "hidden.py", repo / "pipeline" / "learning" / "models")
    shutil.copy(FILES / "hidden.yaml", repo / "conf" / "model")
    return repo


@pytest.mark.slow
def test_a_network_goes_through_all_stages_mlflow_and_the_predict_command(extended: Path, shell: Shell, forked: Shell) -> None:
    (extended / "overrides.yaml").write_text(CANDIDATES)
    done = shell("dvc repro", extended)
    assert done.returncode == 0, done.stderr
    assert "warning: a network has many optima\n" in done.stderr
    folder = extended / "out" / "models" / "network"
    drawn = {path.stem for path in (folder / "figures").glob("*.png")}
    assert {"loss", "roc", "calibration", "confusion", "decision_boundary"} <= drawn
    assert "coefficients" not in drawn  # which a linear model has
    assert "network" in (folder.parent.parent / "report" / "index.html").read_text()
    assert json.loads((folder / "metrics.json").read_text())["roc_auc"] > 0.99

    table = folder.parent.parent / "data" / "test.parquet"
    answered = forked(f"python -m pipeline.stages.predict {folder} {table} --out answer.csv", extended)
    assert answered.returncode == 0, answered.stderr
    expected = pd.read_parquet(folder / "predictions.parquet")
    answer = pd.read_csv(extended / "answer.csv")
    np.testing.assert_array_equal(answer["probability"], expected["probability"])

    client = MlflowClient(f"sqlite:///{extended}/mlruns/mlflow.db")
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert run.info.status == "FINISHED"
    assert run.data.params["model.name"] == "hidden"
    code = (
        "import sys, mlflow, pandas as pd\n"
        "sys.modules['torch'] = sys.modules['pipeline'] = None\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "model.predict(pd.read_parquet(sys.argv[2])).to_csv('served.csv', index=False)\n"
    )
    (output,) = run.outputs.model_outputs
    location = client.get_logged_model(output.model_id).artifact_location.removeprefix("file://")
    subprocess.run([sys.executable, "-c", code, location, str(table)], cwd=extended, env=environment(), check=True)
    served = pd.read_csv(extended / "served.csv")
    assert served["prediction"].tolist() == expected["predicted"].tolist()
    np.testing.assert_allclose(served["probability"], expected["probability"], rtol=1e-12)


@pytest.mark.slow
def test_a_killed_network_goes_on_to_the_same_bytes(extended: Path, forked: Shell) -> None:
    assert forked("python -m pipeline.stages.generate", extended).returncode == 0
    command = f"pipeline.stages.train {LONG} tracking=none"
    alone = forked(f"python -m {command}", extended)
    assert alone.returncode == 0, alone.stderr
    expected = take_made(extended / "out" / "models" / "hidden")
    kill_while_it_trains(command, extended, random.Random(0))
    done = forked(f"python -m {command}", extended)
    assert done.returncode == 0, done.stderr
    assert "going on from epoch" in done.stdout
    assert take_made(extended / "out" / "models" / "hidden") == expected


@pytest.mark.slow
@pytest.mark.parametrize(("override", "sentence"), [("model.width=0", "model.width must be >= 1; got 0"), ("model.l2=1", "l2")])
def test_its_settings_are_checked_like_any_other(extended: Path, forked: Shell, override: str, sentence: str) -> None:
    done = forked(f"python -m pipeline.stages.train model=hidden {override}", extended)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
