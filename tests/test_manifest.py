"""A stage takes only what the stages before it wrote: whatever else lies there is refused in one sentence."""

import json
import os
import pickle
import random
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import random_array
from sklearn.datasets import dump_svmlight_file

from pipeline.errors import PipelineError
from pipeline.manifest import read_manifest, write_manifest
from pipeline.model.card import read_schema
from tests.chain import STAGES, files, made, run

CURVES = tuple(f"models/numpy/curves.{name}.csv" for name in ("roc", "precision_recall", "calibration", "threshold"))
READ = {  # the files that a stage reads
    "train": ("data/schema.json", "data/train/X.npy", "data/train/y.npy"),
    "evaluate": ("data/schema.json", "data/test/X.npy", "data/test/y.npy", "models/numpy/model.json", "models/numpy/model.npz"),
    "plot": (
        *("data/schema.json", "data/train/X.npy", "data/train/y.npy", "models/numpy/model.json", "models/numpy/model.npz"),
        *(
            "models/numpy/history.csv",
            "models/numpy/coefficients.csv",
            "models/numpy/evaluation.json",
            "models/numpy/metrics.json",
            *CURVES,
        ),
    ),
    "report": (
        *("data/schema.json", "models/numpy/model.json", "models/numpy/evaluation.json", "models/numpy/metrics.json"),
        *("models/numpy/coefficients.csv", "models/numpy/predictions.parquet", "models/numpy/curves.roc.csv"),
        *("models/numpy/figures/figures.json", "models/numpy/figures/data.png"),
    ),
}
CASES = [(stage, name) for stage, names in READ.items() for name in names]


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def damages(content: bytes, chance: random.Random) -> Iterator[bytes]:
    """Single damages: a changed bit, a byte more or less, an early end; in the head, in the middle and at the end."""
    for near in (0, 60, 130, len(content) // 2, len(content) - 1):
        i = min(near + chance.randrange(3), len(content) - 1)
        yield content[:i] + bytes([content[i] ^ (1 << chance.randrange(8))]) + content[i + 1 :]
        yield content[:i] + bytes([chance.randrange(256)]) + content[i:]
        yield content[:i] + content[i + 1 :]
        yield content[:i]


def refused(stage: str, root: Path) -> str:
    """The one sentence with which a stage ends."""
    with pytest.raises(PipelineError) as refusal:
        run(stage, root)
    sentence = str(refusal.value)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("stage", READ)
def test_a_damaged_file_is_refused(root: Path, stage: str) -> None:
    before = files(root, stage)
    for name in READ[stage]:
        path = root / name
        original = path.read_bytes()
        for damaged in damages(original, random.Random(stage + name)):
            path.write_bytes(damaged)
            if name.endswith(MANIFESTS) and _same_object(damaged, original):
                assert read_manifest(path, dict).content == json.loads(original)  # another space means nothing
            elif damaged != original:
                assert str(path) in refused(stage, root)
        path.write_bytes(original)
    run(stage, root)
    assert files(root, stage) == before


MANIFESTS = ("schema.json", "validation.json", "model.json", "evaluation.json", "figures.json", "report.json")


def _same_object(one: bytes, other: bytes) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


@pytest.mark.parametrize("kind", ["missing", "empty", "folder", "fifo", "loop", "zip", "pickle", "unreadable text"])
@pytest.mark.parametrize(("stage", "name"), [case for case in CASES if case[0] != "plot" or case[1] in READ["plot"][5:]])
def test_what_is_no_such_file_is_refused(root: Path, stage: str, name: str, kind: str) -> None:
    path, archive = root / name, BytesIO()
    np.savez(archive, X=np.ones((60, 2)))
    path.unlink()
    contents = {"empty": b"", "zip": archive.getvalue(), "pickle": pickle.dumps([1]), "unreadable text": b"\xff\xfe{\x00"}
    if kind in contents:
        path.write_bytes(contents[kind])
    elif kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path.name)
    assert str(path) in refused(stage, root)


@pytest.mark.parametrize("stage", STAGES[STAGES.index("evaluate") :])
def test_the_results_of_other_inputs_are_refused(root: Path, tmp_path: Path, stage: str) -> None:
    other = made(tmp_path / "other", "optimizer.lr=0.7")
    describing = {
        "evaluate": "data/schema.json",
        "plot": "models/numpy/evaluation.json",
        "report": "models/numpy/figures/figures.json",
    }
    if stage == "evaluate":
        run("generate", other, "data.seed=1")
    shutil.copy(other / describing[stage], root / describing[stage])
    assert "; train again" in (sentence := refused(stage, root)) or "` again" in sentence


@pytest.mark.parametrize("change", [("roc_auc", "area"), (0.5, "much"), (0.5, [None]), (0.5, True), (0.5, float("nan"))])
@pytest.mark.parametrize("stage", ["plot", "report"])
def test_metrics_must_be_numbers_though_they_are_described(root: Path, stage: str, change: tuple[object, object]) -> None:
    folder, (old, new) = root / "models" / "numpy", change
    metrics = json.loads((folder / "metrics.json").read_text())
    if old in metrics:
        metrics[new] = metrics.pop(old)
    else:
        metrics["roc_auc"] = new
    (folder / "metrics.json").write_text(json.dumps(metrics))
    evaluation = read_manifest(folder / "evaluation.json", dict)
    checksum = write_manifest(folder / "evaluation.json", "evaluate", {"model": evaluation.content["model"]}, evaluation.files)
    figures = read_manifest(folder / "figures" / "figures.json", dict)
    write_manifest(folder / "figures" / "figures.json", "plot", {"evaluation": checksum}, figures.files)
    assert str(folder / "metrics.json") in refused(stage, root)


def test_each_array_of_a_sparse_table_is_held_to_its_digest(tmp_path: Path) -> None:
    X = random_array((60, 30), density=0.2, format="csr", rng=np.random.default_rng(0))
    dump_svmlight_file(X, np.arange(60) % 2, str(tmp_path / "t.svm"), zero_based=False)
    overrides = ("data=svmlight", f"data.path={tmp_path / 't.svm'}", "model.l2=0.1")
    for stage in ("generate", "train"):
        run(stage, tmp_path, *overrides, base=())
    for name in ("data", "indices", "indptr"):
        path = tmp_path / "data" / "train" / f"X.{name}.npy"
        original = path.read_bytes()
        path.write_bytes(original[:-1] + bytes([original[-1] ^ 64]))
        with pytest.raises(
            PipelineError, match=f"X.{name}.npy must be what schema.json describes; run `python -m pipeline.stages.gen"
        ):
            run("train", tmp_path, *overrides, base=())
        path.write_bytes(original)
    np.save(tmp_path / "data" / "train" / "X.npy", np.ones((60, 30)))  # of nobody
    before = files(tmp_path, "train")
    run("train", tmp_path, *overrides, base=())
    assert files(tmp_path, "train") == before


def test_a_mapped_file_may_be_replaced_but_not_written_over(tmp_path: Path) -> None:
    path = made(tmp_path, until="generate") / "data" / "train" / "X.npy"
    schema = read_schema(tmp_path / "data")
    schema.features("train", 2)
    schema.check_not_modified()
    other = Path(shutil.copy(path, tmp_path / "other.npy"))
    with other.open("r+b") as file:
        file.write(b"x")
    os.rename(path, tmp_path / "first.npy")
    os.rename(other, path)
    schema.check_not_modified()
    os.rename(tmp_path / "first.npy", path)
    with path.open("r+b") as file:
        file.write(b"x")
    with pytest.raises(PipelineError, match="another process has written to it"):
        schema.check_not_modified()


def test_a_manifest_says_which_stage_makes_it_again(trained: Path) -> None:
    manifests = {path: read_manifest(path, dict) for path in trained.rglob("*.json") if path.name in MANIFESTS}
    assert sorted(manifest.stage for manifest in manifests.values()) == sorted(STAGES)
    for manifest in manifests.values():
        assert manifest.remedy == f"run `python -m pipeline.stages.{manifest.stage}` again"
        manifest.verify()
