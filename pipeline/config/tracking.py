"""Where runs are logged."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.files import read_yaml
from pipeline.config.hydra import composed
from pipeline.config.schema import Section, build_typed
from pipeline.errors import ConfigError
from pipeline.redaction import URI_VARIABLE, with_credentials, without_credentials

MAX_LETTERS = 250  # in the name of an MLflow experiment, which names a folder


@dataclass(frozen=True)
class Tracking:
    """Where runs are logged. uri: MLflow's tracking URI, an SQLite path being relative to the repository; null: nowhere."""

    uri: str | None = None
    experiment: str = "logistic-regression"

    def __post_init__(self) -> None:
        name = self.experiment.strip(". ")
        if not 0 < len(name) <= MAX_LETTERS:
            raise ConfigError(f"experiment must have 1 to {MAX_LETTERS} letters; got {self.experiment!r}")
        public = self.to_dict()["uri"]
        if not (self.uri is None or re.fullmatch(r"sqlite:///[^?]+|(?!sqlite:)[\w+-]+://.+", self.uri)):
            raise ConfigError(f"uri must be like sqlite:///FILE or http://HOST:PORT, or null; got {public}")
        if self.uri not in (public, os.environ.get(URI_VARIABLE)):
            ways = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or all of it as"
            raise ConfigError(f"uri must have no credentials in it: {ways} {URI_VARIABLE} with tracking=server; got {public}")

    def to_dict(self) -> dict[str, str | None]:
        """As it may be written and shown: without credentials."""
        return {"uri": self.uri and without_credentials(self.uri), "experiment": self.experiment}


def tracking_of(section: Section) -> Tracking:
    """A tracking section as it was written, with the credentials that the environment has."""
    return build_typed("tracking", Tracking, {**section, "uri": with_credentials(section.get("uri"))})


def stage_tracking(out: Path) -> Tracking:
    """Where the stages that have no configuration of their own log: as `compose` wrote it, else conf/'s default."""
    written = out / "config" / "tracking.yaml"
    return tracking_of(read_yaml(written)) if written.is_file() else build_typed("tracking", Tracking, composed([])["tracking"])
