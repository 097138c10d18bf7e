"""A sweep of Hydra's before it begins: its folder, the values of each override, and how to launch it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.hydra import PRIMARY, parse_overrides, prepare, unresolved
from pipeline.config.hydra_errors import as_config_error
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from hydra.types import TaskFunction

BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
MAX_JOBS = 10_000


@dataclass(frozen=True)
class Plan:
    """A sweep whose sweeper and launcher exist."""

    folder: Path  # hydra.sweep.dir
    choices: list[list[str]]  # the single overrides that each of its overrides stands for
    swept: dict[str, str]  # the keys that have several values, and these as they were typed
    min_jobs: int
    launch: Callable[[], None]


def plan(overrides: Sequence[str], task: "TaskFunction", primary: str = PRIMARY) -> Plan:
    """A sweep of `task`, composed and not begun. Raises ConfigError where Hydra could not begin it."""
    from hydra.core.plugins import Plugins
    from hydra.types import RunMode

    with as_config_error(overrides):
        config, context = prepare(overrides, primary, RunMode.MULTIRUN)
        folder, arguments = Path(config.hydra.sweep.dir), unresolved(config.hydra.overrides.task)
        sweeper = Plugins.instance().instantiate_sweeper(config=config, hydra_context=context, task_function=task)
        is_basic = config.hydra.sweeper["_target_"] == BASIC_SWEEPER
        batch = config.hydra.sweeper.max_batch_size if is_basic else None
        if batch is not None and batch <= 0:
            raise ConfigError(f"hydra.sweeper.max_batch_size must be > 0 or null; got {batch}")
        params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()] if is_basic else []
        choices = [[override] for override in unresolved(config.hydra.overrides.hydra)]  # such as hydra.searchpath
        choices += _choices([*params, *arguments], is_basic)

    def launch() -> None:
        context.callbacks.on_multirun_start(config=config, config_name=primary)
        sweeper.sweep(arguments=arguments)
        context.callbacks.on_multirun_end(config=config, config_name=primary)

    jobs = prod(map(len, choices)) if is_basic else 1
    if jobs > MAX_JOBS:
        raise ConfigError(f"a sweep must have at most {MAX_JOBS} jobs; got {jobs}")
    several = [override for override in parse_overrides([*params, *arguments]) if override.is_sweep_override()]
    swept = {str(each.get_key_element()): str(each.input_line).partition("=")[2] for each in several}
    return Plan(folder, choices, swept, jobs, launch)


def _choices(overrides: Sequence[str], is_basic: bool) -> list[list[str]]:
    """The single overrides that each override stands for; those that another sweeper samples are left out."""
    choices: dict[str, list[str]] = {}
    for override in parse_overrides(overrides):
        key = override.get_key_element()
        if not override.is_sweep_override():
            choices[key] = [str(override.input_line)]
        elif override.is_discrete_sweep():
            values = list(islice(override.sweep_string_iterator(), MAX_JOBS + 1))
            if not 0 < len(values) <= MAX_JOBS:
                raise ConfigError(f"{key} must have 1 to {MAX_JOBS} values in a sweep; got {override.input_line}")
            choices[key] = [f"{key}={value}" for value in values]
        elif is_basic:
            given = f"got {override.input_line}"
            raise ConfigError(f"{key} must be a choice, a range or a glob for Hydra's basic sweeper; {given}")
    return list(choices.values())
