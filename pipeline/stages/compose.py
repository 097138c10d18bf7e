"""Resolve conf/ and overrides.yaml into one file a stage, so that DVC sees every value that a stage reads."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.config.hydra import UnreadableOverride
from pipeline.config.hydra_settings import refuse_secret_settings
from pipeline.config.schema import compose, read_yaml, to_yaml
from pipeline.errors import ConfigError
from pipeline.files import OUT

logger = logging.getLogger("pipeline.stages.compose")

OVERRIDES = Path("overrides.yaml")


def stage_files(overrides: Sequence[str], models: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """The content of each file of out/config/. Everything is checked here, before any work."""
    if any(o.partition("=")[0] == "model" for o in overrides):
        raise ConfigError(
            f"model cannot be set in {OVERRIDES}: dvc repro trains {' and '.join(models)}; use `python -m pipeline model=...`"
        )
    files: dict[str, Mapping[str, Any]] = {}
    for model in models:
        plain = compose([*overrides, f"model={model}"]).plain
        if plain["model"]["name"] != model:
            raise ConfigError(f"model.name must not be set; got {plain['model']['name']} for model {model}")
        files["generate.yaml"] = {"data": plain["data"]}
        files[f"train.{model}.yaml"] = {"model": plain["model"], "optimizer": plain["optimizer"]}
        files["tracking.yaml"] = plain["tracking"]
    return files


def _in_yaml(error: UnreadableOverride) -> str:
    """What the file must have instead of an override that cannot be read."""
    form = (error.form or "KEY=VALUE").replace("'", "''")
    rule = f"overrides must be KEY=VALUE each, in Hydra's syntax, such as - '{form}', with commas between them in {OVERRIDES}"
    return f"{rule}; got {error.word}"


def main(words: Sequence[str]) -> None:
    parser = console.parser("compose", __doc__, "python -m pipeline.stages.compose numpy torch")
    parser.add_argument("models", nargs="+", help="the models of the DAG, names of conf/model/")
    models: list[str] = parser.parse_args(words).models
    written = read_yaml(OVERRIDES)
    if set(written) != {"overrides"}:
        raise ConfigError(f"{OVERRIDES} must hold overrides alone; it has {', '.join(written) or 'nothing'}")
    overrides = written["overrides"] or []
    if not (isinstance(overrides, list) and all(isinstance(o, str) for o in overrides)):
        raise ConfigError(
            f"overrides in {OVERRIDES} must be a list with commas, such as [data=breast_cancer, model.l2=0.01]; got {overrides}"
        )
    refuse_secret_settings(overrides)
    try:
        files = stage_files(overrides, models)
    except UnreadableOverride as error:
        raise ConfigError(_in_yaml(error)) from error
    with atomic_dir(OUT / "config") as folder:
        for name, content in files.items():
            (folder / name).write_text(to_yaml(content), encoding="utf-8")
    logger.info(f"{', '.join(overrides) or 'the defaults'} -> {OUT / 'config'}: {', '.join(files)}")


if __name__ == "__main__":
    console.run(main)
