"""From files and overrides to checked settings: the only module that runs Hydra.

``conf/COMMAND.yaml`` and the overrides become one settings dataclass of
``emulator.config``; nothing behind this door sees a ``DictConfig``.
"""

import contextlib
import difflib
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from emulator import config
from emulator.carbon.errors import SettingsError, UserError
from emulator.cli.files import conf_dir, options

Run = Callable[[Any], object]
"""What a command does with its settings."""


def settings_of(
    command: str, overrides: Sequence[str], config_dirs: Sequence[Path] = ()
) -> Any:
    """Return the checked settings of ``command``.

    Args:
        command: Name of a file in ``conf/``, without ``.yaml``.
        overrides: Hydra overrides, e.g. ``["model=unet", "seed=3"]``.
        config_dirs: A user's own folders with groups such as ``data/``.

    Returns:
        The dataclass that ``emulator.config`` registers for the command.

    Raises:
        SettingsError: If a key is unknown or missing, or a value does not fit.
    """
    everything = [*overrides, *_searchpath(config_dirs)]
    with _hydra():
        return _compose(command, everything, config_dirs)


@dataclass(frozen=True)
class Combination:
    """One run of a sweep.

    Attributes:
        settings: Its checked settings.
        swept: The overrides that vary from run to run, by key, in the order of the
            sweep.
        overrides: All overrides of the run.
    """

    settings: Any
    swept: Mapping[str, str]
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """How a run of a sweep ended.

    Attributes:
        error: What stopped it; None if nothing did.
    """

    error: str | None = None


def combinations(
    command: str, overrides: Sequence[str], config_dirs: Sequence[Path] = ()
) -> list[Combination]:
    """Return the runs of a sweep.

    What ``hydra.sweeper.params`` of an experiment sweeps counts as if it stood first on
    the command line; the command line is stronger.

    Args:
        command: Name of a file in ``conf/``, without ``.yaml``.
        overrides: Hydra overrides; ``seed=1,2`` sweeps.
        config_dirs: A user's own folders with groups such as ``data/``.

    Raises:
        SettingsError: If any combination does not fit.
    """
    everything = [*overrides, *_searchpath(config_dirs)]
    with _hydra() as hydra:
        try:
            master = _master(hydra, command, everything)
            params = master.hydra.sweeper.params or {}
            task = list(master.hydra.overrides.task)
            said = [*(f"{key}={value}" for key, value in params.items()), *task]
            parsed = OverridesParser.create().parse_overrides(said)
            runs = BasicSweeper.split_arguments(parsed, None)[0]
        except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
            explained = _explain(command, everything, error, config_dirs)
            raise SettingsError(explained) from error
        # The last word on a key counts, also on whether it is swept.
        last = {item.get_key_element(): item for item in parsed}
        varied = [key for key, item in last.items() if item.is_sweep_override()]
        others = list(master.hydra.overrides.hydra)
        return [
            Combination(
                _compose(command, [*others, *run], config_dirs),
                {key: _value(run, key) for key in varied},
                tuple(run),
            )
            for run in runs
        ]


def launch(
    command: str,
    overrides: Sequence[str],
    jobs: Sequence[Combination],
    run: Run,
    folder: Path,
    config_dirs: Sequence[Path] = (),
) -> list[Outcome]:
    """Run ``command`` for each of ``jobs`` by the launcher that is configured.

    A run that fails stops no other.

    Args:
        command: Name of a file in ``conf/``, without ``.yaml``.
        overrides: Hydra overrides, which ``combinations`` has accepted.
        jobs: Some of what it returned.
        run: What to do with each settings; a function of a module, since the
            launcher takes it to other processes.
        folder: Where the launcher may leave its own files.
        config_dirs: A user's own folders with groups such as ``data/``.

    Returns:
        How each job ended, in their order.
    """
    where = f"hydra.sweep.dir={quoted(folder)}"
    with _hydra() as hydra:
        master = _master(hydra, command, [*overrides, *_searchpath(config_dirs), where])
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(
                config_loader=hydra.config_loader, callbacks=Callbacks(master)
            ),
            task_function=_Job(run),
            config=master,
        )
        try:
            returned = launcher.launch(
                [list(job.overrides) for job in jobs], initial_job_idx=0
            )
        except Exception as error:  # a process that died, by whichever launcher
            lost = f"its process was lost: {type(error).__name__}: {error}"
            return [Outcome(lost) for _ in jobs]
    return [one.return_value for one in returned]


def _master(hydra: Hydra, command: str, overrides: Sequence[str]) -> DictConfig:
    """Return what all runs of a sweep share, with Hydra's own settings."""
    return hydra.compose_config(
        config_name=command,
        overrides=list(overrides),
        run_mode=RunMode.MULTIRUN,
        with_log_configuration=False,
    )


def _value(run: Sequence[str], key: str) -> str:
    return next(text.partition("=")[2] for text in run if text.partition("=")[0] == key)


@contextlib.contextmanager
def _hydra() -> Iterator[Hydra]:
    """Start Hydra on ``conf/``, with its schemas."""
    config.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield cast(Hydra, GlobalHydra.instance().hydra)


@dataclass
class _Job:
    """One run of a sweep, in whichever process the launcher starts it."""

    run: Run

    def __call__(self, composed: DictConfig) -> Outcome:
        """Run it; what goes wrong is told, so that the others go on."""
        try:
            self.run(_to_settings(composed))
        except UserError as error:
            return Outcome(str(error))
        except Exception:
            return Outcome(traceback.format_exc())
        return Outcome()


def _searchpath(config_dirs: Sequence[Path]) -> list[str]:
    for folder in config_dirs:
        if not folder.is_dir():
            raise SettingsError(
                f"There is no folder '{folder}' for --config-dir. Create it with "
                f"the groups that you add to, e.g. '{folder}/data/mine.yaml'."
            )
    if not config_dirs:
        return []
    urls = ",".join(quoted(f"file://{folder.resolve()}") for folder in config_dirs)
    return [f"hydra.searchpath=[{urls}]"]


def quoted(value: object) -> str:
    """Return ``value`` as Hydra reads it in an override, whatever signs it holds."""
    escaped = str(value).replace("'", "\\'")
    return f"'{escaped}'"


def _compose(
    command: str, overrides: Sequence[str], config_dirs: Sequence[Path]
) -> Any:
    try:
        plain = [text for text in overrides if _is_plain(command, text)]
        rest = [text for text in overrides if text not in plain]
        composed = compose(command, overrides=rest)
        for override in OverridesParser.create().parse_overrides(plain):
            OmegaConf.update(composed, override.key_or_group, override.value())
        return _to_settings(composed)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        explained = _explain(command, overrides, error, config_dirs)
        raise SettingsError(explained) from error
    except ValueError as error:  # of a settings' own __post_init__
        raise SettingsError(str(error)) from error


def _is_plain(command: str, override: str) -> bool:
    """Return whether an override sets plain text that is named like a group.

    Hydra would take it for a choice: `evaluate split=validation` for conf/split.
    """
    name = override.partition("=")[0]
    kinds = {item.name: item.type for item in fields(config.schema_of(command))}
    return kinds.get(name) is str and bool(options(name))


def _to_settings(composed: DictConfig) -> Any:
    """Turn Hydra's dictionary into checked dataclasses, once and for all."""
    settings = OmegaConf.to_object(composed)
    _require_no_extra_keys(settings, "")
    return settings


def _require_no_extra_keys(settings: Any, prefix: str) -> None:
    """Refuse what ``+key=value`` added to a dataclass that has no such field."""
    known = {field.name for field in fields(settings)}
    for name, value in vars(settings).items():
        if name not in known and not name.startswith("_"):
            raise SettingsError(
                f"'{prefix}{name}' is no setting; '+' adds a group such as "
                f"+experiment=NAME, not a key. Known here: {sorted(known)}."
            )
        if is_dataclass(value):
            _require_no_extra_keys(value, f"{prefix}{name}.")


def _explain(
    command: str,
    overrides: Sequence[str],
    error: Exception,
    config_dirs: Sequence[Path],
) -> str:
    """Return one message for a person: what, and how to mend it."""
    help_ = f"`sink-emulator {command} --help` lists the settings."
    if isinstance(error, OverrideParseException):
        if "=" not in error.override:
            return f"'{error.override}' sets nothing: say KEY=VALUE. {help_}"
        return f"Cannot read the override '{error.override}': {_first(error)}. {help_}"
    if isinstance(error, MissingConfigException):
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        known = options(group, config_dirs)
        return f"There is no {group} '{name}', only {known}. {help_}"
    if unsaid := re.match(r"You must specify '(\w+)'", str(error)):
        group = unsaid[1]
        known = options(group, config_dirs)
        return f"`{command}` needs {group}=NAME, one of {known}. {help_}"
    cause = error.__cause__ if isinstance(error, HydraException) else error
    key = str(getattr(cause, "full_key", None) or "")
    if key and isinstance(cause, ConfigAttributeError | ConfigKeyError):
        close = difflib.get_close_matches(key, _known_keys(command, overrides))
        guess = f" Did you mean {' or '.join(close)}?" if close else ""
        return f"'{key}' is no setting of `{command}`.{guess} {help_}"
    if key and isinstance(cause, MissingMandatoryValue):
        return f"`{command}` needs {key}=... . {help_}"
    if key:
        return f"Setting '{key}': {_first(cause)}. {help_}"
    return f"{' '.join(str(error).split())}. {help_}"


def _first(error: BaseException | None) -> str:
    text = str(error).splitlines()[0].rstrip(".")
    return re.sub(r"\w+ is not a ListConfig, list or tuple", "no list [A,B]", text)


def _known_keys(command: str, overrides: Sequence[str]) -> list[str]:
    """Return the dotted keys of the command's settings with its choices of groups."""
    groups = [o for o in overrides if options(o.partition("=")[0].lstrip("+"))]
    try:
        composed = compose(command, overrides=groups)
    except HydraException:
        return []
    keys: list[str] = []

    def collect(node: DictConfig, prefix: str) -> None:
        for name in map(str, node):
            keys.append(prefix + name)
            child = node._get_node(name)
            if isinstance(child, DictConfig) and not child._is_none():
                collect(child, f"{prefix}{name}.")

    collect(composed, "")
    return keys
