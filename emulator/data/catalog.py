"""Find and read the catalog: one YAML file a product, checked when loaded."""

import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from emulator.carbon.errors import CatalogError
from emulator.data.entry import Entry, parse_entry

ENVIRONMENT_VARIABLE = "SINK_CATALOG"
"""Folders of a user's own entries, separated like PATH."""


def find_catalog_dirs(extra: Sequence[str | Path] = ()) -> list[Path]:
    """Return the folders of catalog entries, the strongest first.

    A user's own folders (``extra``, then the environment variable) come before
    the entries that come with the package, so that an entry can be replaced.

    Raises:
        CatalogError: If a folder that was asked for does not exist.
    """
    asked = [Path(folder) for folder in extra]
    named = os.environ.get(ENVIRONMENT_VARIABLE, "")
    asked += [Path(folder) for folder in named.split(os.pathsep) if folder]
    for folder in asked:
        if not folder.is_dir():
            raise CatalogError(
                f"There is no catalog folder '{folder}'. Create it, or change "
                f"--catalog-dir or {ENVIRONMENT_VARIABLE}."
            )
    package = Path(__file__).resolve().parents[1]
    shipped = (package / "data_catalog", package.parent / "data_catalog")
    return asked + [folder for folder in shipped if folder.is_dir()][:1]


def names(dirs: Sequence[str | Path] | None = None) -> list[str]:
    """Return the names of all entries, in order."""
    folders = find_catalog_dirs() if dirs is None else dirs
    return sorted({path.stem for d in folders for path in Path(d).glob("*.yaml")})


def load(name: str, dirs: Sequence[str | Path] | None = None) -> Entry:
    """Read and check the entry ``name``.

    Args:
        name: Name of the entry, that of its file without ``.yaml``.
        dirs: Folders to look in, the strongest first; by default those of
            ``find_catalog_dirs``.

    Returns:
        The checked entry.

    Raises:
        CatalogError: If there is no such entry, or it breaks the schema.
    """
    folders = find_catalog_dirs() if dirs is None else dirs
    for folder in folders:
        path = Path(folder) / f"{name}.yaml"
        if path.is_file():
            return read_entry(path)
    raise CatalogError(
        f"There is no catalog entry '{name}' in {[str(d) for d in folders]}. "
        f"Entries are {names(folders)}; `sink-emulator catalog list` shows them."
    )


def read_entry(path: Path) -> Entry:
    """Read and check one YAML file.

    Raises:
        CatalogError: If it is no YAML, or breaks the schema.
    """
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise CatalogError(f"{path} is no readable YAML: {reason}") from None
    return parse_entry(path.stem, said, str(path))
