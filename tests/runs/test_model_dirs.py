"""What is read of a model's folder and of its run."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.config.config import compose
from pipeline.config.tracking import Tracking
from pipeline.errors import ArtifactError
from pipeline.files import read_csv, read_json
from pipeline.model.card import read_card
from pipeline.runs._model_dirs import curve, models_in, sweep_jobs, sweep_record, validate_model_dir
from pipeline.runs.publish import lacks
from pipeline.runs.verify import _curve
from pipeline.stages.generate import generate
from pipeline.stages.train import artifacts, train
from pipeline.tracking.mlflow_run import CURVE
from pipeline.tracking.runs import Store
from pipeline.tracking.store import SQLITE
from tests.chain import run
from tests.tracked import EXPERIMENT, check_each_value_once, retrain, run_of

NOWHERE = Tracking(None)


@pytest.mark.slow
def test_the_curve_ends_where_the_fit_ended(fitted: Path, local: Tracking) -> None:
    folder, uri = fitted / "models" / "numpy", str(local.uri)
    retrain(folder, local, {})
    run = run_of(uri, folder)
    for key, name in CURVE.items():
        assert run.data.metrics[key] == read_json(folder / "model.json")["fit"][name]
    assert read_csv(folder / "history.csv", "epoch")["epoch"][-1] == 99
    store = Store(MlflowClient(uri), uri, EXPERIMENT, run.info.experiment_id)
    assert not any(lacks(store.client, run, "train", artifacts(folder), in_dvc) for in_dvc in (False, True))
    assert not list(_curve(store, run.info.run_id, folder, "it"))
    with closing(sqlite3.connect(uri.removeprefix(SQLITE))) as database:  # a run as it was made before
        assert database.execute("DELETE FROM metrics WHERE step = 100").rowcount == 2
        database.commit()
    assert lacks(store.client, run, "train", artifacts(folder), in_dvc=False)
    assert len(list(_curve(store, run.info.run_id, folder, "it"))) == 2
    retrain(folder, local, {})
    check_each_value_once(uri, folder, evaluated=False)
    place = Path(run.info.artifact_uri.removeprefix("file://")) / "training" / "history.csv"
    place.write_bytes(place.read_bytes()[::-1])
    assert [lacks(store.client, run, "train", artifacts(folder), in_dvc) for in_dvc in (False, True)] == [False, True]


def test_a_validation_of_another_configuration_is_refused(trained: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(trained, tmp_path / "copy"))
    folder = root / "models" / "numpy"
    assert validate_model_dir(folder) == read_card(folder).content
    run("validate", root, "model.l2=1")
    reason = "validation.json must be of the model beside it; run `python -m pipeline.stages.validate` again$"
    with pytest.raises(ArtifactError, match=reason):
        validate_model_dir(folder)


def test_an_end_that_was_recorded_is_one_point(tmp_path: Path) -> None:
    plain = compose(["optimizer=newton", "model.l2=0.1"]).to_dict()
    generate(compose().data, plain["data"], tmp_path / "data")
    train({group: plain[group] for group in ("model", "optimizer")}, tmp_path / "data", tmp_path / "models" / "numpy", NOWHERE)
    folder = tmp_path / "models" / "numpy"
    end, epochs = read_json(folder / "model.json")["fit"], read_csv(folder / "history.csv", "epoch")
    assert end["epochs"] == epochs["epoch"][-1]
    points = curve(tmp_path / "models" / "numpy")
    assert list(points) == epochs["epoch"].tolist()
    assert points[end["epochs"]] == (end["loss"], end["gradient_norm"])


def test_each_folder_once_however_deep_and_with_its_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out, away, away2 = Path("out"), Path("elsewhere/0"), Path("unlisted/0")
    chains = [out, out / "runs" / "a", out / "runs" / "deeper" / "b", out / "sweeps" / "s" / "0", away, away2]
    for chain in chains:
        (chain / "models" / "m").mkdir(parents=True)
        (chain / "models" / "m" / "model.json").touch()
    record = out / "sweeps" / "s" / "sweep.json"
    record.write_text(json.dumps({"jobs": [{"folder": str(chain)} for chain in chains[3:5]]}))
    (away2.parent / "sweep.json").write_text(json.dumps({"jobs": [{"folder": str(away2)}]}))
    assert set(models_in(out)) == {chain / "models" / "m" for chain in chains[:5]}
    assert len(models_in(out)) == 5
    jobs = sweep_jobs(out)
    assert [sweep_record(chain, jobs) for chain in chains[3:]] == [record, record, away2.parent / "sweep.json"]
    assert not sweep_record(chains[1], jobs).exists()
