"""What the stages that fit have in common: their command line, the tables that they read, the card of a model to be fitted."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline import console
from pipeline.config.code import numerical_code
from pipeline.config.files import check_candidate_name, compose_overrides, read_config
from pipeline.config.tracking import Tracking, stage_tracking
from pipeline.errors import ArtifactError
from pipeline.files import OUT, digest_of
from pipeline.learning.model import Model
from pipeline.learning.models import MODELS, EncoderOptions
from pipeline.learning.optimizers import OPTIMIZERS
from pipeline.manifest import Manifest
from pipeline.model.card import DataFacts, DataSchema, ModelCard, read_schema
from pipeline.stages import MODELS_DIR, Stage

Section = Mapping[str, Any]
Config = Mapping[str, dict[str, Any]]  # the groups of a configuration that a stage reads
REGISTRIES = {"model": MODELS, "optimizer": OPTIMIZERS}
Work = Callable[[Config, Path, Path, Tracking, Section | None], object]


def describe(config: dict[str, dict[str, Any]], schema: DataSchema) -> ModelCard:
    """The card of a model that is still to be fitted."""
    parts = {"config": digest_of(config), "data": digest_of(schema.digest), "code": numerical_code()}
    facts = DataFacts(schema.rows, schema.digest)
    columns, features = schema.used, [] if schema.columns else schema.features
    made = ModelCard(digest_of(parts), parts, features, schema.target, schema.classes, facts, config, None)
    identifiers = [column.name for column in schema.columns if column.kind == "identifier"]
    return replace(made, columns=columns, missing_values=schema.missing_values, identifiers=identifiers, decimal=schema.decimal)


def card_of(config: Config, tables: Manifest[DataSchema]) -> ModelCard:
    """The same by the configuration of a stage, of the model that it or a later one fits to these tables."""
    return describe({"data": tables.content.source, **{group: config[group] for group in REGISTRIES}}, tables.content)


def encoder_options(model: Model) -> EncoderOptions:
    """How a table's columns become features: as the model's settings say, if they do."""
    options: EncoderOptions = vars(model).get("encoder", EncoderOptions())
    return options


def read_tables(data: Path, source: Section | None) -> Manifest[DataSchema]:
    """The tables in `data`. source: the configuration that they must have been made by, where it is known."""
    tables = read_schema(data)
    if source not in (None, tables.content.source):
        raise ArtifactError(f"{data} must stay what was asked for; another process has replaced it")
    return tables


def run_on_tables(stage: Stage, description: str | None, example: str, work: Work, argv: Sequence[str]) -> None:
    """Call `work` on what the command line says: the configuration, out/data/, the candidate's folder, where runs are logged,
    and the configuration of the data, where it is known."""
    parser = console.parser(f"stages.{stage.name}", description, example)
    parser.add_argument("--candidate", metavar="NAME", help="the folder in out/models/; the model's name if not given")
    args = console.parse_configuration(parser, argv)
    if args.candidate is not None:
        check_candidate_name(args.candidate)
    data = OUT / "data"
    made = None
    if args.config:
        config = read_config(args.config, stage.name, REGISTRIES, *(name for name in stage.sections if name not in REGISTRIES))
        tracking = stage_tracking(OUT)
    else:
        composed = compose_overrides(args.overrides)
        content = composed.to_dict()
        config = stage.settings(content)
        tracking = composed.tracking
        made = read_schema(data).content.source
        if content["data"] != made:
            first = f"run `python -m pipeline.stages.generate {shlex.join(args.overrides)}` first"
            raise ArtifactError(f"the configuration's data must be what {data} holds; {first}")
    work(config, data, OUT / MODELS_DIR / (args.candidate or str(config["model"].get("name"))), tracking, made)
