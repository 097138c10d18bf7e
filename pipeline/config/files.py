"""The YAML files of the configuration: overrides.yaml, and the one that `compose` writes for each stage."""

import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.config.code import require_code
from pipeline.config.schema import Registry, vocabulary
from pipeline.errors import ConfigError
from pipeline.flatten import flatten
from pipeline.redaction import refuse_secrets

if TYPE_CHECKING:
    from pipeline.config.config import Config

CODE = "code"  # the key of the hash of the stage's code
CANDIDATE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")  # names a folder, and is text in DVC's YAML, too, as 1e5 is not


def to_yaml(content: Mapping[str, Any]) -> str:
    """Nested dicts as YAML, in their own order. Text that DVC's YAML takes for a number, as 1e5, is in quotes."""
    return yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    def represent_str(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="'" if text[:1] in tuple("0123456789+-.") else None)


_Dumper.add_representer(str, _Dumper.represent_str)


def read_yaml(path: Path) -> dict[str, Any]:
    """Raises ConfigError where there is no such file, or no mapping in it."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no {path}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} must be YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold a mapping; it does not")
    return dict(content)


def check_candidate_name(name: object, where: str = "") -> None:
    """Raise ConfigError unless it can be a candidate's. where: the end of the sentence, such as ` in overrides.yaml`."""
    if not (isinstance(name, str) and CANDIDATE.fullmatch(name)):
        raise ConfigError(f"a candidate's name must be a letter or _, then letters, digits, _ and -; got {name!r}{where}")


def read_stage_file(path: Path, stage: str, *keys: str) -> dict[str, Any]:
    """What `compose` wrote for a stage: these keys. Raises ConfigError where the stage's code is not what it was then."""
    content = read_yaml(path)
    code = content.pop(CODE, None)
    if set(content) != set(keys):
        raise ConfigError(f"{path} must hold {' and '.join(keys)}; it has {', '.join(map(str, content)) or 'nothing'}")
    require_code(stage, code, path)
    return content


def read_config(path: Path, stage: str, registries: Mapping[str, Registry], *sections: str) -> dict[str, dict[str, Any]]:
    """A stage's configuration, its values not checked yet: the groups that have these registries, and sections without one."""
    content = read_stage_file(path, stage, *registries, *sections)
    if not all(isinstance(section, dict) for section in content.values()):
        raise ConfigError(f"{path} must hold {' and '.join(content)}, a mapping each")
    refuse_secrets(flatten(content), vocabulary(registries))
    return content


def check_stage_file(path: Path, stage: str) -> None:
    """Raise ConfigError where `compose` wrote a file for a stage whose code has changed since; there need be none."""
    if path.is_file():
        require_code(stage, read_yaml(path).get(CODE), path)


def compose_overrides(overrides: Sequence[str]) -> "Config":
    """What a stage does by itself, outside the DAG, on overrides.

    Imported by name: `dvc repro` never gets here, so the code of all registries does not count as the stage's.
    """
    config: Config = import_module("pipeline.config.config").compose(overrides)
    return config
