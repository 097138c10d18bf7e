"""What the JSON files beside a table and a model say, typed: the schema of the data, and the card of a model."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Self, TypeVar, get_args, get_origin, get_type_hints

from pipeline.errors import ArtifactError
from pipeline.files import digest_of
from pipeline.manifest import CARD, SCHEMA, Manifest, read_manifest
from pipeline.model.columns import TYPES, USED, Column
from pipeline.model.encoder import STEPS, Encoder

Label = bool | int | float | str
Section = Mapping[str, Any]  # a group of the configuration: its name, and its values
T = TypeVar("T")


@dataclass(frozen=True)
class DataSchema:
    """schema.json: what the columns of a training and a test table mean. classes[1] is the one with y = 1."""

    features: list[str]  # the columns that a model may use
    target: str
    classes: list[Label]
    rows: dict[str, int]  # of "training" and "test", as the next two
    positives: dict[str, int]
    digest: dict[str, str]  # SHA-256
    source: dict[str, Any]  # the configuration that made it
    columns: list[Column] = field(default_factory=list)  # all of a user's table; none where the source is a matrix of numbers
    missing_values: list[str] = field(default_factory=list)  # texts in the table that stand for a missing value
    decimal: str = ""  # "," where numbers in the file have a decimal comma

    @classmethod
    def from_dict(cls, content: Section) -> Self:
        return typed(cls, content)

    @property
    def used(self) -> list[Column]:
        """The columns of a user's table that a model may use."""
        return [column for column in self.columns if column.is_used]


@dataclass(frozen=True)
class DataFacts:
    """Of the tables that a model was made from: rows and digests of "training" and "test"."""

    rows: dict[str, int]
    digest: dict[str, str]


ENDS = {"epochs": "the epoch limit", "tol": "tol", "precision": "rounding"}  # what a fit may be stopped by


@dataclass(frozen=True)
class FitSummary:
    """How a fit ended. separation: by what the classes can be separated, so that no finite best model exists.

    penalty: what was asked as model.l2 where that was no number, the number that it became, and how. inference: by what method
    it is known how sure the weights are, and the sentence that says so; None of a model that is not linear.
    """

    optimizer: str
    epochs: int
    stopped_by: str  # of ENDS
    loss: float
    gradient_norm: float
    separation: dict[str, Any] | None
    penalty: dict[str, Any] | None = None
    inference: dict[str, Any] | None = None


@dataclass(frozen=True)
class ModelCard:
    """model.json: what a model was made of, and how its fit ended; `fit` is None while it lasts."""

    fingerprint: str
    fingerprint_of: dict[str, str]  # the digests of config, data and code
    features: list[str]  # what the model's weights are of
    target: str
    classes: list[Label]
    data: DataFacts
    config: dict[str, dict[str, Any]]  # the groups data, model and optimizer
    fit: FitSummary | None
    columns: list[Column] = field(default_factory=list)  # that predictions need of a table; none where the source is a matrix
    encoder: list[dict[str, Any]] | None = None  # the steps from columns to features; None where the features are the columns
    missing_values: list[str] = field(default_factory=list)  # texts in a table that stand for a missing value
    identifiers: list[str] = field(default_factory=list)  # columns that name the rows, which predictions keep
    decimal: str = ""  # "," where numbers in the training file have a decimal comma

    @classmethod
    def from_dict(cls, content: Section) -> Self:
        """Raises ArtifactError unless the content is a card's, and what its fingerprint says."""
        card = typed(cls, content)
        made_of = {"config": digest_of(card.config), "data": digest_of(card.data.digest)}
        if card.fingerprint != digest_of(card.fingerprint_of) or not made_of.items() <= card.fingerprint_of.items():
            raise ArtifactError("the fingerprint must be that of the configuration and the data; it is not")
        _check_encoder(card)
        return card

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; what is no dataclass is not copied."""
        nested = {"data": asdict(self.data), "fit": self.fit and asdict(self.fit), "columns": [*map(asdict, self.columns)]}
        return {**vars(self), **nested}

    @property
    def ended(self) -> FitSummary:
        """The fit, of a card that was written."""
        if self.fit is None:
            raise ArtifactError("a model's fit must have ended; it has not")
        return self.fit

    @property
    def model(self) -> str:
        """The name of the kind of model."""
        return str(self.config["model"]["name"])


def read_schema(data: Path) -> Manifest[DataSchema]:
    return read_manifest(data / SCHEMA, DataSchema.from_dict)


def read_card(folder: Path) -> Manifest[ModelCard]:
    return read_manifest(folder / CARD, ModelCard.from_dict)


def read_schema_of(model: Manifest[ModelCard], data: Path) -> Manifest[DataSchema]:
    """Raises ArtifactError where the model was not trained on `data`."""
    tables = read_schema(data)
    if tables.content.digest != model.content.data.digest:
        raise ArtifactError(f"{data} must be what {model.path.parent} was trained on; train again")
    return tables


def _check_encoder(card: ModelCard) -> None:
    """Raise ArtifactError unless the steps are of the card's columns and make its features."""
    if wrong := [column.name for column in card.columns if column.kind not in USED or column.type not in TYPES]:
        raise ArtifactError(f"columns must be of a kind and type that a model takes; {wrong[0]} is not")
    names = {column.name for column in card.columns}
    for step in card.encoder or []:
        if step.get("kind") not in STEPS:
            raise ArtifactError(f"encoder must have steps of the kinds {', '.join(STEPS)}; got {step.get('kind')}")
        if typed(STEPS[step["kind"]], step).column not in names:
            raise ArtifactError(f"encoder must have steps of the columns; {step['column']} is none")
    if card.fit and card.columns and card.encoder is None:
        raise ArtifactError("a model of a table must have an encoder; it has none")
    if card.encoder is not None and card.fit and Encoder.from_list(card.encoder).features != card.features:
        raise ArtifactError("features must be those that encoder makes; they are not")


def separation_sentence(entry: Mapping[str, Any]) -> str:
    """What a model.json's `separation`, whose columns are names, says."""
    first, *rest = entry["columns"] or ["the intercept"]
    by = f"{first}{f' (and each of {len(rest)} more columns)' if rest else ''}"
    by = by if entry["alone"] else f"a combination in which {first} weighs most" if rest else first
    how = "" if entry["kind"] == "complete" else ", all but rows on the boundary,"
    return f"the classes can be separated{how} by {by}"


def typed(kind: type[T], content: Section) -> T:
    """The dataclass of a JSON object with its keys, each value of its field's type; other keys are left out. Raises
    ArtifactError."""
    hints, values = _hints(kind), {}  # type: ignore[arg-type]
    for name, hint in hints.items():
        if name in content:
            values[name] = _value(name, hint, content[name])
        elif name in (required := _required(kind)):
            raise ArtifactError(f"it must have {', '.join(required)}; it lacks {name}")
    return kind(**values)


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    """The types of a dataclass's fields."""
    hints = get_type_hints(kind)
    return {each.name: hints[each.name] for each in fields(kind)}


def _required(kind: type[Any]) -> list[str]:
    return [each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING]


def _value(name: str, hint: Any, value: Any) -> Any:
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    nested = next((kind for kind in kinds if is_dataclass(kind)), None)
    if isinstance(nested, type) and isinstance(value, Mapping):
        return typed(nested, value)
    parts = get_args(hint)
    if get_origin(hint) is list and is_dataclass(parts[0]) and isinstance(value, list):
        return [_value(name, parts[0], each) for each in value]
    if not _is_of(hint, value):
        names = " or ".join("null" if kind is NoneType else (get_origin(kind) or kind).__name__ for kind in kinds)
        raise ArtifactError(f"{name} must be of type {names}; got {type(value).__name__}")
    return value


def _is_of(hint: Any, value: Any) -> bool:
    """Whether a value from JSON, and all in it, is of this type. A float may be a whole number; a boolean is no number."""
    if type(value) is hint:
        return True
    if hint is Any or hint is NoneType:
        return hint is Any or value is None
    parts = get_args(hint)
    if isinstance(hint, UnionType):
        return any(_is_of(part, value) for part in parts)
    if get_origin(hint) is list:
        return isinstance(value, list) and all(type(each) is parts[0] or _is_of(parts[0], each) for each in value)
    if get_origin(hint) is dict:
        return isinstance(value, dict) and all(_is_of(parts[1], each) for each in value.values())
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float if hint is float else hint)
