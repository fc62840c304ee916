"""Where ``conf/`` is, and what it offers; light, because ``--help`` asks."""

from collections.abc import Sequence
from pathlib import Path

from emulator.carbon.errors import SettingsError


def conf_dir() -> Path:
    """Return the absolute folder of the configuration files.

    An installed package carries its own copy, a checkout has it beside the package.

    Raises:
        SettingsError: If neither is there, since the installation is then broken.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if folder.is_dir():
            return folder
    raise SettingsError(
        f"There is no folder 'conf' in {package} or beside it. Install the package "
        f"again: pip install --force-reinstall sink-emulator."
    )


def options(group: str, config_dirs: Sequence[Path] = ()) -> list[str]:
    """Return what can be chosen for ``group``, e.g. the networks for ``model``."""
    folders = [conf_dir(), *config_dirs]
    return sorted({path.stem for d in folders for path in (d / group).glob("*.yaml")})


def settings_text(command: str) -> str:
    """Return the settings of ``command`` with their comments, as its file has them."""
    path = conf_dir() / f"{command}.yaml"
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""
