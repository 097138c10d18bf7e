"""Resolve conf/ and overrides.yaml into one file a stage, so that DVC sees every value, and all code, that a stage reads."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import console
from pipeline.atomic import atomic_dir
from pipeline.config.candidates import compose_candidates
from pipeline.config.code import CACHE, Code
from pipeline.config.config import Config
from pipeline.config.files import CODE, to_yaml
from pipeline.files import OUT
from pipeline.stages import STAGES, remove_other_candidates

logger = logging.getLogger("pipeline.stages.compose")

OVERRIDES = Path("overrides.yaml")


def stage_files(candidates: Mapping[str, Config], code: Code) -> dict[str, Mapping[str, Any]]:
    """The content of each file of out/config/."""
    configs: dict[str, dict[str, Any]] = {
        name: {**config.to_dict(), "candidates": list(candidates)} for name, config in candidates.items()
    }
    files: dict[str, Mapping[str, Any]] = {"tracking.yaml": next(iter(configs.values()))["tracking"]}
    for stage in STAGES.values():
        if stage.config_file:
            digest = code.stage(stage.name)
            for name, config in configs.items():
                files[stage.config_file.format(candidate=name)] = {**stage.settings(config), CODE: digest}
    return files


def compose(overrides: Path, out: Path) -> None:
    """Write out/config/, and remove what is left there and in out/models/ of candidates that are gone."""
    candidates = compose_candidates(overrides)  # everything is checked before any work
    code = Code(cache=out / CACHE.name)
    files = stage_files(candidates, code)
    code.write_cache()
    with atomic_dir(out / "config") as folder:
        for name, content in files.items():
            (folder / name).write_text(to_yaml(content), encoding="utf-8")
    for path in (out / "config").glob("*.yaml"):
        if path.name not in files:
            path.unlink()
    remove_other_candidates(out, candidates)
    logger.info(f"{', '.join(candidates)} -> {out / 'config'}")


def main(argv: Sequence[str]) -> None:
    console.parser("stages.compose", __doc__).parse_args(argv)
    compose(OVERRIDES, OUT)


if __name__ == "__main__":
    console.run(main)
