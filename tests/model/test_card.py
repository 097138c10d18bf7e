"""The card of a model and the schema of a table: written, read back, and refused where they are not what they were."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ArtifactError, PipelineError
from pipeline.files import digest_of, read_json, write_json
from pipeline.manifest import write_manifest
from pipeline.model.card import DataFacts, DataSchema, FitSummary, ModelCard, read_card

CONFIG: dict[str, dict[str, Any]] = {"data": {"name": "table"}, "model": {"name": "numpy"}, "optimizer": {"name": "gd"}}
FACTS = DataFacts({"training": 3, "test": 2}, {"training": "a", "test": "b"})
FIT = FitSummary("gd", 100, "epochs", 0.25, 1e-3, {"kind": "complete", "alone": True, "columns": ["x1"]})


def card(fit: FitSummary | None = FIT) -> ModelCard:
    parts = {"config": digest_of(CONFIG), "data": digest_of(FACTS.digest), "code": "c"}
    return ModelCard(digest_of(parts), parts, ["x1", "x2"], "y", ["no", "yes"], FACTS, CONFIG, fit)


@pytest.mark.parametrize("fit", [FIT, None])
def test_a_card_is_what_its_dict_makes(fit: FitSummary | None) -> None:
    made = card(fit)
    assert ModelCard.from_dict(made.to_dict()) == made
    assert ModelCard.from_dict({**made.to_dict(), "files": {}, "checksum": "x"}) == made  # as a manifest has it
    assert made.model == "numpy"


def test_the_end_of_a_fit_that_lasts_is_refused() -> None:
    assert card().ended == FIT
    with pytest.raises(ArtifactError, match="a model's fit must have ended; it has not"):
        _ = card(None).ended


def changed(*keys: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda content: content.pop("target"), "it must have fingerprint, .*, fit; it lacks target"),
        (lambda content: content["fit"].pop("loss"), "it must have optimizer, .*; it lacks loss"),
        (changed("features", to="x1"), "features must be of type list; got str"),
        (changed("features", to=["x1", 2]), "features must be of type list; got list"),
        (changed("classes", to=[None, "yes"]), "classes must be of type list"),
        (changed("data", to=[]), "data must be of type DataFacts; got list"),
        (changed("data", "rows", to={"training": "3", "test": 2}), "rows must be of type dict"),
        (changed("fit", to="gd"), "fit must be of type FitSummary or null; got str"),
        (changed("fit", "epochs", to=True), "epochs must be of type int; got bool"),
        (changed("fit", "loss", to="0.1"), "loss must be of type float; got str"),
        (changed("fit", "separation", to=3), "separation must be of type dict or null; got int"),
        (changed("fingerprint", to="0"), "the fingerprint must be that of the configuration and the data"),
        (changed("config", "model", "name", to="torch"), "the fingerprint must be that of the configuration and the data"),
        (changed("data", "digest", "test", to="c"), "the fingerprint must be that of the configuration and the data"),
    ],
)
def test_content_that_is_no_card_s(change: Callable[[dict[str, Any]], None], sentence: str) -> None:
    content = card().to_dict()
    content["data"] = {**content["data"], "digest": dict(FACTS.digest)}
    content["config"] = {group: dict(values) for group, values in CONFIG.items()}
    change(content)
    with pytest.raises(ArtifactError, match=sentence):
        ModelCard.from_dict(content)


def test_a_whole_number_is_a_float() -> None:
    content = card().to_dict()
    content["fit"]["loss"] = 0
    assert ModelCard.from_dict(content).ended.loss == 0


@pytest.mark.parametrize("classes", [["no", "yes"], [0, 1], [False, True], [0.5, 1.5]])
def test_the_classes_of_a_table_keep_their_type(classes: list[Any]) -> None:
    content = {"features": ["x1"], "target": "y", "classes": classes, "rows": {}, "positives": {}, "digest": {}, "source": {}}
    read = DataSchema.from_dict(content).classes
    assert read == classes
    assert [type(label) for label in read] == [type(label) for label in classes]


def test_a_card_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "model.npz").write_bytes(b"")
    write_manifest(tmp_path / "model.json", "train", card().to_dict(), ["model.npz"])
    assert read_card(tmp_path).content == card()
    content = read_json(tmp_path / "model.json")
    write_json(tmp_path / "model.json", {**content, "target": "z"})
    with pytest.raises(PipelineError, match="model.json must be as it was written; it is damaged"):
        read_card(tmp_path)
