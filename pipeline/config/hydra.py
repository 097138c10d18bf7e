"""Hydra over conf/: what overrides compose, and one run of a task with that."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from pipeline.config.hydra_errors import as_config_error
from pipeline.config.schema import MAX_VALUE
from pipeline.errors import ConfigError
from pipeline.files import ROOT
from pipeline.text import shorten

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra
    from hydra.core.override_parser.types import Override
    from hydra.types import HydraContext, RunMode, TaskFunction

CONF = ROOT / "conf"
PRIMARY = "config"  # the name of the file in conf/ that composition starts from


@cache
def hydra_over_conf() -> "Hydra":
    """Hydra over conf/, without the process-wide instance that `hydra.initialize` makes."""
    from hydra import version
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path

    version.setbase("1.3")
    return Hydra("pipeline", ConfigLoaderImpl(create_config_search_path(str(CONF))))


def parse_overrides(overrides: Sequence[str]) -> "list[Override]":
    """Overrides in Hydra's syntax, parsed. Raises ConfigError."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    with as_config_error(overrides):
        return OverridesParser.create(hydra_over_conf().config_loader).parse_overrides(list(overrides))


def composed(overrides: Sequence[str], primary: str = PRIMARY) -> Any:
    """The configuration as nested dicts, its values not checked yet."""
    from omegaconf import OmegaConf, flag_override

    for override in parse_overrides(overrides):
        given = shorten(str(override.input_line), MAX_VALUE)
        if override.is_sweep_override():
            raise ConfigError(f"one value must be given; only `python -m pipeline -m` sweeps over several values; got {given}")
        if override.is_delete() and "." not in override.key_or_group and not isinstance(override.value(), str | None):
            raise ConfigError(f"what deletes a group must be ~GROUP or ~GROUP=NAME; got {given}")
    with as_config_error(overrides):
        config = with_hydra_section(overrides, primary)
        with flag_override(config, "struct", False):
            del config["hydra"]
        return OmegaConf.to_container(config, resolve=True)


def with_hydra_section(overrides: Sequence[str], primary: str = PRIMARY) -> Any:
    """The configuration and, as its `hydra`, Hydra's own settings, the interpolations in them not resolved yet."""
    from hydra.types import RunMode

    return hydra_over_conf().compose_config(primary, list(overrides), RunMode.RUN, from_shell=False)


def is_multirun(overrides: Sequence[str], primary: str = PRIMARY) -> bool:
    """Whether hydra.mode is MULTIRUN; not so where nothing can be composed."""
    from hydra.types import RunMode

    return bool(hydra_over_conf().get_mode(primary, list(overrides)) == RunMode.MULTIRUN)


def prepare(overrides: Sequence[str], primary: str, mode: "RunMode") -> "tuple[Any, HydraContext]":
    """The configuration of a run or a sweep with Hydra's own settings, and what Hydra's functions take beside it."""
    from hydra._internal.callbacks import Callbacks
    from hydra.types import HydraContext

    hydra, arguments = hydra_over_conf(), [*overrides, f"hydra.mode={mode.name}"]
    config = hydra.compose_config(primary, arguments, mode, with_log_configuration=True)
    return config, HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(config))


def run(overrides: Sequence[str], task: "TaskFunction", primary: str = PRIMARY) -> None:
    """Call `task` with the configuration, in the folder hydra.run.dir. Raises what it raises."""
    from hydra.core.utils import JobStatus, run_job
    from hydra.types import RunMode

    with as_config_error(overrides):
        config, context = prepare(overrides, primary, RunMode.RUN)
        str(config.hydra.run.dir)  # fails here, where an interpolation cannot be resolved
    context.callbacks.on_run_start(config=config, config_name=primary)
    done = run_job(task, config, "hydra.run.dir", job_subdir_key=None, hydra_context=context)
    context.callbacks.on_run_end(config=config, config_name=primary, job_return=done)
    if done.status == JobStatus.FAILED:
        raise done._return_value  # its `return_value` prints a line of its own first


def unresolved(overrides: Any) -> list[str]:
    """Hydra's list of overrides as they were given: their interpolations are left to the configuration that they make."""
    from omegaconf import OmegaConf

    return [str(override) for override in cast(list[Any], OmegaConf.to_container(overrides, resolve=False))]


def options(group: str) -> list[str]:
    """The names that a group of conf/ offers."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))
