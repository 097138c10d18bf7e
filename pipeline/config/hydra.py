"""Hydra: what conf/ and overrides compose, the sweep that they ask for, and its errors in one sentence each."""

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import islice
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pipeline.config.overrides import quoted
from pipeline.errors import ConfigError, PipelineError
from pipeline.files import ROOT

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra
    from hydra.core.config_loader import ConfigLoader
    from hydra.types import TaskFunction

CONF = ROOT / "conf"
PRIMARY = "config"  # the name of the file in conf/ that all begins with
BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
MOST_JOBS = 10_000
LONGEST = 200  # letters of a value that are shown


class UnreadableOverride(ConfigError):
    """An override that is not in Hydra's syntax. The message says how to type it on a command line."""

    def __init__(self, word: str) -> None:
        key, _, value = word.partition("=")
        self.word = word
        text_of_hydra = key.startswith("hydra.") and len(value.splitlines()) == 1
        self.form = f"{key}={quoted(value)}" if text_of_hydra else ""  # which sets it to just this text
        hint = f", a text with other signs in quotes: {shlex.quote(self.form)}" if self.form else ""
        super().__init__(f"overrides must be KEY=VALUE each, in Hydra's syntax{hint}; got {short(word)}")


@cache
def _over_conf() -> "Hydra":
    """Hydra over conf/: an object of its own, since the one that `hydra.initialize` makes is the process's only one."""
    from hydra import version
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path

    version.setbase("1.3")
    return Hydra("pipeline", ConfigLoaderImpl(create_config_search_path(str(CONF))))


@contextmanager
def in_one_sentence(words: Sequence[str]) -> Iterator[None]:
    """What Hydra and OmegaConf raise inside the block for these overrides is raised as ConfigError."""
    from hydra.errors import OverrideParseException

    try:
        yield
    except PipelineError:
        raise
    except OverrideParseException as error:
        raise UnreadableOverride(error.override) from error
    except Exception as error:  # they declare none, and odd words bring out many
        raise ConfigError(_sentence(error, words)) from error


def composed(words: Sequence[str], primary: str = PRIMARY) -> Any:
    """The configuration as plain dicts, its values not checked yet."""
    from hydra.types import RunMode
    from omegaconf import OmegaConf, flag_override

    with in_one_sentence(words):
        config = _over_conf().compose_config(primary, list(words), RunMode.RUN, from_shell=False)
        with flag_override(config, "struct", False):
            del config["hydra"]
        return OmegaConf.to_container(config, resolve=True)


def settings(words: Sequence[str], primary: str = PRIMARY) -> Any:
    """Hydra's own settings by these overrides, the interpolations in them not resolved yet."""
    from hydra.types import RunMode

    return _over_conf().compose_config(primary, list(words), RunMode.RUN, from_shell=False).hydra


def asks_for_a_sweep(words: Sequence[str], primary: str = PRIMARY) -> bool:
    """Whether hydra.mode is MULTIRUN; not so where nothing can be composed."""
    from hydra.types import RunMode

    return bool(_over_conf().get_mode(primary, list(words)) == RunMode.MULTIRUN)


def run(words: Sequence[str], task: "TaskFunction", primary: str = PRIMARY) -> None:
    """Call `task` with the configuration, in the folder hydra.run.dir. Raises what it raises."""
    from hydra._internal.callbacks import Callbacks
    from hydra.core.utils import JobStatus, run_job
    from hydra.types import HydraContext, RunMode

    hydra = _over_conf()
    with in_one_sentence(words):
        config = hydra.compose_config(primary, [*words, "hydra.mode=RUN"], RunMode.RUN, with_log_configuration=True)
        str(config.hydra.run.dir)  # fails here, where an interpolation cannot be resolved
        callbacks = Callbacks(config)
    callbacks.on_run_start(config=config, config_name=primary)
    context = HydraContext(config_loader=hydra.config_loader, callbacks=callbacks)
    done = run_job(task, config, "hydra.run.dir", job_subdir_key=None, hydra_context=context)
    callbacks.on_run_end(config=config, config_name=primary, job_return=done)
    if done.status == JobStatus.FAILED:
        raise done._return_value  # its `return_value` prints a line of its own first


@dataclass(frozen=True)
class Sweep:
    """A sweep whose sweeper and launcher are there."""

    folder: Path  # hydra.sweep.dir
    choices: list[list[str]]  # the single overrides that each of its overrides stands for
    jobs: int  # at least
    launch: Callable[[], None]


def prepare(words: Sequence[str], task: "TaskFunction", primary: str = PRIMARY) -> Sweep:
    """A sweep of `task`, composed and not begun. Raises ConfigError where Hydra could not begin it."""
    from hydra._internal.callbacks import Callbacks
    from hydra.core.plugins import Plugins
    from hydra.types import HydraContext, RunMode

    hydra = _over_conf()
    with in_one_sentence(words):
        config = hydra.compose_config(primary, [*words, "hydra.mode=MULTIRUN"], RunMode.MULTIRUN, with_log_configuration=True)
        folder, arguments = Path(config.hydra.sweep.dir), written(config.hydra.overrides.task)
        callbacks = Callbacks(config)
        context = HydraContext(config_loader=hydra.config_loader, callbacks=callbacks)
        sweeper = Plugins.instance().instantiate_sweeper(config=config, hydra_context=context, task_function=task)
        basic = config.hydra.sweeper["_target_"] == BASIC_SWEEPER
        batch = config.hydra.sweeper.max_batch_size if basic else None
        if not (batch is None or batch > 0):
            raise ConfigError(f"hydra.sweeper.max_batch_size must be > 0 or null; got {batch}")
        params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()] if basic else []
        choices = [[word] for word in written(config.hydra.overrides.hydra)]  # which may say where to look for the rest
        choices += _choices([*params, *arguments], hydra.config_loader, basic)

    def launch() -> None:
        callbacks.on_multirun_start(config=config, config_name=primary)
        sweeper.sweep(arguments=arguments)
        callbacks.on_multirun_end(config=config, config_name=primary)

    jobs = prod(map(len, choices)) if basic else 1
    if not jobs <= MOST_JOBS:
        raise ConfigError(f"a sweep must have at most {MOST_JOBS} jobs; got {jobs}")
    return Sweep(folder, choices, jobs, launch)


def written(overrides: Any) -> list[str]:
    """Hydra's list of overrides as they were given: their interpolations are left to the configuration that they make."""
    from omegaconf import OmegaConf

    return [str(word) for word in cast(list[Any], OmegaConf.to_container(overrides, resolve=False))]


def _choices(words: Sequence[str], loader: "ConfigLoader", basic: bool) -> list[list[str]]:
    """The single overrides that each override stands for; of a sweeper other than Hydra's own, without what it draws itself."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    choices: dict[str, list[str]] = {}
    for override in OverridesParser.create(loader).parse_overrides(list(words)):
        key = override.get_key_element()
        if not override.is_sweep_override():
            choices[key] = [str(override.input_line)]
            continue
        if not override.is_discrete_sweep():
            given = f"{key} must be a choice, a range or a glob for Hydra's basic sweeper; got {override.input_line}"
            if basic:
                raise ConfigError(given)
            continue
        values = list(islice(override.sweep_string_iterator(), MOST_JOBS + 1))
        if not 0 < len(values) <= MOST_JOBS:
            raise ConfigError(f"{key} must have 1 to {MOST_JOBS} values in a sweep; got {override.input_line}")
        choices[key] = [f"{key}={value}" for value in values]
    return list(choices.values())


def options(group: str) -> list[str]:
    """The names that a group of conf/ offers."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def _sentence(error: Exception, words: Sequence[str]) -> str:
    """Hydra's report of a wrong override, in one sentence that says what is allowed."""
    from hydra.errors import HydraException
    from omegaconf.errors import GrammarParseError, OmegaConfBaseException

    text = str(error) or str(error.__cause__ or "")
    if isinstance(error.__cause__ or error, GrammarParseError):
        return f"${{ must begin an interpolation, such as ${{oc.env:NAME}}, and be \\${{ in a text; {_first_line(text)}"
    if isinstance(error, RecursionError):
        return f"overrides must not be nested as deeply as these; got {short(' '.join(words))}"
    if found := re.search(r"Could not find '([^']+)'", text):
        return _no_such_option(found[1], words)
    if words and (found := re.search(r"Could not override '([^'@]+)(?:@[^']*)?'", text)):
        return _unknown_key(found[1], words)
    if found := re.search(r"Environment variable '([^']+)' not found", text):
        return f"the environment variable {found[1]} must be set"
    hint = "; only `python -m pipeline -m` sweeps over several values" if "Ambiguous value" in text else ""
    if text.startswith("Error merging override") and error.__cause__:
        return f"{_first_line(text)}: {_first_line(str(error.__cause__))}"
    if text and isinstance(error, HydraException | OmegaConfBaseException | ValueError):
        return _first_line(text) + hint
    reason = _first_line(text) or type(error).__name__
    return f"overrides must be KEY=VALUE each, as Hydra takes them; got {short(' '.join(words))}: {reason}"


def _no_such_option(path: str, words: Sequence[str]) -> str:
    """path: GROUP/NAME, either of which may have slashes in it."""
    keys = [word.partition("=")[0].lstrip("+") for word in words]
    group = next((key for key in keys if path.startswith(f"{key}/")), path.rpartition("/")[0])
    known = ", ".join(options(group) or _options_of_hydra(group))
    return short(f"{group}={path.removeprefix(f'{group}/')}: there is no such {group}") + (f"; choose {known}" if known else "")


def _first_line(text: str) -> str:
    return short((text.strip().splitlines() or [""])[0])


def _options_of_hydra(group: str) -> list[str]:
    return list(_over_conf().config_loader.get_group_options(group))


def _unknown_key(key: str, words: Sequence[str]) -> str:
    top = composed([])
    group, _, rest = key.partition(".")
    chosen = [word for word in words if "." not in word.partition("=")[0]]
    if rest and group in top and isinstance(section := composed(chosen).get(group), dict):
        return f"{key} is not a key; {group} takes {', '.join(k for k in section if k != 'name')}"
    if group == "hydra":
        return f"{key} is not a key of Hydra's, which `python -m pipeline --cfg hydra` shows"
    return f"{key} is not a key; the keys are {', '.join([*top, 'experiment'])}"


def short(text: str, longest: int = LONGEST) -> str:
    """A text, or what was given, as a sentence has room for it: in one line."""
    line = " ".join(text.splitlines())
    return line if len(line) <= longest else f"{line[:longest]}..."
