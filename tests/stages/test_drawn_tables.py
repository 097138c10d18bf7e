"""Tables that Hypothesis draws become a model and its predictions, or one sentence, and nothing half-written."""

import datetime
from contextlib import suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from pipeline.config.schema import build, to_values
from pipeline.data.sources import SOURCES
from pipeline.errors import DataError, PipelineError
from pipeline.manifest import CARD
from pipeline.stages.evaluate import evaluate
from pipeline.stages.generate import generate
from pipeline.stages.predict import predict
from pipeline.stages.train import train
from pipeline.stages.validate import validate_candidate
from tests.chain import NOWHERE, composed, leftovers

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=12)
DAYS = st.dates(datetime.date(1677, 9, 22), datetime.date(2262, 4, 10))
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "integers": st.integers(-(2**63), 2**63 - 1),
    "counts": st.integers(0, 9),
    "numbers": st.floats(),
    "amounts": st.floats(-1e6, 1e6),
    "booleans": st.booleans(),
    "categories": st.sampled_from(["a", "b ", "", "NA", "(other)", "=1+1", '"', "é"]),
    "days": DAYS.map(str),
    "german days": DAYS.map(lambda day: f"{day:%d.%m.%Y}"),
    "times": st.datetimes().map(str),
    "texts": PRINTABLE,
    "any text": TEXTS,
    "codes": st.integers(0, 999).map(lambda n: f"{n:04d}"),
    "constant": st.just(7),
    "nothing": st.none(),
}
LABELS = [*[("no", "yes"), (0, 1), (False, True), ("1,5", "x\ny")] * 3, ("same",), ("a", "b", "c")]
STEPS = ("generate", "train", "evaluate", "predict")
ROLES = {
    "": st.none(),
    "weight": st.integers(0, 3),
    "group": st.sampled_from(["a", "b", "c", "d", "e", "f", "g"]),
    "time": DAYS.map(str),
    "split": st.sampled_from(["train", "test"]),
}


@st.composite
def tables(draw: st.DrawFn, widest: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A table whose last column is the target, and settings of the source and the model."""
    rows = draw(st.sampled_from([40, 60, 80, 40, 60, 9, 2, 1, 0]))
    columns: list[tuple[str, list[Any]]] = []
    for i, kind in enumerate(draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=5))):
        cells = CELLS[kind] if draw(st.booleans()) else st.one_of(st.none(), CELLS[kind])
        name = draw(TEXTS) if draw(st.integers(0, 19)) == 19 else f"x{draw(PRINTABLE)}{i}"
        columns.append((name, draw(st.lists(cells, min_size=rows, max_size=rows))))
    if width := draw(st.sampled_from([0, 0, 0, widest])):
        shifts = draw(st.lists(st.integers(0, 99), min_size=rows, max_size=rows))
        columns += [(f"c{i}", [(shift * (i + 1)) % 97 for shift in shifts]) for i in range(width)]
    if role := draw(st.sampled_from(["", *ROLES])):
        columns.append(("role", draw(st.lists(ROLES[role], min_size=rows, max_size=rows))))
    target = draw(TEXTS if draw(st.integers(0, 9)) == 9 else st.sampled_from(["y", "target"]))
    order = Random(draw(st.integers(0, 999)))  # one that Hypothesis draws from makes most labels the same
    columns.append((target, order.choices(draw(st.sampled_from(LABELS)), k=rows)))
    frame = pd.concat([pd.Series(cells, name=name, dtype=object) for name, cells in columns], axis=1)
    return frame, {"role": role, "l2": draw(st.sampled_from(["auto", "auto", "cv", 0.01]))}


def check(frame: pd.DataFrame, chosen: dict[str, Any], is_parquet: bool) -> None:
    with TemporaryDirectory() as temporary:
        root = Path(temporary)
        path = root / ("t.parquet" if is_parquet else "t.csv")
        if is_parquet:
            names, columns = [*frame.columns], [frame.iloc[:, i].tolist() for i in range(frame.shape[1])]
            pq.write_table(pa.table([pa.array(cells) for cells in columns], names=names), path)
        else:
            frame.to_csv(path, index=False)
        done: list[str] = []
        refused = ""
        try:
            _run(frame, path, root, chosen, done)
        except PipelineError as error:
            refused = str(error)
        event(f"{refused.replace(temporary, '')[:40] or 'a model'} {done}")
        assert len(refused.splitlines()) == (len(done) < len(STEPS))
        assert (root / "data").exists() == ("generate" in done)
        assert (root / "models" / "numpy" / CARD).exists() == ("train" in done)
        assert (root / "answer.csv").exists() == ("predict" in done)
        assert leftovers(root) == []


def _run(frame: pd.DataFrame, path: Path, root: Path, chosen: dict[str, Any], done: list[str]) -> None:
    """All steps from the file to predictions of it; `done` gets the name of each."""
    roles = {chosen["role"]: "role"} if chosen["role"] else {}
    source = build("data", SOURCES, {"name": "table", "path": str(path), "target": frame.columns[-1], **roles})
    config = composed("data=table", "data.path=t.csv", "data.target=y", f"model.l2={chosen['l2']}").to_dict()
    folder = root / "models" / "numpy"
    generate(source, {"name": "table", **to_values(source)}, root / "data")
    done.append("generate")
    with suppress(DataError):  # of few rows, which a model may take all the same
        validate_candidate(config, root / "data", folder, NOWHERE)
    train({group: config[group] for group in ("model", "optimizer")}, root / "data", folder, NOWHERE)
    done.append("train")
    evaluate(root / "data", folder, NOWHERE)
    done.append("evaluate")
    predict(folder, path, root / "answer.csv")
    done.append("predict")
    assert len(pd.read_csv(root / "answer.csv")) == len(frame)


@pytest.mark.slow
@settings(max_examples=20, suppress_health_check=[*HealthCheck], phases=[Phase.generate])  # to shrink one takes minutes
@given(tables(widest=100), st.booleans())
def test_a_table_becomes_a_model_or_one_sentence(table: tuple[pd.DataFrame, dict[str, Any]], is_parquet: bool) -> None:
    check(*table, is_parquet)


@pytest.mark.evidence
@settings(max_examples=1_000, derandomize=False, deadline=datetime.timedelta(seconds=60), suppress_health_check=[*HealthCheck])
@given(tables(widest=3_000), st.booleans())
def test_any_table_becomes_a_model_or_one_sentence(table: tuple[pd.DataFrame, dict[str, Any]], is_parquet: bool) -> None:
    check(*table, is_parquet)
