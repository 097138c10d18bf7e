"""What Hydra and OmegaConf raise, as ConfigError: one sentence that says what is allowed."""

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.config.overrides import quoted
from pipeline.config.schema import MAX_VALUE
from pipeline.errors import ConfigError, PipelineError
from pipeline.text import shorten

if TYPE_CHECKING:
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError


class UnreadableOverride(ConfigError):
    """An override that is not in Hydra's syntax. The message says how to type it on a command line."""

    def __init__(self, override: str) -> None:
        key, _, value = override.partition("=")
        self.override = override
        is_text_of_hydra = key.startswith("hydra.") and len(value.splitlines()) == 1
        self.form = f"{key}={quoted(value)}" if is_text_of_hydra else ""  # which sets it to just this text
        hint = f", a text with other signs in quotes: {shlex.quote(self.form)}" if self.form else ""
        super().__init__(f"overrides must be KEY=VALUE each, in Hydra's syntax{hint}; got {shorten(override, MAX_VALUE)}")


@contextmanager
def as_config_error(overrides: Sequence[str]) -> Iterator[None]:
    """What Hydra and OmegaConf raise inside the block for these overrides is raised as ConfigError."""
    from hydra.errors import OverrideParseException

    try:
        yield
    except (PipelineError, BrokenPipeError):  # of a reader such as `head`
        raise
    except OverrideParseException as error:
        raise UnreadableOverride(error.override) from error
    except Exception as error:  # their functions declare none, and unusual overrides raise many
        raise ConfigError(_sentence(error, overrides)) from error


def _sentence(error: Exception, overrides: Sequence[str]) -> str:
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, GrammarParseError, OmegaConfBaseException

    cause, text = error.__cause__, _first_line(str(error) or str(error.__cause__ or ""))
    if isinstance(cause or error, GrammarParseError):
        return f"${{ must begin an interpolation, such as ${{oc.env:NAME}}, and be \\${{ in a text; {text}"
    if isinstance(error, RecursionError):
        return f"overrides must not be nested as deeply as these; got {shorten(' '.join(overrides), MAX_VALUE)}"
    if isinstance(error, MissingConfigException) and error.options is not None:
        return _no_such_option(str(error.missing_cfg_file), error.options, overrides)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return _unknown_key(cause)
    if found := re.search(r"Environment variable '([^']+)' not found", str(error)):  # OmegaConf's error has no field for it
        return f"the environment variable {found[1]} must be set"
    if isinstance(cause, OmegaConfBaseException) and str(error):
        return f"{text}: {_first_line(str(cause))}"
    if text and isinstance(error, HydraException | OmegaConfBaseException | ValueError):
        return text
    given = shorten(" ".join(overrides), MAX_VALUE)
    return f"overrides must be KEY=VALUE each, as Hydra takes them; got {given}: {text or type(error).__name__}"


def _no_such_option(path: str, options: Sequence[str], overrides: Sequence[str]) -> str:
    """path: GROUP/NAME, either of which may have slashes in it."""
    keys = [override.partition("=")[0].lstrip("+") for override in overrides]
    group = next((key for key in keys if path.startswith(f"{key}/")), path.rpartition("/")[0])
    known = f"; choose {', '.join(options)}" if options else ""
    return shorten(f"{group}={path.removeprefix(f'{group}/')}: there is no such {group}", MAX_VALUE) + known


def _unknown_key(error: "ConfigAttributeError | ConfigKeyError") -> str:
    key, section = str(error.full_key), error.parent_node
    group = key.rpartition(".")[0]
    if key.partition(".")[0] == "hydra":
        return f"{key} is not a key of Hydra's, which `python -m pipeline --cfg hydra` shows"
    names = [str(name) for name in (section or ()) if name not in ("name", "hydra")]
    if group and not names:
        return f"{key} is not a key; {group} has none"
    if group:
        chosen = f"{group}={section['name']}" if section is not None and "name" in section else group
        return f"{key} is not a key; {chosen} takes {', '.join(names)}"
    return f"{key} is not a key; the keys are {', '.join([*names, 'experiment'])}"


def _first_line(text: str) -> str:
    return shorten((text.strip().splitlines() or [""])[0], MAX_VALUE)
