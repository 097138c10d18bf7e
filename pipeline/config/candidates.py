"""overrides.yaml: what the DAG changes of conf/, and the candidates that it compares."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from pipeline.config.config import Config, compose, text_keys
from pipeline.config.files import check_candidate_name, read_yaml
from pipeline.config.hydra_errors import UnreadableOverride
from pipeline.config.hydra_settings import refuse_secret_settings
from pipeline.config.overrides import quoted
from pipeline.config.schema import Kind
from pipeline.errors import ConfigError
from pipeline.flatten import flatten

KEYS = ("overrides", "candidates")
SHARED = ("data", "tracking")


def compose_candidates(path: Path) -> dict[str, Config]:
    """The configuration of each candidate in overrides.yaml. Raises ConfigError in one sentence."""
    content = read_yaml(path)
    if set(content) != set(KEYS):
        raise ConfigError(f"{path} must hold {' and '.join(KEYS)}; it has {', '.join(map(str, content)) or 'nothing'}")
    common = _override_list(path, "overrides", content["overrides"])
    candidates = content["candidates"]
    if not (isinstance(candidates, dict) and candidates):
        raise ConfigError(f"candidates in {path} must map at least one name to overrides; got {candidates}")
    made = {}
    for name, own in candidates.items():
        check_candidate_name(name, f" in {path}")
        made[name] = _composed(path, common, name, _override_list(path, f"candidates.{name}", own))
    _check_distinct(path, made)
    return made


def _composed(path: Path, common: Sequence[str], name: str, own: Sequence[str]) -> Config:
    for override in own:
        if re.match(rf"[+~]*({'|'.join(SHARED)})\b", override):
            rule = f"a candidate may change anything but {' and '.join(SHARED)}, which it shares with the others"
            raise ConfigError(f"{rule}; got {override} for {name} in {path}")
    overrides = [*common, *own]
    refuse_secret_settings(overrides)
    try:
        return compose(overrides)
    except UnreadableOverride as error:
        form = (error.form or "KEY=VALUE").replace("'", "''")
        rule = f"overrides must be KEY=VALUE each, in Hydra's syntax, such as - '{form}', with commas between them in {path}"
        raise ConfigError(f"{rule}; got {error.override}") from error
    except ConfigError as error:
        raise ConfigError(f"{error} (candidate {name} in {path})") from error


def _check_distinct(path: Path, candidates: Mapping[str, Config]) -> None:
    """Raise ConfigError unless all candidates share data and tracking and differ in something else."""
    for (a, one), (b, other) in combinations(candidates.items(), 2):
        for group in SHARED:
            if getattr(one, group) != getattr(other, group):
                raise ConfigError(f"candidates in {path} must share {' and '.join(SHARED)}; {a} and {b} differ in {group}")
        if one.to_dict() == other.to_dict():
            raise ConfigError(f"candidates in {path} must differ in their configuration; {a} and {b} are equal")


def _override_list(path: Path, key: str, written: Any) -> list[str]:
    """KEY=VALUE each, of such a list, or of a mapping in which the `name` of a group chooses its file in conf/."""
    if isinstance(written, Mapping):
        return [_from_mapping(leaf, value) for leaf, value in _leaves(written)]
    overrides = [] if written is None else written
    if not isinstance(overrides, list):
        example = "a list with commas, such as [data=breast_cancer, model.l2=0.01], or a mapping"
        raise ConfigError(f"{key} in {path} must be {example}; got {written}")
    for override in overrides:
        if not isinstance(override, str):  # as of [model.l2=0,1]
            rule = f"{key} in {path} must be KEY=VALUE each, with one value: only `python -m pipeline -m` sweeps over several"
            raise ConfigError(f"{rule}; got {override} in {written}")
    return overrides


def _leaves(written: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values; a mapping of texts is one value, a list of `NAME: TEXT` each."""
    texts = {key for key, kind in text_keys().items() if kind is Kind.TEXT_BY_TEXT}
    found: dict[str, list[str]] = {}
    for leaf, value in flatten(written):
        key = next((key for key in texts if leaf.startswith(f"{key}.")), None)
        if key is None:
            yield leaf, value
        else:
            found.setdefault(key, []).append(f"{leaf.removeprefix(f'{key}.')}: {value}")
    yield from found.items()


def _from_mapping(key: str, value: Any) -> str:
    group = key.removesuffix(".name")
    return f"{group}={value}" if text_keys().get(group) is Kind.OPTION else f"{key}={_in_hydra_syntax(key, value)}"


def _in_hydra_syntax(key: str, value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(_in_hydra_syntax(key, part) for part in value)}]"
    if value is None:
        return "null"
    if key not in text_keys():
        return str(value)
    if not isinstance(value, str):
        raise ConfigError(f"{key} must be text, in quotes where YAML would read something else; got {value!r}")
    return quoted(value)
