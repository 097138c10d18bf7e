"""`runs diff`: what differs, and how sure that is."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.comparison import verdict
from pipeline.evaluation.intervals import Difference, paired_bootstrap
from pipeline.files import digest
from pipeline.runs.diff import _describe
from pipeline.tracking.provenance import ENVIRONMENT
from tests.conftest import SINGLE, Shell
from tests.runs.conftest import Commands, all_runs, all_runs_but, client_of

NAME = "logistic-regression"


@pytest.mark.slow
def test_all_that_differs_is_shown(made: Path, runs: Commands, forked: Shell) -> None:
    other = forked("python -m pipeline data.test_rows=400 hydra.run.dir=out/runs/other", made)
    assert other.returncode == 0, other.stderr
    other_id = other.stdout.partition("runs:/")[2].split()[0]
    client = client_of(made)
    ids = {name: run.info.run_id for name, run in all_runs_but(made, other_id).items()}
    client.log_dict(ids["single"], {"version.numpy": "1.0"}, ENVIRONMENT)
    client.set_tag(ids["single"], "git.diff", "whole")
    client.log_text(ids["single"], "a change", "lineage/code.diff")
    commands = [f"diff {ids['numpy']} {ids['single']}", f"diff {ids['torch']} {other_id}"]
    shown, same, tables = runs(made, commands[0] + " --json", f"diff {ids['numpy']} {ids['0']}", commands[1] + " --json")
    answer = json.loads(shown.stdout)
    assert answer["configuration"] == {"optimizer.lr": [0.1, 0.5], "evaluation.threshold": ["0.5", "0.3"]}
    assert answer["data"] == {}
    assert answer["code"]["changes to the commit, but for overrides.yaml"] == ["none", digest(b"a change")]
    assert answer["environment"]["version.numpy"] == [np.__version__, "1.0"]
    kept = [pd.read_parquet(made / folder / "predictions.parquet") for folder in ("out/models/numpy", f"{SINGLE}/models/numpy")]
    y = (kept[0]["actual"] == kept[0]["actual"].max()).to_numpy(float)
    z_a, z_b = (table["log_odds"].to_numpy() for table in kept)
    expected = paired_bootstrap(z_a, z_b, y, cuts=(0.0, np.log(3 / 7)))
    for name, found in answer["metrics"].items():
        assert (found["value"], found["low"], found["high"]) == (expected[name].value, expected[name].low, expected[name].high)
        files = [
            json.loads((made / f / "metrics.json").read_text())[name] for f in ("out/models/numpy", f"{SINGLE}/models/numpy")
        ]
        assert [found["a"], found["b"]] == files
        assert found["value"] == pytest.approx(files[1] - files[0], abs=1e-12)
        assert found["verdict"] == verdict(name, expected[name])
    assert same.code == 0
    assert "configuration: the same" in same.stdout
    refused = json.loads(tables.stdout)
    assert (tables.code, refused["metrics"]) == (1, None)
    assert refused["metrics_refused"].startswith(
        "two runs must have been tested on one table for their metrics to be compared; "
    )
    assert refused["configuration"]["data.test_rows"] == [500, 400]
    first, against = runs(made, f"promote {ids['numpy']}", f"promote {other_id}")
    assert (first.code, against.code) == (0, 1)
    assert against.stderr.startswith("error: two runs must have been tested on one table")
    assert against.stderr.endswith(" were not: the champion stays, unless you give another --name or --force\n")
    assert len(client.search_model_versions(f"name = '{NAME}'")) == 1
    (forced,) = runs(made, f"promote {other_id} --force")
    assert "forced: not compared, since two runs must have been tested on one table" in forced.stdout


@pytest.mark.slow
def test_what_is_configuration_or_unknown_is_no_difference_of_the_code(made: Path, runs: Commands) -> None:
    client, ids = client_of(made), {name: run.info.run_id for name, run in all_runs(made).items()}
    client.set_tag(ids["0"], "git.diff", "whole")
    client.log_text(ids["0"], "diff --git a/overrides.yaml b/overrides.yaml\n+overrides: [x=1]\n", "lineage/code.diff")
    client.set_tag(ids["torch"], "git.diff", "without credentials")
    client.log_text(ids["torch"], "", "lineage/code.diff")
    client.delete_tag(ids["single"], "git.diff")  # as `runs publish` makes it
    Path(client.get_run(ids["single"]).info.artifact_uri.removeprefix("file://"), ENVIRONMENT).unlink()
    pairs = (("0", "1"), ("single", "numpy"), ("numpy", "torch"))
    overrides, sent, left_out = runs(made, *(f"diff {ids[a]} {ids[b]}" for a, b in pairs))
    (as_json,) = runs(made, f"diff {ids['0']} {ids['single']} --json")
    assert "\ncode: the same as far as it is known for b\n" in left_out.stdout
    assert "\ncode: the same\n" in overrides.stdout
    assert "\ncode: as far as it is known for a\n  mlflow.source.git.commit: " in sent.stdout
    assert "\nenvironment: unknown for a\n" in sent.stdout
    assert not re.search("[0-9a-f]{13}", sent.stdout)
    assert json.loads(as_json.stdout)["environment"] is None
    assert json.loads(as_json.stdout)["unknown"] == {"code": ["b"], "environment": ["b"]}


def test_features_are_shown_by_what_one_run_lacks() -> None:
    lists = (["age", "note: late", "note: paid"], ["age", "note: due"])
    lines = [*_describe("data", {"features": lists}, [])]
    assert lines[1] == "  features: only in a: note: late, note: paid; only in b: note: due"
    (_, line) = _describe("data", {"features": (["a", "b"], ["b", "a"])}, [])
    assert line == "  features: the same in another order"


def test_the_verdict_on_b_is_never_blank() -> None:
    differences = [Difference(0.0, *ends) for ends in ((0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1), (np.nan, np.nan))]
    of_auc, of_loss = ([verdict(metric, each) for each in differences] for metric in ("roc_auc", "log_loss"))
    more = ["not surely different", "not known to differ, since the difference has no interval"]
    assert of_auc == ["surely better", "surely worse", *more]
    assert of_loss == ["surely worse", "surely better", *more]
