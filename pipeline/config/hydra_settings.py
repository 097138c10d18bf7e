"""Hydra's own settings, which become folders and environment variables before a job of ours can look at them."""

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.config.config import VOCABULARY, text_keys
from pipeline.config.hydra import PRIMARY, parse_overrides, with_hydra_section
from pipeline.config.overrides import as_typed
from pipeline.redaction import refuse_secrets

REPORTED = ("runtime", "overrides", "help", "hydra_help")  # sections that Hydra fills itself, or that repeat others
REPEATED = "hydra.job.override_dirname"  # likewise: all overrides in one text


def refuse_secret_settings(overrides: Sequence[str], primary: str = PRIMARY) -> None:
    """Raise PipelineError where overrides, as they were typed, or Hydra's settings by them hold a credential."""
    typed = [override.lstrip("+~").partition("=")[::2] for override in overrides]
    keys = (("the key of an override", key) for key, _ in typed)
    variables = (part for key, value in typed if key != "tracking.uri" for part in _from_environment(key, value))
    refuse_secrets((*keys, *typed, *variables, *_settings(overrides, primary)), VOCABULARY)


def _settings(overrides: Sequence[str], primary: str) -> Iterator[tuple[str, Any]]:
    """Every (dotted key, value) of Hydra's settings that is known before a job; none where the overrides are wrong."""
    try:
        parsed = parse_overrides(as_typed(overrides, text_keys()))
        single = [str(override.input_line) for override in parsed if not override.is_sweep_override()]
        section = with_hydra_section(single, primary).hydra
    except Exception:  # of whatever kind Hydra makes it: what acts on these overrides says what is wrong
        return
    for name in section:
        if name not in REPORTED:
            yield from (leaf for leaf in _leaves(f"hydra.{name}", section, name) if leaf[0] != REPEATED)


def _from_environment(key: str, value: str) -> Iterator[tuple[str, Any]]:
    """The environment variables that a value's interpolations ask for, each as (key, its value)."""
    return ((key, os.environ.get(variable)) for variable in re.findall(r"oc\.env:\s*(\w+)", value))


def _leaves(key: str, node: Any, name: Any) -> Iterator[tuple[str, Any]]:
    from omegaconf import DictConfig, ListConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        value = node[name]
    except (OmegaConfBaseException, ValueError):  # a part of it is not known yet, such as the job's number
        unresolved: Any = OmegaConf.to_container(node, resolve=False)
        yield from _from_environment(key, str(unresolved[name]))
        return
    if isinstance(value, DictConfig):
        for part in value:
            yield from _leaves(f"{key}.{part!s}", value, part)
    elif isinstance(value, ListConfig):
        for i in range(len(value)):
            yield from _leaves(key, value, i)
    else:
        yield key, value
