"""The DAG as its users run it: real `dvc` in a copy of the repository."""

import filecmp
import json
import os
import time
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient, artifacts, pyfunc
from mlflow.entities import Run

from pipeline.config.code import Code
from pipeline.config.config import compose
from pipeline.files import ROOT
from pipeline.flatten import flatten
from pipeline.stages import STAGES, Stage
from pipeline.stages.compose import stage_files
from tests.conftest import Shell, change_overrides, copy_repo
from tests.observing import runs_of
from tests.serving import check_serving

OWN = ("validate", "train")  # stages that read a file of the candidate's own
VALIDATED, TRAINED = ({f"{stage}@{name}" for name in ("numpy", "torch")} for stage in OWN)
BOTH = VALIDATED | TRAINED
ALL = {"compose", "generate", "report", *BOTH, *(f"{s}@{m}" for s in ("evaluate", "plot") for m in ("numpy", "torch"))}
TRACKED = {"validate", "train", "evaluate", "plot", "report"}


@cache
def stages_of_dvc_yaml() -> dict[str, dict[str, Any]]:
    return dict(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])


def described(stage: str) -> dict[str, Any]:
    """A stage of dvc.yaml, of one candidate where there are several."""
    content = stages_of_dvc_yaml()[stage]
    return dict(content.get("do", content))


def below_out(paths: list[Any]) -> list[str]:
    """Paths in out/, as the patterns of STAGES have them."""
    texts = (next(iter(path)) if isinstance(path, dict) else str(path) for path in paths)
    return [text.removeprefix("out/").replace("${key}", "{candidate}") for text in texts if text.startswith("out/")]


def is_in(pattern: str, path: str) -> bool:
    """Whether a path is one that a pattern means, or the folder of them."""
    return fnmatchcase(path, pattern) or pattern.startswith(f"{path}/")


def test_dvc_yaml_has_the_stages_of_the_list() -> None:
    stages = stages_of_dvc_yaml()
    assert list(stages) == list(STAGES)
    assert {name for name, stage in stages.items() if "foreach" in stage} == {
        name for name, stage in STAGES.items() if any("{candidate}" in pattern for pattern in stage.outputs)
    }
    assert {name for name, stage in STAGES.items() if stage.artifacts} == TRACKED
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 110
    assert ".py" not in (ROOT / "dvc.yaml").read_text()


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_dvc_yaml_has_the_files_of_the_list(stage: Stage) -> None:
    content = described(stage.name)
    assert f"python -m pipeline.stages.{stage.name}" in content["cmd"]
    outs = below_out([*content.get("outs", []), *content.get("metrics", []), *content.get("plots", [])])
    inputs = below_out([*content.get("deps", []), *content["params"]])
    for paths, patterns in ((outs, (*stage.outputs, *stage.untracked)), (inputs, stage.inputs)):
        assert [path for path in paths if not any(is_in(pattern, path) for pattern in patterns)] == []
        assert [pattern for pattern in patterns if not any(is_in(pattern, path) for path in paths)] == []


def runs_again(files: Mapping[str, Any], before: Mapping[str, Any]) -> set[str]:
    """The stages that DVC runs because a file of out/config/, which they name under params, is not what it was before."""
    changed = {name for name in files if files[name] != before[name]} - {"tracking.yaml"}
    stages = {name: described(name)["params"] for name in STAGES if name != "compose"}
    named = {
        f"{stage}@{candidate}" if "{candidate}" in file else stage: file.format(candidate=candidate)
        for stage, params in stages.items()
        for file in below_out(params)
        for candidate in ("numpy", "torch")
    }
    return {stage for stage, file in named.items() if file.removeprefix("config/") in changed}


def executed(output: str) -> set[str]:
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}


# For every leaf of the default configuration: overrides that change it, and the stages that must then run again.
CHANGES: dict[str, tuple[list[str], set[str]]] = {
    "data.name": (["data=breast_cancer"], {"generate", *BOTH}),  # the document's own model settings go with it
    "data.rows": (["data.rows=900"], {"generate"}),
    "data.test_rows": (["data.test_rows=400"], {"generate"}),
    "data.seed": (["data.seed=1"], {"generate"}),
    "model.dtype": (["model.dtype=float32"], {"validate@numpy", "train@numpy"}),  # torch's is float32 already
    "model.l2": (["model.l2=0.5"], BOTH),
    "model.class_weight": (["model.class_weight=balanced"], BOTH),
    "model.encoder.max_levels": (["model.encoder.max_levels=9"], BOTH),
    "model.encoder.min_rows": (["model.encoder.min_rows=9"], BOTH),
    "model.encoder.max_words": (["model.encoder.max_words=9"], BOTH),
    "model.init": (["model.init=[1.0,1.0,1.0]"], BOTH),
    "model.seed": (["model.seed=1"], BOTH),
    "model.inference": (["model.inference=HC1"], BOTH),
    "model.standardize": (["model.standardize=true"], BOTH),
    "optimizer.name": (["optimizer=lbfgs"], BOTH),
    "optimizer.lr": (["optimizer.lr=0.2"], BOTH),
    "optimizer.epochs": (["optimizer.epochs=50"], BOTH),
    "optimizer.record_every": (["optimizer.record_every=5"], BOTH),
    "optimizer.tol": (["optimizer.tol=0.001"], BOTH),
    "optimizer.momentum": (["optimizer.momentum=0.5"], BOTH),
    "optimizer.nesterov": (["optimizer.momentum=0.5", "optimizer.nesterov=true"], BOTH),
    "evaluation.validation": (["evaluation.validation=cv"], VALIDATED),
    "evaluation.folds": (["evaluation.folds=3"], VALIDATED),
    "evaluation.repeats": (["evaluation.repeats=2"], VALIDATED),
    "evaluation.threshold": (["evaluation.threshold=0.3"], {"evaluate@numpy", "evaluate@torch"}),
    "evaluation.reference": (["evaluation.reference=true"], {"evaluate@numpy", "evaluate@torch"}),
    "tracking.uri": (["tracking.uri=sqlite:///mlruns/other.db"], set()),
    "tracking.experiment": (["tracking.experiment=other"], set()),
}


def composed(code: Code, *overrides: str) -> dict[str, Mapping[str, Any]]:
    """What `compose` writes with these common overrides."""
    return stage_files({name: compose([*overrides, f"model={name}"]) for name in ("numpy", "torch")}, code)


def test_every_leaf_re_runs_exactly_its_stages() -> None:
    code = Code()
    before = composed(code)
    assert runs_again(before, before) == set()
    known = {key for key, _ in flatten(compose().to_dict())} - {"model.name"}  # the candidates differ in it
    assert set(CHANGES) == known, "a new key of the configuration needs a line here that says which stages read it"
    for key, (overrides, stages) in CHANGES.items():
        assert stages or key.startswith("tracking."), f"no stage reads {key}"
        assert runs_again(composed(code, *overrides), before) == stages, key


@pytest.mark.slow
def test_an_edit_runs_the_stages_that_import_it(reproduced_repo: Path, shell: Shell, forked: Shell) -> None:
    repo = reproduced_repo
    figures = repo / "pipeline/evaluation/figures/__init__.py"
    for path in repo.glob("pipeline/**/*.py"):
        path.write_text(f"# reworded\n\n{path.read_text()}\n\n")
    assert executed(shell("dvc repro", repo).stdout) == {"compose"}
    figures.write_text(f"{figures.read_text()}\n\ndef _added() -> None:\n    pass\n")
    assert set(json.loads(shell("dvc status --json", repo).stdout)) == {"compose"}  # until it has run
    verified = forked("python -m pipeline.runs verify", repo)
    assert "the code of plot@numpy has changed since it ran; `dvc repro` runs it again\n" in verified.stdout
    refused = forked("python -m pipeline.stages.plot numpy", repo)
    assert "error: out/config/plot.yaml must be of the present code of plot, which has changed since: run" in refused.stderr
    again = shell("dvc repro", repo)
    assert executed(again.stdout) == {"compose", "plot@numpy", "plot@torch", "report"}
    changed = json.loads(shell("dvc params diff --json", repo).stdout)
    assert {(path, *values) for path, values in changed.items()} == {
        (f"out/config/{stage}.yaml", "code") for stage in ("plot", "report")
    }


@pytest.mark.slow
def test_the_candidates_are_the_user_s(repo: Path, shell: Shell, forked: Shell) -> None:
    candidates = {"weak": {"model.l2": 0.001}, "strong-2": ["model.l2=0.1", "optimizer=lbfgs"]}
    (repo / "overrides.yaml").write_text(yaml.safe_dump({"overrides": {"optimizer.epochs": 20}, "candidates": candidates}))
    first = shell("dvc repro", repo)
    assert first.returncode == 0, first.stderr
    names = ("weak", "strong-2")
    assert executed(first.stdout) == {"compose", "generate", "report"} | {
        f"{stage}@{name}" for stage in ("validate", "train", "evaluate", "plot") for name in names
    }
    assert sorted(path.name for path in (repo / "out" / "models").iterdir()) == sorted(names)
    assert sorted(run.data.params["model.l2"] for run in runs_of(repo)) == ["0.001", "0.1"]
    shell("git add -A && git commit -qm lock", repo)
    shown = json.loads(shell("dvc metrics show --json", repo).stdout)[""]["data"]
    assert set(shown) == {f"out/models/{name}/metrics.json" for name in names}
    plots = json.loads(shell("dvc plots show --json", repo).stdout)["data"]
    assert {path.split("/")[2] for path in plots} == set(names)
    params = json.loads(shell("dvc params diff --all --json", repo).stdout)
    assert {f"out/config/train.{name}.yaml" for name in names} < set(params)

    del candidates["weak"]
    (repo / "overrides.yaml").write_text(yaml.safe_dump({"overrides": {"optimizer.epochs": 20}, "candidates": candidates}))
    assert executed(shell("dvc repro", repo).stdout) == {"compose", "report"}
    assert [path.name for path in (repo / "out" / "models").iterdir()] == ["strong-2"]
    assert not (repo / "out/config/train.weak.yaml").exists()
    report = (repo / "out/report/index.html").read_text()
    assert (">strong-2<" in report, ">weak<" in report) == (True, False)
    assert shell("dvc status", repo).stdout == "Data and pipelines are up to date.\n"
    verified = forked("python -m pipeline.runs verify", repo)
    assert verified.returncode == 0, verified.stdout + verified.stderr

    shell("git checkout overrides.yaml && dvc repro", repo)
    (repo / "overrides.yaml").write_text(yaml.safe_dump({"overrides": {"optimizer.epochs": 20}, "candidates": candidates}))
    assert "compose" not in executed(shell("dvc repro", repo).stdout)  # restored from the run cache
    assert [path.name for path in (repo / "out" / "models").iterdir()] == ["strong-2"]
    assert shell("dvc status", repo).stdout == "Data and pipelines are up to date.\n"


@pytest.mark.slow
def test_the_default_dag(reproduced: Path, reproduced_repo: Path, shell: Shell) -> None:
    repo, stdout = reproduced_repo, reproduced.with_name("stdout").read_text()
    assert executed(stdout) == ALL
    assert "Epoch 90, Loss: 0.3013" in stdout
    assert "Epoch 90, Loss: 0.2977" in stdout
    again = shell("dvc repro", repo)
    assert executed(again.stdout) == set()

    runs = runs_of(repo)
    assert sorted(run.data.params["model.name"] for run in runs) == ["numpy", "torch"]
    for run in runs:
        check_run(repo, run)

    # A comment and another order of keys: nothing but compose.
    path = repo / "conf" / "optimizer" / "gd.yaml"
    path.write_text("# a comment\n" + "\n".join(reversed(path.read_text().strip().splitlines())) + "\n")
    assert executed(shell("dvc repro", repo).stdout) == {"compose"}

    # There and back: the cached result leads to its own run, and another threshold refits nothing.
    change_overrides(repo, ["optimizer.lr=0.2"])
    assert "train@numpy" in executed(shell("dvc repro evaluate", repo).stdout)
    assert len(runs_of(repo)) == 4
    diff = json.loads(shell("dvc params diff --json", repo).stdout)
    assert diff["out/config/train.numpy.yaml"] == {"optimizer.lr": {"old": 0.1, "new": 0.2, "diff": 0.1}}
    assert "log_loss" in shell("dvc metrics diff", repo).stdout
    change_overrides(repo, ["evaluation.threshold=0.3"])
    assert executed(shell("dvc repro", repo).stdout) == ALL - {"generate", "train@numpy", "train@torch"}
    fingerprints = {run.data.tags["fingerprint"] for run in runs}
    runs = [run for run in runs_of(repo) if run.data.tags["fingerprint"] in fingerprints]
    assert (len(runs), len(runs_of(repo))) == (2, 4)
    for run in runs:
        check_run(repo, run)
    model = json.loads((repo / "out/models/numpy/model.json").read_text())
    assert model["fingerprint"] in {run.data.tags["fingerprint"] for run in runs}

    for command in ("dvc dag", "dvc metrics show", "dvc plots show"):
        shown = shell(command, repo)
        assert shown.returncode == 0, shown.stderr
        assert shown.stdout
    check_serving(repo, f"runs:/{runs[0].info.run_id}/model", repo / "out" / "models" / runs[0].data.params["model.name"])


def check_run(repo: Path, run: Run) -> None:
    """The run shows what the files hold."""
    client = MlflowClient(f"sqlite:///{repo}/mlruns/mlflow.db")
    name = run.data.params["model.name"]
    folder = repo / "out" / "models" / name
    card = json.loads((folder / "model.json").read_text())
    assert run.info.status == "FINISHED"
    assert run.data.tags["fingerprint"] == card["fingerprint"]
    assert run.data.tags["git.dirty"] == "false"
    assert {run.data.tags[f"stage.{stage}"] for stage in ("train", "evaluate", "plot")} == {"finished"}
    keys = {key for key, _ in flatten(compose([f"model={name}"]).to_dict())}
    assert set(run.data.params) == {key for key in keys if not key.startswith("evaluation.")}  # which changes no model
    lines = (folder / "history.csv").read_text().splitlines()[1:]
    points = client.get_metric_history(run.info.run_id, "train/loss")
    rows = [(int(a), float(b)) for a, b, _ in (line.split(",") for line in lines)]
    assert [(p.step, p.value) for p in points] == [*rows, (100, card["fit"]["loss"])]
    for metric, value in json.loads((folder / "metrics.json").read_text()).items():
        assert run.data.metrics[f"test/{metric}"] == value
    locked = yaml.safe_load((repo / "dvc.lock").read_text())["stages"]
    shown = yaml.safe_load(artifacts.load_text(f"{run.info.artifact_uri}/lineage/dvc.lock.yaml"))
    assert f"train@{name}" in shown
    assert shown.items() <= locked.items()
    figures = {item.path for item in client.list_artifacts(run.info.run_id, "figures")}
    assert {"figures/loss.png", "figures/decision_boundary.png", "figures/data.png", "figures/roc.png"} <= figures
    assert [d.dataset.digest for d in run.inputs.dataset_inputs] == [v[:12] for v in card["data"]["digest"].values()]
    check_served_model(repo, run, folder)


def check_served_model(repo: Path, run: Run, folder: Path) -> None:
    import mlflow
    import pandas as pd

    mlflow.set_tracking_uri(f"sqlite:///{repo}/mlruns/mlflow.db")
    table = pd.read_parquet(repo / "out" / "data" / "test.parquet")
    expected = pd.read_parquet(folder / "predictions.parquet")
    served = pyfunc.load_model(f"runs:/{run.info.run_id}/model").predict(table[["x1", "x2"]])
    assert served["prediction"].tolist() == expected["predicted"].tolist()
    assert (served["probability"] - expected["probability"]).abs().max() < 1e-15


@pytest.mark.slow
def test_two_clones_threads_and_entry_points_give_the_same_bytes(
    tmp_path: Path, store: Path, reproduced: Path, shell: Shell, forked: Shell
) -> None:
    one, two = reproduced, copy_repo(tmp_path / "numerics", store)  # the first with OMP_NUM_THREADS=2
    (tmp_path / "matplotlibrc").write_text("font.size: 20")
    assert shell("dvc repro", two, OMP_NUM_THREADS="1", MPLCONFIGDIR=str(tmp_path)).returncode == 0
    assert (one / "dvc.lock").read_bytes() == (two / "dvc.lock").read_bytes()
    if "OPENBLAS_CORETYPE" in os.environ:  # processors with AVX2: the committed results are theirs
        assert (one / "dvc.lock").read_bytes() == (ROOT / "dvc.lock").read_bytes()
    for name in ("numpy", "torch"):
        assert shell(f"python -m pipeline.stages.train model={name} tracking=none", two).returncode == 0
        alone = forked(f"python -m pipeline model={name} tracking=none hydra.run.dir=out/alone", two)
        assert alone.returncode == 0, alone.stderr
        for file in ("model.json", "model.npz", "history.csv"):
            made = one / "out" / "models" / name / file
            assert filecmp.cmp(made, two / "out" / "models" / name / file, shallow=False), file
            assert filecmp.cmp(made, two / "out" / "alone" / "models" / name / file, shallow=False), file


@pytest.mark.slow
def test_threads_change_no_bit_of_a_large_fit(repo: Path, shell: Shell, forked: Shell) -> None:
    assert forked("python -m pipeline.stages.generate data.rows=300000", repo).returncode == 0
    for optimizer in ("gd", "newton", "lbfgs"):
        made = []
        for threads in "12":
            command = (
                f"python -m pipeline.stages.train data.rows=300000 optimizer={optimizer} optimizer.epochs=10 tracking=none"
            )
            assert shell(command, repo, OMP_NUM_THREADS=threads).returncode == 0
            made.append((repo / "out" / "models" / "numpy" / "model.npz").read_bytes())
        assert made[0] == made[1], optimizer


@pytest.mark.slow
def test_experiments_land_in_the_one_store(reproduced_repo: Path, shell: Shell, forked: Shell) -> None:
    """One in a copy of the repository has a report of its own: a run that both share shows the report that lies here, too."""
    repo = reproduced_repo
    page = (repo / "out/report/index.html").read_bytes()
    other = """dvc exp run --temp -n other -S 'overrides.yaml:candidates.torch=["model=torch","optimizer.lr=0.7"]'"""
    temp = shell(other, repo)
    assert temp.returncode == 0, temp.stderr
    late = "python -m pipeline.runs doctor"  # sends what came too late for the command's own publisher, on a busy machine
    assert forked(late, repo).returncode == 0
    new, *before = runs_of(repo)
    assert (new.data.params["optimizer.lr"], len(before)) == ("0.7", 2)
    numpy = next(run for run in before if run.data.params["model.name"] == "numpy")
    reports = [Path(run.info.artifact_uri.removeprefix("file://")) / "report" for run in (numpy, new)]
    assert (reports[0] / "index.html").read_bytes() == page
    assert (reports[0] / "other" / "index.html").read_bytes() == (reports[1] / "other" / "index.html").read_bytes() != page
    verified = forked("python -m pipeline.runs verify", repo)
    assert verified.returncode == 0, verified.stdout

    ran = shell("dvc exp run -S overrides.yaml:++overrides.data=breast_cancer evaluate", repo)
    assert ran.returncode == 0, ran.stderr
    assert forked(late, repo).returncode == 0
    runs: list[Any] = runs_of(repo)
    assert len(runs) == 5
    assert all(Path(run.info.artifact_uri.removeprefix("file://")).is_relative_to(repo) for run in runs)
    assert all("dvc.exp" in run.data.tags for run in runs[:3])
    queued = shell("dvc exp run --queue -S overrides.yaml:++overrides.optimizer.lr=0.4,0.5 train@numpy", repo)
    assert queued.returncode == 0, queued.stderr
    started = shell("dvc queue start --jobs 2", repo)  # --run-all follows the workers' logs, and now and then goes on for ever
    assert started.returncode == 0, started.stderr
    deadline = time.monotonic() + 240
    while (status := shell("dvc queue status", repo).stdout).count("Success") < 2:
        assert time.monotonic() < deadline, status
        time.sleep(3)  # to ask takes one of the two processors for a second
    shell("dvc queue stop", repo)
    assert forked(late, repo).returncode == 0
    lrs = {run.data.params["optimizer.lr"] for run in runs_of(repo) if run.info.status == "FINISHED"}
    assert {"0.4", "0.5"} < lrs
