"""Hydra's own settings, of which it makes folders and environment variables before a job of ours can look at them."""

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.config.hydra import PRIMARY, settings
from pipeline.config.overrides import as_typed
from pipeline.config.schema import VOCABULARY, text_keys
from pipeline.redaction import refuse_secrets

OWN = ("runtime", "overrides", "help", "hydra_help")  # of the settings, what Hydra says itself, or says again
REPEATED = "hydra.job.override_dirname"  # likewise: the overrides in one word


def refuse_secret_settings(overrides: Sequence[str], primary: str = PRIMARY) -> None:
    """Raise PipelineError where overrides, as they were typed, or Hydra's settings by them hold a credential."""
    typed = [word.lstrip("+~").partition("=")[::2] for word in overrides]
    refuse_secrets((("the key of an override", key) for key, _ in typed), VOCABULARY)
    refuse_secrets(typed, VOCABULARY)
    refuse_secrets(
        (part for key, value in typed if key != "tracking.uri" for part in _from_environment(key, value)), VOCABULARY
    )
    refuse_secrets(_settings(overrides, primary), VOCABULARY)


def _settings(overrides: Sequence[str], primary: str) -> Iterator[tuple[str, Any]]:
    """Every (dotted key, value) of Hydra's settings that is known before a job; none where the overrides are wrong."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    try:
        parsed = OverridesParser.create().parse_overrides(as_typed(overrides, text_keys()))
        made = settings([str(override.input_line) for override in parsed if not override.is_sweep_override()], primary)
    except Exception:  # of whatever kind Hydra makes it: what acts on these overrides says what is wrong
        return
    for name in made:
        if name not in OWN:
            yield from (leaf for leaf in _leaves(f"hydra.{name}", made, name) if leaf[0] != REPEATED)


def _from_environment(key: str, value: str) -> Iterator[tuple[str, Any]]:
    """The environment variables that a value's interpolations ask for, each as (key, its value)."""
    return ((key, os.environ.get(variable)) for variable in re.findall(r"oc\.env:\s*(\w+)", value))


def _leaves(key: str, node: Any, name: Any) -> Iterator[tuple[str, Any]]:
    from omegaconf import DictConfig, ListConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        value = node[name]
    except (OmegaConfBaseException, ValueError):  # a part of it is not known yet, such as the job's number
        plain: Any = OmegaConf.to_container(node, resolve=False)
        yield from _from_environment(key, str(plain[name]))
        return
    if isinstance(value, DictConfig):
        for part in value:
            yield from _leaves(f"{key}.{part!s}", value, part)
    elif isinstance(value, ListConfig):
        for i in range(len(value)):
            yield from _leaves(key, value, i)
    else:
        yield key, value
