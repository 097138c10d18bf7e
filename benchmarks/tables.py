"""A table as it is, from the file to the test metrics, beside a plain script of pandas and scikit-learn of the same work.

python -m benchmarks.tables                   1e6 x 50 as CSV and Parquet, each contender a process of its own, three rounds;
                                              5,000 x 30 in one process, figures, report and tracking left out;
                                              and the fit to 1e5 x 50 beside its evaluation, figures and report, with 2,000
                                              resamples of 1e5 rows
python -m benchmarks.tables --rows 100000     a smaller first part
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from benchmarks._measure import Seconds, interleaved
from benchmarks.plain_script import fit_table
from pipeline.config.config import Config, compose
from pipeline.evaluation.intervals import bootstrap
from pipeline.evaluation.metrics import measure
from pipeline.learning.prediction import load_predictor, predicting
from pipeline.model.card import read_card, read_schema_of
from pipeline.stages import MODELS_DIR, STAGES
from pipeline.stages.evaluate import read_rows
from pipeline.stages.report import report

ROOT = Path(__file__).resolve().parent.parent
KINDS = {"large": (20, 20, 5, 5), "small": (12, 12, 3, 3)}  # numbers, categories, dates, numbers with gaps
LEVELS = (3, 300)  # of the categories, at least and at most
GAPS = 0.1  # the part of missing values
MIB = 1 << 20


def table(rows: int, kinds: tuple[int, int, int, int], seed: int = 0) -> pa.Table:
    """A seeded table whose target `y`, yes or no, depends on all kinds of columns."""
    rng = np.random.default_rng(seed)
    numbers, categories, dates, gapped = kinds
    columns: dict[str, pa.Array] = {}
    z = np.zeros(rows)
    for i in range(numbers + gapped):
        values = rng.normal(rng.normal(), 10.0 ** rng.integers(-2, 4), rows).round(4)
        z += rng.normal(0, 0.3) * (values - values.mean()) / values.std()
        missing = rng.random(rows) < GAPS if i >= numbers else None
        columns[f"number_{i}" if missing is None else f"gaps_{i}"] = pa.array(values, mask=missing)
    for i, levels in enumerate(np.geomspace(*LEVELS, categories).astype(int)):
        codes = np.minimum(rng.geometric(3 / (levels + 3), rows) - 1, levels - 1)
        z += rng.normal(0, 0.3, levels)[codes]
        columns[f"category_{i}"] = pa.DictionaryArray.from_arrays(
            pa.array(codes.astype(np.int32)), pa.array([f"level {code}" for code in range(levels)])
        ).cast(pa.string())
    for i in range(dates):
        seconds = rng.integers(1_500_000_000, 1_700_000_000, rows)
        z += rng.normal(0, 0.3, 12)[seconds.astype("datetime64[s]").astype("datetime64[M]").astype(int) % 12]
        columns[f"date_{i}"] = pa.array(seconds.astype("datetime64[s]"))
    columns["y"] = pa.array(np.where(z + rng.logistic(size=rows) > 0, "yes", "no"))
    return pa.table(columns)


def run(folder: Path, peaks: dict[str, float], name: str, *argv: str) -> None:
    """Run `python ARGV` in `folder`; peaks[name] is then the greatest of its resident memory in any round, in bytes."""
    process = subprocess.Popen([sys.executable, *argv], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"`python {' '.join(argv)}` failed")
    peaks[name] = max(peaks.get(name, 0.0), usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def large(rows: int, rounds: int) -> None:
    """The whole pipeline, all its files, figures, report and tracking, beside the script, which does not cross-validate."""
    with tempfile.TemporaryDirectory() as temporary:
        clone = Path(temporary) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        made = table(rows, KINDS["large"])
        pa.csv.write_csv(made, clone / "data" / "t.csv")
        pa.parquet.write_table(made, clone / "data" / "t.parquet")
        del made
        for file in ("data/t.csv", "data/t.parquet"):
            peaks: dict[str, float] = {}
            script = ("benchmarks/plain_script.py", file, "y")  # by its path: with as many threads as it likes
            pipeline = ("-m", "pipeline", "data=table", f"data.path={file}", "data.target=y", "evaluation.validation=none")
            contenders = {
                "plain script": partial(run, clone, peaks, "plain script", *script),
                "pipeline": partial(run, clone, peaks, "pipeline", *pipeline),
            }
            show(f"{rows} x 50 {Path(file).suffix[1:]}", interleaved(contenders, rounds), peaks)


def small(rounds: int) -> None:
    """From the file to the metrics, in this process, both after a first time that imports; without and with what the script
    does not do: the intervals of scores and of coefficients, and the checks."""
    with tempfile.TemporaryDirectory() as temporary:
        file, out = Path(temporary) / "t.csv", Path(temporary) / "out"
        pa.csv.write_csv(table(5000, KINDS["small"]), file)
        given = ["data=table", f"data.path={file}", "data.target=y", "tracking=none"]
        whole, plain = compose(given), compose([*given, "model.inference=none"])

        def pipeline(config: Config, *stages: str) -> None:
            for stage in ("generate", "train", *stages):
                STAGES[stage].run(config, out)

        def scored() -> dict[str, float]:
            pipeline(plain)
            trained = read_card(out / MODELS_DIR / plain.model_name)
            rows = read_rows(read_schema_of(trained, out / "data"), trained.content, "test")
            with predicting():
                return measure(load_predictor(trained).log_odds(rows.X), rows.y)

        contenders: dict[str, Callable[[], object]] = {
            "plain script": lambda: fit_table(str(file), "y"),
            "pipeline": scored,
            "and evaluate": partial(pipeline, whole, "evaluate"),
        }
        for work in contenders.values():
            work()
        show("5000 x 30 csv", interleaved(contenders, rounds))


def evaluation(rounds: int, rows: int = 100_000) -> None:
    """Each stage up to the metrics, intervals and checks, figures and report of two candidates, and the intervals alone of so
    many test rows."""
    rng = np.random.default_rng(0)
    z, weight = rng.normal(size=rows), rng.uniform(0.5, 2, rows)
    y = (2 * z + rng.logistic(size=rows) > 0).astype(np.float64)
    given: dict[str, dict[str, Any]] = {
        "": {},
        ", weighted": {"weight": weight},
        ", in groups": {"group": np.arange(rows) // 10},
    }
    with tempfile.TemporaryDirectory() as temporary:
        file, out = Path(temporary) / "t.csv", Path(temporary) / "out"
        pa.csv.write_csv(table(rows, KINDS["large"]), file)
        given_table = ("data=table", f"data.path={file}", "data.target=y", "tracking=none", "evaluation.validation=none")
        config, other = (compose([*given_table, f"model={name}"]) for name in ("numpy", "torch"))
        for stage in ("generate", "validate", "train", "evaluate"):
            STAGES[stage].run(other, out)

        def draw() -> None:
            for each in (config, other):
                STAGES["plot"].run(each, out)
            report(out, [config.model_name, other.model_name], config.tracking)

        contenders: dict[str, Callable[[], object]] = {
            stage: partial(STAGES[stage].run, config, out) for stage in ("generate", "validate", "train", "evaluate")
        }
        contenders["plot, report of two"] = draw
        contenders |= {f"intervals{name}": partial(bootstrap, z, y, **arrays) for name, arrays in given.items()}
        for name, seconds in interleaved(contenders, rounds).items():
            print(f"{rows} x 50 {name:20} {seconds}")


def show(title: str, times: Mapping[str, Seconds], peaks: Mapping[str, float] | None = None) -> None:
    script = times["plain script"]
    for name, seconds in times.items():
        memory = f", {peaks[name] / MIB:.0f} MiB, {peaks[name] / peaks['plain script']:.2f} of its memory" if peaks else ""
        print(f"{title:22} {name:14} {seconds!s:30} {seconds.median / script.median:.2f} of the script's time{memory}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    evaluation(args.rounds)
    small(10 * args.rounds)
    large(args.rows, args.rounds)


if __name__ == "__main__":
    main()
